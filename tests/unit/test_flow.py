"""What `@app.task` says of the flow of its tasks: what is understood, and the errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import msgpack
import pytest

from distq import Batch, BatchFailed, Distq
from distq.errors import ConfigurationError
from distq.flow import Flow, flow, key_of


def policy(**options: Any) -> tuple[str | None, dict[str, Any] | None]:
    rate, found = flow(options)
    return str(rate) if rate else None, msgpack.unpackb(found.policy()) if found else None


@pytest.mark.parametrize(
    ("options", "rate", "told"),
    [
        ({}, None, None),
        ({"rate": "10/s"}, "10/s burst 1", None),
        ({"rate": "5/s per tenant"}, None, {"r": "200000 1"}),
        ({"rate": "5/s burst 9 per tenant"}, None, {"r": "200000 9"}),
        ({"rate": "5/s", "per": "tenant"}, None, {"r": "200000 1"}),
        ({"rate": ["100/s", "5/s per tenant"]}, "100/s burst 10", {"r": "200000 1"}),
        ({"max_running": 3}, None, {"m": 3}),
        ({"max_running": "1 per tenant"}, None, {"mk": 1}),
        ({"max_running": (9, "1 per tenant")}, None, {"m": 9, "mk": 1}),
        ({"max_running": 2, "per": "tenant"}, None, {"mk": 2}),
        ({"fair": "tenant"}, None, {"f": True}),
        ({"fair": "tenant", "weights": {"big": 3}}, None, {"f": True}),
        ({"ordered": "tenant"}, None, {"o": True}),
        ({"ordered": True, "per": "tenant", "rate": "5/s per tenant"}, None, {"r": "200000 1", "o": True}),
        ({"fair": "tenant", "rate": ["10/s", "5/s per tenant"], "max_running": "2 per tenant"}, "10/s burst 1",
         {"f": True, "r": "200000 1", "mk": 2}),
    ],
)  # fmt: skip
def test_what_is_understood(options: dict[str, Any], rate: str | None, told: dict[str, Any] | None) -> None:
    assert policy(**options) == (rate, told)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": "ten/s"}, "rate='ten/s' is no rate: give a number per s, m, h or d"),
        ({"rate": "ten/s per tenant"}, "rate='ten/s' is no rate"),
        ({"rate": 10}, "rate=10: give text such as"),
        ({"rate": ["5/s", "6/s"]}, "rate= has two limits of the same kind"),
        ({"max_running": 0}, "max_running=0: give a whole number from 1"),
        ({"max_running": True}, "max_running=True: give"),
        ({"max_running": "some per tenant"}, "max_running='some': give"),
        ({"per": "tenant"}, "per= says whose limit it is: give a limit with it"),
        ({"per": 5, "rate": "5/s"}, "per=5: give the name of a parameter"),
        ({"fair": True}, "fair=True: say by what"),
        ({"ordered": "no name"}, "ordered='no name': give the name of a parameter"),
        ({"fair": "tenant", "ordered": "account"}, "share one key, and these are different: tenant, account"),
        ({"fair": "tenant", "rate": "5/s per user"}, "share one key, and these are different: user, tenant"),
        ({"ordered": "account", "max_running": "2 per account"}, "runs one task per key at a time"),
        ({"weights": {"big": 3}}, "give fair= as well"),
        ({"fair": "tenant", "weights": {"big": 0}}, "a weight of 0: give a number"),
        ({"fair": "tenant", "weights": 3}, "weights=3: give a mapping"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        flow(options)


def test_a_key_that_is_no_parameter() -> None:
    app = Distq("app")
    with pytest.raises(ConfigurationError, match=r"task send: per 'tennant' is no parameter .*did you mean `tenant`"):

        @app.task(rate="5/s per tennant")
        def send(tenant: str) -> None: ...


@pytest.mark.parametrize(
    ("value", "key"), [("a", "a"), (7, "7"), (UUID(int=1), str(UUID(int=1))), (None, ""), ("é", "é")]
)
def test_keys(value: Any, key: str) -> None:
    assert key_of("tenant", {"tenant": value}) == key_of(lambda p: p["tenant"], {"tenant": value}) == key


@pytest.mark.parametrize("value", [True, 1.5, ["a"], b"a", "a" * 201, "a\nb", "\ud800"])
def test_what_is_no_key(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="cannot be a key"):
        key_of("tenant", {"tenant": value})


def test_weights_travel_with_the_call() -> None:
    found = Flow(key="tenant", is_fair=True, weights={"big": 3.0})
    told = [found.of({"tenant": tenant}) for tenant in ("big", "small")]
    assert told == [{"k": "big", "w": 3.0}, {"k": "small", "w": 1.0}]
    with pytest.raises(ConfigurationError, match="a weight of -1"):
        Flow(key="tenant", is_fair=True, weights=lambda key: -1).of({"tenant": "x"})


def test_tasks_in_order_have_one_priority() -> None:
    app = Distq("app")

    @app.task(ordered="account")
    def book(account: str) -> None: ...

    with pytest.raises(ConfigurationError, match="run in order, and share one priority"):
        book.options(priority="high")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (lambda: Batch(1), "Batch(1): give a number of items from 2 to 500"),
        (lambda: Batch(501), "Batch(501): give a number of items"),
        (lambda: Batch(True), "Batch(True): give a number of items"),
        (lambda: Batch(2, within=0), "Batch(within=0): for so long its first item may wait: 1 ms to an hour"),
        (lambda: Batch(2, within="2h"), "Batch(within='2h'): for so long"),
        (lambda: Batch(2, per=""), "Batch(per=''): give the name of a field"),
        (lambda: flow({"batch": 200}), "batch=200: give a Batch, such as Batch(200"),
        (lambda: flow({"batch": Batch(2), "max_running": 3}), "batch= with max_running=: max_running counts single"),
        (lambda: flow({"batch": Batch(2), "ordered": "x"}), "batch= with ordered=:"),
        (lambda: flow({"batch": Batch(2), "slots": 3}), "batch= with slots=:"),
        (lambda: flow({"batch": Batch(2, per="a"), "fair": "b"}), "share one key, and these are different"),
        (
            lambda: Distq("a").task(batch=Batch(2))(cast("Any", both)),
            "task both: its handler is called with",
        ),
    ],
)
def test_wrong_batches(batch: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        batch()


def both(left: list[int], right: int) -> None:
    """No handler of batches."""


def test_the_key_of_a_batch_is_a_field_of_its_item() -> None:
    app = Distq("app", "unix:///nonexistent/distq.sock")

    @app.task(batch=Batch(200, within="2s", per="shard"), rate="5/s per shard")
    def index(items: list[Any]) -> None: ...

    assert index.declaration.flow is not None
    assert msgpack.unpackb(index.declaration.flow.policy()) == {"r": "200000 1", "n": 200, "w": 2000}
    told = index.flow_of(None)
    assert told is not None
    assert msgpack.unpackb(told(({"shard": 7},), {}) or b"") == {"k": "7"}
    assert msgpack.unpackb(told((), {"shard": "x"}) or b"") == {"k": "x"}, "called by name, with a mapping"
    with pytest.raises(TypeError, match=re.escape("per 'shard': an item of int has no such field")):
        index.delay(5)
    with pytest.raises(TypeError, match=re.escape("index(): a call is one item of a batch")):
        index.delay(1, 2)  # type: ignore[call-arg]


def test_what_a_handler_says_of_its_failures_is_checked() -> None:
    for wrong in ([ValueError()], {"a": ValueError()}, {-1: ValueError()}, {0: "text"}):
        with pytest.raises(TypeError, match="BatchFailed"):
            BatchFailed(wrong)  # type: ignore[arg-type]
