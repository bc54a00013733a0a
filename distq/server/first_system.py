"""The endpoints of the first system, answer for answer: programs that call them need not change.

POST /enqueue {"type", "priority", "payload"} answers `Task enqueued: <id>`; GET /result?id=… {"status", "timestamp"}.
Answers are plain text, errors too, and a line each. One thing differs: without a valid key there is nothing (`guard`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

from distq.broker.inspect import whole
from distq.errors import BrokerError, ConfigurationError
from distq.message import check_id, priority_number
from distq.server import problems
from distq.server.problems import Problem
from distq.server.site import answer, may_enqueue, site_of
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
_BODY = {
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


@router.post(
    "/enqueue",
    response_class=PlainTextResponse,
    responses={code: _TEXTS[code] for code in (200, 400, 401, 403, 405, 408, 413, 429, 500, 503)},
    openapi_extra=_BODY,
)
async def enqueue(request: Request) -> Response:
    """Enqueues a task: an object as `payload` becomes keyword arguments, anything else the one argument."""
    site = site_of(request)
    try:
        said = parse(request.scope["state"]["distq_body"])
        if not isinstance(said, dict):
            raise Problem(400, "the body is no object")
        type, payload, priority = said.get("type"), said.get("payload"), said.get("priority")
        if not isinstance(type, str) or not type:
            raise Problem(400, "type: give the task's type")
        site.check_type(type)
        options = {} if priority is None else {"priority": priority_number(priority)}
        may_enqueue(request, 1)
        arguments = () if payload is None else (payload,)
        handle = await site.app.aenqueue(type, *arguments, **options)  # type: ignore[arg-type]
    except (Problem, TypeError, ValueError, BrokerError, ConfigurationError) as error:
        return refusal(error)
    return text(f"Task enqueued: {handle.id}")


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
