"""What a change loses with functions that only ran at boot, and which these are."""

import pytest

from oddtoc.build.boot import lost_at_boot, still_there
from oddtoc.build.headers import HeaderChange

OLD = """
#define ROOM 8
static int count = 1;
static int take(int size)
{
	return size;
}

static int __init start(void)
{
	return take(ROOM) + count;
}
"""


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ("return size;", "return size + 1;", []),
        ("static int take(int size)\n", "int take(int size);\nint take(int size)\n", []),
        ("take(ROOM)", "take(ROOM + 1)", ["start"]),
        ("ROOM 8", "ROOM 16", ["start"]),
        ("count = 1", "count = 2", ["start"]),
        ("start(void)", "started(void)", ["start"]),
    ],
)
def test_only_what_a_function_calls_may_have_changed(tmp_path, old, new, lost):
    before, after = tmp_path / "old.c", tmp_path / "new.c"
    before.write_text(OLD)
    after.write_text(OLD.replace(old, new))
    assert lost_at_boot(["start"], [before], [after], []) == lost
    header = HeaderChange("a.h", "define", "take", is_new=False, is_mentioned=True)
    assert lost_at_boot(["start"], [before], [after], [header]) == ["start"]


def test_what_runs_when_memory_is_added_is_still_there(image):
    """`__meminit` is gone only where memory can't be added (CONFIG_MEMORY_HOTPLUG)."""
    names = ("memmap_init_range", "init_unavailable_range", "start_kernel", "seq_printf")
    addresses = {name: image.symbols.one(name).address for name in names}
    assert still_there(addresses, image) == {"memmap_init_range", "seq_printf"}
