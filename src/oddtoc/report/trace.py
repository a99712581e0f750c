"""A trace: a table while it runs, lines of JSON, and a page of who called whom."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from oddtoc.report.template import filled, script_data
from oddtoc.trace.calls import CallTree, Node
from oddtoc.trace.reading import Count, Event, Reading

if TYPE_CHECKING:
    from rich.table import Table

    from oddtoc.live.outcome import Outcome
    from oddtoc.trace.tracer import Tracer

_REASONS = 5
_BETWEEN_TABLES = 0.5
"""Seconds."""
_LINES_BESIDE_TABLE = 4


def started_text(names: Sequence[str], refused: Sequence[tuple[str, str]], outcome: Outcome) -> str:
    """What is traced, what is not and why, and how long the target stood still for it."""
    what = f"{len(names)} functions are" if len(names) > 1 else f"{names[0]} is"
    lines = [f"{what} traced; the target stood still for {outcome.commit_pause * 1000:.1f} ms"]
    if refused:
        lines.append(f"{len(refused)} more can't be:")
        lines += [f"  {reason}" for _, reason in refused[:_REASONS]]
    if len(refused) > _REASONS:
        lines.append(f"  and {len(refused) - _REASONS} more, which --format json lists")
    return "\n".join(lines)


def ended_text(reading: Reading, still_in_use: Sequence[str]) -> str:
    """What the table does not hold; empty if there is nothing to say."""
    lines = []
    if reading.lost:
        lines.append(f"{reading.lost} events came faster than they were read, and are lost; the counts hold all calls")
    if reading.missed:
        lines.append(
            f"{reading.missed} calls began while too many others were on their way: their returns were not seen"
        )
    if still_in_use:
        lines.append(f"the trace's memory stays until oddtoc gc finds nobody there: {still_in_use[0]}")
    return "\n".join(lines)


def table(
    names: Sequence[str],
    counts: Sequence[Count],
    before: Sequence[Count],
    seconds: float,
    tick: float,
    rows: int | None,
) -> Table:
    """Functions that were called, the busiest first.

    Args:
        names: of all functions.
        counts: what was counted of them.
        before: the same, some time ago.
        seconds: how long ago that was.
        tick: seconds of a tick.
        rows: how many to show; None for all.
    """
    from rich.table import Table

    timed = any(count.returns for count in counts)
    found = Table(box=None, pad_edge=False, header_style="bold")
    found.add_column("function", overflow="fold")
    for heading in ("calls", "calls/s", *(("mean us", "longest us", "total ms") if timed else ())):
        found.add_column(heading, justify="right")
    called = [index for index, count in enumerate(counts) if count.calls]
    called.sort(key=lambda index: (-counts[index].calls, names[index]))
    for index in called[:rows]:
        count = counts[index]
        rate = (count.calls - before[index].calls) / seconds if seconds > 0 else 0.0
        cells = [names[index], f"{count.calls:,}", f"{rate:,.0f}"]
        if timed:
            mean = count.ticks * tick / count.returns * 1e6 if count.returns else 0.0
            cells += [f"{mean:,.1f}", f"{count.longest * tick * 1e6:,.1f}", f"{count.ticks * tick * 1e3:,.1f}"]
        found.add_row(*cells)
    hidden = len(called) - len(called[:rows])
    silent = len(names) - len(called)
    notes = [f"{hidden} more" if hidden else "", f"{silent} not called" if silent else ""]
    found.caption = ", ".join(filter(None, notes)) or None
    found.caption_justify = "left"
    return found


class LiveTable:
    """A table that follows a trace on a terminal, and stays when it has ended; elsewhere only the latter."""

    def start(self, tracer: Tracer) -> None:
        """Say what is traced, on standard error, and begin."""
        from rich.console import Console
        from rich.live import Live

        assert tracer.outcome
        print(started_text(tracer.names, tracer.refused, tracer.outcome), file=sys.stderr)
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        if self._console.is_terminal:
            self._live.start()
        self._names = tracer.names
        self._tick = 1 / tracer.people.ticks_per_second
        self._before = tuple(Count(0, 0, 0, 0) for _ in tracer.names)
        self._shown = time.monotonic()

    def show(self, reading: Reading) -> None:
        """Draw it anew twice a second."""
        now = time.monotonic()
        if not self._console.is_terminal or now - self._shown < _BETWEEN_TABLES:
            return
        rows = max(self._console.height - _LINES_BESIDE_TABLE, 1)
        shown = table(self._names, reading.counts, self._before, now - self._shown, self._tick, rows)
        self._live.update(shown, refresh=True)
        self._before, self._shown = reading.counts, now

    def end(self, tracer: Tracer) -> None:
        """The whole table, with rates over all the time, and what else there is to say."""
        self._live.stop()
        if tracer.last is None:
            return
        none = [Count(0, 0, 0, 0)] * len(self._names)
        self._console.print(table(self._names, tracer.last.counts, none, tracer.seconds, self._tick, None))
        if text := ended_text(tracer.last, tracer.still_in_use):
            print(text, file=sys.stderr)


class Lines:
    """Lines of JSON: one to begin with, one for each event, and one with all counts.

    Args:
        write: takes one or more lines.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def start(self, tracer: Tracer) -> None:
        """What is traced, and what is not."""
        assert tracer.outcome
        self._names = tracer.names
        self._people = tracer.people
        self._write(
            json.dumps(
                {
                    "event": "start",
                    "functions": list(tracer.names),
                    "refused": [{"function": name, "reason": reason} for name, reason in tracer.refused],
                    "pause_seconds": tracer.outcome.commit_pause,
                }
            )
        )

    def show(self, reading: Reading) -> None:
        """A line for each event; threads have the names that they have now."""
        if reading.events:
            threads = {event.thread: "" for event in reading.events}
            threads = {thread: self._people.thread(thread) for thread in threads}
            self._write("\n".join(json.dumps(self._event(event, threads[event.thread])) for event in reading.events))

    def end(self, tracer: Tracer) -> None:
        """The last events, and everything that was counted."""
        reading = tracer.last
        if reading is None:
            return
        if reading.events:
            # the trace is gone, and so may be the threads
            self._write("\n".join(json.dumps(self._event(event, f"{event.thread:#x}")) for event in reading.events))
        tick = 1 / self._people.ticks_per_second
        counts = [
            {
                "function": name,
                "calls": count.calls,
                "returns": count.returns,
                "seconds": count.ticks * tick,
                "longest_seconds": count.longest * tick,
            }
            for name, count in zip(self._names, reading.counts, strict=True)
        ]
        ended = {"event": "end", "lost": reading.lost, "missed_returns": reading.missed, "counts": counts}
        self._write(json.dumps({**ended, "still_in_use": list(tracer.still_in_use)}))

    def _event(self, event: Event, thread: str) -> dict[str, Any]:
        people = self._people
        line = {
            "event": "return" if event.is_return else "call",
            "number": event.number,
            "time": round(event.ticks / people.ticks_per_second, 9),
            "thread": thread,
            "function": self._names[event.function],
            "caller": people.place(event.caller),
            "frame": f"{event.frame:#x}",
        }
        if event.is_return:
            value, ticks = event.values
            return {**line, "value": f"{value:#x}", "seconds": ticks / people.ticks_per_second}
        return {**line, "arguments": [f"{value:#x}" for value in event.values]}


def flame_page(tree: CallTree, tracer: Tracer, title: str) -> str:
    """A page that needs nothing else: who called whom, and how long it took.

    Args:
        tree: of the calls.
        tracer: whose block has ended.
        title: of the page.
    """
    reading = tracer.last
    whole = sum(node.ticks for node in tree.root.inner.values())
    data = {
        "names": list(tracer.names),
        "tick": 1 / tracer.people.ticks_per_second,
        "lost": reading.lost if reading else 0,
        "missed": reading.missed if reading else 0,
        "root": [-1, 0, whole, [_plain(node) for node in _ordered(tree.root)]],
    }
    return filled("flame.html", TITLE=escape(title), CALLS=script_data(data))


def _plain(node: Node) -> list[Any]:
    return [node.function, node.calls, node.ticks, [_plain(one) for one in _ordered(node)]]


def _ordered(node: Node) -> list[Node]:
    """What was seen to return, in the order of functions, so that two pages can be compared."""
    return [node.inner[index] for index in sorted(node.inner) if node.inner[index].calls]
