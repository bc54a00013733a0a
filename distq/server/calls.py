"""What a client says of calls: the models of requests, and the senders made from them."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr
from starlette.requests import Request

from distq.clock import parse_time
from distq.message import MAX_ID, MAX_NAME
from distq.options import MAX_RETRIES
from distq.sender import Sender
from distq.server.problems import Problem
from distq.server.site import Site, Strict, key_of
from distq.task import Task

MOST_CALLS = 10_000
MOST_TASKS = 1_000
MOST_KEY = 255
MOST_HEADERS = 100
MOST_SENDERS = 1_000
_OF_ONE_CALL = frozenset({"id", "once", "eta", "headers"})

Duration = Annotated[
    Annotated[StrictInt, Field(ge=0, le=31_536_000)]
    | Annotated[StrictFloat, Field(ge=0, le=31_536_000)]
    | Annotated[StrictStr, Field(max_length=20, pattern=r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d|w)?\s*$")],
    Field(description="Seconds, or text such as 10s, 5m, 2d.", examples=[10, "5m"]),
]
_DATE = r"^[0-9]{4}-"
Moment = Annotated[StrictStr, Field(max_length=40, pattern=_DATE, description="ISO 8601, with a zone.")]
Parameter = Annotated[StrictStr, Field(min_length=1, max_length=200)]
Unique = Annotated[
    StrictBool | Parameter | Annotated[list[Parameter], Field(min_length=1, max_length=20)],
    Field(description="By which parameters calls are the same one; true: by all; false: this one is not."),
]
Priority = Annotated[
    Annotated[StrictInt, Field(ge=0, le=2)] | Literal["low", "default", "high"],
    Field(description="low, default or high, or 0, 1, 2"),
]
Type = Annotated[StrictStr, Field(min_length=1, max_length=MAX_NAME + 4, examples=["email"])]


class Options(Strict):
    """Options of a call; what is left out is as the task declares it."""

    queue: Annotated[StrictStr, Field(max_length=64)] | None = None
    priority: Priority | None = None
    delay: Duration | None = None
    eta: Annotated[StrictStr, Field(max_length=40, description="ISO 8601, with a zone.")] | None = None
    expires: Duration | Moment | None = None
    retries: Annotated[StrictInt, Field(ge=0, le=MAX_RETRIES)] | None = None
    result_ttl: Duration | None = None
    soft_time_limit: Duration | None = None
    time_limit: Duration | None = None
    durable: StrictBool | None = None
    headers: Annotated[dict[str, Any], Field(max_length=MOST_HEADERS)] | None = None
    unique: Unique | None = None
    unique_until: Literal["done", "start"] | None = None
    unique_for: Duration | None = None
    on_duplicate: Literal["return", "raise", "replace"] | None = None
    throttle: Duration | None = None
    debounce: Duration | None = None
    debounce_max: Duration | None = None

    def said(self) -> dict[str, Any]:
        """Those that are given, as `task.options()` takes them."""
        found = {name: getattr(self, name) for name in self.model_fields_set & OPTIONS}
        found = {name: value for name, value in found.items() if value is not None}
        if isinstance(found.get("unique"), list):
            found["unique"] = tuple(found["unique"])
        if "eta" in found:
            found["eta"] = moment("eta", found["eta"])
        if isinstance(found.get("expires"), str) and re.match(_DATE, found["expires"]):
            found["expires"] = moment("expires", found["expires"])
        return found


OPTIONS = frozenset(Options.model_fields)


class NewTask(Options):
    """A call: positional arguments, keyword arguments, options."""

    type: Type
    args: list[Any] = Field(default_factory=list)
    kwargs: dict[str, Any] = Field(default_factory=dict)
    id: Annotated[StrictStr, Field(min_length=1, max_length=MAX_ID)] | None = None


class NewTasks(Options):
    """Many calls: of one `type`, each a list of positional or an object of keyword arguments, with the same options; or
    `tasks`, each for itself."""

    type: Type | None = None
    calls: Annotated[list[list[Any] | dict[str, Any]], Field(max_length=MOST_CALLS)] | None = None
    tasks: Annotated[list[NewTask], Field(max_length=MOST_TASKS)] | None = None


def sender_of(site: Site, type: str, options: dict[str, Any]) -> Task[Any, Any, Any] | Sender[Any, Any]:
    """What sends such calls. Raises Problem for a type that is not declared, ConfigurationError for wrong options."""
    if not options and (task := site.app.tasks.get(type)) is not None:
        return task
    site.check_type(type)
    if not options.keys().isdisjoint(_OF_ONE_CALL):
        return site.app._sender(type, options)
    key = (type, *sorted(options.items()))
    found = site.senders.get(key)
    if found is None:
        if len(site.senders) >= MOST_SENDERS:
            site.senders.clear()
        found = site.senders[key] = site.app._sender(type, options)
    return found


def id_for(request: Request, said: str | None) -> dict[str, Any]:
    """The options that make a call with an Idempotency-Key, or an `id`, one that is made once."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return {} if said is None else {"id": said}
    if said is not None:
        raise Problem(400, "id and Idempotency-Key say the same thing twice: give one of them", field="id")
    if len(given) > 1 or not 0 < len(given[0]) <= MOST_KEY:
        raise Problem(400, f"give one Idempotency-Key of 1 to {MOST_KEY} characters", field="Idempotency-Key")
    told = f"{key_of(request).name}\n{given[0]}".encode()
    return {"id": f"once-{hashlib.sha256(told).hexdigest()[:40]}", "once": True}


def token_of(request: Request) -> str:
    """What a request that is sent again with the same Idempotency-Key is known by, for verbs that remember it; empty:
    there is none."""
    return str(id_for(request, None).get("id", ""))


def moment(name: str, text: str) -> datetime:
    """A time as text. Raises Problem."""
    try:
        return parse_time(text)
    except ValueError:
        raise Problem(400, f"{name} {text!r:.60} is no time: give ISO 8601 with a zone", field=name) from None
