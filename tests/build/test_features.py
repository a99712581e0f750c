"""Code for some processors only, in a patch: kept or replaced as the kernel has done with its own."""

import struct

import pytest

from oddtoc import isa
from oddtoc.build.canonical import Meanings
from oddtoc.build.features import feature_entry
from oddtoc.build.fix import build_fix
from oddtoc.build.overlay import take_files
from oddtoc.build.unit import Flavour, compile_unit
from oddtoc.errors import PatchError
from oddtoc.link.unitobject import UnitObject
from oddtoc.live.fixups import settle_fixups
from oddtoc.live.session import Session

FILE, FUNCTION = "fs/proc/array.c", "do_task_stat"
TABLE = ".oddtoc.fixup__ftr_fixup"


@pytest.fixture(scope="module")
def patch(tree, image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    (folder / "fs/proc").mkdir(parents=True)
    text = (tree.source / FILE).read_text()
    assert "int exit_code = task->exit_code;" in text
    (folder / FILE).write_text(text.replace("int exit_code = task->exit_code;", "int exit_code = 4711;"))
    return build_fix(tree, take_files(tree.source, folder, [FILE]), image, folder / "features.o").patch


@pytest.fixture
def unit(tree):
    return UnitObject(compile_unit(tree, FILE, Flavour.RUNNING))


def entry_of(unit):
    (entry,) = [e for e in Meanings(unit).entries[FUNCTION] if e.section.name == "__ftr_fixup"]
    return entry


def test_a_patch_has_what_the_kernel_made_of_the_same_code(patch, image, guest_factory):
    machine = guest_factory("6.1")
    with Session.open(f"guest:{machine.name}") as session:
        plan = session.plan(patch)
        session.apply(plan)
        (function,) = [f for f in plan.record.functions if f.name == FUNCTION]
        old, count = own_place(image)
        table = next(s for s in patch.sections.values() if s.name == TABLE)
        # it is entered at its local entry
        new = function.target - 8 + table.relocations[0].addend
        live = session.target.read_many([(old, 4 * count), (new, 4 * count)])
        shown = machine.run("cat /proc/self/stat").stdout
        session.revert(plan.record.name)
    assert live[0] == live[1]
    assert shown.split()[-1] == b"4711"


def own_place(image):
    """Where the code that runs has its own, and its words: told by the kernel's table."""
    start, stop = (image.symbols.one(f"__{end}___ftr_fixup").address for end in ("start", "stop"))
    symbol = image.symbols.one(FUNCTION)
    for place in range(start, stop, 48):
        _, _, begin, end, _, _ = struct.unpack("<6q", image.read(place, 48))
        if symbol.address <= place + begin < symbol.address + symbol.size:
            return place + begin, (end - begin) // 4
    raise AssertionError("do_task_stat has no such code")


@pytest.mark.parametrize("replaced", [False, True])
def test_either_way_is_told_by_the_kernels_own_places(patch, image, replaced):
    """A kernel on another processor: its own places for these features hold the one or the other."""

    class Subject:
        def read_many(self, places):
            return [bytes(size) if replaced else image.read(place, size) for place, size in places]

    subject = Subject()
    subject.proper = image
    table = next(s for s in patch.sections.values() if s.name == TABLE)
    code = patch.sections[patch.symbols[table.relocations[0].symbol].section]
    settled = settle_fixups(subject, patch).sections[code.index].data
    place = table.relocations[0].addend
    count = struct.unpack_from("<Q", table.data, 24)[0]
    wanted = table.data[32 : 32 + 4 * count] if replaced else code.data[place : place + 4 * count]
    assert settled[place : place + 4 * count] == wanted
    assert (settled == code.data) is not replaced


def test_places_that_disagree_tell_nothing(patch, image):
    class Subject:
        def read_many(self, places):
            return [bytes(size) if place % 8 else image.read(place, size) for place, size in places]

    subject = Subject()
    subject.proper = image
    with pytest.raises(PatchError, match="does not tell"):
        settle_fixups(subject, patch)


def test_an_entry_is_that_of_the_function_that_it_lies_in(unit):
    """Its distances count from its begin: read like others, the place would be 16 bytes further."""
    entry = entry_of(unit)
    symbol = next(s for s in unit.functions if s.name == FUNCTION)
    packed = feature_entry(unit, entry)
    count = struct.unpack_from("<Q", packed, 24)[0]
    assert 0 < entry.place < symbol.size and packed[:16] == entry.data[:16]
    alternative = struct.unpack_from(f"<{count}I", packed, 32)
    assert alternative[-1] == isa.NOP and len(set(alternative)) > 1


def test_an_alternative_that_depends_on_its_place_is_not_copied(unit):
    entry = entry_of(unit)
    section = next(s for s in unit.sections.values() if s.name.startswith("__ftr_alt_"))
    section.data = (0x48000008).to_bytes(4, "little") + section.data[4:]
    assert feature_entry(unit, entry) is None
