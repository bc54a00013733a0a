"""What people change while everything runs: pauses, limits of types, budgets. It takes effect at once, on all hosts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field, StrictInt, StrictStr
from starlette.responses import Response

from distq.budget import Budget
from distq.controls import MOST_REASON, Pause
from distq.errors import did_you_mean
from distq.message import MAX_NAME
from distq.server.calls import Duration
from distq.server.models import BudgetDetails, Budgets, Changed, Limits, Pauses
from distq.server.problems import Problem
from distq.server.site import READS, WRITES, Strict, accepts, answer, body_of, key_of, problems, site_of

if TYPE_CHECKING:
    from distq.app import Distq

pauses = APIRouter(prefix="/pauses", tags=["pauses"])
limits = APIRouter(prefix="/limits", tags=["limits"])
budgets = APIRouter(prefix="/budgets", tags=["budgets"])

Queue = Annotated[StrictStr, Field(min_length=1, max_length=70)]
Type = Annotated[StrictStr, Field(min_length=1, max_length=MAX_NAME)]
Key = Annotated[StrictStr, Field(max_length=200)]
Reason = Annotated[StrictStr, Field(max_length=MOST_REASON)]
Text = Annotated[StrictStr, Field(min_length=1, max_length=100)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=4)]
Numbers = Annotated[list[StrictInt | Text], Field(min_length=1, max_length=4)]
InQueue = Query(None, min_length=1, max_length=70)


def who(request: Request) -> str:
    """Who asks, as it is shown to others."""
    return f"API key {key_of(request).name}"


# -- pauses ------------------------------------------------------------------------------------------------------------


class What(Strict):
    """A queue, a type (in all queues, or in that one), or a key of a type."""

    queue: Queue | None = None
    type: Type | None = None
    key: Key | None = None

    def said(self) -> dict[str, str | None]:
        """As `app.pause` takes it."""
        if self.queue is None and self.type is None:
            raise Problem(400, "give queue, type, or type with key", field="queue")
        return {"queue": self.queue, "type": self.type, "key": self.key}


class NewPause(What):
    """The same, and why, for those who find it paused."""

    reason: Reason | None = None


@pauses.get("", responses={200: {"model": Pauses}, **READS})
def paused(request: Request) -> Response:
    """All that is paused: by whom, since when, and why."""
    return answer({"pauses": paused_in(site_of(request).app)})


def paused_in(app: Distq) -> list[dict[str, Any]]:
    """The same as data."""
    return [described(one) for one in app.pauses()]


def described(one: Pause) -> dict[str, Any]:
    """One of them."""
    return {**asdict(one), "since": one.since.isoformat()}


@pauses.post("", responses={200: {"model": Changed}, **WRITES}, openapi_extra=accepts(NewPause))
def pause(request: Request) -> Response:
    """Hands out nothing more of it until it is resumed. What runs goes on."""
    said = body_of(request, NewPause)
    done = site_of(request).app.pause(**said.said(), by=who(request), reason=said.reason)
    return answer({"changed": done})


@pauses.post("/resume", responses={200: {"model": Changed}, **WRITES}, openapi_extra=accepts(What))
def resume(request: Request) -> Response:
    """Ends a pause."""
    return answer({"changed": site_of(request).app.resume(**body_of(request, What).said())})


# -- limits ------------------------------------------------------------------------------------------------------------


class NewLimits(Strict):
    """What limits a type from now on. "none" takes a limit away, and what is left out stays as it is."""

    rate: Annotated[Text | Texts, Field(examples=["20/s", ["20/s", "5/s per tenant"]])] | None = None
    max_running: Annotated[StrictInt | Text | Numbers, Field(examples=[3, "1 per tenant"])] | None = None
    queue: Queue | None = None


@limits.get("", responses={200: {"model": Limits}, **READS})
def limited(request: Request, type: str = Query("", max_length=MAX_NAME)) -> Response:
    """The types that are limited: what holds, and what is declared where somebody has set something else."""
    return answer(_limits(request, type))


@limits.patch(
    "/{type:path}", responses={200: {"model": Limits}, **WRITES, **problems(404)}, openapi_extra=accepts(NewLimits)
)
def set_limits(request: Request, type: str) -> Response:
    """Sets limits of a type. They win over the declared ones until they are cleared, also over deployments."""
    said = body_of(request, NewLimits)
    if said.rate is None and said.max_running is None:
        raise Problem(400, "give rate or max_running", field="rate")
    site_of(request).app.limits.set(
        type, rate=said.rate, max_running=said.max_running, queue=said.queue, by=who(request)
    )
    return answer(_limits(request, type))


@limits.delete("/{type:path}", responses={200: {"model": Limits}, **WRITES, **problems(404)})
def clear_limits(request: Request, type: str, queue: str | None = InQueue) -> Response:
    """What is declared holds again."""
    site_of(request).app.limits.clear(type, queue=queue)
    return answer(_limits(request, type))


def _limits(request: Request, type: str) -> dict[str, Any]:
    found = [one for one in site_of(request).app.limits.list() if type in ("", one.type)]
    return {"limits": [{**asdict(one), "since": one.since and one.since.isoformat()} for one in found]}


# -- budgets -----------------------------------------------------------------------------------------------------------


class Park(Strict):
    """For how long nobody takes from a budget, and of which key if it has some."""

    retry_after: Duration
    key: Key | None = None


@budgets.get("", responses={200: {"model": Budgets}, **READS})
def every_budget(request: Request) -> Response:
    """The budgets that the application declares; of those without keys what is left, and until when they are parked."""
    found = site_of(request).app.budgets.values()
    return answer({"budgets": [_budget(one, None, one.terms.key is None) for one in found]})


@budgets.get("/{name:path}", responses={200: {"model": BudgetDetails}, **READS, **problems(404)})
def one_budget(request: Request, name: str, key: str | None = Query(None, max_length=200)) -> Response:
    """What is left of a budget, of one of its keys if it has some, and until when it is parked."""
    found = _find(request, name)
    return answer(_budget(found, key, found.terms.key is None or key is not None))


@budgets.post(
    "/{name:path}/park",
    responses={200: {"model": BudgetDetails}, **WRITES, **problems(404)},
    openapi_extra=accepts(Park),
)
def park(request: Request, name: str) -> Response:
    """Nobody takes from a budget for so long, neither tasks nor programs. A park that is longer already stays."""
    found, said = _find(request, name), body_of(request, Park)
    try:
        found.park(said.retry_after, key=said.key)
    except ValueError as error:
        raise Problem(400, str(error), field="key") from None
    return answer(_budget(found, said.key, True))


def _find(request: Request, name: str) -> Budget:
    known = site_of(request).app.budgets
    if name not in known:
        raise Problem(404, f"no budget {name!r:.80} is declared here{did_you_mean(name, known)}")
    return known[name]


def _budget(found: Budget, key: str | None, is_one: bool) -> dict[str, Any]:
    """Of one with keys, and none is given, only what is declared."""
    told: dict[str, Any] = {
        "name": found.name, "queue": found.terms.queue, "has_keys": found.terms.key is not None, "key": key,
        "amounts": [{"rate": one.rate.short, "unit": one.unit, "left": None} for one in found.terms.amounts],
        "parked_until": None,
    }  # fmt: skip
    if not is_one:
        return told
    try:
        state = found.state(key=key)
    except ValueError as error:
        raise Problem(400, str(error), field="key") from None
    until = state.parked_until
    return told | {"amounts": [asdict(one) for one in state.amounts], "parked_until": until and until.isoformat()}
