"""What is printed at the end: the table per type, where the files lie, and the claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from examples.shop.demo.claims import Claim
from examples.shop.demo.progress import EVENTS, some, total
from examples.shop.demo.records import Records

FILES = {
    "mail": "{} e-mails as the mail server got them (.eml)",
    "thumbnails": "{} of them, made from photos/",
    "exports": "{} months as CSV, from shop.sqlite",
    "reminders.csv": "when each was due, and when it came",
    "journal.jsonl": "every attempt: when it began, when it ended, how",
    "worker.log": "what `distq run` said",
}


def show_table(console: Console, records: Records) -> None:
    """What happened, per type."""
    counts, taken = records.counts, durations(records)
    table = plain_table()
    table.add_column("")
    for name in (*EVENTS, "p50", "p95"):
        table.add_column(name, justify="right")
    for type in records.planned:
        events, values = counts.get(type, {}), taken.get(type, [])
        numbers = (some(events.get(event, 0)) for event in EVENTS)
        table.add_row(type, *numbers, time(percentile(values, 0.5)), time(percentile(values, 0.95)))
    table.add_row("[bold]all[/]", *(f"[bold]{some(total(counts, event))}[/]" for event in EVENTS))
    console.print("\n[bold]What happened[/]")
    console.print(table)
    console.print(
        "[dim]p50, p95: from enqueueing to the end, waiting and retries included;\n"
        "reminders: from when they were due.[/]",
        soft_wrap=True,
    )


def durations(records: Records) -> dict[str, list[float]]:
    """Type -> seconds from enqueueing to the end of the handler that returned; reminders: from when they were due."""
    taken: dict[str, list[float]] = {}
    for entry in records.journal:
        if entry.returned:
            taken.setdefault(entry.type, []).append(entry.ended - entry.enqueued)
    return taken | {"reminder": list(records.reminder_delays.values())}


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)] if values else 0.0


def time(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def show_files(console: Console, folder: Path) -> None:
    """Where the output lies."""
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    console.print(f"\n[bold]Files[/] in {shown}/", soft_wrap=True)
    table = plain_table(show_header=False)
    for name, text in FILES.items():
        place = folder / name
        number = sum(1 for _ in place.iterdir()) if place.is_dir() else 0
        table.add_row(f"{name}/" if place.is_dir() else name, f"[dim]{text.format(f'{number:,}')}[/]")
    console.print(table)


def show_claims(console: Console, claims: Sequence[Claim], seconds: float) -> int:
    """Each claim with its numbers; returns the exit code: 0 if all are true."""
    table = plain_table(show_header=False)
    table.add_column(no_wrap=True)
    for claim in claims:
        sign = "[green]✓[/]" if claim.is_true else "[bold red]✗[/]"
        table.add_row(f"{sign} {claim.text}", f"[dim]{claim.numbers}[/]" if claim.is_true else claim.numbers)
    console.print("\n[bold]Checked[/]")
    console.print(table)
    false = sum(not claim.is_true for claim in claims)
    if false:
        console.print(f"\n[bold red]{false} of {len(claims)} claims are false[/], after {seconds:.1f} s.")
        return 1
    console.print(f"\n[bold green]All {len(claims)} claims are true[/], after {seconds:.1f} s.")
    return 0


def plain_table(*, show_header: bool = True) -> Table:
    """Columns two spaces apart, nothing else."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=show_header)
