"""What is printed at the end: the table per type, where the files lie, and the claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from examples.shop.demo.claims import Claim
from examples.shop.demo.progress import total
from examples.shop.demo.records import Records
from examples.shop.journal import Entry

EVENTS = ("enqueued", "completed", "retried", "dead", "replayed")


def durations(entries: Iterable[Entry], reminder_delays: Iterable[float]) -> dict[str, list[float]]:
    """Type -> seconds from enqueueing to the end of the handler that returned; reminders: from when they were due."""
    taken: dict[str, list[float]] = {}
    for entry in entries:
        if entry.returned:
            taken.setdefault(entry.type, []).append(entry.ended - entry.enqueued)
    return taken | {"reminder": list(reminder_delays)}


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)] if values else 0.0


def show_table(console: Console, records: Records) -> None:
    """What happened, per type."""
    counts, taken = records.counts, durations(records.journal, records.reminder_delays.values())
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("type")
    for name in (*EVENTS, "p50", "p95"):
        table.add_column(name, justify="right")
    for type in records.planned:
        events = counts.get(type, {})
        values = taken.get(type, ())
        table.add_row(
            type, *(number(events.get(event, 0)) for event in EVENTS), time(percentile(values, 0.5)),
            time(percentile(values, 0.95)),
        )  # fmt: skip
    table.add_section()
    table.add_row("[bold]all[/]", *(f"[bold]{number(total(counts, event))}[/]" for event in EVENTS))
    console.print()
    console.print(table)
    console.print(
        "[dim]p50, p95: from enqueueing to the end of the handler, with all waiting and retries;\n"
        "reminders: from the time at which they were due.[/]"
    )


def number(value: int) -> str:
    """A count; nothing is a dot."""
    return f"{value:,}" if value else "[dim]·[/]"


def time(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def show_files(console: Console, folder: Path) -> None:
    """Where the output lies."""
    console.print(f"\n[bold]Files[/]  {folder}/", soft_wrap=True)
    for name, what in (
        ("mail", "one .eml per e-mail"),
        ("thumbnails", "from photos/"),
        ("exports", "CSV per month, from shop.sqlite"),
        ("reminders.csv", "when each was due, and when it came"),
        ("journal.jsonl", "each attempt: when it began and ended"),
        ("worker.log", "what `distq run` said"),
    ):
        place = folder / name
        count = f"{sum(1 for _ in place.iterdir())} files, " if place.is_dir() else ""
        console.print(f"  [cyan]{name:14}[/] [dim]{count}{what}[/]")


def show_claims(console: Console, claims: Sequence[Claim], seconds: float) -> int:
    """Each claim with its numbers; returns the exit code: 0 if all are true."""
    console.print("\n[bold]Checked[/]")
    for claim in claims:
        sign = "[green]✓[/]" if claim.is_true else "[bold red]✗[/]"
        console.print(f"  {sign} {claim.text}\n    [dim]{claim.numbers}[/]")
    false = [claim for claim in claims if not claim.is_true]
    console.print()
    if false:
        console.print(
            f"[bold red]{len(false)} of {len(claims)} claims are false:[/] {'; '.join(c.text for c in false)}"
        )
        return 1
    console.print(f"[green]All {len(claims)} claims are true.[/] [dim]{seconds:.1f} s[/]")
    return 0
