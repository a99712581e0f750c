"""Rounds: a patch goes into a server that is asked all the while, a client gets what it says, and it goes out again."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from oddtoc.build.compile import compile_patch
from oddtoc.errors import GuestError
from oddtoc.link.object import PatchObject
from oddtoc.live.session import Session
from oddtoc.process.guest import ProcessGuest
from soak.load import Answers, Load
from soak.services import FOLDER, GUEST, Service

_PATIENCE = 60.0
_COLLECT_EVERY = 5
_LOOK_EVERY = 3.0
_INSIDE = f"{FOLDER}/inside.json"
_HEALTH = (
    "grep -E '^(VmSize|Threads):' /proc/{0}/status | tr -dc '0-9\\n'; grep -c . /proc/{0}/maps; ls /proc/{0}/fd | wc -l"
)


@dataclass(frozen=True)
class Health:
    """What a process holds.

    Attributes:
        kibibytes: of its address space.
        threads: how many.
        mappings: lines of its /proc/PID/maps.
        descriptors: that are open.
    """

    kibibytes: int
    threads: int
    mappings: int
    descriptors: int


@dataclass
class Result:
    """What came of the rounds with one service.

    Attributes:
        service: its name.
        rounds: how many there were, by how they were made: `session`, `command`, `inside` (by ptrace).
        seconds: that they took.
        pauses: in seconds, of all commits but those of commands.
        answers: that clients got.
        wrong: looks that did not show what the patch says, in words.
        before: what the process held when nobody asked, after the first round; `after`: after the last.
        records, kept: that were left, and bytes that payloads held.
    """

    service: str
    rounds: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    pauses: list[float] = field(default_factory=list)
    answers: Answers = field(default_factory=Answers)
    wrong: list[str] = field(default_factory=list)
    before: Health | None = None
    after: Health | None = None
    records: int = 0
    kept: int = 0

    @property
    def count(self) -> int:
        """All rounds."""
        return sum(self.rounds.values())

    @property
    def right(self) -> bool:
        """Whether nothing went wrong, and there was something that could have."""
        seen = self.answers.plain and self.answers.patched
        lasting = self.before is not None and self.before == self.after and not (self.records or self.kept)
        return bool(seen and lasting and not (self.wrong or self.answers.failed))

    def plain(self) -> dict[str, object]:
        """The figures, for JSON; pauses in milliseconds."""
        pauses = [pause * 1000 for pause in self.pauses]
        summary = {"median": statistics.median(pauses), "longest": max(pauses)} if pauses else {}
        return {**asdict(self), "right": self.right, "requests": self.answers.count, "pauses": summary}


class Rounds:
    """A service in a guest, and its patch that comes and goes.

    Args:
        made: the guest.
        service: which is started.
        folder: for the patch object.
        tell: told of the result so far, now and then.
    """

    def __init__(
        self, made: ProcessGuest, service: Service, folder: Path, tell: Callable[[Result], None] = lambda _: None
    ) -> None:
        self._made = made
        self._service = service
        self._tell = tell
        self._patch = _built(service.patch, folder)
        self.result = Result(service.name)
        made.run(f"mkdir -p {FOLDER}")
        made.run(service.start)
        self._pid = int(made.run(service.process))
        self._target = f"{made.server}#{self._pid}"
        self._began = time.monotonic()

    def run(self, *, session: int, command: int = 0, inside: int = 0) -> Result:
        """Make rounds under load, and end the service.

        Args:
            session: how many in one session.
            command: how many by the commands, each in a session of its own.
            inside: how many from inside of the guest, where oddtoc has to be.
        """
        load = Load(self._made, self._service)
        load.start()
        self._in_session(1)
        self._end(load)
        self.result.before = self._health()
        load.start()
        self._inside(inside)
        self._by_command(command)
        self._in_session(session - 1)
        self._end(load)
        with Session.open(self._target) as last:
            last.gc()
            journal = last.journal()
            self.result.records, self.result.kept = (
                len(journal.contents.entries),
                sum(span.size for span in journal.spans),
            )
        self.result.after = self._health()
        self._made.run(self._service.end)
        return self.result

    def _in_session(self, rounds: int) -> None:
        with Session.open(self._target) as session:
            patch = PatchObject.open(self._patch)
            for number in range(1, rounds + 1):
                applied = session.apply(session.plan(patch), timeout=_PATIENCE)
                self._check(patched=True)
                reverted = session.revert(patch.name, timeout=_PATIENCE)
                self._check(patched=False)
                self.result.pauses += [applied.commit_pause, reverted.commit_pause]
                if number % _COLLECT_EVERY == 0 or number == rounds:
                    session.gc()
                self._count("session", 1)

    def _by_command(self, rounds: int) -> None:
        for _ in range(rounds):
            self._command("apply", str(self._patch))
            self._check(patched=True)
            self._command("revert", self._patch.stem)
            self._check(patched=False)
            self._command("gc")
            self._count("command", 1)

    def _inside(self, rounds: int) -> None:
        """The rounds that a program in the guest makes, and what that says."""
        if not rounds:
            return
        patch, service = f"{FOLDER}/{self._patch.name}", self._service
        self._made.put(self._patch, patch)
        self._made.put(GUEST / "inside.py", f"{FOLDER}/inside.py")
        words = f"{self._pid} {patch} {rounds} {service.kind} {service.port} {_INSIDE}"
        # as with gdbserver: what waits for a CPU while a process stands still makes it stand longer
        command = f"export HOME=/tmp; renice -n -20 -p $$; exec python3.11 {FOLDER}/inside.py {words}"
        self._made.run(f"rm -f {_INSIDE}")
        program = self._made.start(command, f"{FOLDER}/inside.log")
        made = 0
        while made < rounds:
            runs = self._made.run(f"kill -0 {program} && echo yes")
            found = json.loads(self._made.run(f"cat {_INSIDE} || true") or "{}")
            more = found.get("rounds", 0) - made
            self._count("inside", more)
            made += more
            if made < rounds and not runs:
                raise GuestError(f"it ended in round {made + 1} of those in the guest", advice=self._said())
            time.sleep(_LOOK_EVERY)
        self.result.wrong += found["wrong"]
        self.result.pauses += found["pauses"]
        self._made.run(f"while kill -0 {program}; do sleep 0.1; done")

    def _said(self) -> str:
        return self._made.run(f"cat {FOLDER}/inside.log").strip()

    def _command(self, *words: str) -> None:
        command = [sys.executable, "-m", "oddtoc", *words, "--target", self._target]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            self.result.wrong.append(f"{' '.join(words)}: {done.stderr.strip()}")

    def _check(self, *, patched: bool) -> None:
        wanted = self._service.patched if patched else self._service.plain
        said = self._made.run(self._service.check).strip()
        if said != wanted:
            self.result.wrong.append(f"{said!r} and not {wanted!r} in round {self.result.count + 1}")

    def _count(self, kind: str, rounds: int) -> None:
        self.result.rounds[kind] = self.result.rounds.get(kind, 0) + rounds
        self.result.seconds = time.monotonic() - self._began
        if rounds:
            self._tell(self.result)

    def _end(self, load: Load) -> None:
        self.result.answers.add(load.end())

    def _health(self) -> Health:
        return Health(*(int(word) for word in self._made.run(_HEALTH.format(self._pid)).split()))


def _built(source: Path, folder: Path) -> Path:
    return compile_patch(source, folder / f"{source.stem}.o").path
