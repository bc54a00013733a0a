"""Commands about limits that hold while everything runs: list, set, clear."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from distq.cli import complete, output, values
from distq.cli.groups import grouped
from distq.cli.target import Place
from distq.cli.words import Commands
from distq.controls import Limit, TypeLimits
from distq.errors import ConfigurationError

app = Commands(
    help="Look at the limits of types, and change them live.", invoke_without_command=True, rich_markup_mode=None
)
app.callback()(output.help_if_alone)

Type = typer.Argument(..., metavar="TYPE", autocompletion=complete.types)
Queue = typer.Option(
    None, "--queue", "-Q", metavar="QUEUE", autocompletion=complete.queues,
    help="The queue. [default: where such tasks are]",
)  # fmt: skip


@app.command("list", epilog=output.examples("distq limits list", "distq limits list --json"))
@grouped
def list_limits(as_json: bool = output.Json, *, place: Place) -> None:
    """List the limits of all types.

    What holds, and what was declared before somebody set it.
    """
    found = place.find().limits.list()
    if as_json:
        output.print_json([_plain(one) for one in found])
    elif not found:
        typer.echo("no type is limited")
    else:
        rows = [(one.type, one.queue, one.now.text, _declared(one)) for one in found]
        output.table("", ("type", "queue", "holds", "instead of"), rows)


@app.command(
    "set",
    epilog=output.examples(
        "distq limits set email --rate 20/s",
        "distq limits set email --rate '100/m burst 20' --rate '5/s per tenant'",
        "distq limits set report --max-running 2 --by ann",
        "distq limits set report --max-running none",
    ),
)
@grouped
def set_limits(
    type: str = Type,
    rate: list[str] = typer.Option(
        (), "--rate", metavar="RATE", help="Such as 10/s, '100/m burst 20', '5/s per tenant', none. May be repeated."
    ),
    max_running: list[str] = typer.Option(
        (), "--max-running", metavar="N", help="How many run at once: 3, '1 per tenant', none. May be repeated."
    ),
    queue: str = Queue,
    by: str = typer.Option(None, "--by", metavar="WHO", help="Who does it. [default: user@host]"),
    as_json: bool = output.Json,
    *,
    place: Place,
) -> None:
    """Set limits of a type, at once and without a deployment.

    They win over the declared ones until they are cleared, over deployments and restarts. What is not said stays as it
    is.
    """
    if not rate and not max_running:
        raise ConfigurationError(f"say what limits {type!r:.80}: --rate 20/s or --max-running 3")
    found = place.find()
    found.limits.set(
        type, rate=rate or None, max_running=max_running or None, queue=values.given(queue, "--queue"),
        by=values.given(by, "--by"),
    )  # fmt: skip
    _show(as_json, [one for one in found.limits.list() if one.type == type])


@app.command("clear", epilog=output.examples("distq limits clear email"))
@grouped
def clear(type: str = Type, queue: str = Queue, as_json: bool = output.Json, *, place: Place) -> None:
    """Let the declared limits of a type hold again."""
    found = place.find()
    done = found.limits.clear(type, queue=values.given(queue, "--queue"))
    if not done and not as_json:
        output.complain(f"note: nothing was set for {type}")
    _show(as_json, [one for one in found.limits.list() if one.type == type], type)


def _show(as_json: bool, found: list[TypeLimits], type: str = "") -> None:
    if as_json:
        output.print_json([_plain(one) for one in found])
        return
    for one in found:
        typer.echo(output.clean(f"{one.type} in {one.queue}: {one.now.text}{_instead(one)}"))
    if not found:
        typer.echo(f"{output.clean(type)}: {Limit().text}")


def _instead(one: TypeLimits) -> str:
    return f" (declared: {one.declared.text})" if one.is_set else ""


def _declared(one: TypeLimits) -> str:
    if not one.is_set or one.since is None:
        return ""
    return f"{one.declared.text}, by {one.by} since {output.moment(one.since.timestamp() * 1000)}"


def _plain(one: TypeLimits) -> dict[str, Any]:
    return asdict(one)
