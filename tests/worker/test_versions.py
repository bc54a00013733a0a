"""Calls of several versions of a task: each is run by a worker that understands it, or waits for one."""

from __future__ import annotations

import time
from typing import Any

from distq import Context, Distq, current
from distq.codec import Codec
from distq.message import own_max_deliveries
from distq.upgrade import Upgrade
from distq.worker.execute import Executor
from tests.support.room import Room, Worker

codec = Codec()


def from_1(to: str, subject: str = "none") -> dict[str, Any]:
    return {"to": [to], "subject": subject}


def from_2(to: list[str], subject: str) -> tuple[Any, ...]:
    return to, subject.upper()


def mailer(version: int, **options: Any) -> Distq:
    app = Distq("app")
    all_steps: dict[int, Upgrade] = {1: from_1, 2: from_2}
    steps = {start: step for start, step in all_steps.items() if start < version}

    @app.task(version=version, upgrade=steps, retries=0, **options)  # type: ignore[untyped-decorator]
    def mail(*args: Any, **kwargs: Any) -> Any:
        return [current().args, list(args), kwargs]

    return app


def worker_of(room: Room, app: Distq) -> tuple[Worker, Executor]:
    types = sorted(type for task in app.tasks.values() for type in task.declaration.versions)
    limits = {type: limit for type, (limit, _) in app.limits_of("default").items()}
    return room.register(types, limits), Executor(app, lambda: "worker-1", None)


def run_all(room: Room, worker: Worker, runs: Executor) -> int:
    """Everything that it is handed; how many that was."""
    number = 0
    step = room.step(worker)
    while step.entries:
        number += len(step.entries)
        verdicts = []
        for entry, raw in zip(step.entries, step.messages, strict=True):
            verdicts.append(runs.run("default", entry, raw, 1, time.monotonic_ns())[1])
            runs.rest()
        step = room.step(worker, 10, verdicts)
    return number


def call(room: Room, type: str, *args: Any, **kwargs: Any) -> str:
    return room.enqueue(type, body=codec.pack_call(args, kwargs))


def test_a_newer_worker_gets_old_calls_as_calls_of_now(room: Room) -> None:
    first, second, third = (
        call(room, "mail", "ann"),
        call(room, "mail@2", to=["ann"], subject="hi"),
        call(room, "mail@3", ["ann"], "HI"),
    )
    worker, runs = worker_of(room, mailer(3))
    assert run_all(room, worker, runs) == 3
    assert room.result(first)[1] == [[["ann"], "NONE"]] * 2 + [{}]
    for id in (second, third):
        assert room.result(id)[1] == [[["ann"], "HI"]] * 2 + [{}]


def test_middleware_sees_the_arguments_of_now(room: Room) -> None:
    app, seen = mailer(2), []

    def look(context: Context, call_next: Any) -> Any:
        seen.append(context.kwargs)
        return call_next(context)

    app.middleware.append(look)
    id = call(room, "mail", "ann")
    run_all(room, *worker_of(room, app))
    assert seen == [{"to": ["ann"], "subject": "none"}]
    assert room.result(id)[0] == "completed"


def test_an_older_worker_leaves_newer_calls_waiting_without_counting_and_without_being_woken_again(room: Room) -> None:
    ids = [call(room, "mail@2", to=["ann"], subject="hi") for _ in range(3)]
    old = worker_of(room, mailer(1))
    assert run_all(room, *old) == 3, "it meets each once"
    assert run_all(room, *old) == 0
    assert not room.redis.exists(room.key("WAKE"), room.key("WAKE_GROUP", old[0].digest))
    later = call(room, "mail@2", to=["bob"], subject="hi")
    assert run_all(room, *old) == 0, "it is not even handed the next one"
    for id in [*ids, later]:
        assert (room.where(id), room.attempts(id)) == ("queued", [])
        assert (room.head(id).attempt, room.head(id).deliveries) == (0, 0)
    assert run_all(room, *worker_of(room, mailer(2))) == 4
    assert [room.where(id) for id in [*ids, later]] == ["completed"] * 4


def test_a_rate_is_one_for_all_versions(room: Room) -> None:
    new, old = worker_of(room, mailer(2, rate="2/h burst 2")), worker_of(room, mailer(1, rate="2/h burst 2"))
    ids = [call(room, type, "ann", "hi") for type in ("mail", "mail@2") * 3]
    assert run_all(room, *new) == 2
    assert run_all(room, *old) == 0
    assert room.redis.hkeys(room.key("LIMITS")) == [b"mail"]
    assert sorted(room.where(id) for id in ids) == ["completed"] * 2 + ["queued"] * 4
    worker_of(room, mailer(2))
    assert run_all(room, *new) == 4, "the last registration decides, for all versions"


