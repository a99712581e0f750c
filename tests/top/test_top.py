"""The view of a target in the terminal, driven as a user drives it, on a real guest."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from textual.widgets import DataTable, Static

import oddtoc
from oddtoc.build.compile import compile_patch
from oddtoc.errors import TargetInUseError
from oddtoc.live.session import Session
from oddtoc.top import Watcher
from oddtoc.top.app import TopApp

CMDLINE = Path(oddtoc.__file__).parent / "samples/cmdline.c"


@pytest.fixture
def machine(guest, tmp_path):
    """A guest on which /proc/cmdline is patched."""
    machine = guest("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(compile_patch(CMDLINE, tmp_path / "cmdline.o")))
    yield machine
    if b"live patched" in machine.run("cat /proc/cmdline").stdout:
        revert(machine)


def revert(machine):
    with Session.open(f"guest:{machine.name}") as session:
        session.revert("cmdline")
        session.gc()


def shown(machine, script, *, counting):
    """Rows and texts at the end of a script, which is given what presses keys, and a function that waits for a text."""

    async def main():
        watcher = Watcher(partial(Session.open, f"guest:{machine.name}"), counting=counting)
        app = TopApp(watcher, machine.name, 600)
        try:
            async with app.run_test(size=(100, 20)) as pilot:

                async def looked():
                    """Look until something comes of it: the first time somebody may be in the way of the counting."""
                    before = text("#pauses")
                    for _ in range(100):
                        await pilot.press("r")
                        await pilot.pause(0.1)
                        if text("#pauses") != before:
                            return
                    raise AssertionError(text("#way"))

                def text(name):
                    return str(app.query_one(name, Static).render())

                await looked()
                await script(looked)
                table = app.query_one(DataTable)
                return [table.get_row_at(n) for n in range(table.row_count)], text("#way"), text("#pauses")
        finally:
            await asyncio.to_thread(watcher.close)

    return asyncio.run(main())


def test_patches_are_shown_and_others_may_change_them_meanwhile(machine):
    async def script(looked):
        await asyncio.to_thread(revert, machine)
        await looked()

    async def nothing(_):
        pass

    rows, way, pauses = shown(machine, nothing, counting=False)
    assert rows == [["cmdline", "cmdline_proc_show", "shared-toc", "applied", "-", "-"]]
    assert way == "nobody stands in what a revert would change" and "stops so far" in pauses
    rows, way, _ = shown(machine, script, counting=False)
    assert rows == [] and way == "nothing is applied"


def test_calls_are_counted_beside_the_patch_and_the_counting_ends_with_the_view(machine):
    async def script(looked):
        with pytest.raises(TargetInUseError):
            await asyncio.to_thread(Session.open, f"guest:{machine.name}")
        await asyncio.to_thread(machine.run, "for i in 1 2 3 4 5 6 7; do cat /proc/cmdline; done")
        await looked()

    rows, _, _ = shown(machine, script, counting=True)
    assert [row[:5] for row in rows] == [["cmdline", "cmdline_proc_show", "shared-toc", "applied", "7"]]
    with Session.open(f"guest:{machine.name}") as session:
        assert [status.record.name for status in session.status()] == ["cmdline"]
        assert b"live patched" in machine.run("cat /proc/cmdline").stdout


def test_of_two_patches_of_a_function_the_later_one_is_applied_while_calls_are_counted(machine, tmp_path):
    async def script(looked):
        await asyncio.to_thread(machine.run, "for i in 1 2 3; do cat /proc/cmdline; done")
        await looked()

    later = tmp_path / "later.c"
    later.write_text(CMDLINE.read_text().replace("live patched", "patched twice"))
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(compile_patch(later, tmp_path / "later.o")))
    try:
        assert b"patched twice" in machine.run("cat /proc/cmdline").stdout
        rows, _, _ = shown(machine, script, counting=True)
        assert [(row[0], row[3]) for row in rows] == [("cmdline", "covered by a later patch"), ("later", "applied")]
    finally:
        with Session.open(f"guest:{machine.name}") as session:
            session.revert("later")
            session.gc()
