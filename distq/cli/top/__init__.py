"""`distq top`: what goes on, live in a terminal. The other modules are imported when it is called."""

from __future__ import annotations

import os
import sys

import typer

from distq.cli import output, values
from distq.cli.groups import grouped
from distq.cli.target import Place
from distq.errors import ConfigurationError

EXAMPLES = output.examples(
    "distq top",
    "distq top --app myapp:app --every 500ms",
    "distq top --once | head",
)
LEAST_EVERY_S, MOST_EVERY_S = 0.2, 3600.0


@grouped
def top(
    once: bool = typer.Option(
        False, "--once", help="Print all of it once, and end. So it does where no terminal shows or asks."
    ),
    every: str = typer.Option("1s", "--every", metavar="TIME", help="Look so often."),
    *,
    place: Place,
) -> None:
    """Show what goes on, live: queues, types, workers, deaths.

    Keys sort, pause and resume: ? lists them. Ctrl-C or q ends it.
    """
    every_s = values.seconds(every, "--every")
    if not LEAST_EVERY_S <= every_s <= MOST_EVERY_S:
        raise ConfigurationError(f"--every {every}: give a time from 200ms to 1h")
    app = place.find()
    is_alive = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if once or not is_alive:
        from distq.cli.top.page import print_once  # noqa: PLC0415 (rich takes its time, and others wait for none of it)

        print_once(app, every_s)
    else:
        from distq.cli.top.session import Session  # noqa: PLC0415

        raise typer.Exit(Session(app, every_s).run())
