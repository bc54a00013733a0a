"""What every command line has: the root of its commands, and errors that become exit codes.

Exit codes: 0 done · 1 failed, or unknown id · 2 usage or import · 3 broker unreachable · 4 given port taken ·
5 `doctor` has found problems · 6 result not there yet · 130/143 second INT/TERM.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import cast

import typer

from distq import __version__
from distq.cli import output
from distq.cli.host import PortUnavailable
from distq.cli.words import Commands, Group
from distq.config import WorkerConfig
from distq.errors import (
    BrokerError,
    BrokerUnavailable,
    ConfigurationError,
    DistqError,
    NotSerializable,
    PayloadTooLarge,
    UnknownQueue,
    did_you_mean,
)

NO_BROKER = "hint: start one, or name another with --broker or $DISTQ_BROKER; `distq dev` brings its own"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What standard output says that is a file on a full disk, or a terminal that is gone. A closed pipe is silent."""
UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""What the parser raises; typer exports only this one child of it."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"distq {__version__}")
        raise typer.Exit


def root(cls: type[Group] = Group) -> Commands:
    """Where commands are added."""
    app = Commands(
        name="distq",
        cls=cls,
        help="A task queue on Redis and Valkey that is fast and loses nothing.",
        epilog=output.examples(
            "distq dev myapp:app                   broker and worker, for development",
            "distq run myapp:app                   a worker, for production",
            """distq enqueue add '{"a": 1, "b": 2}'  call a task""",
            "distq queues                          how many tasks are where",
        )
        + "\n\nEvery command has --help with examples.",
        invoke_without_command=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    return app


def _root(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and end."
    ),
) -> None:
    output.help_if_alone(context)


def execute(app: Commands, host: Callable[[WorkerConfig], int] | None = None) -> int:
    """Does what the words of this process say; its exit code. `host`: what `distq run` calls, if not the usual."""
    try:
        return int(app(standalone_mode=False, prog_name="distq", obj=host) or 0)
    except DistqError as error:
        return failed(error)
    except UsageError as error:
        output.complain(_usage(error))
        return 2
    except typer.Abort:
        output.complain("nothing was changed")
        return 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        output.complain(f"error: what it prints cannot be written: {error.strerror}")
        return 1


def failed(error: DistqError) -> int:
    """Says what is wrong; the exit code."""
    output.complain(f"error: {error}")
    if isinstance(error, BrokerUnavailable) and str(error).startswith("no broker at"):
        output.complain(NO_BROKER)
    return exit_code(error)


def exit_code(error: DistqError) -> int:
    """What a shell sees of an error."""
    if isinstance(error, PortUnavailable):
        return 4
    if isinstance(error, ConfigurationError | NotSerializable | PayloadTooLarge | UnknownQueue):
        return 2
    return 3 if isinstance(error, BrokerError) else 1


def _usage(error: BaseException) -> str:
    """The parser's complaint in our words and format, with where to read on."""
    option, known = getattr(error, "option_name", ""), getattr(error, "possibilities", None)
    if known:
        text = f"no such option: {option}{did_you_mean(option, known)}"
    else:
        said = str(getattr(error, "format_message", lambda: error)())
        text = said[:1].lower() + said[1:].removesuffix(".")
    context = getattr(error, "ctx", None)
    return f"error: {text}\nhint: {context.command_path if context else 'distq'} --help"
