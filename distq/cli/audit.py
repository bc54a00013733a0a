"""`distq audit`: does the ledger agree with the keys, and is everything where it should be?"""

from __future__ import annotations

from typing import Any

import typer

from distq.app import Distq
from distq.broker import ledger
from distq.broker.audit import Findings, audit
from distq.broker.strays import KINDS
from distq.cli import complete, output, target
from distq.facts import every_place

EXAMPLES = output.examples(
    "distq audit",
    "distq audit myapp:app --queue mail",
    "distq audit --repair",
    "distq audit --json | jq .balanced",
)
SHOWN = 5
"""Names of strays of one kind; --json has them all."""

Target = typer.Argument(
    None, metavar="[MODULE:APP]", envvar="DISTQ_APP", show_default=False, help="The application, if not by --name."
)
Queue = typer.Option(
    None,
    "--queue",
    "-Q",
    metavar="QUEUE",
    autocompletion=complete.queues,
    help="Only this queue, or partition (bulk/3). [default: all]",
)
Repair = typer.Option(False, "--repair", help="Put right what can be, and say what.")


def audit_command(
    app: str = Target,
    queue: str = Queue,
    repair: bool = Repair,
    as_json: bool = output.Json,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Check that nothing is lost.

    Compares the ledger with what is in the broker, and looks for what no script leaves behind, also while workers run.

    The exit code is 0 if all is in balance, 1 if something is not (also if --repair has mended it).
    """
    found = target.find_app(app, broker, name)
    results = [audit(found.broker, name, repair) for name in every_place(found, queue)]
    balanced = all(result.is_balanced for result in results)
    if as_json:
        queues = [_plain(result) for result in results]
        output.print_json({"application": found.name, "balanced": balanced, "queues": queues})
    else:
        _show(found, results, repair)
    if not balanced:
        raise typer.Exit(1)


# -- what is said ---------------------------------------------------------------------------------------------------


def _show(found: Distq, results: list[Findings], repair: bool) -> None:
    columns = ["enqueued", "completed", "dead", "cancelled", "expired", "alive", "missing"]
    numbers = [_numbers(result) for result in results]
    for extra, before in (
        ("corrected", "completed"),
        ("arrived", "completed"),
        ("replayed", "completed"),
        ("moved", "alive"),
    ):
        if any(row[extra] for row in numbers):
            columns.insert(columns.index(before), extra)
    rows = [(result.queue, *(row[column] for column in columns)) for result, row in zip(results, numbers, strict=True)]
    output.table(f"{found.name} at {found.broker.masked_url}", ("queue", *columns), rows, numbers=columns)
    for result in results:
        _show_findings(result, repair)
    if all(result.is_balanced for result in results):
        typer.echo("\nin balance, and everything is in its place")


def _show_findings(result: Findings, repair: bool) -> None:
    if result.difference:
        what = f"{output.number(abs(result.difference), 'task')} {'missing' if result.difference > 0 else 'too many'}"
        why = (
            "their messages were deleted"
            if result.difference > 0
            else "the ledger was deleted, or tasks written by hand"
        )
        _say(result, f"{what} by the ledger", why)
        if not repair:
            typer.echo("  --repair books the difference as corrected")
    for type, (counted, seen) in result.types.items():
        about = "" if type in result.exact else "about "
        _say(result, f"type {output.clean(type) or '(none)'}: {about}{counted} by the ledger, {seen} there", "")
    for kind, number in result.numbers().items():
        known = KINDS[kind]
        names = [stray.name for stray in result.strays if stray.kind == kind and stray.name]
        _say(result, f"{number:,} {known.one if number == 1 else known.many}", known.cost)
        if known.mend and not repair:
            typer.echo(f"  --repair {known.mend}")
        for name in names[:SHOWN]:
            typer.echo(f"    {output.clean(_text(name))}")
        if len(names) > SHOWN:
            typer.echo(f"    … and {len(names) - SHOWN:,} more")
        if repair and known.mend:
            typer.echo(f"  mended: {result.mended[kind]:,} of {number:,}")
    if result.booked:
        typer.echo(f"  corrected in the ledger: {output.number(result.booked, 'task')}")


def _say(result: Findings, what: str, hint: str) -> None:
    typer.echo(f"\n{result.queue}: {what}")
    if hint:
        typer.echo(f"  {hint}")


def _numbers(result: Findings) -> dict[str, int]:
    depths = result.tally.depths
    return ledger.totals(result.tally.counts) | {
        "alive": depths.live,
        "waiting": ledger.waiting(depths),
        "scheduled": depths.scheduled,
        "running": depths.running,
        "missing": result.difference,
    }


def _plain(result: Findings) -> dict[str, Any]:
    types = {
        type: {"by_the_ledger": counted, "there": seen, "exact": type in result.exact}
        for type, (counted, seen) in result.types.items()
    }
    strays = [
        {
            "kind": kind,
            "number": number,
            "names": [_text(stray.name) for stray in result.strays if stray.kind == kind and stray.name],
            "mended": result.mended[kind],
        }
        for kind, number in result.numbers().items()
    ]
    return {"queue": result.queue, **_numbers(result), "types": types, "strays": strays, "booked": result.booked}


def _text(name: str) -> str:
    """A name from the broker, which may hold any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
