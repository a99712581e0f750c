"""Exported functions that take something else: the old ones stay for modules, the new ones are the patch's own."""

import pytest

from oddtoc.build.beside import retyped
from oddtoc.build.compile import compile_object, tool
from oddtoc.build.newer import take_newer
from oddtoc.build.overlay import apply_diff
from oddtoc.build.refusal import RefusedError
from oddtoc.build.request import fix_from_diff
from oddtoc.build.tree import KernelTree
from oddtoc.image.btf import Btf
from oddtoc.image.elf import Image
from oddtoc.live.session import Session

RING, TRACE, HEADER = "kernel/trace/ring_buffer.c", "kernel/trace/trace.c", "include/linux/ring_buffer.h"
START = "ring_buffer_read_start"
BEFORE, AFTER = f"{START}(struct ring_buffer_iter *iter)", f"{START}(int cpu, struct ring_buffer_iter *iter)"
LOCALS = "\n{\n\tstruct ring_buffer_per_cpu *cpu_buffer;\n\tunsigned long flags;\n"
HERE = (
    (RING, f"{BEFORE}{LOCALS}", f'{AFTER}{LOCALS}\n\tprintk("starts at %d\\n", cpu);'),
    (HEADER, f"void {BEFORE};", f"void {AFTER};"),
)
CALLER = (TRACE, f"{START}(iter->buffer_iter[cpu]);", f"{START}(cpu, iter->buffer_iter[cpu]);")
READ = "mkdir -p /t; mount -t tracefs none /t; echo here > /t/trace_marker; cat /t/trace; umount /t"


@pytest.fixture(autouse=True)
def units(monkeypatch):
    """To ask kbuild for all of them takes a minute."""
    monkeypatch.setattr(KernelTree, "built_units", lambda _: [RING, TRACE])
    monkeypatch.setattr(KernelTree, "module_units", lambda _: {})


@pytest.fixture
def compiled(tmp_path):
    """Compiles a text, with START in place of a percent sign, to an object with type information."""

    def get(text):
        source = tmp_path / "text.c"
        source.write_text(text.replace("%", START))
        output = tmp_path / f"{abs(hash(text))}.o"
        compile_object([tool("gcc"), "-gbtf"], source, output)
        return output

    return get


def test_the_old_function_stays_for_others_and_callers_of_the_fix_call_the_new_one(tree, diff, guest, tmp_path):
    fix = fix_from_diff("6.1", diff(*HERE, CALLER, CALLER), tmp_path / "start.o", source=tree.source)
    ring, trace = fix.units
    assert (ring.beside, START in ring.comparison.new, START in ring.comparison.changed) == ([START], True, False)
    assert trace.comparison.changed
    replaced = {replacement.function for part in fix.patch.parts for replacement in part.replacements}
    assert START not in replaced
    assert replaced >= set(trace.comparison.changed)
    machine = guest("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        session.apply(session.plan(fix.patch))
    try:
        assert b"here" in machine.run(READ).stdout
        assert b"starts at 0" in machine.run("dmesg").stdout
    finally:
        with Session.open(f"guest:{machine.name}") as session:
            session.revert("start")
    said = machine.run("dmesg | grep -c 'starts at'").stdout
    assert b"here" in machine.run(READ).stdout
    assert machine.run("dmesg | grep -c 'starts at'").stdout == said


@pytest.mark.parametrize(("file", "other"), [(RING, TRACE), (TRACE, RING)], ids=["the-caller", "the-function"])
def test_what_is_not_part_of_the_fix_is_in_the_way(tree, image, diff, file, other):
    newer = apply_diff(tree.source, diff(*HERE, CALLER, CALLER)).root
    with pytest.raises(RefusedError) as caught:
        take_newer(tree, newer, [file], image)
    assert ("prototype", other, START) in {(r.id, r.file, r.subject) for r in caught.value.refusals}


def test_a_function_is_told_by_its_types_and_not_by_qualifiers_or_names(image, compiled):
    before = compiled("struct s; typedef int word; int %(struct s *a, word b) { return b; }")
    same = compiled("struct s; int %(const struct s *first, int second) { return second; }")
    other = compiled("struct s; int %(struct s *a, long b) { return b; }")
    assert retyped(image, before, same, [START]) == []
    assert retyped(image, before, other, [START]) == [START]
    assert retyped(image, before, other, ["not_exported"]) == []
    assert Btf.of(Image.open(before)).signature(START) == ("int int", "struct s *", "int int")
