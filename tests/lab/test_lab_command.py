"""The command: names, formats, errors."""

import json

import pytest

from oddtoc.errors import MechanismError, UsageError
from oddtoc.lab.run import cell_count, run_lab
from oddtoc.report.lab import matrix_as_json, matrix_as_text

FEW = ["shared-toc", "odd-toc/cr4"], ["local", "sibling", "no-toc-object"]


@pytest.fixture(scope="module")
def small():
    seen = []
    matrix = run_lab(*FEW, progress=seen.append)
    assert len(seen) == cell_count(*FEW) == 6
    return matrix


def test_the_table_has_a_row_for_each_scenario_and_says_what_failed(small):
    lines = matrix_as_text(small).splitlines()
    assert lines[0].split() == ["shared-toc", "odd-toc/cr4"]
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["local", "ok", "ok"],
        ["sibling", "ok", "wrong"],
        ["no-toc-object", "ok", "ok"],
    ]
    assert any(line.startswith("sibling: another object") for line in lines)
    assert lines[-1] == "ok throughout: shared-toc"


def test_a_table_of_all_is_not_wider_than_a_screen(matrix):
    text = matrix_as_text(matrix)
    assert max(map(len, text.splitlines())) <= 125
    row = next(line for line in text.splitlines() if line.startswith("sibling "))
    assert row.split()[1:4] == [".", ".", "r2"]


def test_json_holds_the_same(small):
    value = json.loads(matrix_as_json(small))
    assert value["mechanisms"] == FEW[0]
    assert [scenario["name"] for scenario in value["scenarios"]] == FEW[1]
    assert {(c["mechanism"], c["scenario"]): c["outcome"] for c in value["cells"]} == {
        place: cell.outcome.value for place, cell in small.cells.items()
    }


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(UsageError) as caught:
        run_lab(["guarded/slott"])
    assert "guarded/slot" in caught.value.advice and "always/frame" in caught.value.advice
    with pytest.raises(UsageError) as caught:
        run_lab([], ["sibbling"])
    assert "sibling" in caught.value.advice
    with pytest.raises(MechanismError, match="overwrite"):
        run_lab(["always/slot"])
    with pytest.raises(UsageError):
        run_lab(jobs=0)
