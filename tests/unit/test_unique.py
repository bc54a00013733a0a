"""What makes calls one: the options, and the names that arguments give."""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distq import AlreadyEnqueued, ConfigurationError, Distq
from distq.codec import Codec
from distq.message import parse
from distq.unique import MOST_NAME, Unique, name_of, unique

pack = Codec().pack


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({}, None),
        ({"unique": "a"}, Unique(("a",), "done")),
        ({"unique": ["a", "b"]}, Unique(("a", "b"), "done")),
        ({"unique": True}, Unique(None, "done")),
        ({"unique": ()}, Unique((), "done")),
        ({"unique": False}, None),
        ({"unique": "a", "unique_until": "start"}, Unique(("a",), "start")),
        ({"unique": "a", "unique_for": "1h"}, Unique(("a",), "time", for_ms=3_600_000)),
        ({"unique": "a", "on_duplicate": "raise"}, Unique(("a",), "done", "raise")),
        ({"unique": "a", "throttle": 10}, Unique(("a",), "time", for_ms=10_000)),
        ({"unique": "a", "throttle": 10, "on_duplicate": "raise"}, Unique(("a",), "time", "raise", for_ms=10_000)),
        ({"unique": "a", "debounce": "5s"}, Unique(("a",), "start", debounce_ms=5000)),
        (
            {"unique": "a", "debounce": "5s", "debounce_max": "1m"},
            Unique(("a",), "start", debounce_ms=5000, debounce_max_ms=60_000),
        ),
    ],
)
def test_options(said: dict[str, Any], meant: Unique | None) -> None:
    assert unique(said) == meant


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"unique": 5}, "unique=5: give the name of a parameter"),
        ({"unique": "a b"}, "unique='a b': give the name of a parameter"),
        ({"unique": ("a", 1)}, "give the name of a parameter"),
        (
            {"unique": "a", "unique_until": "startt"},
            "unique_until='startt' is none of done, start (did you mean `start`?)",
        ),
        ({"unique": "a", "on_duplicate": "drop"}, "on_duplicate='drop' is none of return, raise, replace"),
        ({"unique": "a", "unique_for": 0}, "unique_for=0: give a time above 0"),
        ({"unique": "a", "unique_for": "2y"}, "unique_for='2y' is no duration"),
        ({"unique": "a", "unique_for": "500d"}, "at most a year"),
        ({"unique": "a", "unique_for": 1, "unique_until": "done"}, "contradict each other"),
        ({"unique": "a", "throttle": 1, "debounce": 1}, "contradict each other"),
        ({"unique": "a", "throttle": 1, "unique_for": 1}, "contradict each other"),
        ({"unique": "a", "debounce": 1, "on_duplicate": "raise"}, "contradict each other"),
        ({"unique": "a", "throttle": 1, "on_duplicate": "replace"}, "for the last call to win, use debounce="),
        ({"unique": "a", "unique_for": 1, "on_duplicate": "replace"}, "for the last call to win, use debounce="),
        ({"unique": "a", "debounce_max": 1}, "debounce_max=1 bounds a debounce="),
        ({"unique": "a", "debounce": 10, "debounce_max": 5}, "debounce_max=5 is below debounce=10"),
        ({"throttle": 10}, "throttle=10: say which calls are one: unique="),
        ({"on_duplicate": "raise"}, "say which calls are one"),
    ],
)
def test_what_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        unique(said)


def test_a_parameter_that_is_none_is_refused_where_it_is_said() -> None:
    app = Distq("shop", "unix:///nonexistent")
    with pytest.raises(ConfigurationError, match=r"unique 'usr' is no parameter of it \(did you mean `user`\?\)"):
        app.task(type="job", unique="usr")(lambda user: None)

    @app.task
    def job(user: int) -> None: ...

    with pytest.raises(ConfigurationError, match="unique 'other' is no parameter of it"):
        job.options(unique="other")
    with pytest.raises(ConfigurationError, match="type unknown is not declared here"):
        app.enqueue("unknown", 1, unique=True)


