"""What goes wrong, as answers: problem+json (RFC 9457) that names the field. Nothing of the inside is shown."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from distq.errors import (
    AlreadyEnqueued,
    BrokerError,
    BrokerFull,
    BrokerUnavailable,
    ConfigurationError,
    NotWaiting,
    PayloadTooLarge,
    QueueFull,
    UnknownQueue,
    UnknownSchedule,
    UnknownTask,
)

logger = logging.getLogger("distq.server")

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
MOST_ERRORS = 20

_OPTION = re.compile(r"(?:task \S+: )?(\w+)(?==| ')")
_ARGUMENT = re.compile(r"argument:? '(\w+)'")
_KEY = re.compile(r"per=?(?: '(\w+)')?.* cannot be a key:", re.DOTALL)


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """RFC 9457: `status` and `title` say what kind it is, `detail` what is wrong, `errors` with which field."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []
    ids: list[str] = []
    """Of many tasks with 429: those for which there was room. With 409, `on_duplicate="raise"`: those that are there
    for the calls, in their order."""
    refused: str = ""
    """Of these the first one that was there before."""


class Problem(Exception):
    """Ends a request with this answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str = "",
        headers: Mapping[str, str] | None = None,
        ids: Sequence[str] = (),
        refused: str = "",
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field, self.headers = status, detail, field, dict(headers or {})
        self.more = {name: value for name, value in (("ids", list(ids)), ("refused", refused)) if value}

    def answer(self) -> Response:
        """As a response."""
        errors = [(self.field, self.detail)] if self.field else []
        return problem(self.status, self.detail, errors, self.headers, self.more)


def problem(
    status: int,
    detail: str,
    errors: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """A problem as a response."""
    document: dict[str, Any] = {
        "type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail,
        "errors": [{"field": field, "message": message} for field, message in errors[:MOST_ERRORS]],
    }  # fmt: skip
    return Response(json.dumps(document | dict(more or {})), status, headers, MEDIA_TYPE)


def unavailable(detail: str) -> Problem:
    """503: the same request may be sent again."""
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def too_many(detail: str, seconds: float, ids: Sequence[str] = ()) -> Problem:
    """429: not before so many seconds have passed. `ids`: of tasks that are there all the same."""
    return Problem(429, detail, headers={"Retry-After": str(math.ceil(seconds))}, ids=ids)


def of(error: Exception) -> Problem | None:
    """What distq has to say of a request; None: that is no fault of the request."""
    match error:
        case Problem():
            return error
        case QueueFull():
            return too_many(str(error), error.retry_after, [handle.id for handle in error.handles])
        case BrokerFull():
            return unavailable("the broker is full")
        case BrokerUnavailable():
            return unavailable("the broker does not answer, or refuses; what was asked for may be repeated")
        case BrokerError():
            return unavailable("the broker cannot do this")
        case PayloadTooLarge():
            return Problem(413, str(error), field="args")
        case UnknownQueue():
            return Problem(400, str(error), field="queue")
        case AlreadyEnqueued():
            ids = [handle.id for handle in error.handles]
            return Problem(409, str(error), ids=ids, refused=error.id)
        case NotWaiting():
            return Problem(409, str(error))
        case UnknownTask() | UnknownSchedule():
            return Problem(404, str(error))
        case ConfigurationError():
            option = _OPTION.match(str(error))
            return Problem(400, str(error), field=option[1] if option else "")
        case TypeError() | ValueError():
            return _of_arguments(error)
    return None


def _of_arguments(error: TypeError | ValueError) -> Problem | None:
    """Of a call that cannot be sent."""
    if key := _KEY.match(str(error)):
        return Problem(400, str(error), field=f"kwargs.{key[1]}" if key[1] else "args")
    if isinstance(error, ValueError):
        return None
    argument = _ARGUMENT.search(str(error))
    return Problem(400, str(error), field=f"kwargs.{argument[1]}" if argument else "args")


def invalid(error: ValidationError) -> Response:
    """400 for a body that does not fit its model."""
    found = [(path(item["loc"]), _said(item)) for item in error.errors(include_url=False, include_input=False)]
    return problem(400, "the request does not fit; see errors", found)


def _said(item: Mapping[str, object]) -> str:
    is_unknown = item["type"] == "extra_forbidden"
    return "there is no such field: /api/openapi.json has all" if is_unknown else str(item["msg"])


def path(places: Sequence[object]) -> str:
    """`calls.3.type`; parts of a union's name are left out."""
    return ".".join(str(place) for place in places if isinstance(place, int) or re.fullmatch(r"\w+", str(place)))


# -- as FastAPI calls them ---------------------------------------------------------------------------------------------


async def on_distq(request: Request, error: Exception) -> Response:
    """For errors of distq and TypeErrors of a signature."""
    found = of(error)
    if found is None:
        raise error
    return found.answer()


async def on_invalid_body(request: Request, error: Exception) -> Response:
    """For a body."""
    assert isinstance(error, ValidationError)
    return invalid(error)


async def on_invalid_query(request: Request, error: Exception) -> Response:
    """For the query and the path."""
    assert isinstance(error, RequestValidationError)
    found = [(path(item["loc"][1:]), str(item["msg"])) for item in error.errors()]
    return problem(400, "the request does not fit; see errors", found)


async def on_http(request: Request, error: Exception) -> Response:
    """For what the router refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    detail = {404: "there is nothing under this path", 405: "this path has no such method"}.get(error.status_code, "")
    return problem(error.status_code, detail or str(error.detail), headers=error.headers)


async def on_anything(request: Request, error: Exception) -> Response:
    """For what should not be: the log has it, the answer says nothing of it."""
    return problem(500, "something went wrong on this side; the log of the server has it")
