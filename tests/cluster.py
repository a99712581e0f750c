"""A Dask cluster of real processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import oddtoc

_PATIENCE = 60
OURS = {"PYTHONPATH": str(Path(oddtoc.__file__).parents[1])}
"""The oddtoc that is tested, whatever folder one starts in."""


class DaskCluster:
    """A scheduler, and workers that can be started and killed one by one.

    Args:
        folder: for addresses and what they print.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)
        self.address = self._await('"address": "', folder / "scheduler.json").partition('"address": "')[2].split('"')[0]

    def add_worker(self, *options: object, **environment: str) -> subprocess.Popen[bytes]:
        """One more, of one thread, which works in another folder than the tests; without anybody who restarts it."""
        options = ("--nthreads", "1", "--no-nanny", "--local-directory", self.folder, *options)
        worker = self._start("worker", self.address, *options, **environment)
        self._await("Registered to", self.folder / f"{worker.pid}.log")
        self.workers.append(worker)
        return worker

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """End a worker as nothing else does."""
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def close(self) -> None:
        """End all of it."""
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()

    def _start(self, what: str, *words: object, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", what, *map(str, words), "--no-dashboard"]
        log = self.folder / f"{what}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=self.folder, env={**os.environ, **OURS, **environment}
            )
        log.rename(self.folder / f"{process.pid}.log")
        return process

    @staticmethod
    def _await(words: str, path: Path) -> str:
        limit = time.monotonic() + _PATIENCE
        while time.monotonic() < limit:
            if path.exists() and words in (text := path.read_text()):
                return text
            time.sleep(0.1)
        raise AssertionError(path.read_text() if path.exists() else f"there is no {path}")
