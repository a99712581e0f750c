"""A target watched while it runs: its patches, how often they are called, who stands in them, and what that costs."""

from oddtoc.top.watcher import FunctionNow, PatchNow, Snapshot, Watcher

__all__ = ["FunctionNow", "PatchNow", "Snapshot", "Watcher"]