def test_a_call_says_more_or_less_than_the_declaration() -> None:
    app = Distq("shop", "unix:///nonexistent")
    app.queue("other")

    @app.task(unique="user")
    def job(user: int, more: int = 0) -> None: ...

    assert job.options()._call.unique == Unique(("user",), "done")
    assert job.options(on_duplicate="raise")._call.unique == Unique(("user",), "done", "raise")
    assert job.options(unique=("user", "more"))._call.unique == Unique(("user", "more"), "done")
    assert job.options(unique=False)._call.unique is None
    with pytest.raises(ConfigurationError, match="type job is unique, which holds for its own queue 'default' only"):
        job.options(queue="other")
    for option in ({"delay": 5}, {"eta": datetime.now(UTC)}):
        with pytest.raises(ConfigurationError, match="type job is debounced, and that decides when it runs"):
            job.options(debounce=1, **option)


def names_in(sender: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What the message of such a call says of its name and flow."""
    raw = bytes(16) + sender._pack(args, kwargs, {})
    told: dict[str, Any] = msgpack.unpackb(parse(raw).flow) if parse(raw).version == 2 else {}
    return told


def test_the_name_travels_with_the_message() -> None:
    app = Distq("shop", "unix:///nonexistent")

    @app.task(unique="user", max_running="1 per user")
    def both(user: int) -> None: ...

    @app.task
    def job(user: int, more: int = 7) -> None: ...

    assert names_in(both.options(), 5) == {"k": "5", "u": "5"}
    assert names_in(job.options(unique="more"), 5) == {"u": "7"}, "a default is an argument, too"
    assert names_in(job.options(unique="user", unique_until="start"), user=5) == {"s": "5"}
    assert names_in(job.options(unique="user", throttle=1), 5) == {"t": "5"}
    assert names_in(job.options(unique=lambda p: p["user"] % 2), 5) == {"u": "1"}
    assert names_in(job.options(unique=lambda p: None), 5) == {}, "such a call is not unique"
    assert names_in(job.options(unique=True), 5) == names_in(job.options(unique=True), more=7, user=5)
    assert names_in(job.options(unique=True), 5) != names_in(job.options(unique=True), 5, 8)


@dataclass
class Point:
    x: int
    y: dict[str, int]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (7, "7"),
        (UUID(int=1), str(UUID(int=1))),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([{"a": {"c": 1, "d": 2}}], [{"a": {"d": 2, "c": 1}}]),
        ({"x", "y", "z"}, {"z", "y", "x"}),
        (Point(1, {"a": 1, "b": 2}), Point(1, {"b": 2, "a": 1})),
    ],
)
def test_equal_values_have_the_same_name(one: Any, other: Any) -> None:
    assert name_of(one, pack) == name_of(other, pack)


def test_different_values_have_different_names() -> None:
    long = "x" * (MOST_NAME + 1)
    values = [
        1, True, 1.0, None, "", b"1", [1], (1,), ["1"], {"1"}, {"a": 1}, {"a": "1"}, long, long + "y", Point(1, {}),
        "#", "#1", 2**70, [True], [1.0], datetime(2026, 1, 1), "ä",
    ]  # fmt: skip
    names = [name_of(value, pack) for value in values]
    assert len(set(names)) == len(values)
    assert all(len(name) <= MOST_NAME for name in names)
    digest = name_of(None, pack).decode()
    assert name_of(digest, pack) != name_of(None, pack), "nobody can make a name of another value's digest"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_can_travel_has_a_name(value: Any) -> None:
    try:
        packed = pack(value)
    except TypeError:
        return
    again = Codec().unpack(packed)
    assert name_of(value, pack) == name_of(again, pack)


def test_the_error_keeps_its_id() -> None:
    error = pickle.loads(pickle.dumps(AlreadyEnqueued("there", "an-id", [])))
    assert (str(error), error.id, error.handles) == ("there", "an-id", [])
