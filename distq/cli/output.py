"""What people and scripts see: tables, JSON, times. Everything from a queue is shown as harmless text."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import typer

from distq.errors import ConfigurationError
from distq.logs import one_line
from distq.plain import plain

Json = typer.Option(False, "--json", help="Print JSON, for scripts.")

LEAST_OF_LAST = 16
"""Columns for the text at the end of a row, however narrow the terminal."""
_HIDDEN = re.compile(r"[^\n\x20-\x7e]")


def examples(*lines: str) -> str:
    """The end of a help page: real commands, each on a line of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def help_if_alone(context: typer.Context) -> None:
    """A group of commands without a command shows what there is."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def clean(value: object, most: int = 300) -> str:
    """One line of text that does nothing to a terminal."""
    text = one_line(str(value)[: most + 1])
    return text if len(text) <= most else text[: most - 1] + "…"


def complain(text: str) -> None:
    """An error message, line by line harmless, on standard error."""
    lines = text.strip().splitlines() or [""]
    typer.echo("\n".join(clean(line, 2000) for line in lines), err=True)


def told(as_json: bool, data: Mapping[str, object], text: str) -> None:
    """What a command has done, for a script or for a person."""
    if as_json:
        print_json(data)
    else:
        typer.echo(text)


def ask(yes: bool, as_json: bool, question: str) -> None:
    """Asks before something that cannot be undone; raises typer.Abort for a no."""
    if yes:
        return
    if as_json:
        raise ConfigurationError("with --json nobody can be asked: add --yes")
    typer.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:  # nobody is there
        typer.echo(err=True)
    if answer.strip().lower() not in ("y", "yes"):
        raise typer.Abort


def number(count: int, thing: str) -> str:
    """`1 task`, `1,234 tasks`."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


# -- tables ---------------------------------------------------------------------------------------------------------


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()) -> None:
    """A table on standard output; columns named in `numbers` are set right.

    Only the last column may take several lines, and only on a terminal: in a pipe a row is a line. A terminal that is
    too narrow for the rest breaks the lines itself: nothing is left out, an id least of all.
    """
    from rich.cells import cell_len  # noqa: PLC0415 (only who draws a table waits for it)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim"
    )
    cells = [[clean(cell) for cell in row] for row in rows]
    needed = 0
    for position, name in enumerate(columns):
        width = max(cell_len(name), *(cell_len(row[position]) for row in cells), 0)
        may_break = position == len(columns) - 1 and name not in numbers
        needed += (min(width, LEAST_OF_LAST) if may_break else width) + (2 if position else 0)
        shown.add_column(
            name, justify="right" if name in numbers else "left", no_wrap=not may_break, overflow="fold",
            min_width=min(width, LEAST_OF_LAST) if may_break else width,
        )  # fmt: skip
    for row in cells:
        shown.add_row(*map(Text, row))
    console = Console(highlight=False, width=max(terminal_width(), needed))
    with console.capture() as captured:
        console.print(shown)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=True)


def terminal_width() -> int:
    """Columns of the terminal, or of $COLUMNS; a pipe has no end."""
    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return max(20, shutil.get_terminal_size().columns)
    return 10_000


# -- JSON -----------------------------------------------------------------------------------------------------------


def print_json(value: Any) -> None:
    """A value as JSON on standard output."""
    typer.echo(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON that is harmless on a terminal too; what JSON does not know becomes text."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False)
    return _HIDDEN.sub(lambda match: match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1], text)


# -- times ----------------------------------------------------------------------------------------------------------


def moment(ms: float | None) -> str:
    """A time for people, local; what is no time is shown as it is."""
    if not ms:
        return ""
    try:
        return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):
        return str(ms)


def age(ms: float) -> str:
    """How long ago, short enough for a column: `12s ago`, `3h ago`."""
    seconds = max(0.0, time.time() - ms / 1000)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{int(seconds)}s ago"
