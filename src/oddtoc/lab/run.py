"""Run mechanisms in scenarios: a program for each mechanism, several programs at a time.

One process of the emulator runs the scenarios of its mechanism one after the other and ends with the first that
fails; a new one goes on behind it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from oddtoc.errors import OddtocError, UsageError
from oddtoc.lab.objects import Objects, build_objects, emulator
from oddtoc.lab.outcome import Cell, Outcome
from oddtoc.lab.program import Program, build_program, link_far
from oddtoc.lab.scenarios import PAYLOAD_FAR, Scenario, chosen_scenarios
from oddtoc.mechanism.catalog import MECHANISMS, Mechanism, by_name

SOAK_CALLS = 1_000_000
_SECONDS = 2
"""Of computing, for one scenario; what takes longer goes round for ever."""
_SOAK_SECONDS = 1800

Progress = Callable[[Cell], None]


@dataclass(frozen=True)
class Matrix:
    """The verdicts.

    Attributes:
        mechanisms, scenarios: names, in the order of the table.
        cells: one for each pair (mechanism, scenario).
    """

    mechanisms: tuple[str, ...]
    scenarios: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]


def cell_count(mechanisms: Sequence[str], scenarios: Sequence[str]) -> int:
    """How many cells `run_lab` will have for these names; raises what it raises for unknown ones."""
    return len(_chosen_mechanisms(mechanisms)) * len(chosen_scenarios(scenarios))


def _chosen_mechanisms(names: Sequence[str]) -> list[Mechanism]:
    return [by_name(name) for name in dict.fromkeys(names)] or list(MECHANISMS.values())


def run_lab(
    mechanisms: Sequence[str] = (),
    scenarios: Sequence[str] = (),
    *,
    jobs: int = 2,
    calls: int = 1,
    process: bool = True,
    progress: Progress | None = None,
) -> Matrix:
    """Run mechanisms in scenarios.

    Args:
        mechanisms: names; all without any.
        scenarios: names; all without any.
        jobs: emulators at a time.
        calls: patched calls, at least, of each cell that passes.
        process: take the templates of processes; those of kernels otherwise, with r13 as their PACA.
        progress: called with each cell, in no particular order.

    Raises:
        UsageError: a name is unknown; MechanismError: the halves of a mechanism's name do not go together.
        BuildError: a tool is missing.
    """
    if jobs < 1 or calls < 1:
        raise UsageError("jobs and calls have to be 1 at least")
    chosen = _chosen_mechanisms(mechanisms)
    asked = chosen_scenarios(scenarios)
    cells: dict[tuple[str, str], Cell] = {}
    with tempfile.TemporaryDirectory(prefix="oddtoc-lab-") as folder, ThreadPoolExecutor(jobs) as pool:
        objects = build_objects(Path(folder), jobs=jobs)
        bench = _Bench(objects, Path(folder), calls, process)
        running = [pool.submit(_collect, bench, mechanism, asked, progress) for mechanism in chosen]
        for done in as_completed(running):
            cells |= {(cell.mechanism, cell.scenario): cell for cell in done.result()}
    return Matrix(tuple(m.name for m in chosen), tuple(s.name for s in asked), cells)


@dataclass(frozen=True)
class _Bench:
    objects: Objects
    folder: Path
    calls: int
    process: bool


def _collect(
    bench: _Bench, mechanism: Mechanism, scenarios: Sequence[Scenario], progress: Progress | None
) -> list[Cell]:
    cells = []
    for cell in _run_mechanism(bench, mechanism, scenarios):
        cells.append(cell)
        if progress:
            progress(cell)
    return cells


def _run_mechanism(bench: _Bench, mechanism: Mechanism, scenarios: Sequence[Scenario]) -> Iterator[Cell]:
    program = build_program(bench.objects, mechanism, process=bench.process)
    path = bench.folder / f"{mechanism.name.replace('/', '-')}.image"
    path.write_bytes(program.image)
    names = []
    for scenario in scenarios:
        reason = _refusal(bench, program, scenario)
        if reason is not None:
            yield Cell(mechanism.name, scenario.name, Outcome.REFUSED, reason)
        elif scenario.name != PAYLOAD_FAR:
            names.append(scenario.name)
        else:
            yield Cell(mechanism.name, scenario.name, Outcome.OK)
    for cell in _run_names(bench, mechanism.name, path, names, 1, _SECONDS):
        if bench.calls > 1 and cell.outcome is Outcome.OK:
            yield from _run_names(bench, mechanism.name, path, [cell.scenario], bench.calls, _SOAK_SECONDS)
        else:
            yield cell


def _refusal(bench: _Bench, program: Program, scenario: Scenario) -> str | None:
    if scenario.name == PAYLOAD_FAR:
        return link_far(bench.objects, program.mechanism)
    return next((program.refused[function] for function in scenario.needs if function in program.refused), None)


def _run_names(
    bench: _Bench, mechanism: str, image: Path, names: list[str], calls: int, seconds: int
) -> Iterator[Cell]:
    command = [emulator(), str(bench.objects.laboratory), str(image), str(calls), str(seconds)]
    while names:
        result = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
        lines = [line.split("\t") for line in result.stdout.splitlines()]
        if result.returncode > 0:
            raise OddtocError(
                f"the laboratory ended with status {result.returncode}: {(result.stdout + result.stderr).strip()}"
            )
        for name, outcome, made, detail in lines:
            yield Cell(mechanism, name, Outcome(outcome), detail, int(made))
        names = names[len(lines) :]
        if names and result.returncode < 0:
            yield Cell(mechanism, names[0], Outcome.CRASH, f"ended by signal {-result.returncode}")
            names = names[1:]
        elif names and not lines:
            raise OddtocError(f"the laboratory said nothing about {names[0]}: {result.stderr.strip()}")
