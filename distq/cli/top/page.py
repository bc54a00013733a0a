"""All tables once, for a pipe or a file: two looks, so that there are rates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from distq.cli import output
from distq.cli.top.draw import printed
from distq.cli.top.numbers import Story
from distq.cli.top.reader import Looks

if TYPE_CHECKING:
    from distq.app import Distq

WIDTH = 120
"""Of a pipe."""


def print_once(app: Distq, every_s: float) -> None:
    """Raises BrokerError."""
    story, looks = Story(), Looks(app)
    story.add(looks.look())
    time.sleep(every_s)
    story.add(looks.look())
    width = output.terminal_width()
    typer.echo(printed(story, app.name, app.broker.masked_url, width if width < 10_000 else WIDTH), color=True)
