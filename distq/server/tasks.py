"""Tasks: create one or many, all that is known of one, cancel, retry."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from distq.broker import verbs
from distq.errors import AlreadyEnqueued, QueueFull, UnknownTask
from distq.facts import describe, hiding_of
from distq.message import NEVER_SAID, Message, check_id, parse, untyped
from distq.options import Call
from distq.result import Handle
from distq.sender import Sender
from distq.server.calls import MOST_TASKS, NewTask, NewTasks, id_for, sender_of, token_of
from distq.server.models import Cancelled, Created, ManyCreated, TaskDetails, WhyDetails
from distq.server.problems import Problem, of
from distq.server.site import (
    READS,
    WRITES,
    Site,
    Strict,
    accepts,
    answer,
    large_body_of,
    may_enqueue,
    needs,
    problems,
    site_of,
)
from distq.server.switches import who
from distq.task import Task

router = APIRouter(prefix="/tasks", tags=["tasks"])

# -- creating ----------------------------------------------------------------------------------------------------------


@router.post(
    "",
    status_code=201,
    responses={201: {"model": Created}, 200: {"model": Created}, **WRITES, **problems(429)},
    openapi_extra=accepts(NewTask),
)
async def create(request: Request) -> Response:
    """Enqueues a task. 200: its id, its unique key or the Idempotency-Key was there already: this is that task."""
    site, said = site_of(request), await large_body_of(request, NewTask)
    sender = sender_of(site, said.type, said.said() | id_for(request, said.id))
    may_enqueue(request, 1)
    handle = await sender.adelay(*said.args, **said.kwargs)
    made = {"id": handle.id, "queue": handle.queue, "created": handle.created}
    return answer(made, 201 if handle.created else 200)


@router.post(
    "/bulk",
    status_code=201,
    responses={201: {"model": ManyCreated}, **WRITES, **problems(429)},
    openapi_extra=accepts(NewTasks),
)
async def create_many(request: Request) -> Response:
    """Enqueues many tasks: all are checked before the first one is sent. With an Idempotency-Key at most 1,000."""
    site, said = site_of(request), await large_body_of(request, NewTasks)
    if (said.calls is None) == (said.tasks is None) or (said.type is None) != (said.tasks is not None):
        raise Problem(400, "give `type` with `calls`, or `tasks`", field="calls")
    options = said.said()
    if said.tasks is not None:
        if options:
            raise Problem(400, "with `tasks` each one has options of its own", field=next(iter(options)))
        return await _create_each(request, site, said.tasks)
    assert said.type is not None
    assert said.calls is not None
    if request.headers.get("idempotency-key") is not None:
        tasks = [_with_arguments(said, call) for call in said.calls[: MOST_TASKS + 1]]
        if len(tasks) > MOST_TASKS:
            raise Problem(400, f"with an Idempotency-Key at most {MOST_TASKS} calls", field="calls")
        return await _create_each(request, site, tasks, "calls")
    site.check_type(said.type)
    sender = site.app._sender(said.type, options)
    packed = _packed(sender, [tuple(call) if isinstance(call, list) else call for call in said.calls])
    may_enqueue(request, len(said.calls))
    handles = await sender.asend_packed(iter(packed))
    created = sum(handle.created for handle in handles)
    return answer({"ids": [handle.id for handle in handles], "number": len(handles), "created": created}, 201)


def _packed(sender: Sender[Any, Any], calls: list[tuple[Any, ...] | dict[str, Any]]) -> list[list[bytes]]:
    """The messages of all. Raises Problem that names the call that cannot be one."""
    try:
        return list(sender.packed(calls))
    except Exception:
        for position, call in enumerate(calls):
            try:
                list(sender.packed([call]))
            except Exception as error:
                raise at(error, f"calls.{position}") from error
        raise


def _with_arguments(said: NewTasks, call: list[Any] | dict[str, Any]) -> NewTask:
    options = {name: getattr(said, name) for name in said.model_fields_set - {"calls", "tasks"}}
    arguments = {"kwargs": call} if isinstance(call, dict) else {"args": call}
    return NewTask.model_validate({**options, **arguments})


async def _create_each(request: Request, site: Site, tasks: list[NewTask], place: str = "tasks") -> Response:
    senders = []
    is_once = request.headers.get("idempotency-key") is not None
    for position, task in enumerate(tasks):
        try:
            options = task.said() | ({} if task.id is None else {"id": task.id})
            if is_once:
                once = id_for(request, task.id)
                options |= once | {"id": f"{once['id']}-{position}"}
            sender = sender_of(site, task.type, options)
            sender._bind(tuple(task.args), task.kwargs)
        except Exception as error:
            raise at(error, f"{place}.{position}") from error
        senders.append(sender)
    may_enqueue(request, len(tasks))
    made = await asyncio.gather(
        *(_sent(sender, task) for sender, task in zip(senders, tasks, strict=True)), return_exceptions=True
    )
    handles, refused = _all_or_full(made)
    if refused is not None:
        raise AlreadyEnqueued(str(refused), refused.id, handles)
    created = sum(handle.created for handle in handles)
    return answer({"ids": [handle.id for handle in handles], "number": len(handles), "created": created}, 201)


Sent = tuple[Handle[Any], AlreadyEnqueued | None]


async def _sent(sender: Task[Any, Any, Any] | Sender[Any, Any], task: NewTask) -> Sent:
    """The task of a call, and whether that is an error because it was there already."""
    try:
        return await sender.adelay(*task.args, **task.kwargs), None
    except AlreadyEnqueued as error:
        return error.handles[0], error


def _all_or_full(made: list[Sent | BaseException]) -> tuple[list[Handle[Any]], AlreadyEnqueued | None]:
    """The handles of all, and the first one that was refused. Raises QueueFull with those for which there was room."""
    sent = [one for one in made if not isinstance(one, BaseException)]
    handles = [handle for handle, _ in sent]
    for error in made:
        if isinstance(error, QueueFull):
            error.handles = handles
        if isinstance(error, BaseException):
            raise error
    return handles, next((error for _, error in sent if error is not None), None)


# -- one task ----------------------------------------------------------------------------------------------------------


@router.get("/{id:path}/why", responses={200: {"model": WhyDetails}, **READS, **problems(404)})
def why(request: Request, id: str) -> Response:
    """Why a task is not running: each gate that keeps it back, with its numbers."""
    found = site_of(request).app.why(id)
    if found.state == "unknown":
        raise unknown(id)
    return answer(asdict(found))


@router.get("/{id:path}", responses={200: {"model": TaskDetails}, **READS, **problems(404)})
def show(request: Request, id: str) -> Response:
    """All that is known of a task: its state, arguments, attempts, progress and result."""
    site = site_of(request)
    facts = describe(site.app, check_id(id))
    if facts["status"] == "unknown":
        raise unknown(id)
    names = {"names": site.names_of(facts["type"], len(facts["args"]))} if "args" in facts else {}
    return answer(site.shown_call(facts) | names)


class How(Strict):
    """Whether a task that runs is to end as well: its handler is told (`running`), or its process is ended (`kill`)."""

    running: bool = False
    kill: bool = False


@router.post(
    "/{id:path}/cancel",
    responses={200: {"model": Cancelled}, **WRITES, **problems(404, 409)},
    openapi_extra=accepts(How, required=False),
)
async def cancel(request: Request, id: str) -> Response:
    """Ends a task that waits; with `running` or `kill` also one that runs. 409: it runs, or has ended."""
    site, how = site_of(request), await large_body_of(request, How)
    queue, look = await find(site, id)
    if look.state == "unknown":
        raise unknown(id)
    broker = site.app.async_broker
    mode = "kill" if how.kill else "running" if how.running else ""
    word = await broker.run(verbs.cancel(broker.prefix(queue), id, who(request), mode, token_of(request)))  # type: ignore[arg-type]
    if word in ("cancelled", "ordered"):
        return answer({"id": id, "outcome": word})
    if word == "unknown":
        raise unknown(id)
    hint = "; cancel it with running or kill" if word == "running" else ""
    raise Problem(409, f"task {id} {'runs' if word == 'running' else 'has ended'}{hint}")


class Edits(Strict):
    """Other arguments for the next attempt; what is left out stays as it was."""

    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None


@router.post(
    "/{id:path}/retry",
    responses={200: {"model": Created}, **WRITES, **problems(404, 409, 429)},
    openapi_extra=accepts(Edits, required=False),
)
async def retry(request: Request, id: str) -> Response:
    """Runs a dead task again, with a fresh budget of attempts, and with other arguments if these are given."""
    site, edits = site_of(request), await large_body_of(request, Edits)
    queue, look = await find(site, id)
    if look.state == "unknown":
        raise unknown(id)
    if look.message is None or look.state not in ("dead", "ended"):
        raise Problem(409, f"task {id} is {look.state}: only dead ones can be run again")
    may_enqueue(request, 1)
    if edits.args is None and edits.kwargs is None:
        broker = site.app.async_broker
        word = (await broker.run(verbs.replay(broker.prefix(queue), [id])))[0]
        is_new = word == "replayed"
    else:
        is_new = await _send_again(site, queue, id, look.message, edits)
    if not is_new:
        raise Problem(409, f"task {id} is not dead any more")
    return answer({"id": id, "queue": queue, "created": True})


async def _send_again(site: Site, queue: str, id: str, raw: bytes, edits: Edits) -> bool:
    """A new call under the same id takes the dead one's place. Its options are those of the old one."""
    try:
        old = parse(raw)
        args, kwargs, headers = site.app.codec.unpack_call(old.body)
    except ValueError:
        raise Problem(409, f"the message of task {id} cannot be read") from None
    hidden = hiding_of(site.app, old.type, len(args), headers, site.config.redacted)
    args = args if edits.args is None else hidden.restored_args(edits.args, args)
    kwargs = kwargs if edits.kwargs is None else hidden.restored(edits.kwargs, kwargs)
    like = site.app._sender(old.type, {"id": id})
    call = replace(
        like._call, queue=queue, priority=min(old.priority, 2), bounds=(), headers=dict(headers),
        result_ttl_s=_ttl(old, like._call),
    )  # fmt: skip
    sender: Sender[Any, Any] = Sender(site.app, untyped(old.type)[0], call, like._bind)
    return (await sender.adelay(*args, **kwargs)).created


