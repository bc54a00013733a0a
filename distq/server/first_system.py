"""The endpoints of the first system, answer for answer: programs that call them need not change.

POST /enqueue {"type", "priority", "payload"} answers `Task enqueued: <id>`; GET /result?id=… {"status", "timestamp"};
POST /schedule {"spec", "type", "payload"} `Job scheduled with EntryID: <number>`.
Answers are plain text, errors too, and a line each. One thing differs: without a valid key there is nothing (`guard`).
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from distq.broker.inspect import whole
from distq.cron import LONGEST
from distq.errors import BrokerError, ConfigurationError, QueueFull, UnknownSchedule
from distq.message import check_id, priority_number
from distq.periodic import check_rhythm
from distq.server import problems
from distq.server.calls import sender_of
from distq.server.problems import Problem
from distq.server.site import LARGE, Site, answer, may_enqueue, site_of
from distq.server.strict import parse

router = APIRouter(tags=["first system"])


class Completed(BaseModel):
    """A task that is completed, and when. `null`: it keeps no result."""

    status: Literal["completed"]
    timestamp: str | None


_TEXTS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}
    for code, text in {
        200: "Done.",
        400: "The request does not fit.",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Result not found",
        405: "Method not allowed",
        408: "The body did not come in time.",
        413: "The body is too large.",
        429: "The key has enqueued as much as it may.",
        500: "The broker is away.",
        503: "Too many large requests at once.",
    }.items()
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["type"],
                    "properties": {
                        "type": {"type": "string", "minLength": 1},
                        "priority": {
                            "anyOf": [
                                {"type": "integer", "minimum": 0, "maximum": 2},
                                {"enum": ["low", "default", "high"]},
                            ]
                        },
                        "payload": {},
                    },
                }
            }
        },
    }
}


_EVERY = re.compile(r"@every ((?:\d+(?:\.\d+)?(?:ms|h|m|s))+)\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)\Z", re.S)


def _with_spec() -> dict[str, Any]:
    """The same body, with `spec`."""
    body = copy.deepcopy(_BODY)
    schema = body["requestBody"]["content"]["application/json"]["schema"]
    schema["required"].append("spec")
    schema["properties"]["spec"] = {"type": "string", "minLength": 1, "examples": ["@every 1m"]}
    return body


def text(said: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """One line, as the first system says it."""
    return PlainTextResponse(f"{said}\n", status, headers)


def refusal(error: Exception) -> Response:
    """The same for an error: there it was 400 for the request and 500 for the broker."""
    found = problems.of(error)
    if found is None:
        raise error
    status = 500 if isinstance(error, BrokerError) else found.status
    return text(found.detail, status, found.headers)


def _object(request: Request) -> dict[str, Any]:
    said = parse(request.scope["state"]["distq_body"])
    if not isinstance(said, dict):
        raise Problem(400, "the body is no object")
    return said


@router.post(
    "/enqueue",
    response_class=PlainTextResponse,
    responses={code: _TEXTS[code] for code in (200, 400, 401, 403, 405, 408, 413, 429, 500, 503)},
    openapi_extra=_BODY,
)
async def enqueue(request: Request) -> Response:
    """Enqueues a task: an object as `payload` becomes keyword arguments, anything else the one argument."""
    site = site_of(request)
    is_large = len(request.scope["state"]["distq_body"]) >= LARGE
    try:
        said = await asyncio.to_thread(_object, request) if is_large else _object(request)
        type, payload, priority = said.get("type"), said.get("payload"), said.get("priority")
        if not isinstance(type, str) or not type:
            raise Problem(400, "type: give the task's type")
        sender = sender_of(site, type, {} if priority is None else {"priority": priority_number(priority)})
        may_enqueue(request, 1)
        args, kwargs = ((), {}) if payload is None else site.app._arguments(payload)
        handle = await sender.adelay(*args, **kwargs)
    except (Problem, TypeError, ValueError, BrokerError, QueueFull, ConfigurationError) as error:
        return refusal(error)
    return text(f"Task enqueued: {handle.id}")


@router.post(
    "/schedule",
    response_class=PlainTextResponse,
    responses={code: _TEXTS[code] for code in (200, 400, 401, 403, 405, 408, 413, 500, 503)},
    openapi_extra=_with_spec(),
)
def schedule(request: Request) -> Response:
    """Makes a schedule that outlives this server. The same request names the same one: it does not tick twice."""
    site = site_of(request)
    try:
        said = _object(request)
        spec, type, payload, priority = (said.get(name) for name in ("spec", "type", "payload", "priority"))
        if not isinstance(spec, str) or not isinstance(type, str):
            raise Problem(400, "give spec, type and payload")
        site.check_type(type)
        options = {} if priority is None else {"priority": priority_number(priority)}
        when, tz = _rhythm(spec)
        args, kwargs = ((), {}) if payload is None else site.app._arguments(payload)
        number = int(hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12], 16)
        _define(site, f"entry-{number}", when, type, {"tz": tz, "args": args, "kwargs": kwargs, **options})
    except (Problem, TypeError, ValueError, BrokerError, ConfigurationError) as error:
        return refusal(error)
    return text(f"Job scheduled with EntryID: {number}")


def _rhythm(spec: str) -> tuple[str, str | None]:
    """When and zone of a `spec`, which may be written as the first system's library takes it."""
    when, tz = spec.strip(), None
    if len(when) > LONGEST:
        raise Problem(400, f"Invalid cron spec: it has more than {LONGEST} characters")
    if match := _ZONE.match(when):
        tz, when = match[1], match[2]
    if match := _EVERY.match(when):
        ms = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(match[1]))
        when = f"@every {max(1, round(ms / 1000))}s"
    try:
        check_rhythm(when, {} if tz is None else {"tz": tz})
    except ConfigurationError as error:
        raise Problem(400, f"Invalid cron spec: {error}") from None
    return when, tz


def _define(site: Site, name: str, when: str, type: str, options: dict[str, Any]) -> None:
    """Makes the schedule, unless it is there."""
    schedules = site.app.schedules
    try:
        schedules.create(name, when, type, **{key: value for key, value in options.items() if value is not None})
    except ConfigurationError:
        with suppress(UnknownSchedule):
            schedules.get(name)
            return
        raise


@router.get(
    "/result",
    responses={**{code: _TEXTS[code] for code in (400, 401, 403, 404, 405, 500)}, 200: {"model": Completed}},
)
async def result(request: Request, id: str = "") -> Response:
    """Tells whether a task is completed, and since when. While it is not, there is no result."""
    site = site_of(request)
    if not id:
        return text("Missing task ID", 400)
    try:
        queues = await site.app.aqueues_of(check_id(id))
        _, look = await site.app.async_broker.find(id, queues)
    except (BrokerError, ConfigurationError) as error:
        return refusal(error)
    if look.result is None:
        return text("Result not found", 404)
    try:
        word, *rest = site.app.codec.unpack(look.result)
    except (ValueError, TypeError):
        word, rest = "corrupt", []
    if word != "completed":
        return text("Result not found", 404)
    return answer({"status": "completed", "timestamp": _moment(rest)})


def _moment(rest: list[Any]) -> str | None:
    """When it was completed, as RFC 3339 in whole seconds; None: it keeps no result."""
    at = whole(rest[1]) if len(rest) > 1 else 0
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if 0 < at < 1 << 47 else None
