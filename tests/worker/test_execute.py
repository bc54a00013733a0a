"""Running one message: whatever a handler does ends in a verdict that the broker can apply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from distq import Context, Distq, DistqError, Middleware, Reject, Retry, Snooze, current, message
from distq.broker import verbs
from distq.codec import Codec
from distq.worker.execute import Executor
from tests.support.room import Room

codec = Codec()


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def make_app(**handlers: Callable[..., Any]) -> Distq:
    app = Distq("app")
    for name, handler in handlers.items():
        app.task(type=name, retries=1)(handler)
    return app


def executor(app: Distq, meter: Callable[[str], Callable[[str, float], None]] | None = None) -> Executor:
    return Executor(app, lambda: "worker-1", meter)


def run(room: Room, executor: Executor, type: str = "job", *args: Any, **options: Any) -> str:
    """Enqueues a call, runs it once and settles it; its id."""
    id = room.enqueue(type, body=codec.pack_call(args, {}), **options)
    worker = room.register([type])
    step = room.step(worker)
    (entry,), (raw,) = step.entries, step.messages
    said, verdict, _ = executor.run("default", entry, raw, step.fence, time.monotonic_ns())
    executor.rest()
    assert said in (type, "(corrupt)")
    assert room.step(worker, 0, [verdict]).late == 0
    return id


def raiser(error: BaseException) -> Callable[..., Any]:
    def job(*args: Any) -> None:
        raise error

    return job


def test_a_result_that_cannot_be_stored_counts_as_failed(room: Room) -> None:
    counted: list[str] = []
    app = make_app(job=lambda: open)
    id = run(room, executor(app, lambda type: lambda status, seconds: counted.append(status)))
    assert room.where(id) == "dead"
    assert room.attempts(id)[0]["type"] == "distq.errors.NotSerializable"
    assert counted == ["failed"]


def test_a_result_that_nobody_could_read_counts_as_failed(room: Room) -> None:
    def deep() -> list[Any]:
        value: list[Any] = []
        for _ in range(1024):
            value = [value]
        return value

    id = run(room, executor(make_app(job=deep)))
    assert room.where(id) == "dead"
    assert "result: nested too deeply" in room.attempts(id)[0]["message"]


def test_a_handler_that_waits_for_another_task_has_to_say_how_long(room: Room) -> None:
    """With one process it would wait for itself."""
    app = make_app(job=lambda: app.enqueue("other").get(), brave=lambda: app.enqueue("other").get(timeout=0.01))
    app.rebind(room.url)
    first = run(room, executor(app))
    assert room.attempts(first)[0]["message"].startswith("get() in a handler needs a timeout")
    assert room.run(verbs.cancel(room.prefix, first, "test")) == "cancelled"  # its retry, which would come first
    room.run(verbs.purge(room.prefix, "default", "test"))
    assert room.attempts(run(room, executor(app), "brave"))[0]["type"] == "distq.errors.ResultTimeout"


def test_what_a_handler_leaves_on_the_loop_ends_with_it(room: Room) -> None:
    seen: list[str] = []

    async def later() -> None:
        try:
            await asyncio.sleep(0.01)
            seen.append("ran on")
        finally:
            seen.append("ended")

    async def job() -> None:
        seen.append("job")
        asyncio.get_running_loop().create_task(later(), name="left")
        await asyncio.sleep(0)

    async def wait() -> None:
        await asyncio.sleep(0.05)

    one = executor(make_app(job=job, wait=wait))
    run(room, one)
    run(room, one, "wait")
    one.close()
    assert seen == ["job", "ended"]


def test_each_async_attempt_sees_itself(room: Room) -> None:
    async def job() -> str:
        await asyncio.sleep(0)
        return current().id

    one = executor(make_app(job=job))
    for _ in range(3):
        id = run(room, one)
        assert room.result(id)[1] == id
    one.close()


def test_a_middleware_may_change_what_a_handler_returned(room: Room) -> None:
    app = make_app(job=lambda: 20)
    app.middleware.append(lambda context, call_next: call_next(context) + 1)
    assert room.result(run(room, executor(app)))[1] == 21


def test_a_value_completes_the_task_and_is_kept(room: Room) -> None:
    id = run(room, executor(make_app(job=lambda a, b: a + b)), "job", 40, 2)
    assert room.where(id) == "completed"
    word, value, at_ms, created_ms = room.result(id)
    assert (word, value) == ("completed", 42)
    assert abs(at_ms - room.now_ms()) < 60_000
    assert 0 <= at_ms - created_ms < 60_000


def test_no_value_is_kept_when_nobody_wants_it(room: Room) -> None:
    id = run(room, executor(make_app(job=lambda: codec)), ttl=0)
    assert room.where(id) == "completed"
    assert room.result(id) == ["completed"]


def test_a_caller_that_did_not_know_the_declaration_gets_what_that_says(room: Room) -> None:
    app = Distq("app")
    app.task(type="kept", result_ttl=120)(lambda: 1)
    app.task(type="dropped", result_ttl=0)(lambda: 1)
    kept, dropped = run(room, executor(app), "kept", ttl=None), run(room, executor(app), "dropped", ttl=None)
    assert room.result(kept)[:2] == ["completed", 1]
    assert 120 <= room.redis.ttl(room.shelf_of(kept)) <= 120 + 64 + 60
    assert room.result(dropped) == ["completed"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"), KeyError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError(),
        MemoryError(), asyncio.CancelledError(), StopIteration(), Mute(), BaseExceptionGroup("many", [SystemExit()]),
        Retry(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_every_exception_is_retried_and_then_dead_with_its_records(room: Room, error: BaseException) -> None:
    runs = executor(make_app(job=raiser(error)))
    id = run(room, runs)
    assert room.where(id) == "scheduled"
    assert room.head(id).attempt == 1
    worker = room.register()
    room.pass_time(60_000)
    step = room.step(worker)
    _, verdict, _ = runs.run("default", step.entries[0], step.messages[0], step.fence, time.monotonic_ns())
    room.step(worker, 0, [verdict])
    assert room.where(id) == "dead"
    assert [record["attempt"] for record in room.attempts(id)] == [1, 2]
    assert all(record["type"] and record["worker"] == "worker-1" for record in room.attempts(id))


@pytest.mark.parametrize(
    ("wish", "state", "attempts"),
    [(Retry(delay=30), "scheduled", 1), (Retry(delay=0), "queued", 1), (Snooze(30), "scheduled", 0),
     (Snooze(0), "queued", 0), (Reject("no"), "dead", 1)],
    ids=["retry later", "retry now", "snooze", "snooze for no time", "reject"],
)  # fmt: skip
def test_a_directive_does_what_it_says(room: Room, wish: BaseException, state: str, attempts: int) -> None:
    id = run(room, executor(make_app(job=raiser(wish))))
    assert room.where(id) == state
    assert len(room.attempts(id)) == attempts


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\xa1x", b"\x91\x01", b"\x93\x90\x80", b"\x91\x91\xc7\xff\x7f"])
def test_a_body_that_is_no_call_makes_the_task_dead(room: Room, body: bytes) -> None:
    runs = executor(make_app(job=lambda *args: 1))
    id = room.enqueue(body=body)
    worker = room.register()
    step = room.step(worker)
    _, verdict, _ = runs.run("default", step.entries[0], step.messages[0], step.fence, time.monotonic_ns())
    room.step(worker, 0, [verdict])
    assert room.where(id) == "dead"
    assert room.attempts(id)[0]["type"] == "distq.codec.DecodeError"


def test_what_this_worker_cannot_run_waits_for_one_that_can(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = executor(make_app(job=lambda: 1))
    stranger = run(room, runs, "stranger")
    with monkeypatch.context() as newer:
        newer.setattr(message, "PLAIN", message.VERSION + 1)
        raw = room.enqueue_bytes("later", "job", 1, 600, codec.pack_call((), {}))
    room.wire.request(raw)
    worker = room.register()
    step = room.step(worker)
    _, verdict, _ = runs.run("default", step.entries[0], step.messages[0], step.fence, time.monotonic_ns())
    room.step(worker, 0, [verdict])
    for id in (stranger, "later"):
        assert room.where(id) == "queued"
        assert (room.head(id).attempt, room.head(id).deliveries, room.attempts(id)) == (0, 0, [])


def test_the_attempt_is_current_while_it_runs_and_only_then(room: Room) -> None:
    seen: list[Any] = []
    id = run(room, executor(make_app(job=lambda: seen.append(current()))))
    assert [(context.id, context.attempt, context.type) for context in seen] == [(id, 1, "job")]
    with pytest.raises(DistqError, match="outside"):
        current()


def test_async_handlers_share_one_event_loop_and_what_it_keeps(room: Room) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def job() -> int:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return len(loops)

    runs = executor(make_app(job=job))
    ids = [run(room, runs) for _ in range(3)]
    assert [room.result(id)[1] for id in ids] == [1, 2, 3]
    assert len(set(loops)) == 1
    runs.close()
    assert loops[0].is_closed()


def test_middleware_is_around_the_attempt_in_its_order_and_inside_of_the_default_ones(room: Room) -> None:
    said: list[str] = []

    def link(name: str) -> Callable[..., Any]:
        def around(context: Any, call_next: Callable[..., Any]) -> Any:
            said.append(f"{name} before")
            try:
                return call_next(context) + 1
            finally:
                said.append(f"{name} after")

        return around

    app = make_app(job=lambda: said.append("handler") or 40)  # type: ignore[func-returns-value]
    app.middleware += [link("outer"), link("inner")]
    counted: list[tuple[str, str]] = []
    id = run(room, executor(app, lambda type: lambda status, seconds: counted.append((type, status))))
    assert said == ["outer before", "inner before", "handler", "inner after", "outer after"]
    assert room.result(id)[1] == 42
    assert counted == [("job", "success")]


class Told(Middleware):
    """Writes down what it is told after an attempt."""

    def __init__(self, told: list[str], name: str, instead: BaseException | None = None) -> None:
        self.told, self.name, self.instead = told, name, instead

    def succeeded(self, context: Context, seconds: float) -> None:
        self.told.append(f"{self.name}: {context.id} succeeded, {seconds >= 0}")

    def failed(self, context: Context, error: BaseException, seconds: float) -> BaseException | None:
        self.told.append(f"{self.name}: {type(error).__name__}, {seconds >= 0}")
        return self.instead


def test_hooks_after_an_attempt_are_told_how_it_ended_from_the_inside_out(room: Room) -> None:
    told: list[str] = []
    app = make_app(job=lambda: 1, failing=raiser(KeyError()))
    app.middleware.insert(0, Told(told, "outer"))
    app.middleware.append(Told(told, "inner"))
    id = run(room, executor(app))
    assert told == [f"inner: {id} succeeded, True", f"outer: {id} succeeded, True"]
    told.clear()
    run(room, executor(app), "failing")
    assert told == ["inner: KeyError, True", "outer: Retry, True"]


def test_a_hook_may_change_what_an_attempt_ends_with(room: Room) -> None:
    app = make_app(job=raiser(KeyError("no such key")))
    app.middleware.append(Told([], "inner", Reject("not again")))
    id = run(room, executor(app))
    assert room.where(id) == "dead"
    assert room.attempts(id)[0]["message"] == "not again"


def test_hooks_with_something_around_them_keep_their_order(room: Room) -> None:
    told: list[str] = []

    def around(context: Context, call_next: Callable[[Context], Any]) -> Any:
        try:
            return call_next(context) + 1
        except BaseException as error:
            told.append(f"around: {type(error).__name__}")
            raise

    app = make_app(job=lambda: 40, failing=raiser(KeyError()))
    app.middleware[:0] = [Told(told, "outer"), around, Told(told, "inner")]
    id = run(room, executor(app))
    assert told == [f"inner: {id} succeeded, True", f"outer: {id} succeeded, True"]
    assert room.result(id)[1] == 41
    told.clear()
    id = run(room, executor(app), "failing")
    assert told == ["inner: Retry, True", "around: Retry", "outer: Retry, True"]
    assert room.attempts(id)[0]["type"] == "KeyError"


def test_a_hook_that_raises_is_an_error_of_the_attempt(room: Room) -> None:
    class Broken(Middleware):
        def succeeded(self, context: Context, seconds: float) -> None:
            raise RuntimeError("broken hook")

        def failed(self, context: Context, error: BaseException, seconds: float) -> None:
            raise RuntimeError("more broken") from error

    app = make_app(job=lambda: 1)
    app.middleware.append(Broken())
    id = run(room, executor(app))
    assert room.where(id) == "scheduled"
    assert room.attempts(id)[0]["message"] == "more broken"
    assert "broken hook" in room.attempts(id)[0]["traceback"]


def test_a_middleware_that_raises_is_an_error_of_the_attempt(room: Room) -> None:
    def broken(context: Any, call_next: Callable[..., Any]) -> Any:
        raise RuntimeError("broken middleware")

    app = make_app(job=lambda: 1)
    app.middleware.append(broken)
    id = run(room, executor(app))
    assert room.where(id) == "scheduled"
    assert room.attempts(id)[0]["message"] == "broken middleware"
