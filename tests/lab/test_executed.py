"""Instructions that a patched call executes above an unpatched one, counted by the emulator, one by one."""

import os
import re
import subprocess

import pytest

from oddtoc.lab.objects import build_objects, emulator
from oddtoc.lab.program import build_program
from oddtoc.mechanism.catalog import by_name

BRANCH_PLACE = 16
"""Bytes from the global entry of a function in patched.s to the word behind its site."""


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    return build_objects(tmp_path_factory.mktemp("objects"))


def executed(objects, name, scenario, folder):
    """Instructions (before, after) the replacement: the branch and those of the trampoline."""
    program = build_program(objects, by_name(name), process=False)
    (folder / "image").write_bytes(program.image)
    one_by_one = {"QEMU_SINGLESTEP": "1", "QEMU_ONE_INSN_PER_TB": "1"}
    command = [emulator(), "-d", "exec,nochain", "-D", folder / "log", objects.laboratory, folder / "image", "1", "9"]
    subprocess.run([*command, scenario], check=True, env=os.environ | one_by_one)
    trace = [int(pc, 16) for pc in re.findall(r"\[[0-9a-f]+/([0-9a-f]+)/", (folder / "log").read_text())]
    payload = program.payloads[0]
    target, new = payload.targets["plain"], payload.replacements["plain"]
    size = len(objects.patches[0].template(name).data) if target != new else 0
    counted = {objects.patched.symbols.one("plain").address + BRANCH_PLACE, *range(target, target + size, 4)}
    middle = trace.index(new)
    return sum(pc in counted for pc in trace[:middle]), sum(pc in counted for pc in trace[middle:])


@pytest.mark.parametrize(
    ("mechanism", "local", "from_another_object"),
    [
        ("shared-toc", (1, 0), (1, 0)),
        ("guarded/slot", (11, 5), (6, 0)),
        ("odd-toc/cr4", (12, 5), (6, 0)),
    ],
)
def test_a_call_costs_what_was_promised(objects, tmp_path, mechanism, local, from_another_object):
    assert executed(objects, mechanism, "local", tmp_path) == local
    assert executed(objects, mechanism, "global-object", tmp_path) == from_another_object
