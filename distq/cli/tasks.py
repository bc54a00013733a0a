"""Commands about single tasks: enqueue, result, cancel, tasks show."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import typer

from distq.app import Distq
from distq.cli import complete, full, output, person, target, values
from distq.errors import (
    BrokerError,
    ConfigurationError,
    NotSerializable,
    ResultNotKept,
    ResultTimeout,
    TaskError,
    TaskFailed,
    UnknownTask,
    did_you_mean,
)
from distq.facts import describe, every_place
from distq.message import check_type
from distq.result import Handle

app = typer.Typer(help="Look at single tasks.", invoke_without_command=True, rich_markup_mode=None)
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


def enqueue(
    type: str = typer.Argument(..., metavar="TYPE", autocompletion=complete.types),
    payload: str = typer.Argument(
        None,
        metavar="JSON",
        show_default=False,
        help="An object becomes keyword arguments, anything else the one argument; - reads it from standard input.",
    ),
    priority: str = typer.Option(
        None,
        "--priority",
        metavar="PRIORITY",
        autocompletion=complete.priorities,
        help="high, default or low (or 2, 1, 0). [default: as declared]",
    ),
    queue: str = typer.Option(
        None,
        "--queue",
        "-Q",
        metavar="QUEUE",
        autocompletion=complete.queues,
        help="The queue. [default: as declared; without --app the one where this type was seen, or default]",
    ),
    delay: str = typer.Option(None, "--delay", metavar="TIME", help="Start after this long: 10s, 5m, 2d."),
    expires: str = typer.Option(None, "--expires", metavar="TIME", help="Do not start later than this from now."),
    id: str = typer.Option(
        None, "--id", metavar="ID", help="Your own id: a second call with that of a live task changes nothing."
    ),
    retries: str = typer.Option(
        None, "--retries", metavar="N", help="How often it is tried again after an error. [default: as declared]"
    ),
    wait: bool = typer.Option(False, "--wait", help="Wait for the result and print it."),
    timeout: str = typer.Option("60s", "--timeout", metavar="TIME", help="How long --wait waits."),
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Enqueue a task by its type; prints its id.

    With --app the arguments are checked before anything is sent, and declared options hold.

    With --wait the exit code is 0 if it completed, 1 if it failed, 6 if it has not ended in time.
    """
    wait_s = values.seconds(timeout, "--timeout")
    options = _options(priority=priority, queue=queue, delay=delay, expires=expires, id=id, retries=retries)
    arguments = read_payload(payload)
    found = target.find_app(app, broker, name, may_be_new=True)
    notes: list[str] = []
    if app:
        check_declared(found, type, app)
    else:
        options["queue"] = choose_queue(found, check_type(type), queue, notes)
    try:
        handle = found.enqueue(type, *arguments, **options)
    except TypeError as error:
        raise ConfigurationError(str(error)) from None
    for note in notes:
        output.complain(f"note: {note}")
    if wait:
        _wait_after_sending(found, handle, wait_s, as_json)
    else:
        output.told(as_json, {"id": handle.id, "queue": handle.queue, "created": handle.created}, handle.id)
        if not handle.created and not as_json:
            output.complain(f"note: {handle.id} was there already and is {handle.status()}; nothing was changed")


def check_declared(found: Distq, type: str, app: str) -> None:
    """With the code at hand, a type that it does not declare is a slip."""
    if type not in found.tasks:
        raise ConfigurationError(
            f"{app} declares no type {type!r}{did_you_mean(type, found.tasks)}; "
            f"there are: {', '.join(sorted(found.tasks)) or 'none'}; to enqueue it all the same, leave --app out"
        )


def result(
    id: str = Id,
    wait: str = typer.Option("0s", "--wait", metavar="TIME", help="Wait this long for it."),
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Print the result of a task, as JSON.

    The exit code is 0 if it completed, 1 if it failed or is unknown, 6 if it has not ended yet.
    """
    wait_s = values.seconds(wait, "--wait")
    found = target.find_app(app, broker, name)
    _print_result(found, found.result(id), wait_s, as_json)


def cancel(
    ids: list[str] = typer.Argument(..., metavar="ID"),
    running: bool = typer.Option(False, "--running", help="Also those that run: their handlers are interrupted."),
    kill: bool = typer.Option(False, "--kill", help="Also those that run: their processes are ended."),
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Cancel tasks that wait; with --running those that run, too.

    The exit code is 1 if one of them runs already (without these), has ended, or is unknown.
    """
    found = target.find_app(app, broker, name)
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
def show(
    id: str = Id,
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Show all that is known of a task.

    Its state, arguments, attempts and result.
    """
    found = target.find_app(app, broker, name)
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


# -- what to send ---------------------------------------------------------------------------------------------------


def _options(
    *,
    priority: str | None,
    queue: str | None,
    delay: str | None,
    expires: str | None,
    id: str | None,
    retries: str | None,
) -> Any:
    """The options of the call, checked; only those that were given."""
    said = {
        "priority": None if priority is None else values.priority(priority),
        "queue": values.given(queue, "--queue"),
        "delay": None if delay is None else values.seconds(delay, "--delay"),
        "expires": None if expires is None else values.above_0(expires, "--expires"),
        "id": values.given(id, "--id"),
        "retries": None if retries is None else values.whole(retries, "--retries", 0, 1000),
    }
    return {key: value for key, value in said.items() if value is not None}


def read_payload(text: str | None) -> tuple[Any, ...]:
    """What stands as JSON on the command line, or on standard input: none or one value."""
    if text is None:
        return ()
    if text == "-":
        text = sys.stdin.read()
    try:
        return (json.loads(text),)
    except RecursionError:
        raise NotSerializable("the payload is nested too deeply") from None
    except ValueError as error:
        text_itself = f"'{json.dumps(text)}'"
        quotes = f"; a text as the argument is {text_itself}" if len(text) < 40 and text[:1] not in "{[" else ""
        quotes = quotes or ("; put it in single quotes for the shell" if len(text) < 80 else "")
        raise ConfigurationError(f"the payload is no JSON: {error}: {text[:60]}{quotes}") from None


def choose_queue(found: Distq, type: str, queue: str | None, notes: list[str]) -> str:
    """The queue for a task whose declaration is not here: the given one, or where such tasks have gone before."""
    known = complete.types_of(found, every_place(found))
    there = complete.announced(found, found.queues)
    if type not in known:
        hint = did_you_mean(type, known)
        notes.append(f"nobody on this broker has heard of type {type}{hint}; it waits for a worker that has")
    elif there and type not in there:
        notes.append(
            f"no worker that runs now knows type {type}{did_you_mean(type, there)}; it waits for one that does"
        )
    if queue is not None:
        if queue not in found.queues:
            notes.append(f"{found.name} had no queue {queue} so far{did_you_mean(queue, found.queues)}")
            found.queue(queue)
        return queue
    seen = sorted(known.get(type, ()))
    if len(seen) > 1 and "default" not in seen:
        raise ConfigurationError(f"type {type} is in several queues: {', '.join(seen)}; choose with --queue")
    return "default" if not seen or "default" in seen else seen[0]
