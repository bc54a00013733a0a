"""What is shown while it runs: a table that stays in place, or one line per second where there is no terminal.

All numbers come from the broker's ledger. One thread reads and draws; `say` and `wait_until` are for the play.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from distq import Distq
from distq.broker import inspect
from distq.message import PRIORITIES

EVENTS = ("enqueued", "completed", "retried", "dead", "replayed")
DRAW_S, LINE_S = 0.125, 1.0
MOST_S = 60.0
"""Nothing has been counted for so long: it hangs."""

Counts = Mapping[str, Mapping[str, int]]
"""Type -> event -> how often."""


class TookTooLong(Exception):
    """Something that was waited for did not happen."""


def read_ledger(app: Distq) -> Counts:
    """What the broker has counted."""
    return inspect.ledger(app.broker, "default")


def total(counts: Counts, event: str) -> int:
    """Over all types."""
    return sum(events.get(event, 0) for events in counts.values())


class Progress:
    """Shows how far it is, from entering to leaving; `say` works before and after, too."""

    def __init__(self, app: Distq, planned: Mapping[str, int], console: Console) -> None:
        self._app, self._planned, self._console = app, planned, console
        self._begun = time.monotonic()
        self._end = threading.Event()
        in_place = sys.stdout.isatty() and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if in_place else None
        self._thread = threading.Thread(target=self._draw_on, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(10)
        if self._live:
            self._live.stop()

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._begun

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"[dim]{self.elapsed:5.1f} s[/]  {text}", soft_wrap=True)

    def wait_until(self, condition: Callable[[Counts], bool], what: str, check: Callable[[], None]) -> None:
        """Returns when the condition is true of the ledger; `check` may raise meanwhile."""
        seen, since = read_ledger(self._app), time.monotonic()
        while not condition(seen):
            check()
            if time.monotonic() > since + MOST_S:
                raise TookTooLong(f"nothing has happened for {MOST_S:g} s, and this has not: {what}")
            time.sleep(0.05)
            counts = read_ledger(self._app)
            if counts != seen:
                seen, since = counts, time.monotonic()

    def _draw_on(self) -> None:
        if self._live:
            while not self._end.wait(DRAW_S):
                self._live.update(self._table(read_ledger(self._app)), refresh=True)
        else:
            while not self._end.wait(LINE_S):
                self.say(self._line(read_ledger(self._app)))

    def _line(self, counts: Counts) -> str:
        done, _, retried, dead = standing(total(counts, event) for event in EVENTS)
        return f"[dim]{done:5,} of {sum(self._planned.values()):,} done, {retried} retried, {dead} dead[/]"

    def _table(self, counts: Counts) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        width = max(8, min(50, self._console.width - 60))
        for name in ("", "priority", ""):
            table.add_column(name)
        for name in ("done", "waiting", "retried", "dead"):
            table.add_column(name, justify="right", min_width=7)
        for type, planned in self._planned.items():
            numbers = standing(counts.get(type, {}).get(event, 0) for event in EVENTS)
            table.add_row(type, f"[dim]{self._priority(type)}[/]", bar(planned, numbers[0], width), *map(some, numbers))
        numbers = standing(total(counts, event) for event in EVENTS)
        table.add_row("[bold]all[/]", "", bar(sum(self._planned.values()), numbers[0], width), *map(some, numbers))
        return Group("", table)

    def _priority(self, type: str) -> str:
        said = self._app.tasks[type].declaration.said.priority
        return "default" if said is None else PRIORITIES[said]


def standing(numbers: Iterable[int]) -> tuple[int, int, int, int]:
    """How many are done, wait (or run), were retried, and are dead now; from the numbers of EVENTS."""
    enqueued, completed, retried, dead, replayed = numbers
    return completed, enqueued - completed - dead + replayed, retried, dead - replayed


def bar(planned: int, done: int, width: int) -> ProgressBar:
    """How far it is."""
    return ProgressBar(
        total=planned, completed=done, width=width, style="bright_black", complete_style="cyan", finished_style="green"
    )


def some(value: int) -> str:
    """A number; nothing is a faint dot."""
    return f"{value:,}" if value else "[dim]·[/]"
