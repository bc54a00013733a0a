"""The command line. Each module holds a group of commands; here they meet, and errors become exit codes.

Exit codes: 0 done · 1 failed, or unknown id · 2 usage or import · 3 broker unreachable · 4 port taken · 6 result not
there yet · 130/143 second INT/TERM.
"""

from __future__ import annotations

import sys

import typer

from distq import __version__
from distq.cli import dev, dlq, queues, run, tasks
from distq.errors import BrokerError, ConfigurationError, DistqError, NotSerializable, PayloadTooLarge, UnknownQueue

app = typer.Typer(
    name="distq",
    help="A task queue on Redis and Valkey that is fast and loses nothing.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("dev")(dev.dev)
app.command("enqueue")(tasks.enqueue)
app.command("result")(tasks.result)
app.command("cancel")(tasks.cancel)
app.add_typer(tasks.app, name="tasks")
app.command("queues")(queues.queues)
app.command("purge")(queues.purge)
app.add_typer(dlq.app, name="dlq")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"distq {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and end."
    ),
) -> None:
    return None


def main() -> None:
    """The console script."""
    try:
        app()
    except DistqError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(exit_code(error))


def exit_code(error: DistqError) -> int:
    """What a shell sees of an error."""
    if isinstance(error, run.PortUnavailable):
        return 4
    if isinstance(error, ConfigurationError | NotSerializable | PayloadTooLarge | UnknownQueue):
        return 2
    return 3 if isinstance(error, BrokerError) else 1
