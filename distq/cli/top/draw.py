"""From numbers to lines: the whole screen for a given width and height, or all tables below each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.table import Table
from rich.text import Text

from distq.cli import output
from distq.cli.top.numbers import Story
from distq.cli.top.panes import PANES, QUEUES, Column, Pane, count, rate
from distq.cli.top.view import HELP, View, visible

WIDE, TALL = 150, 40
"""From this width on tables stand side by side, from this height on all of them below each other."""
HEAD, FOOT, GAP = 3, 1, 2
LEAST_ROWS = 3
KEYS = (("?", "help"), ("q", "quit"), ("tab", "next table"), ("s", "sort"), ("p", "pause"), ("space", "still"))
"""The last ones are not seen in a narrow terminal."""
BARS = "▁▂▃▄▅▆▇█"
MOST_PRINTED = 50


class Place(NamedTuple):
    """Where the application is, and whether it answers."""

    name: str
    url: str
    away: str = ""
    """Why not; empty: it does."""


def screen(story: Story, view: View, place: Place, width: int, height: int) -> RenderableType:
    """All of it, exactly so large."""
    whole = Layout()
    body = Layout(name="body")
    whole.split_column(
        Layout(_head(story, place, width, view.is_still), size=HEAD), body, Layout(_foot(view, width), size=FOOT)
    )
    room = height - HEAD - FOOT
    if view.is_helping:
        body.update(_help())
    elif story.news is None:
        body.update(Text(" " if place.away else "\n looking …", style="dim"))
    else:
        _arrange(body, story, view, width, room)
    return whole


def _arrange(body: Layout, story: Story, view: View, width: int, room: int) -> None:
    view.width = width
    if width >= WIDE and room >= 2 * (LEAST_ROWS + 2):
        view.width = (width - GAP) // 2
        left, right = Layout(size=view.width), Layout(size=width - GAP - view.width)
        body.split_row(left, Layout(Text(" "), size=GAP), right)
        for column, some in ((left, PANES[:2]), (right, PANES[2:])):
            column.split_column(*_tables(some, story, view, column.size or width, room))
    else:
        panes: Sequence[Pane] = PANES if room >= TALL - HEAD - FOOT else (QUEUES, view.below)
        body.split_column(*_tables(panes, story, view, width, room))


def _tables(panes: Sequence[Pane], story: Story, view: View, width: int, room: int) -> list[Layout]:
    heights = _heights(room, [len(pane.rows(story)) for pane in panes])
    return [
        Layout(_table(pane, story, view, width, height), size=height)
        for pane, height in zip(panes, heights, strict=True)
    ]


def _heights(room: int, rows: Sequence[int]) -> list[int]:
    """Of tables below each other: each what it needs, at most an equal part of what is left; the last one the rest."""
    found = []
    for number, needed in enumerate(rows):
        left = len(rows) - number
        fair = room // left if left > 1 else room
        height = room if left == 1 else min(fair, max(needed, LEAST_ROWS) + 2)
        found.append(height)
        room -= height
    return found


# -- the parts -------------------------------------------------------------------------------------------------------


def _head(story: Story, place: Place, width: int, is_still: bool) -> Text:
    first = Text.assemble(("distq top", "bold cyan"), "  ", (output.clean(place.name), "bold"), " at ", place.url)
    state = "standing still " if is_still else ""
    lines = [_between(first, Text(f"{state}{time.strftime('%H:%M:%S')}", style="bold" if is_still else ""), width)]
    if place.away:
        lines.append(Text(f"the broker is away: {output.clean(place.away)}", style="bold red"))
    if story.news is not None:
        sums = story.sums()
        if not place.away:
            depths = (
                ("waiting", count(sums.waiting), "bold"), ("later", count(sums.scheduled), ""),
                ("running", count(sums.running), "green"), ("dead", count(sums.dead), "red"),
            )  # fmt: skip
            left, workers = _named(depths), output.number(sums.workers, "worker")
            here = f"{workers} on {output.number(sums.hosts, 'host')}"
            lines.append(_between(left, Text(here if left.cell_len + len(here) < width else workers), width))
        failing = "–" if sums.failing is None else f"{sums.failing:.1%}"
        rates = _named((("in/s", rate(sums.came), ""), ("out/s", rate(sums.ended), "green"), ("failing", failing, "")))
        lines.append(_between(rates, _bars(story.ended, width - rates.cell_len - 2), width))
    text = Text("\n").join(lines)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _named(pairs: Sequence[tuple[str, str, str]]) -> Text:
    found = Text()
    for name, value, style in pairs:
        found.append(f"{name} ", "dim").append(value, style if value not in ("0", "–") else "dim").append("   ")
    return found


def _between(left: Text, right: Text, width: int) -> Text:
    """One at each end of a line."""
    left = left.copy()
    left.truncate(max(0, width - right.cell_len - 1), overflow="ellipsis", pad=True)
    return left.append(" ").append_text(right)


def _bars(values: Sequence[float], room: int) -> Text:
    """How many ended, look by look, with the most of them in words."""
    most = max(values, default=0.0)
    said = f" most {rate(most)}/s"
    shown = values[-max(0, room - len(said)) :] if room > len(said) else []
    if not shown or not most:
        return Text()
    line = "".join(BARS[min(len(BARS) - 1, int(value / most * len(BARS)))] for value in shown)
    return Text.assemble((line, "green"), (said, "dim"))


def _table(pane: Pane, story: Story, view: View, width: int, height: int) -> RenderableType:
    rows, at = view.rows(pane, story)
    room = max(1, height - 2)
    begin, shown = visible(rows, at, room)
    is_focus = pane is view.focus
    if is_focus:
        view.page = room
    title = _title(pane, view, width, len(rows), (begin, begin + len(shown)))
    if not rows:
        return Group(title, Text(pane.empty, style="dim"))
    table = _empty_table(pane, view, width, title)
    for number, row in enumerate(shown, begin):
        is_chosen = is_focus and number == at
        cells = [_cell(column, row, is_chosen) for column in _columns(pane, width)]
        table.add_row(*cells, style="reverse" if is_chosen else "")
    return table


def _columns(pane: Pane, width: int) -> list[Column]:
    return [column for column in pane.columns if column.from_width <= width]


def _empty_table(pane: Pane, view: View, width: int, title: Text) -> Table:
    table = Table(
        box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left", header_style=""
    )  # fmt: skip
    by, is_reversed = view.sorting[pane.name]
    for column in _columns(pane, width):
        is_sorted = column.field == by
        arrow = ("▴" if is_reversed == column.is_number else "▾") if is_sorted else ""
        table.add_column(
            Text.assemble((column.title + arrow, "bold underline" if is_sorted and pane is view.focus else "dim")),
            justify="right" if column.is_number else "left", no_wrap=True, overflow="ellipsis",
            ratio=None if column.is_number else column.ratio,
        )  # fmt: skip
    return table


def _title(pane: Pane, view: View, width: int, total: int, shown: tuple[int, int]) -> Text:
    """A line across: the key that leads there, and the name; and how much of it is seen, if that is not all."""
    is_focus = pane is view.focus
    title = Text.assemble(
        ("━━ " if is_focus else "── ", "cyan" if is_focus else "dim"),
        (f"[{PANES.index(pane) + 1}] {pane.name}", "bold cyan" if is_focus else "bold"), " ",
    )  # fmt: skip
    part = "" if shown[1] - shown[0] >= total else f" {shown[0] + 1}–{shown[1]} of {total:,} "
    line = ("━" if is_focus else "─") * max(0, width - title.cell_len - len(part))
    return title.append(line, "cyan" if is_focus else "dim").append(part, "dim")


def _cell(column: Column, row: object, is_chosen: bool) -> Text:
    value = getattr(row, column.field)
    style = "" if is_chosen else column.style if value else "dim"
    found = Text(output.clean(column.shown(value)), style=style)
    if column.field == "name" and getattr(row, "is_paused", False):
        found.append(" paused", "" if is_chosen else "bold yellow")
    return found


def _foot(view: View, width: int) -> Text:
    if view.question is not None:
        return _between(Text(output.clean(view.question.question), "bold yellow"), Text("[y/N]", "bold yellow"), width)
    if view.said:
        text = Text(output.clean(view.said), style="yellow")
    else:
        text = Text()
        for key, what in KEYS:
            text.append(f" {key} ", "reverse").append(f" {what}   ")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _help() -> Table:
    table = Table(
        box=None, padding=(0, 2), show_header=False, title="\nKeys\n", title_justify="left", title_style="bold"
    )
    for key, what in HELP:
        table.add_row(Text(key, style="bold cyan"), what)
    table.add_row("", "")
    table.add_row("", Text("Rates are of the last 10 looks. What a worker has, it runs or has fetched.", style="dim"))
    return table


def printed(story: Story, name: str, url: str, width: int) -> str:
    """All tables below each other, with all their rows, without what fills a screen."""
    view, console = View(), Console(highlight=False, width=width)
    with console.capture() as captured:
        console.print(_head(story, Place(name, url), width, False))
        for pane in PANES:
            rows = view.rows(pane, story)[0]
            console.print(Text())
            console.print(_table(pane, story, view, width, min(len(rows), MOST_PRINTED) + 2))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
