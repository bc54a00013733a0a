"""Commands that pause and resume a queue, a type or a key, and list what is paused."""

from __future__ import annotations

from dataclasses import asdict

import typer

from distq.cli import complete, output, values
from distq.cli.groups import grouped
from distq.cli.target import Place
from distq.errors import ConfigurationError

Queue = typer.Option(
    None, "--queue", "-Q", metavar="QUEUE", autocompletion=complete.queues, help="This queue, with all its partitions."
)
Type = typer.Option(
    None, "--type", metavar="TYPE", autocompletion=complete.types,
    help="This type: in all queues, or in that of --queue.",
)  # fmt: skip
Key = typer.Option(None, "--key", metavar="KEY", help="This key of --type, such as a tenant.")
By = typer.Option(None, "--by", metavar="WHO", help="Who does it. [default: user@host]")
Reason = typer.Option(None, "--reason", metavar="TEXT", help="Why, for those who find it paused.")

PAUSE_EXAMPLES = output.examples(
    "distq pause --queue mail --reason 'the provider is down'",
    "distq pause --type email",
    "distq pause --type email --key tenant-7 --by ann",
)
RESUME_EXAMPLES = output.examples("distq resume --queue mail", "distq resume --type email --key tenant-7")
PAUSED_EXAMPLES = output.examples("distq paused", "distq paused --json")


@grouped
def pause(
    queue: str = Queue,
    type: str = Type,
    key: str = Key,
    by: str = By,
    reason: str = Reason,
    as_json: bool = output.Json,
    *,
    place: Place,
) -> None:
    """Pause a queue, a type or a key of it: no more of it starts.

    What runs goes on, and what is enqueued or becomes due waits until it is resumed, also over restarts.
    """
    what = _given(queue, type, key)
    found = place.find()
    done = found.pause(**what, by=values.given(by, "--by"), reason=values.given(reason, "--reason"))
    _told(as_json, done, what, "paused", "was paused already")


@grouped
def resume(
    queue: str = Queue,
    type: str = Type,
    key: str = Key,
    as_json: bool = output.Json,
    *,
    place: Place,
) -> None:
    """Resume what was paused."""
    what = _given(queue, type, key)
    done = place.find().resume(**what)
    _told(as_json, done, what, "resumed", "was not paused")


@grouped
def paused(as_json: bool = output.Json, *, place: Place) -> None:
    """List what is paused, by whom and since when."""
    found = place.find().pauses()
    if as_json:
        output.print_json([asdict(one) for one in found])
    elif not found:
        typer.echo("nothing is paused")
    else:
        rows = [
            (one.queue, one.type or "all", "all" if one.key is None else one.key, one.by,
             output.moment(one.since.timestamp() * 1000), one.reason)
            for one in found
        ]  # fmt: skip
        output.table("", ("queue", "type", "key", "by", "since", "reason"), rows)


def _given(queue: str | None, type: str | None, key: str | None) -> dict[str, str | None]:
    if queue is None and type is None:
        raise ConfigurationError("say what: --queue, --type, or --type with --key")
    return {
        "queue": values.given(queue, "--queue"),
        "type": values.given(type, "--type"),
        "key": values.given(key, "--key"),
    }


def _told(as_json: bool, done: bool, what: dict[str, str | None], changed: str, unchanged: str) -> None:
    said = ", ".join(f"{name} {output.clean(value)}" for name, value in what.items() if value is not None)
    output.told(as_json, {**what, "changed": done}, f"{said}: {changed if done else unchanged}")
