"""Commands about queues: depths, purge."""

from __future__ import annotations

import typer

from distq import facts
from distq.broker import inspect
from distq.cli import complete, output, person, values
from distq.cli.groups import grouped
from distq.cli.target import Place
from distq.errors import ConfigurationError

LEVELS = ("high", "default", "low", "scheduled")

QUEUES_EXAMPLES = output.examples(
    "distq queues",
    "distq queues --app myapp:app",
    "distq queues --json | jq '.[].dead'",
)
PURGE_EXAMPLES = output.examples(
    "distq purge mail --dry-run",
    "distq purge mail --priority low --yes",
    "distq purge mail --scheduled",
)


@grouped
def queues(
    each: bool = typer.Option(False, "--partitions", help="Show each partition of a queue, not their sum."),
    as_json: bool = output.Json,
    *,
    place: Place,
) -> None:
    """Show how many tasks are where, per queue."""
    found = place.find()
    every = facts.places(found)
    if each:
        every = {name: [name] for names in every.values() for name in names}
    depths = {queue: facts.depths(found, names) for queue, names in every.items()}
    if as_json:
        output.print_json([{"queue": queue, **depth._asdict()} for queue, depth in depths.items()])
        return
    columns = ("high", "default", "low", "scheduled", "running", "dead", "workers")
    rows = [(queue, *(getattr(depth, column) for column in columns)) for queue, depth in depths.items()]
    output.table(f"{found.name} at {found.broker.masked_url}", ("queue", *columns), rows, numbers=columns)
    for pause in found.pauses():
        since = output.moment(pause.since.timestamp() * 1000)
        reason = f": {pause.reason}" if pause.reason else ""
        typer.echo(output.clean(f"paused: {pause.what}, by {pause.by} since {since}{reason}"))


@grouped
def purge(
    queue: str = typer.Argument(..., metavar="QUEUE", autocompletion=complete.queues),
    priority: str = typer.Option(
        None,
        "--priority",
        metavar="PRIORITY",
        autocompletion=complete.priorities,
        help="Only this priority: high, default or low. [default: all, and what is scheduled]",
    ),
    scheduled: bool = typer.Option(False, "--scheduled", help="Only what is scheduled."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say how many, cancel none."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = output.Json,
    *,
    place: Place,
) -> None:
    """Cancel all waiting tasks of a queue.

    What runs is left alone. `bulk/3` is one partition of bulk. For dead letters there is `distq dlq purge`.
    """
    levels = _levels(priority, scheduled)
    found = place.find()
    (names,) = facts.places(found, queue).values()
    depth = facts.depths(found, names)
    count = sum(getattr(depth, level) for level in levels)
    if dry_run:
        said = f"would cancel {output.number(count, 'task')} of {queue}"
        output.told(as_json, {"queue": queue, "would_cancel": count}, said)
        return
    if count:
        output.ask(yes, as_json, f"Cancel {output.number(count, 'task')} of queue {queue} ({', '.join(levels)})?")
    by = person.asks("purge")
    taken = sum(inspect.purge(found.broker, name, level, by) for level in levels for name in names)
    output.told(as_json, {"queue": queue, "cancelled": taken}, f"cancelled {output.number(taken, 'task')} of {queue}")


def _levels(priority: str | None, scheduled: bool) -> tuple[str, ...]:
    if scheduled and priority is not None:
        raise ConfigurationError("--priority and --scheduled: give one of them; what is scheduled has its own place")
    if scheduled:
        return ("scheduled",)
    return LEVELS if priority is None else (values.priority(priority),)
