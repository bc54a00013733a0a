"""What is too large or too long is refused where it is written, before anything is sent, and the error says the limit.

The broker of this application is nowhere: an error that does not come before the first connection is another one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from distq import Distq, message, outcome
from distq.durations import MAX_TTL_S
from distq.errors import ConfigurationError, NotSerializable, PayloadTooLarge
from distq.extensions import MAX_INT_BYTES
from distq.options import MAX_RETRIES
from distq.rate import MAX_BURST
from distq.sender import BULK
from tests.docs.pages import DOCS, rows, section

app = Distq("shop", "redis://127.0.0.1:1/0", timeout=0.1, max_payload=2000)  # no broker is there: who asks it fails


@app.task
def job(*args: Any, **kwargs: Any) -> None:
    """Takes anything."""


app.queue("wide", partitions=3)


@app.task(queue="wide")
def spread(anything: Any) -> None:
    """Takes anything."""


LARGE = b"x" * 2000

TOO_MUCH: list[tuple[str, Callable[[], object], type[Exception], str]] = [
    ("arguments", lambda: job.delay(LARGE), PayloadTooLarge, "job: a message of 20.. bytes is above the limit of 2000"),
    ("keyword arguments", lambda: job.delay(a=LARGE), PayloadTooLarge, "above the limit of 2000"),
    ("an async call", lambda: asyncio.run(job.adelay(LARGE)), PayloadTooLarge, "above the limit of 2000"),
    ("one of many", lambda: job.delay_many([(1,), (LARGE,)]), PayloadTooLarge, "above the limit of 2000"),
    ("headers", lambda: job.options(headers={"a": "x" * 2000}).delay(), PayloadTooLarge, "above the limit of 2000"),
    ("a given id", lambda: job.options(id="i" * 201), ConfigurationError, "use 1 to 200 bytes"),
    ("a given id in bytes", lambda: job.options(id="ü" * 101), ConfigurationError, "use 1 to 200 bytes"),
    ("an id to look for", lambda: app.result("i" * 201), ConfigurationError, "use 1 to 200 bytes"),
    ("a type", lambda: app.task(type="t" * 201)(lambda: None), ConfigurationError, "use 1 to 200 letters"),
    ("a type by name", lambda: app.enqueue("t" * 201), ConfigurationError, "use 1 to 200 letters"),
    ("a queue", lambda: app.queue("q" * 65), ConfigurationError, "64"),
    ("an application", lambda: Distq("a" * 65), ConfigurationError, "64"),
    ("retries", lambda: job.options(retries=MAX_RETRIES + 1), ConfigurationError, "from 0 to 1000"),
    ("a result_ttl", lambda: job.options(result_ttl=MAX_TTL_S + 1), ConfigurationError, "more than a year"),
    ("deliveries", lambda: app.task(type="t", max_deliveries=16)(lambda: None), ConfigurationError, "to 15"),
    (
        "a burst",
        lambda: app.task(type="t", rate="1/s burst 1000001")(lambda: None),
        ConfigurationError,
        "at most 1000000",
    ),
    ("an integer", lambda: job.delay(1 << 8 * MAX_INT_BYTES), NotSerializable, "8192"),
    ("nesting", lambda: job.delay(nested(1100)), NotSerializable, "nested"),
    (
        "nesting for packers only",
        lambda: job.delay(nested(1022)),
        NotSerializable,
        r"args\[0\]: nested too deeply",
    ),
    ("the same by name", lambda: job.delay(a=nested(1022)), NotSerializable, r"kwargs\.a: nested too deeply"),
    ("the same in one of many", lambda: job.delay_many([(nested(1022),)]), NotSerializable, "nested too deeply"),
    ("the same with an id", lambda: job.options(id="a").delay(nested(1022)), NotSerializable, "nested too deeply"),
    ("the same, async", lambda: asyncio.run(job.adelay(nested(1022))), NotSerializable, "nested too deeply"),
    ("who cancels", lambda: app.result("a").cancel(by="x" * 201), ConfigurationError, "in 1 to 200 bytes of one line"),
    ("who cancels, in lines", lambda: app.result("a").cancel(by="a\nb"), ConfigurationError, "one line of text"),
    ("nobody cancels", lambda: asyncio.run(app.result("a").acancel(by="")), ConfigurationError, "say who asks"),
    ("an object", lambda: job.delay(object()), NotSerializable, r"args\[0\]: object"),
    ("an object with an id", lambda: job.options(id="a").delay(object()), NotSerializable, r"args\[0\]: object"),
    ("an object, durably", lambda: job.options(durable=True).delay(object()), NotSerializable, r"args\[0\]: object"),
    ("an object in a queue that has partitions", lambda: spread.delay(object()), NotSerializable, r"args\[0\]: object"),
]


def nested(levels: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


@pytest.mark.parametrize(("call", "error", "told"), [row[1:] for row in TOO_MUCH], ids=[row[0] for row in TOO_MUCH])
def test_too_much_is_refused_before_anything_is_sent(
    call: Callable[[], object], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: job.options(id="i" * 200),
        lambda: job.options(retries=MAX_RETRIES, result_ttl=MAX_TTL_S),
        lambda: Distq("a" * 64).queue("q" * 64),
        lambda: Distq("a").task(type="t" * 200, max_deliveries=15)(lambda: None),
        lambda: app._sender("job", {})._pack((b"x" * 1900,), {}, {}),
    ],
)
def test_as_much_as_is_allowed_is_taken(call: Callable[[], object]) -> None:
    call()


def test_a_record_of_an_error_is_bounded_whatever_is_raised() -> None:
    large = type("E" * 10_000, (Exception,), {})
    verdict = outcome.Verdict("bury", 0, large("x" * 100_000))
    record = outcome.record(verdict, attempt=1, at_ms=0, seconds=0.0, worker="w")
    assert sum(len(str(value)) for value in record.values()) < 20_000
    assert len(str(record["type"])) <= outcome.MAX_TYPE


def test_the_page_has_these_limits() -> None:
    told = "\n".join(" | ".join(row) for row in rows(section(DOCS / "protocol.md", "Limits")))
    for number in (
        MAX_RETRIES, BULK, MAX_BURST, MAX_INT_BYTES, message.MAX_ID, message.MAX_NAME, message.MOST_DELIVERIES,
        outcome.MAX_MESSAGE, outcome.MAX_TRACEBACK, outcome.MAX_TYPE,
    ):  # fmt: skip
        assert re.search(rf"\b{number:,}\b", told), number
