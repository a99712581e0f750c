"""The terminal view of `oddtoc top`, in Textual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Header, Static

from oddtoc.errors import OddtocError
from oddtoc.top.watcher import Snapshot, Watcher

_COLUMNS: Final = ("patch", "function", "mechanism", "condition", "calls", "calls/s")
_NOBODY: Final = "nobody stands in what a revert would change"


class TopApp(App[None]):
    """A target's patches, looked at every few seconds.

    Args:
        watcher: looks at the target.
        target: as the user named it.
        interval: seconds between two looks.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    DataTable { height: 1fr; }
    #way { height: auto; max-height: 40%; padding: 0 1; border-top: solid $secondary; }
    #pauses { height: auto; padding: 0 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("r", "look", "Look now"),
        Binding("p", "pause", "Pause"),
    ]

    def __init__(self, watcher: Watcher, target: str, interval: float) -> None:
        super().__init__()
        self._watcher = watcher
        self._interval = interval
        self._waits = False
        self.title = f"oddtoc top {target}"

    def compose(self) -> ComposeResult:
        """The table, who is in the way, and what the looking costs."""
        yield Header()
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static("looking ...", id="way", markup=False)
        yield Static("", id="pauses", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(DataTable).add_columns(*_COLUMNS)
        self._timer = self.set_interval(self._interval, self.action_look)
        self.action_look()

    def action_look(self) -> None:
        """Look now, unless a look is under way."""
        if not self._waits:
            self._waits = True
            self._look()

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self.sub_title = "" if self.sub_title else "paused"
        if self.sub_title:
            self._timer.pause()
        else:
            self._timer.resume()

    @work(thread=True)
    def _look(self) -> None:
        try:
            snapshot = self._watcher.look()
        except OddtocError as error:
            # it may be better the next time
            self._unless_over(self._tell, str(error))
        else:
            self._unless_over(self._show, snapshot)

    def _unless_over(self, tell: Callable[[Any], None], what: Any) -> None:
        """The user may quit while the target is being looked at."""
        if self.is_running:
            self.call_from_thread(tell, what)

    def _tell(self, trouble: str) -> None:
        self._waits = False
        self.query_one("#way", Static).update(trouble)

    def _show(self, snapshot: Snapshot) -> None:
        self._waits = False
        table = self.query_one(DataTable)
        row = table.cursor_row
        table.clear()
        for patch in snapshot.patches:
            for number, function in enumerate(patch.functions):
                calls = f"{function.calls:,}" if function.calls is not None else "-"
                rate = f"{function.rate:,.0f}" if function.rate is not None else "-"
                name = patch.name if number == 0 else ""
                table.add_row(name, function.name, function.mechanism, function.condition, calls, rate)
        table.move_cursor(row=min(row, max(table.row_count - 1, 0)))
        self.query_one("#way", Static).update(_way(snapshot))
        self.query_one("#pauses", Static).update(
            f"{snapshot.pauses} stops so far, {snapshot.total * 1000:.1f} ms in all, "
            f"the longest {snapshot.longest * 1000:.1f} ms"
        )


def _way(snapshot: Snapshot) -> str:
    """Who is in the way of a revert."""
    if not snapshot.patches:
        return "nothing is applied"
    ways = [(patch.name, patch.in_the_way) for patch in snapshot.patches if patch.in_the_way]
    lines = [f"in the way of reverting {name}: " + "\n    ".join(way) for name, way in ways]
    return "\n".join(lines) or _NOBODY
