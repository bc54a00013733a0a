"""Commands about single tasks: enqueue, result, cancel, tasks show."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import typer

from distq.app import Distq
from distq.cli import complete, full, output, person, values
from distq.cli.calls import Payload, aim, read_payload, wrong_arguments
from distq.cli.groups import grouped
from distq.cli.target import Place
from distq.cli.words import Commands
from distq.errors import BrokerError, ResultNotKept, ResultTimeout, TaskError, TaskFailed, UnknownTask
from distq.facts import describe
from distq.result import Handle

app = Commands(
    help="Look at a task; cancel or reschedule all that a filter means.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.callback()(output.help_if_alone)

NOT_THERE_YET = 6

ENQUEUE_EXAMPLES = output.examples(
    """distq enqueue email '{"to": "a@example.com", "subject": "Hi"}'""",
    "distq enqueue report 17 --priority low --delay 5m",
    """distq enqueue add '{"a": 1, "b": 2}' --wait""",
    "distq enqueue import - < rows.json",
)
RESULT_EXAMPLES = output.examples(
    "distq result default.b5a0c41e6d0f8f2c9a37",
    "distq result order-17 --wait 30s --json",
)
CANCEL_EXAMPLES = output.examples("distq cancel order-17 order-18")
SHOW_EXAMPLES = output.examples("distq tasks show default.b5a0c41e6d0f8f2c9a37", "distq tasks show order-17 --json")

Id = typer.Argument(..., metavar="ID")


@dataclass(frozen=True)
class How:
    """The options of a call."""

    priority: str | None = typer.Option(
        None, "--priority", metavar="PRIORITY", autocompletion=complete.priorities,
        help="high, default or low (or 2, 1, 0). [default: as declared]",
    )  # fmt: skip
    queue: str | None = typer.Option(
        None, "--queue", "-Q", metavar="QUEUE", autocompletion=complete.queues,
        help="The queue. [default: as declared; without --app the one where this type was seen, or default]",
    )  # fmt: skip
    delay: str | None = typer.Option(None, "--delay", metavar="TIME", help="Start after this long: 10s, 5m, 2d.")
    expires: str | None = typer.Option(None, "--expires", metavar="TIME", help="Do not start later than this from now.")
    id: str | None = typer.Option(
        None, "--id", metavar="ID", help="Your own id: a second call with that of a live task changes nothing."
    )
    retries: str | None = typer.Option(
        None, "--retries", metavar="N", help="How often it is tried again after an error. [default: as declared]"
    )

    def options(self) -> dict[str, Any]:
        """Checked; only those that were given."""
        said = {
            "priority": None if self.priority is None else values.priority(self.priority),
            "queue": values.given(self.queue, "--queue"),
            "delay": None if self.delay is None else values.seconds(self.delay, "--delay"),
            "expires": None if self.expires is None else values.above_0(self.expires, "--expires"),
            "id": values.given(self.id, "--id"),
            "retries": None if self.retries is None else values.whole(self.retries, "--retries", 0, 1000),
        }
        return {option: value for option, value in said.items() if value is not None}


@grouped
def enqueue(
    type: str = typer.Argument(..., metavar="TYPE", autocompletion=complete.types),
    payload: str = Payload,
    *,
    how: How,
    wait: bool = typer.Option(False, "--wait", help="Wait for the result and print it."),
    timeout: str = typer.Option("60s", "--timeout", metavar="TIME", help="How long --wait waits."),
    as_json: bool = output.Json,
    place: Place,
) -> None:
    """Enqueue a task by its type; prints its id.

    With --app the arguments are checked before anything is sent, and declared options hold.

    With --wait the exit code is 0 if it completed, 1 if it failed, 6 if it has not ended in time.
    """
    wait_s = values.seconds(timeout, "--timeout")
    options, arguments = how.options(), read_payload(payload)
    found = place.find(may_be_new=True)
    notes = aim(found, place, type, options)
    with wrong_arguments():
        handle = found.enqueue(type, *arguments, **options)
    for note in notes:
        output.complain(f"note: {note}")
    if wait:
        _wait_after_sending(found, handle, wait_s, as_json)
    else:
        output.told(as_json, {"id": handle.id, "queue": handle.queue, "created": handle.created}, handle.id)
        if not handle.created and not as_json:
            output.complain(f"note: {handle.id} was there already and is {handle.status()}; nothing was changed")


@grouped
def result(
    id: str = Id,
    wait: str = typer.Option("0s", "--wait", metavar="TIME", help="Wait this long for it."),
    as_json: bool = output.Json,
    *,
    place: Place,
) -> None:
    """Print the result of a task, as JSON.

    The exit code is 0 if it completed, 1 if it failed or is unknown, 6 if it has not ended yet.
    """
    wait_s = values.seconds(wait, "--wait")
    found = place.find()
    _print_result(found, found.result(id), wait_s, as_json)


@grouped
def cancel(
    ids: list[str] = typer.Argument(..., metavar="ID"),
    running: bool = typer.Option(False, "--running", help="Also those that run: their handlers are interrupted."),
    kill: bool = typer.Option(False, "--kill", help="Also those that run: their processes are ended."),
    as_json: bool = output.Json,
    *,
    place: Place,
) -> None:
    """Cancel tasks that wait; with --running those that run, too.

    The exit code is 1 if one of them runs already (without these), has ended, or is unknown.
    """
    found = place.find()
    outcomes, by = [], person.asks("cli")
    for handle in [found.result(id) for id in ids]:
        done = handle.cancel(running=running, kill=kill, by=by)
        outcomes.append({"id": handle.id, "cancelled": done, "status": handle.status()})
    if as_json:
        output.print_json(outcomes)
    else:
        for outcome in outcomes:
            shown = "cancelled" if outcome["status"] == "cancelled" else "told to end"
            if not outcome["cancelled"]:
                shown = f"not cancelled: it is {outcome['status']}"
            typer.echo(f"{output.clean(outcome['id'])} {shown}")
    if not all(outcome["cancelled"] for outcome in outcomes):
        raise typer.Exit(1)


@app.command("show", epilog=SHOW_EXAMPLES)
@grouped
def show(id: str = Id, as_json: bool = output.Json, *, place: Place) -> None:
    """Show all that is known of a task.

    Its state, arguments, attempts and result.
    """
    found = place.find()
    facts = describe(found, id)
    if facts["status"] == "unknown":
        raise UnknownTask(f"no task {id} is known: it never was, or what was kept of it is over", id=id)
    if as_json:
        output.print_json(facts)
    else:
        full.show(facts)


# -- waiting for a result -------------------------------------------------------------------------------------------


def _wait_after_sending(found: Distq, handle: Handle[Any], wait_s: float, as_json: bool) -> None:
    try:
        _print_result(found, handle, wait_s, as_json)
    except (BrokerError, KeyboardInterrupt):
        output.complain(f"note: the task was sent; its id is {handle.id}")
        raise


def _print_result(found: Distq, handle: Handle[Any], wait_s: float, as_json: bool) -> None:
    id = handle.id
    try:
        value = _result_or_nothing(found, handle, wait_s)
    except ResultTimeout:
        output.complain(f"not there yet: {id} is {handle.status()}")
        raise typer.Exit(NOT_THERE_YET) from None
    except TaskError as error:
        if as_json:
            output.print_json({"id": id, "status": handle.status(), **_details(error)})
        else:
            output.complain(f"error: {error}")
            if isinstance(error, TaskFailed):
                output.complain(f"hint: distq tasks show {id}")
        raise typer.Exit(1) from None
    if as_json:
        output.print_json({"id": id, "status": "completed", "result": value})
    else:
        typer.echo(output.json_text(value))


def _result_or_nothing(found: Distq, handle: Handle[Any], wait_s: float) -> Any:
    """The result, or None of a task that keeps none: here somebody wants to know how it ends all the same."""
    give_up = time.monotonic() + wait_s
    while True:
        try:
            return handle.get(timeout=max(0.0, give_up - time.monotonic()))
        except ResultNotKept:
            status = handle.status()
            if status in ("completed", "unknown"):
                return None
            left = give_up - time.monotonic()
            if left <= 0:
                raise ResultTimeout(f"task {handle.id} is {status}", id=handle.id) from None
            found.broker.wait_result(str(handle.queue), handle.id, left)


def _details(error: TaskError) -> dict[str, Any]:
    details: dict[str, Any] = {"error": str(error)}
    if isinstance(error, TaskFailed):
        details |= {"type": error.type, "message": error.message, "traceback": error.traceback}
    return details
