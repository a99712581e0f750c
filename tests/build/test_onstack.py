"""Structures whose objects are on stacks alone may be laid out anew; what leaves a doubt is refused."""

import pytest

from oddtoc.build.onstack import only_on_stacks

PLAIN = """
struct job;
struct job {
	int size;
	struct list_head tasks;
};
static int take(struct job *work, int more);

static int take(struct job *work, int more)
{
	if (work->size > more)
		list_add(&other, &work->tasks);
	return work->size;
}

static int give(const struct job *work)
{
	return take(work, 1) + work->size;
}

int start(int size)
{
	struct job work = {
		.size = size,
		.tasks = LIST_HEAD_INIT(work.tasks),
	};
	struct job second;

	second.size = 1;
	return take(&work, size) + give(&second);
}
"""


@pytest.fixture
def is_safe(tmp_path):
    def get(text):
        (tmp_path / "include").mkdir(exist_ok=True)
        (tmp_path / "a.c").write_text(text)
        return only_on_stacks("job", tmp_path, tmp_path / "a.c")

    return get


def test_local_objects_whose_address_stays_in_the_file_are_on_stacks(is_safe):
    assert is_safe(PLAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\tsecond.size = 1;", "\tstruct job *third = kmalloc(sizeof(struct job), GFP_KERNEL);"),
        ("\tsecond.size = 1;", "\tvoid *third = kmalloc(sizeof(second), GFP_KERNEL);"),
        ("\treturn work->size;\n", "\tkept = work;\n\treturn work->size;\n"),
        ("\treturn work->size;\n", "\tqueue_work(work);\n\treturn work->size;\n"),
        ("\treturn work->size;\n", "\treturn jhash2((u32 *)work, 2, 0);\n"),
        ("take(&work, size)", "jhash2((u32 *)&work, 2, 0)"),
        ("take(&work, size)", "schedule_with(&work)"),
        ("second.size = 1;", "second = work;"),
        ("\tsecond.size = 1;", "\tstruct job *third = file->private_data;"),
        ("static int give(const", "static struct job one;\nstatic int give(const"),
        ("static int give(const", "struct outer {\n\tstruct job work;\n};\nstatic int give(const"),
        ("static int give(const", "#define all(w) container_of(w, struct job, size)\nstatic int give(const"),
        ("static int give(const", "static int (*kept)(struct job *work);\nstatic int give(const"),
        ("\tstruct job second;", "\tstatic struct job second;"),
        ("\tstruct job second;", "\tstruct job second, *third;"),
        ("give(const struct job *work)", "give(const struct job **work)"),
        ("take(work, 1) + work->size;", "take((struct job *)other, 1);"),
    ],
)
def test_what_leaves_a_doubt_is_not(is_safe, old, new):
    assert old in PLAIN
    assert not is_safe(PLAIN.replace(old, new, 1))


def test_a_structure_that_a_header_names_is_not(is_safe, tmp_path):
    assert is_safe(PLAIN)
    (tmp_path / "include" / "a.h").write_text("void take_it(struct job *work);\n")
    assert not is_safe(PLAIN)


def test_one_that_is_defined_elsewhere_or_shared_with_code_of_another_file_is_not(is_safe):
    definition = PLAIN[PLAIN.index("struct job {") : PLAIN.index("static int take")]
    assert not is_safe(PLAIN.replace(definition, ""))
    assert not is_safe('#include "b.c"\n' + PLAIN)


@pytest.mark.parametrize(
    ("structure", "file", "is_on_stacks"),
    [
        ("lb_env", "kernel/sched/fair.c", True),
        # its bytes are hashed, and the hashes are kept
        ("netlink_compare_arg", "net/netlink/af_netlink.c", False),
        # it lives in a callback's context from one message to the next
        ("ctrl_dump_policy_ctx", "net/netlink/genetlink.c", False),
        ("epitem", "fs/eventpoll.c", False),
    ],
)
def test_structures_of_the_kernel(tree, structure, file, is_on_stacks):
    assert only_on_stacks(structure, tree.source, tree.source / file) is is_on_stacks
