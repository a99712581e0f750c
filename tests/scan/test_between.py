"""What two images share: only where the code itself is different is a function called changed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from oddtoc.scan.between import compare
from oddtoc.scan.run import run_scan

from .conftest import PREFIX

SOURCE = """
extern int printf(const char *, ...);
static int counter = 3; static long table[100] = {1, 2};
__attribute__((noinline)) static int helper(int x) { counter += x; return counter * 3; }
__attribute__((noinline)) static int second(int x) { counter -= x; return counter * 5; }
__attribute__((noinline)) int uses_data(int x) { table[x] += counter; return table[x + 1]; }
__attribute__((noinline)) int constant(int x) { return x * CONSTANT + 7; }
__attribute__((noinline)) int member(int *x) { return x[MEMBER] + counter; }
__attribute__((noinline)) int callee(int x) { return CALLEE(x) + 1; }
__attribute__((noinline)) int prints(int x) { printf("%d\\n", x + counter); return x; }
EXTRA
int main(int argc, char **argv)
{
	return uses_data(argc) + constant(argc) + member(&argc) + callee(argc) + prints(argc) + helper(1) + second(2);
}
"""


@pytest.fixture
def build(tmp_path: Path):
    def build(name: str, before: str = "", **changes: str) -> Path:
        values = {"CONSTANT": "100", "MEMBER": "3", "CALLEE": "helper", "EXTRA": "", **changes}
        defines = [f"-D{key}={value}" for key, value in values.items()]
        source = tmp_path / f"{name}.c"
        source.write_text(before + SOURCE)
        options = ["-O2", "-fno-toplevel-reorder", "-fno-inline", "-fno-ipa-cp", "-fno-ipa-icf"]
        subprocess.run([f"{PREFIX}gcc", *options, *defines, source, "-o", tmp_path / name], check=True)
        return tmp_path / name

    return build


def states(a: Path, b: Path) -> dict[str, str]:
    table = compare(run_scan([a], digests=True), run_scan([b], digests=True)).table
    return dict(zip(table.plain("function"), table.plain("state"), strict=True))


MOVES = "int room[5000] = {1}; int more(int x) { return room[x]; } int even_more(int x) { return room[x + 1]; }\n"


def test_what_only_moved_is_the_same(build):
    found = states(build("a"), build("b", MOVES))
    ours = {name: found[name] for name in ("helper", "uses_data", "constant", "member", "callee", "prints", "main")}
    assert set(ours.values()) == {"same"}
    assert {name for name, state in found.items() if state == "only in B"} == {"more", "even_more"}


def test_what_changed_is_found(build):
    found = states(build("a"), build("b", MOVES, CONSTANT="101", MEMBER="4", CALLEE="second"))
    assert {name for name, state in found.items() if state == "changed"} == {"constant", "member", "callee"}


def test_a_kernel_is_the_same_as_itself(kernels, oddtoc):
    path = kernels["6.1"].vmlinux
    answer = json.loads(oddtoc("scan", "--between", path, path, "--format", "json").stdout)
    assert answer["states"] == {"same": len(answer["functions"]), "changed": 0, "only in A": 0, "only in B": 0}


def test_two_kernels(kernels, oddtoc):
    """Names on either side are those that each kernel has."""
    result = oddtoc("scan", "--between", "6.12", "7.2", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    for side, series in (("B", "6.12"), ("A", "7.2")):
        scan = run_scan([Path(kernels[series].vmlinux)]).scans[0]
        theirs = Counter(scan.functions.plain("function"))
        assert Counter(row["function"] for row in rows if row["state"] != f"only in {side}") == theirs
    assert Counter(row["state"] for row in rows)["same"] > 1_000
    text = oddtoc("scan", "--between", "6.12", "7.2").stdout
    assert "could be redirected in A and can't in B" in text


def test_modules_belong_together_by_name(modules, tmp_path: Path, oddtoc):
    for side, chosen in (("a", modules[:4]), ("b", modules[2:6])):
        (tmp_path / side / side).mkdir(parents=True)
        for path in chosen:
            (tmp_path / side / side / path.name).write_bytes(path.read_bytes())
    answer = json.loads(oddtoc("scan", "--between", tmp_path / "a", tmp_path / "b", "--format", "json").stdout)
    assert [Path(name).name for name in answer["only_a"]] == [path.name for path in modules[:2]]
    assert [Path(name).name for name in answer["only_b"]] == [path.name for path in modules[4:6]]
    assert set(answer["states"]) - {"same"} == {"changed", "only in A", "only in B"}
    assert answer["states"]["same"] == len(answer["functions"]) > 10
