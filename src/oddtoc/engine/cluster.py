"""The workers of a Dask cluster (https://distributed.dask.org). They need the same oddtoc, and nothing else of ours."""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any, Final

from oddtoc.engine.identity import identity
from oddtoc.engine.loop import Engine, Lost
from oddtoc.errors import ClusterError, LibraryError, OddtocError, UsageError

_ADDRESS: Final = re.compile(r"[a-z]+://\S+:\d+")
_CONNECT: Final = 5.0
"""Seconds for the scheduler to answer, and for its first worker to be there."""
_ALONE: Final = 30.0
"""Seconds without any worker after which nobody is expected to come back: one that died is started again by then."""
_FRESH: Final = 1.0
"""Seconds for which the list of workers is taken as it was."""


class Cluster(Engine):
    """The workers of one scheduler, those that come later too. Each thread of a worker is a slot.

    Args:
        scheduler: its address, as ``tcp://HOST:PORT``.

    Raises:
        UsageError: that is no address.
        ClusterError: no scheduler answers there, it has no workers, or they have another oddtoc.
        LibraryError: Dask is not installed.
    """

    is_cluster = True

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler
        self._client = _connected(scheduler)
        self._executor = self._client.get_executor(pure=False)
        self._workers: dict[str, int] = {}
        self._asked = self._seen = time.monotonic()
        try:
            self._look()
            if not self._workers:
                raise ClusterError(f"no workers at {scheduler}", advice=f"start some: dask worker {scheduler}")
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """The threads of all workers."""
        if time.monotonic() - self._asked > _FRESH:
            self._look()
        return max(1, sum(self._workers.values()))

    def submit(self, work: Callable[[Any], Any], item: Any, need: str = "") -> Future[Any]:
        """Let one of them work on an item.

        Raises:
            ClusterError: nobody has the resource that it needs.
        """
        if need and need not in self._resources():
            raise ClusterError(
                f"no worker has the resource {need}", advice=f"start one that has: dask worker --resources {need}=1"
            )
        future: Future[Any] = self._executor.submit(_do, work, item, resources={need: 1} if need else None)
        return future

    def result(self, work: Callable[[Any], Any], item: Any, future: Future[Any]) -> Any:  # noqa: ARG002
        """What came of it. The scheduler has given it to somebody else when a worker died, several times if need be."""
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        try:
            return future.result()
        except KilledWorker as error:
            return Lost(f"{error.allowed_failures + 1} workers were killed over it: is there enough memory?")
        except (CancelledError, CommClosedError) as error:
            raise self._gone() from error

    def everywhere(self, work: Callable[[Any], Any], item: Any) -> list[Any]:
        """Do the same on every worker; one that died meanwhile does not count."""
        return [found for found in self._asking(work, item).values() if not isinstance(found, BaseException)]

    def check(self) -> None:
        """Look whether the scheduler answers and has workers.

        Raises:
            ClusterError: it does not, or had none for half a minute.
        """
        self._look()
        if time.monotonic() - self._seen > _ALONE:
            raise ClusterError(
                f"no workers at {self._scheduler} for {_ALONE:.0f} s", advice="start some and give the same command"
            )

    def close(self) -> None:
        """Give up what nobody has begun, and leave; the cluster stays."""
        self._executor.shutdown(wait=False)
        self._client.close(timeout=_CONNECT)

    def _resources(self) -> set[str]:
        with self._answering():
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return {name for worker in workers for name in worker["resources"]}

    def _look(self) -> None:
        """Who is there now; all have to have the same oddtoc."""
        with self._answering():
            found = self._client.nthreads()
        self._asked = time.monotonic()
        if found:
            self._seen = self._asked
        fresh = [worker for worker in found if worker not in self._workers]
        self._workers = dict(found)
        if fresh:
            self._check_same(fresh)

    def _check_same(self, workers: Iterable[str]) -> None:
        ours = identity()
        for worker, theirs in self._asking(identity, None, workers).items():
            if theirs != ours:
                other = f"another oddtoc: {theirs}" if isinstance(theirs, str) else "no such oddtoc"
                raise ClusterError(
                    f"the worker {worker} has {other}",
                    advice=f"install the same there as here: {ours}",
                )

    def _asking(self, work: Callable[[Any], Any], item: Any, workers: Iterable[str] | None = None) -> dict[str, Any]:
        chosen = list(workers) if workers is not None else None
        with self._answering():
            found: dict[str, Any] = self._client.run(work, item, workers=chosen, on_error="return")
        return found

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, TimeoutError, CancelledError) as error:
            raise self._gone() from error

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"the scheduler at {self._scheduler} does not answer any more", advice="start it and give the same command"
        )


def _do(work: Callable[[Any], Any], item: Any) -> Any:
    """A bug's traceback as text: not every error of others finds its way back, and Dask waits for it without end."""
    try:
        return work(item)
    except OddtocError:
        raise
    except Exception:
        raise RuntimeError(f"on a worker:\n{traceback.format_exc()}") from None


def _connected(scheduler: str) -> Any:
    if not _ADDRESS.fullmatch(scheduler):
        raise UsageError(f"{scheduler} is no address of a Dask scheduler", advice="write tcp://HOST:PORT")
    try:
        import distributed
    except ImportError as error:
        raise LibraryError("a cluster needs Dask", advice="pip install 'oddtoc[cluster]'") from error
    # what it has to say is said by our errors
    for name in ("distributed", "distributed.client", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return distributed.Client(scheduler, timeout=_CONNECT, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {scheduler}", advice="`dask scheduler` starts one, `dask worker` its workers"
        ) from error
