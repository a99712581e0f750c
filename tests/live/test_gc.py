"""Memory of reverted patches: given back when nobody is in it and no pointer to it can be left, never before."""

import pytest
from cleaning import revert_all

from asleep import asleep
from oddtoc.build.compile import compile_patch
from oddtoc.errors import BusyError
from oddtoc.live.collect import Collection
from oddtoc.live.commit import carry_out
from oddtoc.live.session import Session
from oddtoc.live.store import State

SERIES = "6.1"


def nobody(_spans):
    return None


@pytest.fixture
def session(guest):
    with Session.open(f"guest:{guest(SERIES).name}") as session:
        session.gc(nobody)
        yield session
        revert_all(session)
        session.gc(nobody)


def room_in_use(session):
    """Everything that is not zero in the rooms for journal, helpers and code, and the first of the data."""
    rooms = session.kernel.rooms
    spans = [(rooms.journal.start, 32 << 10), (rooms.text.start, 64 << 10), (rooms.data.start, rooms.data.size)]
    spans.append((rooms.helpers.start, rooms.helpers.size))
    return [bytes(memory).rstrip(b"\0") for memory in session.target.read_many(spans)]


def entries(session):
    return {entry.record.name: entry.state for entry in session.journal().contents.entries}


def apply_and_revert(session, *patches, mechanism="auto"):
    for patch in patches:
        session.apply(session.plan(patch, mechanism=mechanism))
    for patch in patches:
        session.revert(patch.name)


def test_memory_is_zero_again(session, saying, objects):
    before = room_in_use(session)
    for mechanism in ("shared-toc", "guarded/slot", "odd-toc/cr4"):
        apply_and_revert(session, saying("one", cmdline="one"), objects("putc.c"), mechanism=mechanism)
    assert room_in_use(session) != before
    collection = session.gc(nobody)
    assert len(collection.free) == 6 and collection.kept == () and collection.size > 6 * 256
    assert room_in_use(session) == before


def test_what_is_applied_or_covered_stays(guest, session, saying):
    machine = guest(SERIES)
    for name in ("one", "two", "three"):
        session.apply(session.plan(saying(name, cmdline=name)))
    session.revert("two")
    collection = session.gc(nobody)
    assert [entry.record.name for entry in collection.free] == ["two"]
    assert machine.run("cat /proc/cmdline").stdout == b"three\n"
    session.revert("three")
    assert machine.run("cat /proc/cmdline").stdout == b"one\n"


def test_a_gap_between_records_is_used_again_and_the_order_stays(guest, session, saying):
    machine = guest(SERIES)
    for name in ("a", "b", "c"):
        session.apply(session.plan(saying(name, cmdline=name, version=name)))
    session.revert("a")
    session.gc(nobody)
    end = session.journal().contents.end
    session.apply(session.plan(saying("d", cmdline="d")))
    assert session.journal().contents.end == end
    assert [status.record.name for status in session.status()] == ["b", "c", "d"]
    assert machine.run("cat /proc/cmdline").stdout == b"d\n"
    session.revert("d")
    assert machine.run("cat /proc/cmdline").stdout == b"c\n"


def test_somebody_in_a_payload_keeps_it_and_no_other(session, saying):
    one, two = saying("one", cmdline="one"), saying("two", cmdline="two")
    apply_and_revert(session, one, two)
    place = session.journal().contents.entries[0].record.spans["text"]

    def somebody(spans):
        return BusyError("thread 7 (sh) returns into it") if place in spans else None

    collection = session.gc(somebody)
    assert [entry.record.name for entry in collection.free] == ["two"]
    assert [(record.name, reason) for record, reason in collection.kept] == [
        ("one", "it is still in use: thread 7 (sh) returns into it")
    ]
    assert entries(session) == {"one": State.REVERTED}


def test_a_payload_whose_address_got_out_stays_for_good(session, tmp_path):
    source = tmp_path / "leaks.c"
    source.write_text(
        "#include <oddtoc.h>\nextern void *saved;\nstatic int data[4];\n"
        "static int mine(int **where) { *where = data; return 0; }\nODDTOC_REPLACE(vmlinux, cmdline_proc_show, mine);\n"
    )
    patch = compile_patch(source, tmp_path / "leaks.o")
    plan = session.plan(patch)
    assert plan.record.pinned == "it takes the address of data"
    apply_and_revert(session, patch)
    for _ in range(2):
        collection = session.gc(nobody)
        assert [(record.name, reason) for record, reason in collection.kept] == [("leaks", plan.record.pinned)]
    assert entries(session) == {"leaks": State.REVERTED}
    # it never ran
    for write in Collection(session.journal().contents.entries, ()).writes:
        session.target.write_many([write])


def test_rounds_do_not_grow(session, saying, objects):
    before = room_in_use(session)
    sizes = set()
    for number in range(12):
        mechanism = ("shared-toc", "guarded/slot", "odd-toc/cr4")[number % 3]
        session.apply(session.plan(saying("one", cmdline="one", version="one"), mechanism=mechanism))
        session.apply(session.plan(objects("putc.c"), mechanism=mechanism))
        session.apply(session.plan(saying("all", cmdline="all"), mechanism=mechanism, replace=True))
        session.gc(nobody)
        session.revert("all")
        session.gc(nobody)
        assert room_in_use(session) == before
        sizes.add(session.journal().contents.end)
    assert len(sizes) == 1


SLEEPER = """
#include <oddtoc.h>
struct seq_file;
void seq_printf(struct seq_file *file, const char *format, ...);
void msleep(unsigned int milliseconds);
static int mine(struct seq_file *file, void *data)
{
	msleep(4000);
	seq_printf(file, "%s\\n", "slept");
	return 0;
}
ODDTOC_REPLACE(vmlinux, cmdline_proc_show, mine);
"""


@pytest.mark.parametrize("mechanism", ["shared-toc", "guarded/slot", "odd-toc/cr4"])
def test_a_thread_that_sleeps_in_a_payload_keeps_it(guest, session, tmp_path, mechanism):
    """The real look at all threads: `--immediate` takes the patch back while somebody is in it."""
    machine = guest(SERIES)
    (tmp_path / "sleeper.c").write_text(SLEEPER)
    session.apply(session.plan(compile_patch(tmp_path / "sleeper.c", tmp_path / "sleeper.o"), mechanism=mechanism))
    machine.run("cat /proc/cmdline > /tmp/slept 2>&1 & " + asleep("cat"))
    revert_at_once(session, "sleeper")
    held = session.gc()
    assert held.free == () and "it is still in use" in held.kept[0][1] and "cat" in held.kept[0][1]
    machine.run("until [ -s /tmp/slept ]; do usleep 100000; done; sleep 0.5")
    assert machine.run("cat /tmp/slept").stdout == b"slept\n"
    freed = session.gc()
    assert [entry.record.name for entry in freed.free] == ["sleeper"] and freed.kept == ()


def revert_at_once(session, name):
    """Past the check that refuses this for marked functions: nobody is in the short way between entry and branch."""
    carry_out(session.target, session.plan_revert(name), timeout=1)
