"""The full matrix: every mechanism in every scenario, failures of the thread's designs included."""

from lab.expected import FAILURES, expected
from oddtoc.lab.outcome import Outcome
from oddtoc.lab.run import run_lab
from oddtoc.lab.scenarios import SCENARIOS
from oddtoc.mechanism.catalog import AUTOMATIC, MECHANISMS


def test_every_cell_is_as_expected(matrix):
    assert set(matrix.cells) == {(m, s) for m in MECHANISMS for s in SCENARIOS}
    wrong = {
        place: (cell.outcome.value, cell.detail)
        for place, cell in matrix.cells.items()
        if cell.outcome.value != expected(*place)
    }
    assert not wrong


def test_every_failure_says_what_was_found_and_every_pass_made_calls(matrix):
    for cell in matrix.cells.values():
        if cell.outcome is Outcome.OK:
            assert cell.calls > 0 and not cell.detail, cell
        else:
            assert cell.detail, cell


def test_the_rfcs_hazard_shows_and_guarded_does_not_have_it(matrix):
    assert matrix.cells["odd-toc/cr4", "sibling"].outcome is Outcome.WRONG_R2
    assert matrix.cells["guarded/slot", "sibling"].outcome is Outcome.OK
    assert matrix.cells["odd-toc/cr4", "sibling-patched"].outcome is Outcome.OK


def test_shared_toc_passes_everything(matrix):
    outcomes = {matrix.cells["shared-toc", s].outcome for s in SCENARIOS if s != "payload-far"}
    assert outcomes == {Outcome.OK}


def test_expectations_name_known_scenarios_and_outcomes():
    assert set(FAILURES) <= set(SCENARIOS)
    assert {outcome for row in FAILURES.values() for outcome in row} <= {outcome.value for outcome in Outcome}


def test_a_soak_makes_the_calls_it_was_asked_for_and_keeps_the_verdicts():
    calls = 3000
    matrix = run_lab([m.name for m in AUTOMATIC], calls=calls)
    for place, cell in matrix.cells.items():
        assert cell.outcome.value == expected(*place), cell
        if cell.outcome is Outcome.OK:
            assert cell.calls >= calls, cell