def _ttl(old: Message, call: Call) -> int | None:
    return call.result_ttl_s if old.result_ttl_s == NEVER_SAID else old.result_ttl_s


@router.delete("/{id:path}", status_code=204, responses={**WRITES, **problems(404, 409)})
async def delete(request: Request, id: str) -> Response:
    """Deletes a dead task for good. Needs a key of level admin. 409: it is not dead; what waits can be cancelled."""
    needs(request, "admin")
    site = site_of(request)
    queue, look = await find(site, id)
    if look.state == "unknown":
        raise unknown(id)
    broker = site.app.async_broker
    if not await broker.run(verbs.purge_dead(broker.prefix(queue), [id])):
        raise Problem(409, f"task {id} is not dead: only dead ones are deleted")
    return Response(status_code=204)


async def find(site: Site, id: str) -> tuple[str, verbs.Look]:
    """A task in whichever queue has it. Raises ConfigurationError for what cannot be an id."""
    return await site.app.async_broker.find(id, await site.app.aqueues_of(check_id(id)))


def unknown(id: str) -> UnknownTask:
    """404."""
    return UnknownTask(f"no task {id} is known: it never was, or what was kept of it is over", id=id)


def at(error: Exception, place: str) -> Exception:
    """The same error with the place of the call that it is about."""
    found = of(error)
    if found is None:
        return error
    return Problem(found.status, found.detail, field=f"{place}.{found.field}" if found.field else place)
