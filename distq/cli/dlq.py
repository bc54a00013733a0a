"""Commands about dead letters: list, show, replay, purge; by id, type, error or age."""

from __future__ import annotations

from dataclasses import asdict

import typer

from distq.app import Distq
from distq.broker import inspect
from distq.broker.inspect import DeadFilter, DeadLetter
from distq.cli import output, target
from distq.cli.tasks import show
from distq.durations import seconds
from distq.errors import ConfigurationError

app = typer.Typer(help="Look at dead letters, replay or delete them.", no_args_is_help=True, rich_markup_mode=None)
app.command("show")(show)

Ids = typer.Argument(None, metavar="[ID...]", show_default=False)
Type = typer.Option("", "--type", help="Only this type.")
Error = typer.Option("", "--error", help="Only errors that contain this text (class or message).")
OlderThan = typer.Option("", "--older-than", help="Only those that died this long ago: 2h, 7d.")
All = typer.Option(False, "--all", help="All of them.")
DryRun = typer.Option(False, "--dry-run", help="Say which, change nothing.")
Yes = typer.Option(False, "--yes", "-y", help="Do not ask.")


@app.command("list")
def list_dead(
    type: str = Type,
    error: str = Error,
    older_than: str = OlderThan,
    limit: int = typer.Option(50, "--limit", min=1, max=100_000, help="At most this many."),
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """List dead letters, the newest first.

    Examples:

      distq dlq list --type email --error Timeout

      distq dlq list --older-than 1d --json
    """
    found = target.find_app(app, broker, name)
    letters = _find(found, _filter((), type, error, older_than))
    letters.sort(key=lambda letter: -letter.died_at_ms)
    if as_json:
        output.as_json([asdict(letter) for letter in letters[:limit]])
        return
    rows = [(x.id, x.type, x.attempts, output.moment(x.died_at_ms), f"{x.error}: {x.message}") for x in letters[:limit]]
    if rows:
        output.table("", ("id", "type", "attempts", "died", "error"), rows, numbers=("attempts",))
    typer.echo(f"{len(letters)} dead" + (f", {limit} shown (--limit)" if len(letters) > limit else ""))


@app.command("replay")
def replay(
    ids: list[str] = Ids,
    type: str = Type,
    error: str = Error,
    older_than: str = OlderThan,
    all: bool = All,
    dry_run: bool = DryRun,
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Run dead tasks again, with a fresh budget of attempts.

    Examples:

      distq dlq replay order-17

      distq dlq replay --type webhook --error 503 --dry-run
    """
    found = target.find_app(app, broker, name)
    letters = _chosen(found, _filter(ids or (), type, error, older_than), all)
    if dry_run:
        _told(as_json, {"would_replay": len(letters)}, f"would replay {len(letters)}")
    else:
        count = sum(inspect.replay(found.broker, queue, group) for queue, group in _by_queue(letters).items())
        _told(as_json, {"replayed": count}, f"replayed {count}")
    _complain_about_missing(ids, letters)


@app.command("purge")
def purge(
    ids: list[str] = Ids,
    type: str = Type,
    error: str = Error,
    older_than: str = OlderThan,
    all: bool = All,
    dry_run: bool = DryRun,
    yes: bool = Yes,
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Delete dead tasks for good.

    Examples:

      distq dlq purge --older-than 7d --yes

      distq dlq purge --all --dry-run
    """
    found = target.find_app(app, broker, name)
    letters = _chosen(found, _filter(ids or (), type, error, older_than), all)
    if dry_run:
        _told(as_json, {"would_delete": len(letters)}, f"would delete {len(letters)}")
    else:
        if not yes and as_json:
            raise ConfigurationError("with --json nobody can be asked: add --yes")
        if not yes:
            typer.confirm(f"Delete {len(letters)} dead tasks for good?", abort=True)
        count = sum(inspect.purge_dead(found.broker, queue, group) for queue, group in _by_queue(letters).items())
        _told(as_json, {"deleted": count}, f"deleted {count}")
    _complain_about_missing(ids, letters)


def _filter(ids: list[str] | tuple[()], type: str, error: str, older_than: str) -> DeadFilter:
    return DeadFilter(frozenset(ids), type, error, seconds(older_than, "--older-than") if older_than else 0.0)


def _find(found: Distq, wanted: DeadFilter) -> list[DeadLetter]:
    queues = dict.fromkeys([*found.queues, *found.broker.known_queues()])
    return [letter for queue in queues for letter in inspect.dead_letters(found.broker, queue, wanted)]


def _chosen(found: Distq, wanted: DeadFilter, all: bool) -> list[DeadLetter]:
    """What an action is about; it never means everything by accident."""
    if wanted.is_empty and not all:
        raise ConfigurationError("which dead tasks? give ids, --type, --error or --older-than, or --all")
    return _find(found, wanted)


def _by_queue(letters: list[DeadLetter]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for letter in letters:
        groups.setdefault(letter.queue, []).append(letter.id)
    return groups


def _complain_about_missing(ids: list[str] | None, letters: list[DeadLetter]) -> None:
    missing = set(ids or ()) - {letter.id for letter in letters}
    if missing:
        typer.echo(f"error: not among the dead: {', '.join(output.clean(id) for id in sorted(missing))}", err=True)
        raise typer.Exit(1)


def _told(as_json: bool, data: dict[str, int], text: str) -> None:
    if as_json:
        output.as_json(data)
    else:
        typer.echo(text)
