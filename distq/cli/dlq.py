"""Commands about dead letters: list, show, replay, purge; by id, type, error or age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import typer

from distq.app import Distq
from distq.broker.inspect import DeadFilter, DeadLetter
from distq.cli import complete, output, values
from distq.cli.groups import grouped
from distq.cli.target import Place
from distq.cli.tasks import show
from distq.cli.words import Commands
from distq.errors import ConfigurationError
from distq.facts import depths, every_place, find_dead, newest_first, purge_dead, replay_dead
from distq.rate import Rate

app = Commands(help="Look at dead letters, replay or delete them.", invoke_without_command=True, rich_markup_mode=None)
app.callback()(output.help_if_alone)

DryRun = typer.Option(False, "--dry-run", help="Say which, change nothing.")
Yes = typer.Option(False, "--yes", "-y", help="Do not ask.")

SAMPLE = 20
"""So many rows of a dry run are shown."""


@dataclass(frozen=True)
class Filter:
    """Which dead tasks are meant; all, if nothing is given."""

    type: str | None = typer.Option(
        None, "--type", metavar="TYPE", autocompletion=complete.types, help="Only this type."
    )
    error: str | None = typer.Option(
        None, "--error", metavar="TEXT", help="Only errors whose class or message contains this."
    )
    older_than: str | None = typer.Option(
        None, "--older-than", metavar="TIME", help="Only those that died at least so long ago: 2h, 7d."
    )

    def checked(self, ids: Sequence[str] = ()) -> DeadFilter:
        """As the broker's reader takes it."""
        return DeadFilter(
            frozenset(ids),
            values.given(self.type, "--type") or "",
            values.given(self.error, "--error") or "",
            0.0 if self.older_than is None else values.seconds(self.older_than, "--older-than"),
        )


@dataclass(frozen=True)
class Chosen(Filter):
    """What an action is about; it never means everything by accident."""

    ids: list[str] | None = typer.Argument(None, metavar="ID", show_default=False, help="These, by their ids.")
    all: bool = typer.Option(False, "--all", help="All of them.")

    def wanted(self) -> DeadFilter:
        """Checked."""
        wanted = self.checked(self.ids or ())
        if wanted.is_empty and not self.all:
            raise ConfigurationError("which dead tasks? give ids, --type, --error or --older-than, or --all")
        if self.all and not wanted.is_empty:
            raise ConfigurationError("--all means all of them: leave it out, or the other conditions")
        return wanted

    def complain_about_missing(self, letters: list[DeadLetter]) -> None:
        """An id that is not among the dead is an error, after all the others are done."""
        missing = set(self.ids or ()) - {letter.id for letter in letters}
        if missing:
            output.complain(f"error: not among the dead: {', '.join(sorted(missing))}")
            raise typer.Exit(1)


@app.command(
    "list",
    epilog=output.examples(
        "distq dlq list", "distq dlq list --type email --error timeout", "distq dlq list --older-than 1d --json"
    ),
)
@grouped
def list_dead(
    *,
    which: Filter,
    limit: str = typer.Option("50", "--limit", metavar="N", help="At most this many."),
    as_json: bool = output.Json,
    place: Place,
) -> None:
    """List dead letters, the newest first."""
    wanted, most = which.checked(), values.whole(limit, "--limit", 1, 1_000_000)
    found = place.find()
    letters = list(islice(newest_first(found, wanted), most + 1))
    if as_json:
        output.print_json([asdict(letter) for letter in letters[:most]])
        return
    _table(letters[:most])
    typer.echo(_summary(found, wanted, len(letters), most))


app.command("show", epilog=output.examples("distq dlq show order-17", "distq dlq show order-17 --json"))(show)


@app.command(
    "replay",
    epilog=output.examples(
        "distq dlq replay order-17",
        "distq dlq replay --type webhook --error 503 --dry-run",
        "distq dlq replay --all",
    ),
)
@grouped
def replay(
    *,
    chosen: Chosen,
    rate: str = typer.Option(
        None, "--rate", metavar="RATE", help="One after the other, such as 10/s. [default: at once]"
    ),
    dry_run: bool = DryRun,
    as_json: bool = output.Json,
    place: Place,
) -> None:
    """Run dead tasks again, with a fresh budget of attempts."""
    wanted = chosen.wanted()
    every_ms = 0.0 if rate is None else Rate.parse(rate).interval_us / 1000
    found = place.find()
    letters = find_dead(found, wanted)
    if dry_run:
        _would(as_json, "replay", letters)
    else:
        count = replay_dead(found, letters, every_ms)
        output.told(as_json, {"replayed": count}, f"replayed {output.number(count, 'task')}")
    chosen.complain_about_missing(letters)


@app.command(
    "purge",
    epilog=output.examples(
        "distq dlq purge order-17",
        "distq dlq purge --older-than 7d --yes",
        "distq dlq purge --all --dry-run",
    ),
)
@grouped
def purge(
    *,
    chosen: Chosen,
    dry_run: bool = DryRun,
    yes: bool = Yes,
    as_json: bool = output.Json,
    place: Place,
) -> None:
    """Delete dead tasks for good."""
    wanted = chosen.wanted()
    found = place.find()
    letters = find_dead(found, wanted)
    if dry_run:
        _would(as_json, "delete", letters)
    else:
        if letters:
            output.ask(yes, as_json, f"Delete {output.number(len(letters), 'dead task')} for good?")
        count = purge_dead(found, letters)
        output.told(as_json, {"deleted": count}, f"deleted {output.number(count, 'task')}")
    chosen.complain_about_missing(letters)


# -- what is said ---------------------------------------------------------------------------------------------------


def _table(letters: Sequence[DeadLetter]) -> None:
    if letters:
        rows = [
            (letter.id, letter.type, letter.attempts, output.age(letter.died_at_ms), _error(letter))
            for letter in letters
        ]
        output.table("", ("id", "type", "attempts", "died", "error"), rows, numbers=("attempts",))


def _error(letter: DeadLetter) -> str:
    return f"{letter.error}: {letter.message}" if letter.message else letter.error


def _summary(found: Distq, wanted: DeadFilter, read: int, most: int) -> str:
    """How many there are, as far as that is known: behind a filter nobody counts what is not shown."""
    if read <= most:
        return (
            f"{output.number(read, 'dead task')}" if read else "no dead tasks" + ("" if wanted.is_empty else " match")
        )
    if not wanted.is_empty:
        return f"{most} shown, there are more: --limit"
    total = depths(found, every_place(found)).dead
    return f"{output.number(total, 'dead task')}, {most} shown: --limit"


def _would(as_json: bool, verb: str, letters: list[DeadLetter]) -> None:
    if not as_json:
        _table(letters[:SAMPLE])
        if len(letters) > SAMPLE:
            typer.echo(f"… and {len(letters) - SAMPLE:,} more")
    data = {f"would_{verb}": len(letters), "ids": [letter.id for letter in letters]}
    output.told(as_json, data, f"would {verb} {output.number(len(letters), 'task')}")
