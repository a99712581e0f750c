"""What a benchmark has measured, kept beside what it prints, for a page of `oddtoc report`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """One thing that was measured.

    Attributes:
        kernel: the kernel's series.
        what: what was done.
        seconds: how long it took: the median, or the best.
        worst: seconds of the worst round.
        mechanism: how calls were redirected; empty where that does not matter.
        ratio: to the baseline of the same run; 0 if there is none.
    """

    kernel: str
    what: str
    seconds: float
    worst: float
    mechanism: str = ""
    ratio: float = 0.0


def write(path: Path | None, benchmark: str, unit: str, measurements: list[Measurement]) -> None:
    """Write them as JSON, if there is a file to write to.

    Args:
        path: the file; its folder is made if need be.
        benchmark: its name.
        unit: what the seconds are, in words.
        measurements: in the order in which they were made.
    """
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {"benchmark": benchmark, "unit": unit, "measurements": [asdict(one) for one in measurements]}
    path.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
