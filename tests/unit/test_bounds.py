"""Bounds as they are declared: what they can be, and what is said of those that they cannot."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from distq import ConfigurationError, Distq, QueueFull
from distq.bounds import Bound, bound, told


def test_nothing_said_is_no_bound() -> None:
    assert bound({}, "app.queue") is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_pending": 5}, Bound(5)),
        ({"max_pending": 5, "on_full": "drop_oldest"}, Bound(5, "drop_oldest")),
        ({"max_pending": 5, "on_full": "block", "block_timeout": "2m"}, Bound(5, "block", 120.0)),
    ],
)
def test_what_is_said(options: dict[str, Any], expected: Bound) -> None:
    assert bound(options, "app.queue") == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_pending": 0}, "max_pending=0: give a whole number from 1"),
        ({"max_pending": True}, "max_pending=True: give a whole number"),
        ({"max_pending": "many"}, "max_pending='many': give a whole number"),
        ({"on_full": "block"}, "app.queue: on_full= says what happens above max_pending=: give that as well"),
        ({"max_pending": 1, "on_full": "blok"}, "on_full='blok' is none of reject, block, drop_oldest (did you mean"),
        ({"max_pending": 1, "on_full": ["x"]}, "on_full=['x'] is none of reject, block, drop_oldest"),
        ({"max_pending": 1, "block_timeout": 1}, 'block_timeout= is for on_full="block", and this is on_full="reject"'),
        ({"max_pending": 1, "on_full": "block", "block_timeout": -1}, "block_timeout=-1 is no duration"),
        ({"max_pending": 1, "on_full": "block", "block_timeout": "2d"}, "block_timeout='2d': give at most a day"),
    ],
    ids=str,
)
def test_what_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Distq("shop", "redis://nowhere").queue("default", **options)


def test_partitions_share_it() -> None:
    assert [Bound(10).spread(number).most for number in (1, 3, 64)] == [10, 4, 1]


def test_the_script_is_told_of_the_type_first() -> None:
    app = Distq("shop", "redis://nowhere")
    app.queue("default", max_pending=7, on_full="block")

    @app.task(max_pending=3, on_full="drop_oldest")
    def job() -> None: ...

    assert told(job._sender({})._call.bounds) == {"bounds": [["job", 3, "drop"], ["", 7, "block"]]}


def test_without_a_bound_a_call_has_no_options() -> None:
    app = Distq("shop", "redis://nowhere")

    @app.task
    def job() -> None: ...

    assert job._sender({})._call.bounds == ()
    assert job._sender({})._call.options == {}


def test_an_application_has_none() -> None:
    with pytest.raises(ConfigurationError, match="has no option `max_pending`"):
        Distq("shop", "redis://nowhere", max_pending=5)  # type: ignore[call-arg]


def test_queue_full_can_be_pickled() -> None:
    error = QueueFull("full")
    error.retry_after, error.limit, error.count = 2.5, 3, 4
    again = pickle.loads(pickle.dumps(error))
    assert (again.retry_after, again.limit, again.count, again.args) == (2.5, 3, 4, ("full",))
