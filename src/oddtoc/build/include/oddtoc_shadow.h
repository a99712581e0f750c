/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * oddtoc_shadow.h: new members for objects of the kernel, without a change of their structures.
 *
 *     struct extra *extra = oddtoc_shadow_get_or_new(task, EXTRA, sizeof(*extra), flags);
 *
 * A shadow variable is found by an object's address and an id, the author's number. It outlives the patch that made it:
 * patches share one table, so that a cumulative patch finds what the one before it has left. Take and drop all of a
 * patch's variables in its post_unpatch callback if nobody will need them any more.
 *
 * Nothing here takes a pointer to a function: a patch that hands out addresses of its own can't be given back. Make a
 * variable with oddtoc_shadow_new, fill it in, then attach it; take it, do what has to be done, then drop it.
 * All functions but oddtoc_shadow_new may be called wherever a spin lock may be taken, with interrupts off too.
 */
#ifndef ODDTOC_SHADOW_H
#define ODDTOC_SHADOW_H

struct oddtoc_shadow {
	struct oddtoc_shadow *next;
	const void *object;
	unsigned long id;
	unsigned long reserved;
	unsigned char data[] __attribute__((aligned(16)));
};

#define ODDTOC_SHADOW_HEADS 119

/* All zero: an open lock, and empty lists. */
struct oddtoc_shadow_table {
	unsigned long lock;
	struct oddtoc_shadow *heads[ODDTOC_SHADOW_HEADS];
};

extern struct oddtoc_shadow_table oddtoc_shadow_table;

unsigned long oddtoc_lock(unsigned long *lock) __asm__("_raw_spin_lock_irqsave");
void oddtoc_unlock(unsigned long *lock, unsigned long flags) __asm__("_raw_spin_unlock_irqrestore");
void oddtoc_kfree(const void *memory) __asm__("kfree");
/* the one or the other, depending on the kernel */
void *oddtoc_kmalloc(unsigned long size, unsigned int flags) __asm__("__kmalloc") __attribute__((weak));
void *oddtoc_kmalloc_noprof(unsigned long size, unsigned int flags) __asm__("__kmalloc_noprof") __attribute__((weak));

#define ODDTOC_SHADOW_FUNCTION static inline __attribute__((unused))

ODDTOC_SHADOW_FUNCTION struct oddtoc_shadow **oddtoc_shadow_head(const void *object, unsigned long id)
{
	unsigned long key = ((unsigned long)object >> 4) + id;

	return &oddtoc_shadow_table.heads[key % ODDTOC_SHADOW_HEADS];
}

ODDTOC_SHADOW_FUNCTION struct oddtoc_shadow **oddtoc_shadow_find(const void *object, unsigned long id)
{
	struct oddtoc_shadow **link = oddtoc_shadow_head(object, id);

	while (*link && ((*link)->object != object || (*link)->id != id))
		link = &(*link)->next;
	return link;
}

ODDTOC_SHADOW_FUNCTION struct oddtoc_shadow *oddtoc_shadow_of(void *data)
{
	return (struct oddtoc_shadow *)((unsigned char *)data - sizeof(struct oddtoc_shadow));
}

/* The variable of an object; NULL if it has none. */
ODDTOC_SHADOW_FUNCTION void *oddtoc_shadow_get(const void *object, unsigned long id)
{
	unsigned long flags = oddtoc_lock(&oddtoc_shadow_table.lock);
	struct oddtoc_shadow *shadow = *oddtoc_shadow_find(object, id);

	oddtoc_unlock(&oddtoc_shadow_table.lock, flags);
	return shadow ? shadow->data : (void *)0;
}

/* Zeroed memory for a variable, for nobody yet; NULL if there is none. `gfp` are the kernel's allocation flags. */
ODDTOC_SHADOW_FUNCTION void *oddtoc_shadow_new(unsigned long size, unsigned int gfp)
{
	void *(*allocate)(unsigned long, unsigned int) = oddtoc_kmalloc;
	struct oddtoc_shadow *shadow;
	unsigned long i;

	if (!allocate)
		allocate = oddtoc_kmalloc_noprof;
	/* keeps the compiler from calling one of them by name, which may not be there */
	__asm__("" : "+r"(allocate));
	shadow = allocate(sizeof(*shadow) + size, gfp);
	if (!shadow)
		return (void *)0;
	for (i = 0; i < sizeof(*shadow) + size; i++)
		((volatile unsigned char *)shadow)[i] = 0;
	return shadow->data;
}

/* Give memory back that is attached to nothing. */
ODDTOC_SHADOW_FUNCTION void oddtoc_shadow_drop(void *data)
{
	if (data)
		oddtoc_kfree(oddtoc_shadow_of(data));
}

/* Make memory the variable of an object. Returns the variable: another one if the object has one already. */
ODDTOC_SHADOW_FUNCTION void *oddtoc_shadow_attach(const void *object, unsigned long id, void *data)
{
	struct oddtoc_shadow *shadow = oddtoc_shadow_of(data);
	unsigned long flags = oddtoc_lock(&oddtoc_shadow_table.lock);
	struct oddtoc_shadow **link = oddtoc_shadow_find(object, id);

	if (!*link) {
		shadow->object = object;
		shadow->id = id;
		*link = shadow;
	}
	shadow = *link;
	oddtoc_unlock(&oddtoc_shadow_table.lock, flags);
	return shadow->data;
}

/* The variable of an object, made of zeros if it had none; NULL if there is no memory. */
ODDTOC_SHADOW_FUNCTION void *oddtoc_shadow_get_or_new(const void *object, unsigned long id, unsigned long size,
						      unsigned int gfp)
{
	void *data = oddtoc_shadow_get(object, id);
	void *made;

	if (data)
		return data;
	made = oddtoc_shadow_new(size, gfp);
	if (!made)
		return made;
	data = oddtoc_shadow_attach(object, id, made);
	if (data != made)
		oddtoc_shadow_drop(made);
	return data;
}

/* Detach the variable of an object, for its memory to be dropped; NULL if it has none. */
ODDTOC_SHADOW_FUNCTION void *oddtoc_shadow_take(const void *object, unsigned long id)
{
	unsigned long flags = oddtoc_lock(&oddtoc_shadow_table.lock);
	struct oddtoc_shadow **link = oddtoc_shadow_find(object, id);
	struct oddtoc_shadow *shadow = *link;

	if (shadow)
		*link = shadow->next;
	oddtoc_unlock(&oddtoc_shadow_table.lock, flags);
	return shadow ? shadow->data : (void *)0;
}

/* Detach one variable of that id, whatever its object; NULL if there is none left. */
ODDTOC_SHADOW_FUNCTION void *oddtoc_shadow_take_any(unsigned long id)
{
	unsigned long flags = oddtoc_lock(&oddtoc_shadow_table.lock);
	struct oddtoc_shadow *shadow = (void *)0;
	struct oddtoc_shadow **link;
	unsigned long i;

	for (i = 0; i < ODDTOC_SHADOW_HEADS && !shadow; i++) {
		link = &oddtoc_shadow_table.heads[i];
		while (*link && (*link)->id != id)
			link = &(*link)->next;
		shadow = *link;
		if (shadow)
			*link = shadow->next;
	}
	oddtoc_unlock(&oddtoc_shadow_table.lock, flags);
	return shadow ? shadow->data : (void *)0;
}

#endif
