"""Commands about queues: depths, purge."""

from __future__ import annotations

import typer

from distq.broker import inspect, verbs
from distq.cli import output, target
from distq.errors import ConfigurationError, UnknownQueue, did_you_mean
from distq.message import PRIORITIES, priority_number

LEVELS = ("high", "default", "low", "scheduled")


def queues(
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Show how many tasks are in each state, per queue.

    Examples:

      distq queues

      distq queues --json | jq '.[].dead'
    """
    found = target.find_app(app, broker, name)
    names = list(dict.fromkeys([*found.queues, *found.broker.known_queues()]))
    depths = {queue: found.broker.run(verbs.depths(found.broker.prefix(queue))) for queue in names}
    if as_json:
        output.as_json([{"queue": queue, **depth._asdict()} for queue, depth in depths.items()])
        return
    columns = ("high", "default", "low", "scheduled", "running", "dead", "workers")
    rows = [(queue, *(getattr(depth, column) for column in columns)) for queue, depth in depths.items()]
    output.table(f"{found.name} at {found.broker.masked_url}", ("queue", *columns), rows, numbers=columns)


def purge(
    queue: str = typer.Argument("default", metavar="QUEUE"),
    priority: str = typer.Option(None, "--priority", help="Only this priority. [default: all, and what is scheduled]"),
    scheduled: bool = typer.Option(False, "--scheduled", help="Only what is scheduled."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say how many, cancel none."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Cancel all waiting tasks of a queue. What runs is left alone; dead letters have `distq dlq purge`.

    Examples:

      distq purge mail --dry-run

      distq purge mail --priority low --yes
    """
    found = target.find_app(app, broker, name)
    known = [*found.queues, *found.broker.known_queues()]
    if queue not in known:
        raise UnknownQueue(
            f"no queue {queue!r:.80}{did_you_mean(queue, known)}; there are: {', '.join(dict.fromkeys(known))}"
        )
    levels: tuple[str, ...] = LEVELS
    if scheduled:
        levels = ("scheduled",)
    elif priority is not None:
        levels = (PRIORITIES[priority_number(int(priority) if priority.isdigit() else priority)],)
    depth = found.broker.run(verbs.depths(found.broker.prefix(queue)))
    count = sum(getattr(depth, level) for level in levels)
    if dry_run:
        _told(as_json, {"queue": queue, "would_cancel": count}, f"would cancel {count} tasks of {queue}")
        return
    if not yes and not as_json:
        typer.confirm(f"Cancel {count} waiting tasks of queue {queue} ({', '.join(levels)})?", abort=True)
    elif not yes:
        raise ConfigurationError("with --json nobody can be asked: add --yes")
    taken = sum(inspect.purge(found.broker, queue, level) for level in levels)
    _told(as_json, {"queue": queue, "cancelled": taken}, f"cancelled {taken} tasks of {queue}")


def _told(as_json: bool, data: dict[str, object], text: str) -> None:
    if as_json:
        output.as_json(data)
    else:
        typer.echo(text)
