"""What somebody looks at, and what keys make of it: which table, sorted how, which row, what is asked. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from distq.cli.top.numbers import Story
from distq.cli.top.panes import DEAD, PANES, QUEUES, TYPES, Pane, in_order

HELP = (
    ("1 2 3 4  tab", "queues, types, workers, dead; the next one"),
    ("↑ ↓  k j", "the row above, below; PgUp, PgDn, Home, End"),
    ("s  S", "sort by the next column, by the one before"),
    ("r", "the other way round"),
    ("p", "pause or resume the queue or the type of this row"),
    ("R", "run again what has died of this row's cause"),
    ("space", "stand still, go on"),
    ("?", "this page"),
    ("q  Ctrl-C", "end"),
)
_SEQUENCE = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.S)
_NAMES = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b[5~": "page up", "\x1b[6~": "page down",
    "\x1b[H": "home", "\x1b[F": "end", "\x1bOH": "home", "\x1bOF": "end", "\x1b[1~": "home", "\x1b[4~": "end",
    "\x1b[Z": "back", "\t": "tab", "\r": "enter", "\n": "enter", "k": "up", "j": "down",
}  # fmt: skip


class Act(NamedTuple):
    """What is to be changed, once somebody has said yes."""

    verb: str
    """pause, resume or replay."""
    queue: str | None = None
    type: str | None = None
    error: str = ""
    frame: str = ""

    @property
    def question(self) -> str:
        """What is asked before."""
        if self.verb == "replay":
            return f"Run again all {self.type} that died of {self.error}{self.frame and f' in {self.frame}'}?"
        what = f"queue {self.queue}" if self.queue is not None else f"type {self.type}, in all queues"
        return f"{self.verb.capitalize()} {what}?"


def keys(raw: bytes) -> list[str]:
    """What was pressed: names of keys, or the characters."""
    pressed = _SEQUENCE.findall(raw.decode("utf-8", "ignore"))
    return [_NAMES.get(one, one) for one in pressed]


class View:
    """The state of the screen."""

    def __init__(self) -> None:
        self.focus: Pane = QUEUES
        self.below: Pane = TYPES
        """Beside the queues, on a small screen."""
        self.sorting: dict[str, tuple[str, bool]] = {pane.name: (pane.sorted_by, False) for pane in PANES}
        self.chosen: dict[str, str] = {}
        """Pane -> the key of its row."""
        self.page = 10
        """Rows that fit, as they were drawn last."""
        self.width = 80
        self.is_helping = self.is_still = False
        self.question: Act | None = None
        self.said = ""

    def rows(self, pane: Pane, story: Story) -> tuple[list[Any], int]:
        """In order; and which one is chosen."""
        rows = in_order(pane.rows(story), *self.sorting[pane.name])
        wanted = self.chosen.get(pane.name)
        at = next((number for number, row in enumerate(rows) if pane.key(row) == wanted), 0)
        return rows, at

    def press(self, key: str, story: Story) -> Act | None:
        """Takes a key; what it makes us do."""
        self.said = ""
        if self.question is not None:
            act, self.question = self.question, None
            if key in ("y", "Y"):
                return act
            self.said = "nothing was changed"
        elif self.is_helping:
            self.is_helping = False
        elif key in ("?", "h"):
            self.is_helping = True
        elif key == " ":
            self.is_still = not self.is_still
        elif key in ("tab", "back"):
            self._turn_to(PANES[(PANES.index(self.focus) + (1 if key == "tab" else -1)) % len(PANES)])
        elif key in "1234":
            self._turn_to(PANES[int(key) - 1])
        elif key in ("s", "S"):
            self._sort(1 if key == "s" else -1)
        elif key == "r":
            field, is_reversed = self.sorting[self.focus.name]
            self.sorting[self.focus.name] = field, not is_reversed
        elif story.news is not None:
            self._of_row(key, story)
        return None

    def _turn_to(self, pane: Pane) -> None:
        self.focus = pane
        if pane is not QUEUES:
            self.below = pane

    def _sort(self, by: int) -> None:
        fields = [column.field for column in self.focus.columns if column.from_width <= self.width]
        now = self.sorting[self.focus.name][0]
        at = fields.index(now) if now in fields else 0
        self.sorting[self.focus.name] = fields[(at + by) % len(fields)], False

    def _of_row(self, key: str, story: Story) -> None:
        rows, at = self.rows(self.focus, story)
        if not rows:
            return
        page, all_of_it = self.page, len(rows)
        steps = {"up": -1, "down": 1, "page up": -page, "page down": page, "home": -all_of_it, "end": all_of_it}
        if key in steps:
            to = min(max(0, at + steps[key]), len(rows) - 1)
            self.chosen[self.focus.name] = self.focus.key(rows[to])
        elif key == "p":
            self.question = self._pausing(rows[at])
        elif key == "R":
            self.question = self._replaying(rows[at])

    def _pausing(self, row: Any) -> Act | None:
        verb = "resume" if getattr(row, "is_paused", False) else "pause"
        if self.focus is QUEUES:
            return Act(verb, queue=row.name)
        if self.focus is TYPES:
            return Act(verb, type=row.name)
        self.said = "queues and types can be paused: 1 or 2, and choose one"
        return None

    def _replaying(self, row: Any) -> Act | None:
        if self.focus is DEAD:
            return Act("replay", type=row.type, error=row.error, frame=row.frame)
        self.said = "4 shows what has died"
        return None


def visible(rows: Sequence[Any], at: int, room: int) -> tuple[int, Sequence[Any]]:
    """So many rows that the chosen one is among them: the number of the first, and they."""
    begin = max(0, min(at - room // 2, len(rows) - room))
    return begin, rows[begin : begin + room]
