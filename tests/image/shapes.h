/* What structures of a kernel look like: attributes that BTF does not tell, bit fields, and names that stand twice. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef u64 __attribute__((aligned(4))) loose;
typedef struct { u32 value; } token;
struct unknown;
union also_unknown;
enum small { LITTLE = 3, LITTLER = -7 } __attribute__((packed));
enum lowest { LOWEST = -0x7fffffff - 1 };
typedef enum { FIRST, SECOND } nameless;
struct list { struct list *next; struct unknown *far; union also_unknown *away; };
struct packed { u8 kind; u32 length; u16 rest; } __attribute__((packed));
struct evenly_packed { u32 one, two; } __attribute__((packed));
struct odd_place { u16 before; struct evenly_packed inside; u64 behind; };
struct wide { u32 low; } __attribute__((aligned(64)));
struct around { u8 first; struct wide inside; u8 last __attribute__((aligned(128))); };
struct around_all { u64 head; struct around several[2]; };
struct loosely { u32 first; loose second; };
struct bits {
	u8 a : 3, b : 5;
	u32 c : 7, : 9, d : 16;
	u64 e : 40, : 0, f : 1;
	unsigned long g : 33, h : 31;
	u8 : 8;
	nameless i : 2;
	u16 : 0;
	u16 j;
};
struct tight_bits { u8 a; u32 b : 20, c : 20; u64 d : 48; u8 e; } __attribute__((packed));
struct nested {
	u8 kind;
	union {
		struct { u16 x; union { u8 y; u32 z; }; };
		struct { u8 raw[3]; } bytes[2];
		u64 whole;
	};
	struct { u8 tag; void *data; } __attribute__((packed)) pairs[3];
	enum { INNER = 9 } state;
};
union sized { u8 raw[5]; u16 number; } __attribute__((packed));
union roomy { u8 raw[5]; } __attribute__((aligned(16)));
struct callbacks {
	const char *const *(*names)(struct list *, const volatile u8 (*)[4], ...);
	void (*(*signal)(int, void (*)(int)))(int);
	int (*const *table[2][3])(void);
	token (*by_value)(token, struct wide, nameless);
	__int128 sixteen;
	long double number;
	_Bool yes;
	const token fixed[2][3];
	struct list open[];
};
struct fill_at_end { u64 first; u8 last; u8 : 4; } __attribute__((aligned(32)));
struct nothing { };
struct has_nothing { u32 first; struct nothing none; u32 last; };
