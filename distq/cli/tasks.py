"""Commands about single tasks: enqueue, result, cancel, tasks show."""

from __future__ import annotations

import json
from typing import Any

import typer

from distq.app import Distq
from distq.broker import inspect
from distq.cli import output, target
from distq.durations import seconds
from distq.errors import ConfigurationError, ResultNotKept, ResultTimeout, TaskError, UnknownTask
from distq.message import parse

app = typer.Typer(help="Look at single tasks.", no_args_is_help=True, rich_markup_mode=None)

NOT_THERE_YET = 6


def enqueue(
    type: str = typer.Argument(..., metavar="TYPE"),
    payload: str = typer.Argument(
        "", metavar="JSON", help="An object becomes keyword arguments, anything else one argument."
    ),
    priority: str = typer.Option(None, "--priority", help="high, default or low."),
    queue: str = typer.Option(None, "--queue", "-Q"),
    delay: str = typer.Option(None, "--delay", help="Start after this long: 10s, 5m, 2d."),
    expires: str = typer.Option(None, "--expires", help="Do not start later than this from now."),
    id: str = typer.Option(None, "--id", help="Your own id: a second call with that of a live task changes nothing."),
    retries: int = typer.Option(None, "--retries"),
    wait: bool = typer.Option(False, "--wait", help="Wait for the result and print it."),
    timeout: str = typer.Option("60s", "--timeout", help="How long to wait."),
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Enqueue a task by its type.

    Examples:

      distq enqueue email '{"to": "a@example.com", "subject": "Hi"}'

      distq enqueue report 17 --priority low --delay 5m

      distq enqueue add '{"a": 1, "b": 2}' --wait
    """
    found = target.find_app(app, broker, name)
    said = {
        "priority": _priority(priority),
        "queue": queue,
        "delay": delay,
        "expires": expires,
        "id": id,
        "retries": retries,
    }
    options: Any = {key: value for key, value in said.items() if value is not None}
    if queue and queue not in found.queues:
        found.queue(queue)
    try:
        handle = found.enqueue(type, *_payload(payload), **options)
    except TypeError as error:
        raise ConfigurationError(str(error)) from None
    if wait:
        _print_result(found, handle.id, _seconds(timeout), as_json)
    elif as_json:
        output.as_json({"id": handle.id, "queue": handle.queue, "created": handle.created})
    else:
        typer.echo(handle.id)


def result(
    id: str = typer.Argument(..., metavar="ID"),
    wait: str = typer.Option("0s", "--wait", help="Wait this long for it."),
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Print the result of a task. Exit code 6: it has not ended yet; 1: it failed, or is unknown.

    Examples:

      distq result default.3f2a...

      distq result order-17 --wait 30s --json
    """
    _print_result(target.find_app(app, broker, name), id, _seconds(wait), as_json)


def cancel(
    ids: list[str] = typer.Argument(..., metavar="ID..."),
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Cancel waiting tasks. Exit code 1: one of them runs already, has ended, or is unknown.

    Example:

      distq cancel order-17 order-18
    """
    found = target.find_app(app, broker, name)
    outcomes = []
    for id in ids:
        handle = found.result(id)
        done = handle.cancel()
        outcomes.append({"id": id, "cancelled": done, "status": handle.status()})
    if as_json:
        output.as_json(outcomes)
    else:
        for outcome in outcomes:
            shown = "cancelled" if outcome["cancelled"] else f"not cancelled: it is {outcome['status']}"
            typer.echo(f"{output.clean(outcome['id'])} {shown}")
    if not all(outcome["cancelled"] for outcome in outcomes):
        raise typer.Exit(1)


@app.command("show")
def show(
    id: str = typer.Argument(..., metavar="ID"),
    as_json: bool = output.Json,
    app: str = target.App,
    broker: str = target.Broker,
    name: str = target.Name,
) -> None:
    """Show all that is known of a task: state, arguments, attempts, result.

    Example:

      distq tasks show default.3f2a...
    """
    found = target.find_app(app, broker, name)
    facts = describe(found, id)
    if facts["status"] == "unknown":
        raise UnknownTask(f"no task {output.clean(id)} is known", id=id)
    if as_json:
        output.as_json(facts)
        return
    attempts = facts.pop("attempts")
    for key, value in facts.items():
        if value not in (None, "", [], {}):
            shown = (
                output.moment(value)
                if key.endswith("_at_ms")
                else value
                if isinstance(value, str)
                else output.json_text(value)
            )
            typer.echo(f"{key.removesuffix('_ms').replace('_', ' '):>15}  {output.clean(shown, 2000)}")
    if attempts:
        rows = [
            (
                a.get("attempt", ""),
                output.moment(a.get("at")),
                a.get("outcome", ""),
                a.get("type", ""),
                a.get("message", ""),
            )
            for a in attempts
        ]
        typer.echo()
        output.table("Attempts", ("attempt", "at", "outcome", "error", "message"), rows, numbers=("attempt",))


def describe(found: Distq, id: str) -> dict[str, Any]:
    """Everything about one task, as plain data."""
    handle = found.result(id)
    queue, look = found.broker.find(id, found.queues_of(id))
    facts: dict[str, Any] = {"id": id, "status": handle.status(), "queue": queue}
    if look.message is not None:
        try:
            message = parse(look.message)
            args, kwargs, headers = found.codec.unpack_call(message.body)
            facts |= inspect.describe(message) | {"args": args, "kwargs": kwargs, "headers": headers}
        except ValueError as error:
            facts["corrupt"] = str(error)
    if look.due_ms:
        facts["due_at_ms"] = look.due_ms
    if look.worker:
        facts["worker"] = look.worker
    if look.result is not None:
        element = found.codec.unpack(look.result)
        facts["result"] = element[1] if isinstance(element, list) and len(element) > 1 else None
        if isinstance(element, list) and len(element) == 4:
            facts |= {"finished_at_ms": element[2], "seconds": element[3]}
    facts["attempts"] = inspect.attempts(found.broker, queue, id)
    return facts


def _print_result(found: Distq, id: str, wait_s: float, as_json: bool) -> None:
    handle = found.result(id)
    try:
        value = handle.get(timeout=wait_s)
    except ResultTimeout:
        typer.echo(f"not there yet: {output.clean(id)} is {handle.status()}", err=True)
        raise typer.Exit(NOT_THERE_YET) from None
    except ResultNotKept:
        value = None
    except TaskError as error:
        if as_json:
            output.as_json({"id": id, "status": handle.status(), "error": str(error)})
        else:
            typer.echo(f"error: {output.clean(error, 2000)}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        output.as_json({"id": id, "status": "completed", "result": value})
    else:
        typer.echo(output.json_text(value))


def _payload(text: str) -> tuple[Any, ...]:
    if not text:
        return ()
    try:
        return (json.loads(text),)
    except ValueError as error:
        raise ConfigurationError(f"the payload is no JSON: {error}; put it in single quotes for the shell") from None


def _priority(value: str | None) -> str | int | None:
    return int(value) if value is not None and value.isdigit() else value


def _seconds(value: str) -> float:
    return seconds(value, "a time")
