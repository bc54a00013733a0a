"""Commands about all tasks that a filter means: `distq tasks cancel`, `reschedule`, `move`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import typer

from distq.broker import moves
from distq.cli import complete, output, person, values
from distq.cli.groups import grouped
from distq.cli.target import Place
from distq.clock import parse_time
from distq.errors import ConfigurationError
from distq.filters import Filter
from distq.moving import Act, Sweep, cancelling, left_over, moving, rescheduling

INTERRUPTED = 130

CANCEL_EXAMPLES = output.examples(
    "distq tasks cancel type:email error:timeout --dry-run",
    "distq tasks cancel queue:mail key:tenant-7 older:2h --yes",
)
RESCHEDULE_EXAMPLES = output.examples(
    "distq tasks reschedule type:email error:timeout --delay 1h --dry-run",
    "distq tasks reschedule state:retrying type:webhook --delay 0s --yes",
    "distq tasks reschedule type:report --priority low --yes",
)

MOVE_EXAMPLES = output.examples(
    "distq tasks move type:report queue:default --queue bulk --dry-run",
    "distq tasks move 'error:timeout older:1d' --queue bulk --priority low --yes",
)

Words = typer.Argument(
    ..., metavar="FILTER", help='field:value words, such as: type:email error:"no route" older:1h; or all.'
)
Priority = typer.Option(
    None, "--priority", metavar="PRIORITY", autocompletion=complete.priorities, help="high, default or low."
)


@dataclass(frozen=True)
class How:
    """How it is done."""

    dry_run: bool = typer.Option(False, "--dry-run", help="Say how many, and show a few; change nothing.")
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")
    as_json: bool = output.Json


@grouped
def cancel(
    words: list[str] = Words,
    running: bool = typer.Option(False, "--running", help="Also those that run: their handlers are interrupted."),
    *,
    how: How,
    place: Place,
) -> None:
    """Cancel all waiting tasks that a filter means.

    Fields: state (queued, scheduled, retrying), type, error, queue, priority, key, args.NAME (an argument), parent,
    since, older. All must hold; `a,b` means one of them, `a*` what begins so.
    """
    wanted = Filter.parse(" ".join(words))
    found = place.find()
    act = cancelling(found, person.asks("cli"), "running" if running else "")
    _do("cancel", "cancelled", Sweep(found, wanted, takes_running=running), act, how)


@grouped
def reschedule(
    words: list[str] = Words,
    delay: str = typer.Option(None, "--delay", metavar="TIME", help="Run after this long from now: 0s, 5m, 2d."),
    eta: str = typer.Option(None, "--eta", metavar="TIME", help="Run at this time: 2026-12-24T08:00+01:00."),
    priority: str = Priority,
    *,
    how: How,
    place: Place,
) -> None:
    """Give all waiting tasks of a filter another time or priority.

    The filter is that of `distq tasks cancel`. What is ready comes to the end of its new priority.
    """
    wanted, change = Filter.parse(" ".join(words)), _change(delay, eta, priority)
    found = place.find()
    _do("reschedule", "rescheduled", Sweep(found, wanted), rescheduling(found, change), how)


@grouped
def move(
    words: list[str] = Words,
    queue: str = typer.Option(
        ..., "--queue", "-Q", metavar="QUEUE", autocompletion=complete.queues, help="Where they go."
    ),
    priority: str = Priority,
    *,
    how: How,
    place: Place,
) -> None:
    """Move all waiting tasks that a filter means to another queue.

    The filter is that of `distq tasks cancel`. They keep their ids, times and attempts. Tasks whose limits, order or
    name hold for their own queue stay there.
    """
    wanted = Filter.parse(" ".join(words))
    change = moves.change(priority=priority and values.priority(priority), queue=queue)
    found = place.find()
    _do("move", "moved", Sweep(found, wanted), moving(found, queue, change), how)


def _change(delay: str | None, eta: str | None, priority: str | None) -> moves.Change:
    if delay is None and eta is None and priority is None:
        raise ConfigurationError("what is to change? give --delay, --eta or --priority")
    return moves.change(
        None if delay is None else values.seconds(delay, "--delay"),
        None if eta is None else _moment(eta),
        None if priority is None else values.priority(priority),
    )


def _moment(text: str) -> datetime:
    try:
        found = parse_time(text)
    except ValueError:
        raise ConfigurationError(f"--eta {text!r:.60} is no time: give it as 2026-12-24T08:00+01:00") from None
    return found if found.tzinfo else found.astimezone()


# -- doing it --------------------------------------------------------------------------------------------------------


def _do(verb: str, done: str, sweep: Sweep, act: Act, how: How) -> None:
    """Looks, asks, and does it, page by page: whoever interrupts it is told how far it came."""
    if how.dry_run or not how.yes:
        _watch(sweep, "found", "nothing was changed")
    if how.dry_run:
        _show(sweep, how.as_json)
        said = f"would {verb} {output.number(sweep.number, 'task')}"
        _tell(sweep, how.as_json, {f"would_{verb}": sweep.number}, said)
        return
    if not how.yes and sweep.number:
        output.ask(how.yes, how.as_json, f"{verb.capitalize()} {output.number(sweep.number, 'task')}?")
    if how.yes or sweep.number:
        sweep = Sweep(sweep.app, sweep.wanted, act, sweep.takes_running)
        _watch(sweep, done, f"{done} so far")
    _tell(sweep, how.as_json, {done: sweep.number}, f"{done} {output.number(sweep.number, 'task')}")


def _watch(sweep: Sweep, done: str, so_far: str) -> None:
    """Runs it, with its progress on a terminal."""
    is_seen = sys.stderr.isatty()
    try:
        for _ in sweep:
            if is_seen:
                typer.echo(f"\r{sweep.looked:,} looked at, {sweep.number:,} {done}\033[K", nl=False, err=True)
    except KeyboardInterrupt:
        number = "" if so_far.startswith("nothing") else f"{output.number(sweep.number, 'task')} "
        output.complain(f"\nstopped: {number}{so_far}")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if is_seen:
            typer.echo("\r\033[K", nl=False, err=True)


def _show(sweep: Sweep, as_json: bool) -> None:
    if as_json or not sweep.samples:
        return
    rows = [(hit.id, hit.type, hit.state, hit.priority, output.age(hit.created_ms), hit.error) for hit in sweep.samples]
    output.table("", ("id", "type", "state", "priority", "called", "last error"), rows)
    if sweep.number > len(rows):
        typer.echo(f"… and {sweep.number - len(rows):,} more")


def _tell(sweep: Sweep, as_json: bool, data: dict[str, Any], said: str) -> None:
    if as_json:
        samples = {"examples": [hit._asdict() for hit in sweep.samples]} if sweep.act is None else {}
        output.print_json(data | {"left": dict(sorted(sweep.left.items()))} | samples)
        return
    typer.echo(said)
    for line in left_over(sweep.left):
        typer.echo(line)
