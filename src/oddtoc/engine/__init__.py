"""Work for many items, by processes of this machine or by the workers of a Dask cluster: one loop for both."""

from __future__ import annotations

import os

from oddtoc.engine.loop import Engine, Here, Lost

__all__ = ["Engine", "Here", "Lost", "open_engine"]


def open_engine(scheduler: str | None = None, jobs: int | None = None) -> Engine:
    """Somewhere to run work; use it as a context manager.

    Args:
        scheduler: the address of a Dask scheduler, as ``tcp://HOST:PORT``; this machine if not given.
        jobs: processes on this machine; as many as there are CPUs if not given. A cluster has its own number.

    Raises:
        ClusterError: no scheduler answers there, or its workers do not fit.
        LibraryError: Dask is not installed.
    """
    if scheduler:
        from oddtoc.engine.cluster import Cluster

        return Cluster(scheduler)
    jobs = jobs or len(os.sched_getaffinity(0))
    if jobs == 1:
        return Here()
    from oddtoc.engine.processes import Processes

    return Processes(jobs)
