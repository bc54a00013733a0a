"""Commands about schedules: list, show, create, pause, resume, trigger, edit, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import typer

from distq.app import Distq
from distq.cli import complete, output, values
from distq.cli.calls import Payload, aim, read_payload, wrong_arguments
from distq.cli.groups import grouped
from distq.cli.target import Place
from distq.cli.words import Commands
from distq.cron import shown
from distq.durations import format_duration
from distq.errors import ConfigurationError
from distq.facts import shown_call
from distq.plain import plain
from distq.schedules import PastTick, Schedule
from distq.sensitive import Hiding

app = Commands(help="Look at schedules, create and change them.", invoke_without_command=True, rich_markup_mode=None)
app.callback()(output.help_if_alone)

Name = typer.Argument(..., metavar="SCHEDULE", autocompletion=complete.schedules, help="Its name.")


@dataclass(frozen=True)
class Rhythm:
    """When a schedule ticks, beside its expression."""

    tz: str | None = typer.Option(
        None, "--tz", metavar="ZONE", help="The time zone, such as Europe/Berlin. [default: UTC]"
    )
    jitter: str | None = typer.Option(
        None, "--jitter", metavar="TIME", help="Each task starts up to so much later, by chance."
    )
    overlap: str | None = typer.Option(
        None, "--overlap", metavar="WHAT", autocompletion=complete.overlaps,
        help="While the task of the last tick is not done: queue one more, skip, or replace it. [default: queue]",
    )  # fmt: skip
    missed: str | None = typer.Option(
        None, "--missed", metavar="WHAT", autocompletion=complete.missed,
        help="Ticks while no worker host was there: once in place of all, skip, or all. [default: once]",
    )  # fmt: skip

    def options(self) -> dict[str, Any]:
        """Checked; only those that were given."""
        said = {
            "tz": values.given(self.tz, "--tz"),
            "jitter": None if self.jitter is None else values.seconds(self.jitter, "--jitter"),
            "overlap": self.overlap,
            "missed": self.missed,
        }
        return {option: value for option, value in said.items() if value is not None}


@app.command("list", epilog=output.examples("distq schedules list", "distq schedules list --json | jq '.[].name'"))
@grouped
def list_schedules(as_json: bool = output.Json, *, place: Place) -> None:
    """List all schedules, with their next five ticks."""
    app = place.find()
    found = [_hidden(app, one) for one in app.schedules.list()]
    if as_json:
        output.print_json([_plain(schedule) for schedule in found])
    elif not found:
        typer.echo("no schedules")
    else:
        rows = [(one.name, one.type, _when(one), one.state, _next(one)) for one in found]
        output.table("", ("name", "type", "when", "state", "next"), rows)


@app.command("show", epilog=output.examples("distq schedules show report"))
@grouped
def show(schedule: str = Name, as_json: bool = output.Json, *, place: Place) -> None:
    """Show a schedule, its next ticks and its last ones."""
    app = place.find()
    found, history = _hidden(app, app.schedules.get(schedule)), app.schedules.history(schedule)
    if as_json:
        output.print_json({**_plain(found), "history": [tick._asdict() for tick in history]})
    else:
        _show(found, history)


@app.command(
    "create",
    epilog=output.examples(
        "distq schedules create tidy '@every 10m' tidy_up",
        """distq schedules create report-de '0 7 * * mon-fri' report '{"country": "de"}' --tz Europe/Berlin""",
    ),
)
@grouped
def create(
    schedule: str = typer.Argument(..., metavar="SCHEDULE", help="The name that it gets."),
    when: str = typer.Argument(..., metavar="WHEN", help="'@every 5m', '@daily', '*/5 * * * *' (six: seconds first)."),
    type: str = typer.Argument(..., metavar="TYPE", autocompletion=complete.types, help="The task that it calls."),
    payload: str = Payload,
    *,
    rhythm: Rhythm,
    queue: str = typer.Option(
        None, "--queue", "-Q", metavar="QUEUE", autocompletion=complete.queues, help="The queue of its tasks."
    ),
    priority: str = typer.Option(
        None, "--priority", metavar="PRIORITY", autocompletion=complete.priorities, help="high, default or low."
    ),
    as_json: bool = output.Json,
    place: Place,
) -> None:
    """Create a schedule that outlives all worker hosts."""
    options = rhythm.options() | _arguments(payload)
    if priority is not None:
        options["priority"] = values.priority(priority)
    if queue is not None:
        options["queue"] = values.given(queue, "--queue")
    found = place.find(may_be_new=True)
    notes = aim(found, place, type, options)
    with wrong_arguments():
        made = found.schedules.create(schedule, when, type, **options)
    for note in notes:
        output.complain(f"note: {note}")
    _told(as_json, made, f"created {made.name}: next {_next(made, 1)}")


@app.command("pause", epilog=output.examples("distq schedules pause report"))
@grouped
def pause(schedule: str = Name, as_json: bool = output.Json, *, place: Place) -> None:
    """Let a schedule not tick until it is resumed."""
    done = place.find().schedules.pause(schedule)
    _told(as_json, done, f"paused {done.name}")


@app.command("resume", epilog=output.examples("distq schedules resume report"))
@grouped
def resume(schedule: str = Name, as_json: bool = output.Json, *, place: Place) -> None:
    """Let a paused schedule tick again, from its next tick on."""
    done = place.find().schedules.resume(schedule)
    _told(as_json, done, f"resumed {done.name}: next {_next(done, 1)}")


@app.command("trigger", epilog=output.examples("distq schedules trigger report"))
@grouped
def trigger(schedule: str = Name, as_json: bool = output.Json, *, place: Place) -> None:
    """Call the task of a schedule now; prints its id. The next tick stays what it is."""
    handle = place.find().schedules.trigger(schedule)
    output.told(as_json, {"id": handle.id, "queue": handle.queue}, handle.id)


@app.command(
    "edit",
    epilog=output.examples(
        "distq schedules edit report --when '0 8 * * *' --tz Europe/Berlin",
        """distq schedules edit report --payload '{"country": "at"}'""",
        "distq schedules edit report --reset",
    ),
)
@grouped
def edit(
    schedule: str = Name,
    when: str = typer.Option(None, "--when", metavar="WHEN", help="When it ticks."),
    payload: str = typer.Option(None, "--payload", metavar="JSON", help="The arguments of the task."),
    *,
    rhythm: Rhythm,
    reset: bool = typer.Option(False, "--reset", help="What the code says holds again; it is not paused any more."),
    as_json: bool = output.Json,
    place: Place,
) -> None:
    """Change a schedule. One of the code stays changed until --reset, also when the code changes."""
    changes = rhythm.options()
    if when is not None:
        changes["when"] = when
    if payload is not None:
        changes |= {"args": (), "kwargs": {}} | _arguments(payload)
    if reset == bool(changes):
        raise ConfigurationError("say what is to be changed: --when, --payload, --tz …; or --reset alone")
    schedules = place.find().schedules
    with wrong_arguments():
        done = schedules.reset(schedule) if reset else schedules.edit(schedule, **changes)
    _told(as_json, done, f"{'reset' if reset else 'changed'} {done.name}: {_when(done)}, next {_next(done, 1)}")


@app.command("delete", epilog=output.examples("distq schedules delete report --yes"))
@grouped
def delete(
    schedule: str = Name,
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    as_json: bool = output.Json,
    *,
    place: Place,
) -> None:
    """Delete a schedule.

    One that was created at run time, or whose code is gone.
    """
    schedules = place.find().schedules
    found = schedules.get(schedule)
    output.ask(yes, as_json, f"Delete schedule {found.name} ({found.when}, {found.type})?")
    schedules.delete(schedule)
    output.told(as_json, {"deleted": found.name}, f"deleted {found.name}")


# -- what was given -------------------------------------------------------------------------------------------------


def _arguments(payload: str | None) -> dict[str, Any]:
    read = read_payload(payload)
    if read and isinstance(read[0], Mapping):
        return {"kwargs": dict(read[0])}
    return {"args": read} if read else {}


# -- what is said ---------------------------------------------------------------------------------------------------


def _plain(schedule: Schedule) -> dict[str, Any]:
    return {
        **asdict(schedule),
        "state": schedule.state,
        "kwargs": Hiding(frozenset(), frozenset()).shown(plain(schedule.kwargs)),
    }


def _hidden(app: Distq, schedule: Schedule) -> Schedule:
    """Without the values that are not to be shown."""
    call = shown_call(app, schedule.type, schedule.args, schedule.kwargs)
    return replace(schedule, args=tuple(call["args"]), kwargs=call["kwargs"])


def _told(as_json: bool, schedule: Schedule, text: str) -> None:
    output.told(as_json, _plain(schedule), output.clean(text))


def _when(schedule: Schedule) -> str:
    return f"{schedule.when} {schedule.tz}".strip() + (" (edited)" if schedule.is_edited else "")


def _next(schedule: Schedule, most: int = 5) -> str:
    return shown([round(moment.timestamp() * 1000) for moment in schedule.next[:most]], schedule.tz)


def _show(schedule: Schedule, history: Sequence[PastTick]) -> None:
    arguments = [output.json_text(value) for value in schedule.args]
    arguments += [f"{name}={output.json_text(value)}" for name, value in schedule.kwargs.items()]
    facts = {
        "name": schedule.name,
        "state": schedule.state,
        "from": ("code" + " (edited)" * schedule.is_edited) if schedule.is_declared else "run time",
        "calls": f"{schedule.type}({', '.join(arguments)})",
        "queue": schedule.queue,
        "when": f"{schedule.when} {schedule.tz}",
        "jitter": format_duration(schedule.jitter) if schedule.jitter else "none",
        "overlap": schedule.overlap,
        "missed": schedule.missed,
        "next": _next(schedule),
    }
    for label, fact in facts.items():
        typer.echo(f"{label:<8} {output.clean(fact, 2000)}")
    if history:
        typer.echo()
        rows = [(f"{one.tick:%Y-%m-%d %H:%M:%S}", one.outcome, one.id) for one in history]
        output.table("", ("tick", "outcome", "task"), rows)