def test_a_producer_of_a_limited_type_makes_the_lane_of_its_version(room: Room) -> None:
    old = worker_of(room, mailer(1, rate="2/h burst 2"))
    app = mailer(2, rate="2/h burst 2")
    app.rebind(room.url)
    app.tasks["mail"].delay(["ann"], "hi")
    assert {k.decode(): v for k, v in room.redis.hgetall(room.key("LANES")).items()} == {
        "mail": b"limited", "mail@2": b"limited",
    }  # fmt: skip
    assert run_all(room, *old) == 0
    assert run_all(room, *worker_of(room, app)) == 1


def test_an_upgrade_that_raises_is_an_error_of_the_task_that_shows_where(room: Room) -> None:
    app = Distq("app")

    def from_an_older_one(to: str) -> dict[str, Any]:
        raise LookupError(f"nobody is called {to}")

    app.task(type="mail", version=2, upgrade={1: from_an_older_one}, retries=0)(lambda to: None)
    id = call(room, "mail", "ann")
    run_all(room, *worker_of(room, app))
    (record,) = room.attempts(id)
    assert (record["type"], record["message"]) == ("LookupError", "nobody is called ann")
    assert "from_an_older_one" in record["traceback"]
    assert "distq/upgrade.py" not in record["traceback"], "it begins in the program"


def test_a_call_carries_its_version_whoever_makes_it(room: Room) -> None:
    app, stranger = mailer(2), Distq("app")
    app.rebind(room.url)
    stranger.rebind(room.url)
    handles = [
        app.tasks["mail"].delay(["ann"], "hi"),
        *app.tasks["mail"].delay_many([(["ann"], "hi"), {"to": ["ann"], "subject": "hi"}]),
        app.enqueue("mail", {"to": ["ann"], "subject": "hi"}),
        app.enqueue("mail@2", {"to": ["ann"], "subject": "hi"}),
        stranger.enqueue("mail@2", {"to": ["ann"], "subject": "hi"}),
        stranger.enqueue("mail", "ann"),
    ]
    assert [room.head(handle.id).type for handle in handles] == ["mail@2"] * 6 + ["mail"]
    assert run_all(room, *worker_of(room, app)) == 7
    assert [handle.status() for handle in handles] == ["completed"] * 7


# -- what else travels in the head -----------------------------------------------------------------------------------


def test_a_message_says_itself_how_often_it_may_kill_its_process(room: Room) -> None:
    app = Distq("app")
    app.rebind(room.url)
    app.task(max_deliveries=1)(print)
    handle = app.tasks["print"].delay()
    assert own_max_deliveries(room.head(handle.id).flags) == 1


def test_one_whose_caller_did_not_know_is_told_before_it_starts(room: Room) -> None:
    app, ran = Distq("app"), []
    app.task(type="careful", max_deliveries=2)(lambda: ran.append(1))
    id = call(room, "careful")
    worker, runs = worker_of(room, app)
    step = room.step(worker)
    said, verdict, _ = runs.run("default", step.entries[0], step.messages[0], 1, time.monotonic_ns())
    assert (said, ran) == ("careful", [])
    step = room.step(worker, 10, [verdict])
    assert (own_max_deliveries(room.head(id).flags), room.head(id).attempt) == (2, 0)
    _, verdict, _ = runs.run("default", step.entries[0], step.messages[0], 1, time.monotonic_ns())
    room.step(worker, 0, [verdict])
    assert (room.where(id), ran) == ("completed", [1])


def test_the_context_of_an_old_call_keeps_its_headers(room: Room) -> None:
    seen: list[Context] = []
    app = Distq("app")
    app.task(type="mail", version=2, upgrade={1: from_1}, retries=0)(lambda to, subject: seen.append(current()))
    room.enqueue("mail", body=codec.pack_call(("ann",), {}, {"from": "x"}))
    run_all(room, *worker_of(room, app))
    assert (seen[0].headers, seen[0].kwargs, seen[0].type) == (
        {"from": "x"}, {"to": ["ann"], "subject": "none"}, "mail",
    )  # fmt: skip
