"""`distq why`: why is this task not running?"""

from __future__ import annotations

from dataclasses import asdict

import typer

from distq.cli import output
from distq.cli.groups import grouped
from distq.cli.target import Place
from distq.durations import format_duration
from distq.why import Why

EXAMPLES = output.examples("distq why default.b5a0c41e6d0f8f2c9a37", "distq why order-17 --json | jq '.gates[].name'")


@grouped
def why(id: str = typer.Argument(..., metavar="ID"), as_json: bool = output.Json, *, place: Place) -> None:
    """Say why a task is not running, gate by gate.

    The exit code is 1 if the id is unknown.
    """
    found = place.find().why(id)
    if as_json:
        output.print_json(asdict(found))
    else:
        typer.echo(output.clean(_head(found)))
        for gate in found.gates:
            typer.echo(f"  · {output.clean(gate.text)}")
    if found.state == "unknown":
        raise typer.Exit(1)


def _head(found: Why) -> str:
    what = f"{found.type} {found.id}" if found.type else found.id
    waits = f" for {format_duration(found.waiting)}" if found.waiting else ""
    priority = "" if found.priority == "default" else f", priority {found.priority},"
    where = f" in queue {found.queue}{priority}" if found.type else ""
    return f"{what} is {found.state}{where}{waits}"
