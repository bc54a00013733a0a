"""Options: what wins over what, and each wrong one with its message."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distq import Distq
from distq.durations import ttl_s
from distq.errors import ConfigurationError, UnknownOption, UnknownQueue
from distq.names import check_names
from distq.options import (
    BUILT_IN,
    Call,
    CallOptions,
    Defaults,
    RetryRule,
    call,
    declaration,
    defaults,
    queue_defaults,
)
from distq.rate import Rate


def resolve(
    call_options: dict[str, Any],
    task: dict[str, Any] | None = None,
    queue: dict[str, Any] | None = None,
    app: dict[str, Any] | None = None,
) -> Call:
    declared = declaration("job", task or {})
    queues = {"default": queue_defaults(queue or {}, 1), "other": queue_defaults({"priority": "low"}, 1)}
    return call(declared, queues, defaults(app or {}).over(BUILT_IN), call_options)


# -- precedence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "ttl"),
    [
        ({}, 600),
        ({"app": 4}, 4),
        ({"app": 4, "queue": 3}, 3),
        ({"app": 4, "queue": 3, "task": 2}, 2),
        ({"app": 4, "queue": 3, "task": 2, "call": 1}, 1),
        ({"app": 4, "call": 1}, 1),
        ({"app": 4, "task": 0}, 0),
        ({"queue": 3, "call": 0}, 0),
    ],
)
def test_the_nearest_that_says_something_wins(said: dict[str, int], ttl: int) -> None:
    places = {place: {"result_ttl": value} for place, value in said.items()}
    found = resolve(places.get("call", {}), places.get("task"), places.get("queue"), places.get("app"))
    assert found.result_ttl_s == ttl


@pytest.mark.parametrize(
    ("said", "priority"),
    [
        ({}, 1),
        ({"app": "high"}, 2),
        ({"app": "high", "queue": "low"}, 0),
        ({"queue": "high", "task": "default"}, 1),
        ({"task": "high", "call": 0}, 0),
    ],
)
def test_precedence_of_priority(said: dict[str, Any], priority: int) -> None:
    places = {place: {"priority": value} for place, value in said.items()}
    found = resolve(places.get("call", {}), places.get("task"), places.get("queue"), places.get("app"))
    assert found.priority == priority


def test_expiry_comes_from_the_nearest_too() -> None:
    assert resolve({}, {"expires": 2}, {"expires": 3}).options == {"expires_in": 2000}
    assert resolve({}, None, {"expires": 3}).options == {"expires_in": 3000}
    assert resolve({"expires": 1}, {"expires": 2}, {"expires": 3}).options == {"expires_in": 1000}


def test_the_queue_of_the_call_gives_the_defaults() -> None:
    found = resolve({"queue": "other"}, None, {"priority": "high"})
    assert (found.queue, found.priority) == ("other", 0)


def test_retries_of_a_call_travel_as_a_header() -> None:
    assert resolve({"retries": 0}, {"retries": 5}).headers == {"retries": 0}


def test_retries_of_a_declaration_do_not_travel() -> None:
    assert resolve({}, {"retries": 5}).headers == {}


def test_retries_beside_other_headers() -> None:
    own = {"trace": "a"}
    assert resolve({"headers": own, "retries": 2}).headers == {"trace": "a", "retries": 2}
    assert own == {"trace": "a"}


numbers = st.none() | st.integers(0, 3)
layers = st.builds(Defaults, numbers, numbers, st.none(), numbers, numbers)


@given(layers, layers, layers)
def test_over_is_associative(a: Defaults, b: Defaults, c: Defaults) -> None:
    assert a.over(b).over(c) == a.over(b.over(c))


@given(layers)
def test_nothing_said_changes_nothing(a: Defaults) -> None:
    assert a.over(Defaults()) == Defaults().over(a) == a


# -- what the enqueue script gets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, {}),
        ({"delay": 1.5}, {"delay": 1500}),
        ({"delay": "5m"}, {"delay": 300_000}),
        ({"delay": 0}, {"delay": 0}),
        ({"eta": datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)}, {"due": 2000}),
        ({"expires": timedelta(seconds=3)}, {"expires_in": 3000}),
        ({"expires": datetime(1970, 1, 1, 0, 0, 4, tzinfo=UTC)}, {"expires": 4000}),
        ({"expires": None}, {}),
        ({"delay": 1, "expires": 2}, {"delay": 1000, "expires_in": 2000}),
    ],
)
def test_times_of_a_call(said: dict[str, Any], told: dict[str, int]) -> None:
    assert resolve(said).options == told


def test_a_rate_travels_with_each_call() -> None:
    assert resolve({}, {"rate": "10/s burst 5"}).options == {"limit": "100000 5"}


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        ("10/s", "100000 1"),
        ("3/s", "333333.333333333 1"),
        ("1/d burst 2", "86400000000 2"),
        ("7/m", "8571428.57142857 1"),
    ],
)
def test_limit_text(rate: str, text: str) -> None:
    assert Rate.parse(rate).declared == text


def test_each_call_with_a_given_id_has_a_token_of_its_own() -> None:
    given_id = resolve({"id": "order-1"})
    first, second = given_id.fresh_options(), given_id.fresh_options()
    assert first.keys() == {"token"}
    assert first != second


def test_a_call_without_an_id_needs_no_token() -> None:
    assert resolve({}).fresh_options() == {}


@pytest.mark.parametrize(
    ("value", "ttl"), [(0, 0), (0.001, 1), (1.4, 1), (90.6, 91), ("2h", 7200), ("366d", 366 * 86400)]
)
def test_ttl_in_whole_seconds(value: object, ttl: int) -> None:
    assert ttl_s(value) == ttl


# -- wrong options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prioritty": "high"}, "@app.task has no option `prioritty` (did you mean `priority`?); there are: backoff, "),
        (
            {"xyz": 1},
            "@app.task has no option `xyz`; there are: backoff, batch, block_timeout, debounce, debounce_max, ",
        ),
        ({"priority": "hihg"}, "priority='hihg' is none of high, default, low (or 2, 1, 0) (did you mean `high`?)"),
        ({"priority": 3}, "priority=3 is none of high, default, low (or 2, 1, 0)"),
        ({"priority": True}, "priority=True is none of high"),
        ({"priority": None}, "priority=None is none of high"),
        ({"retries": -1}, "retries=-1: give a whole number from 0 to 1000"),
        ({"retries": 1001}, "retries=1001: give a whole number from 0 to 1000"),
        ({"retries": 1.5}, "retries=1.5: give a whole number from 0 to 1000"),
        ({"retries": True}, "retries=True: give a whole number from 0 to 1000"),
        ({"backoff": "linaer"}, "(did you mean `linear`?)"),
        ({"backoff": -1}, "backoff=-1: give exponential, linear, constant, seconds, or a callable"),
        ({"slots": 0}, "slots=0: give a whole number from 1 to 10,000, or leave it out for as many as a process has"),
        ({"slots": True}, "slots=True: give a whole number"),
        ({"concurrency": 2}, "@app.task has no option `concurrency` (did you mean `slots`?)"),
        ({"result_ttl": "367d"}, "result_ttl='367d' is more than a year"),
        ({"result_ttl": None}, "result_ttl=None is no duration"),
        ({"expires": 0}, "expires=0: give a time above 0"),
        ({"expires": "soon"}, "expires='soon' is no duration"),
        ({"expires": datetime(2030, 1, 1, tzinfo=UTC)}, "is no duration"),
        ({"rate": 10}, 'rate=10: give text such as "10/s", "100/m burst 20" or'),
        ({"rate": "10"}, "rate='10' is no rate"),
        ({"type": ""}, "type='' cannot be a type: use 1 to 200 letters, digits and _ . : / -"),
        ({"type": None}, "type=None cannot be a type"),
        ({"queue": "a b"}, "queue 'a b' is no valid name: use 1 to 64 letters, digits and _ -"),
        ({"queue": 5}, "queue 5 is no valid name"),
        (
            {"retry_rules": [ValueError]},
            "retry_rules=[<class 'ValueError'>]: give a mapping, such as {TimeoutError: 10}",
        ),
        ({"retry_rules": {"ValueError": 3}}, "retry_rules: 'ValueError' is no exception class"),
        ({"retry_rules": {int: 3}}, "retry_rules: <class 'int'> is no exception class"),
        ({"retry_rules": {ValueError: -1}}, "retries=-1: give a whole number"),
        ({"retry_rules": {ValueError: "3"}}, "retries='3': give a whole number"),
    ],
    ids=str,
)
def test_wrong_declaration(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        declaration("job", options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dealy": 5}, "options() has no option `dealy` (did you mean `delay`?)"),
        ({"rate": "1/s"}, "options() has no option `rate`"),
        ({"delay": 1, "eta": datetime(2030, 1, 1, tzinfo=UTC)}, "delay= and eta= say the same thing twice"),
        ({"delay": -1}, "delay=-1 is no duration"),
        ({"delay": None}, "delay=None is no duration"),
        ({"eta": datetime(2030, 1, 1)}, "eta=2030-01-01T00:00:00 has no time zone"),
        ({"eta": 5}, "eta=5: give a datetime with a time zone"),
        ({"expires": datetime(2030, 1, 1)}, "expires=2030-01-01T00:00:00 has no time zone"),
        ({"expires": 0}, "expires=0: give a time above 0"),
        ({"id": ""}, "id='' cannot be an id: use 1 to 200 bytes without spaces or control characters"),
        ({"id": 5}, "id=5 cannot be an id"),
        ({"headers": 5}, "headers=5: give a mapping with text keys"),
        ({"headers": None}, "headers=None: give a mapping with text keys"),
        ({"headers": [1]}, "headers=[1]: give a mapping with text keys"),
        ({"headers": {1: 2}}, "headers={1: 2}: give a mapping with text keys"),
        ({"priority": "hi"}, "priority='hi' is none of high, default, low"),
        ({"retries": "3"}, "retries='3': give a whole number"),
        ({"result_ttl": -5}, "result_ttl=-5 is no duration"),
    ],
    ids=str,
)
def test_wrong_call(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        resolve(options)


@pytest.mark.parametrize(
    ("queue", "message"),
    [
        (
            "othr",
            "queue='othr' is not declared (did you mean `other`?); there are: default, other; declare it with",
        ),
        ("", "queue='' is not declared"),
        (["other"], "queue=['other'] is not declared"),
        (None, "queue=None is not declared"),
    ],
    ids=str,
)
def test_queue_that_is_not_declared(queue: object, message: str) -> None:
    with pytest.raises(UnknownQueue, match=re.escape(message)):
        resolve({"queue": queue})


def test_limited_task_stays_in_its_queue() -> None:
    with pytest.raises(ConfigurationError, match="type job has a limit, which holds for its own queue 'default' only"):
        resolve({"queue": "other"}, {"rate": "1/s"})


def test_unknown_option_is_a_configuration_error() -> None:
    with pytest.raises(UnknownOption, match=r"here has no option `b`; there are: a1, a2"):
        check_names({"b": 1}, ["a2", "a1"], "here")


# -- retry rules -------------------------------------------------------------------------------------------------------


def test_a_number_is_a_rule_with_the_default_backoff() -> None:
    assert declaration("job", {"retry_rules": {OSError: 7}}).rules == {OSError: RetryRule(7)}


def test_a_rule_of_its_own_is_kept() -> None:
    rule = RetryRule(1, backoff=5)
    assert declaration("job", {"retry_rules": {OSError: rule}}).rules == {OSError: rule}
    assert rule.resolved()(3) == 5


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"backoff": "never"}])
def test_wrong_rule_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RetryRule(**wrong)


def test_declared_type_is_the_name_of_the_function() -> None:
    assert (declaration("job", {}).type, declaration("job", {"type": "shop.job"}).type) == ("job", "shop.job")


@pytest.mark.parametrize(("theirs", "ours"), [("countdown", "delay"), ("task_id", "id"), ("max_retries", "retries")])
def test_names_that_other_task_queues_use_are_known(theirs: str, ours: str) -> None:
    with pytest.raises(UnknownOption, match=rf"`{theirs}` \(did you mean `{ours}`\?\)"):
        check_names({theirs: 1}, CallOptions.__annotations__, "options()")


def test_time_limits_are_resolved_like_other_options() -> None:
    app = Distq("app", time_limit="1h")
    app.queue("slow", time_limit="2h", soft_time_limit=60)
    plain = app.task(type="plain")(print)
    slow = app.task(type="slow", queue="slow")(print)
    own = app.task(type="own", time_limit=0.5)(print)
    assert plain.limits_of({}) == (None, 3600)
    assert slow.limits_of({}) == (60, 7200)
    assert own.limits_of({}) == (None, 0.5)
    assert own.limits_of({"time_limit": 7, "soft_time_limit": 2.5}) == (2.5, 7)
    assert own.limits_of({"time_limit": "x", "soft_time_limit": -1}) == (None, 0.5), "from the wire"
    assert own.limits_of({"time_limit": 1e300, "soft_time_limit": 10**400}) == (None, 0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"time_limit": 0},
        {"soft_time_limit": -1},
        {"time_limit": "1 fortnight"},
        {"time_limit": "400d"},
        {"time_limit": 5, "soft_time_limit": 5},
        {"time_limit": 5, "soft_time_limit": "6s"},
    ],
)
def test_time_limits_that_cannot_be_are_refused(options: Any) -> None:
    app = Distq("app")
    task = app.task(type="job")(print)
    with pytest.raises(ConfigurationError):
        app.task(type="other", **options)(print)
    with pytest.raises(ConfigurationError):
        task.options(**options)
    with pytest.raises(ConfigurationError):
        Distq("app", **options)
