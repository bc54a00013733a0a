"""What people and scripts see: tables, JSON, times. Everything from a queue is shown as harmless text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = typer.Option(False, "--json", help="JSON for scripts.")


def clean(value: object, most: int = 300) -> str:
    """One line of text without control characters or other things that change a terminal."""
    text = str(value)[: most + 1]
    shown = "".join(c if c == " " or unicodedata.category(c)[0] not in "CZ" else " " for c in text)
    return shown if len(text) <= most else shown[: most - 1] + "…"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()) -> None:
    """A table on standard output; columns named in `numbers` are set right."""
    shown = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim"
    )
    for name in columns:
        shown.add_column(name, justify="right" if name in numbers else "left", no_wrap=name in ("id", *numbers))
    for row in rows:
        shown.add_row(*(Text(clean(cell)) for cell in row))
    Console(highlight=False, soft_wrap=False).print(shown)


def as_json(value: Any) -> None:
    """A value as JSON on standard output; what JSON does not know becomes text."""
    typer.echo(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: object) -> object:
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def moment(ms: float | None) -> str:
    """A time for people, local."""
    return "" if not ms else datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def json_text(value: Any) -> str:
    """A value on one line."""
    return json.dumps(value, default=_plain, ensure_ascii=False)
