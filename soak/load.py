"""Who asks a server while it is patched, and what came of it."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field

from oddtoc.errors import GuestError
from oddtoc.process.guest import ProcessGuest
from soak.services import BATCH, BENCHMARK, FOLDER, GUEST, STOP, Service

_CLIENT = f"{FOLDER}/client.py"
_BEGINS_WITHIN = 300.0
_ENDS_WITHIN = 300.0
_NICE = 10
"""They ask as fast as they can; who patches and looks does not have to wait for them."""
_RUN = re.compile(r"requests per second")


@dataclass
class Answers:
    """What clients got.

    Attributes:
        plain, patched: answers of the patched function, before and behind the patch.
        other: right answers to other requests.
        failed: requests without an answer or with a wrong one, connections that were lost: in words.
    """

    plain: int = 0
    patched: int = 0
    other: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """All right answers."""
        return self.plain + self.patched + self.other

    def add(self, more: Answers) -> None:
        """Count others as well."""
        self.plain += more.plain
        self.patched += more.patched
        self.other += more.other
        self.failed += more.failed


class Load:
    """Clients of a service in its guest.

    Args:
        made: the guest.
        service: that runs there.
    """

    def __init__(self, made: ProcessGuest, service: Service) -> None:
        self._made = made
        self._service = service
        self._results = [f"{FOLDER}/result.{number}" for number in range(service.clients)]

    def start(self) -> None:
        """Let them ask."""
        service = self._service
        self._made.run(f"rm -f {STOP} {BENCHMARK} {' '.join(self._results)}")
        self._made.put(GUEST / "client.py", _CLIENT)
        polite = f"renice -n {_NICE} -p $$"
        for result in self._results:
            self._made.start(
                f"{polite}; exec python3.11 {_CLIENT} {service.kind} {service.port} {STOP} {result}",
                f"{result}.log",
            )
        if service.load:
            self._made.start(f"{polite}; {service.load}", BENCHMARK)

        for result in self._results:
            self._made.run(f"until [ -e {result} ]; do sleep 0.1; done", timeout=_BEGINS_WITHIN)

    def end(self) -> Answers:
        """Let them end.

        Raises:
            GuestError: they do not.
        """
        self._made.run(f"touch {STOP}")
        deadline = time.monotonic() + _ENDS_WITHIN
        while True:
            answers, ended = self.look()
            if ended:
                return answers
            if time.monotonic() > deadline:
                raise GuestError("who asked does not end", advice=self._made.run(f"tail {FOLDER}/*.log"))
            time.sleep(0.1)

    def look(self) -> tuple[Answers, bool]:
        """What there was so far, and whether everybody has ended."""
        answers, ended = Answers(), True
        for result in self._results:
            text = self._made.run(f"cat {result} 2>/dev/null || true") or "{}"
            found = json.loads(text)
            counts: Counter[str] = Counter(found.get("counts", {}))
            kinds = (counts["plain"], counts["patched"], counts["other"])
            answers.add(Answers(*kinds, failed=found.get("failed", [])))
            ended = ended and found.get("ended", False)
        if self._service.load:
            said = self._made.run(f"cat {BENCHMARK}")
            answers.other += BATCH * len(_RUN.findall(said))
            lines = [line.strip() for line in re.split("[\r\n]", said)]
            answers.failed += [line for line in lines if line == "failed" or "rror" in line]
            ended = ended and lines[-2:] == ["ended", ""]
        return answers, ended
