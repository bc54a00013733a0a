"""Declaring schedules: what is wrong is an error at once; what is right is packed as it will be sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from distq import Distq, Middleware, Outgoing
from distq.broker.schedules import Definition, tick_id
from distq.errors import ConfigurationError
from distq.message import parse, queue_of
from distq.periodic import ScheduleOptions, check_name


@pytest.fixture
def app() -> Distq:
    return Distq("app", broker="redis://127.0.0.1:1")


def declared(app: Distq, queues: Iterable[str] = ("default",)) -> dict[str, Definition]:
    return {
        name: Definition.unpacked(bytes.fromhex(packed))
        for found in app.schedules.declared(queues).values()
        for name, packed in found.items()
    }


def test_it_stands_above_a_task_or_alone_on_a_function(app: Distq) -> None:
    @app.periodic("@every 1m")
    @app.task(type="first", priority="high")
    def one() -> int:
        return 1

    @app.periodic("*/5 * * * *", tz="Europe/Berlin", jitter="10s", overlap="skip", missed="all")
    async def two() -> int:
        return 2

    assert one() == 1
    assert set(app.tasks) == {"first", "two"}
    found = declared(app)
    assert set(found) == {"first", "two"}
    assert (found["first"].when, found["first"].tz, found["first"].jitter) == ("@every 1m", "", 0)
    assert (found["first"].overlap, found["first"].missed) == ("queue", "once")
    assert parse(bytes(16) + found["first"].message + bytes(8)).priority == 2
    assert (found["two"].tz, found["two"].jitter) == ("Europe/Berlin", 10_000)
    assert (found["two"].overlap, found["two"].missed) == ("skip", "all")


def test_a_task_may_have_several_each_with_a_name_and_arguments(app: Distq) -> None:
    @app.periodic("@daily", name="report-de", args=["de"], tz=ZoneInfo("Europe/Berlin"))
    @app.periodic("@daily", name="report-us", args=("us",), kwargs={"long": True}, tz="America/New_York")
    @app.task
    def report(country: str, long: bool = False) -> None: ...

    found = declared(app)
    assert set(found) == {"report-de", "report-us"}
    body = parse(bytes(16) + found["report-us"].message + bytes(8)).body
    args, kwargs, headers = app.codec.unpack_call(body)
    assert (args, kwargs, headers) == (["us"], {"long": True}, {"schedule": "report-us", "tick": 0.0})


def test_each_queue_has_its_own_and_only_queues_that_are_served_are_told(app: Distq) -> None:
    app.queue("bulk", partitions=4)

    @app.periodic("@daily")
    @app.task(queue="bulk", expires="5m", rate="1/s")
    def sweep() -> None: ...

    assert app.schedules.declared(["default", "bulk/1"]) == {}
    assert list(app.schedules.declared(["bulk", "bulk/1"])) == ["bulk"]
    assert b"limit" in declared(app, ["bulk"])["sweep"].options


def test_middleware_sees_the_call_that_ticks_will_make(app: Distq) -> None:
    class Tenant(Middleware):
        def enqueue(self, outgoing: Outgoing, call_next: Any) -> Any:
            outgoing.headers["tenant"] = "a"
            return call_next(outgoing)

    app.middleware.append(Tenant())

    @app.periodic("@daily")
    def job() -> None: ...

    body = parse(bytes(16) + declared(app)["job"].message + bytes(8)).body
    assert app.codec.unpack_call(body)[2] == {"tenant": "a", "schedule": "job", "tick": 0.0}


def test_a_definition_changes_its_mark_with_anything_that_it_says(app: Distq) -> None:
    @app.periodic("@daily")
    def job() -> None: ...

    one = declared(app)["job"]
    assert Definition.unpacked(one.packed()) == one
    assert declared(app)["job"].mark == one.mark
    other = Distq("app", broker="redis://127.0.0.1:1")
    other.periodic("@hourly", name="job")(other.task(type="job")(job.function))
    assert declared(other)["job"].mark != one.mark


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\x93\x01\x02\x03", b"\x98\x01\x02\x03\x04\x05\x06\x07\x08"])
def test_what_is_no_definition_is_an_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no definition"):
        Definition.unpacked(raw)


def test_the_id_of_a_tick_is_always_the_same_and_of_no_other(app: Distq) -> None:
    id = tick_id("bulk", "it", "turn", 1000)
    assert queue_of(id) == "bulk"
    assert id == tick_id("bulk", "it", "turn", 1000)
    others = {
        tick_id("bulk", "it", "turn", 2000),
        tick_id("bulk", "it", "back", 1000),
        tick_id("bulk", "at", "turn", 1000),
    }
    assert len(others | {id}) == 4


WRONG: list[tuple[ScheduleOptions | dict[str, Any], str]] = [
    ({"overlap": "skp"}, "overlap='skp' is none of queue, skip, replace (did you mean `skip`?)"),
    ({"missed": "none"}, "missed='none' is none of once, skip, all"),
    ({"jitter": "2d"}, "at most a day"),
    ({"jitter": "soon"}, "jitter='soon' is no duration"),
    ({"tz": "Europe/Belin"}, "did you mean `Europe/Berlin`?"),
    ({"tz": 5}, "tz=5: give a name"),
    ({"args": "ab"}, "args='ab': give a tuple"),
    ({"args": 5}, "args=5: give a tuple"),
    ({"kwargs": [1]}, "kwargs=[1]: give a mapping"),
    ({"args": (1,)}, "takes 0 positional arguments|too many positional"),
    ({"name": "a b"}, "name='a b' cannot be a schedule's"),
    ({"timezone": "UTC"}, "@app.periodic has no option `timezone`"),
]


@pytest.mark.parametrize(("options", "says"), WRONG)
def test_a_wrong_option_is_an_error_at_once_with_its_value(app: Distq, options: Any, says: str) -> None:
    def job() -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        app.periodic("@daily", **options)(job)
    assert any(part in str(caught.value) for part in says.split("|")), str(caught.value)


def test_a_wrong_time_is_an_error_at_once(app: Distq) -> None:
    with pytest.raises(ConfigurationError, match="has 1 field:"):
        app.periodic("5m")(lambda: None)


def test_a_name_is_declared_once(app: Distq) -> None:
    @app.periodic("@daily")
    @app.task
    def job() -> None: ...

    with pytest.raises(ConfigurationError, match="give this one a name="):
        app.periodic("@hourly")(job)


@pytest.mark.parametrize("name", ["a", "reports/daily", "x" * 200, "mail@2"])
def test_a_name_is_one(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "x" * 201, "a b", "a\n", "é", None, 5])
def test_what_is_no_name_is_an_error(name: object) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a schedule's"):
        check_name(name)
