"""What stands on the command line for a call: its payload, and the queue of a type whose code may not be at hand."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import typer

from distq.app import Distq
from distq.cli import complete
from distq.cli.target import Place
from distq.errors import ConfigurationError, NotSerializable, did_you_mean
from distq.facts import every_place
from distq.message import check_type

Payload = typer.Argument(
    None,
    metavar="JSON",
    show_default=False,
    help="An object becomes keyword arguments, anything else (also a list) the one argument; - reads standard input.",
)


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
        quotes = quotes or ("; put it in single quotes for the shell, names in double ones" if len(text) < 80 else "")
        raise ConfigurationError(f"the payload is no JSON: {error}: {text[:60]}{quotes}") from None


@contextlib.contextmanager
def wrong_arguments() -> Iterator[None]:
    """What the task does not take is a slip of who has typed it."""
    try:
        yield
    except TypeError as error:
        raise ConfigurationError(str(error)) from None


def aim(found: Distq, place: Place, type: str, options: dict[str, Any]) -> list[str]:
    """Puts the queue among the options; answers what should be said beside a call that was sent.

    With the code at hand its declaration holds, without it the task goes where such tasks have gone before.
    """
    notes: list[str] = []
    if place.app:
        _check_declared(found, type, place.app)
    else:
        options["queue"] = _choose_queue(found, check_type(type), options.get("queue"), notes)
    return notes


def _check_declared(found: Distq, type: str, app: str) -> None:
    """With the code at hand, a type that it does not declare is a slip."""
    if type not in found.tasks:
        raise ConfigurationError(
            f"{app} declares no type {type!r}{did_you_mean(type, found.tasks)}; "
            f"there are: {', '.join(sorted(found.tasks)) or 'none'}; to enqueue it all the same, leave --app out"
        )


def _choose_queue(found: Distq, type: str, queue: str | None, notes: list[str]) -> str:
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
