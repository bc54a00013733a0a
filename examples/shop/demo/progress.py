"""What is shown while it runs: a table that stays in place, or one line per second where there is no terminal.

All numbers come from the broker's ledger. One thread reads and draws; `say` and `wait_until` are for the play.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from distq import Distq
from distq.broker import inspect

DRAW_S, LINE_S = 0.15, 1.0
MOST_S = 120.0

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
    """Shows how far it is, from entering to leaving."""

    def __init__(self, app: Distq, planned: Mapping[str, int], console: Console) -> None:
        self._app, self._planned, self._console = app, planned, console
        self._begun = time.monotonic()
        self._end = threading.Event()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
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

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"[dim]{self._elapsed():5.1f} s[/]  {text}", highlight=False)

    def wait_until(self, condition: Callable[[Counts], bool], what: str, check: Callable[[], None]) -> None:
        """Returns when the condition is true of the ledger; `check` may raise meanwhile."""
        give_up = time.monotonic() + MOST_S
        while not condition(read_ledger(self._app)):
            check()
            if time.monotonic() > give_up:
                raise TookTooLong(f"not within {MOST_S:g} s: {what}")
            time.sleep(0.05)

    def _elapsed(self) -> float:
        return time.monotonic() - self._begun

    def _draw_on(self) -> None:
        done_before = 0
        pause = DRAW_S if self._live else LINE_S
        while not self._end.wait(pause):
            counts = read_ledger(self._app)
            if self._live:
                self._live.update(self._table(counts), refresh=True)
            else:
                done = total(counts, "completed")
                self.say(self._line(counts, (done - done_before) / LINE_S))
                done_before = done

    def _line(self, counts: Counts, per_s: float) -> str:
        done, dead = total(counts, "completed"), total(counts, "dead") - total(counts, "replayed")
        return (
            f"{done:5} of {sum(self._planned.values())} done · {per_s:3.0f}/s · {total(counts, 'retried')} retried · "
            f"{dead} dead"
        )

    def _table(self, counts: Counts) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("", width=10)
        table.add_column("", width=30)
        for name in ("done", "waiting", "retried", "dead"):
            table.add_column(name, justify="right", width=7)
        for type, planned in self._planned.items():
            events = counts.get(type, {})
            done, dead = events.get("completed", 0), events.get("dead", 0) - events.get("replayed", 0)
            waiting = events.get("enqueued", 0) - done - dead
            bar = ProgressBar(total=planned, completed=done, width=30)
            numbers = (str(done), *(str(n) if n else "[dim]·[/]" for n in (waiting, events.get("retried", 0), dead)))
            table.add_row(type, bar, *numbers)
        return table
