"""Budgets: what a declaration and a call are told when they are wrong, and what travels with a call."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from distq import Distq, RateLimited
from distq.amounts import Amount
from distq.budget import Budget
from distq.errors import ConfigurationError
from distq.outcome import decide


@pytest.fixture
def app() -> Distq:
    return Distq("shop")


@pytest.fixture
def openai(app: Distq) -> Budget:
    return app.budget("openai", "500/m", "200_000 tokens/m", per="api_key")


@pytest.mark.parametrize(
    ("text", "declared", "unit"),
    [
        ("10/s", "100000 1", ""),
        ("500/m", "120000 1", ""),
        ("100/s burst 7", "10000 7", ""),
        ("200_000 tokens/m", "300 20000", "tokens"),
        ("200_000 tokens / m burst 5_000", "300 5000", "tokens"),
        ("0.5 GB/h", "7200000000 1", "GB"),
    ],
)
def test_amounts(text: str, declared: str, unit: str) -> None:
    amount = Amount.parse(text)
    assert (amount.rate.declared, amount.unit) == (declared, unit)


@pytest.mark.parametrize(
    "text", ["ten/s", "10", "10/w", "10 a b/s", "0/s", "-1/s", "4000001/s", "10/s burst", 10, None]
)
def test_what_is_no_amount(app: Distq, text: Any) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"{text!r} is no amount of a budget: give text such as")):
        app.budget("openai", text)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app: app.budget("a b", "1/s"), "budget 'a b' is no valid name"),
        (lambda app: app.budget("api"), "budget api: give 1 to 8 amounts"),
        (lambda app: app.budget("api", "1/s burst 0"), "'1/s burst 0': a burst is at least 1"),
        (lambda app: app.budget("api", "1/s", per="no name"), "per='no name': give the name of a parameter"),
        (lambda app: app.budget("api", "1/s", queue="a b"), "queue 'a b' is no valid name"),
        (lambda app: app.budget("openai", "1/s"), "budget 'openai' is declared twice"),
        (lambda app: app.budget("api", "1/s")(cost=5), "budget api: cost=5, but it counts calls only"),
        (
            lambda app: app.budget("api", "1 token/s")(),
            "cost=None: say what a call costs of each unit: cost={'token': …}",
        ),
        (lambda app: app.budget("api", "1 a/s", "1 b/s")(cost=5), "cost={'a': …, 'b': …}"),
        (lambda app: app.budget("api", "1 a/s", "1 b/s")(cost={"a": 5}), "cost={'a': …, 'b': …}"),
        (lambda app: app.budgets["openai"](cost=-1), "a cost of -1 tokens: give a number from 0 up"),
        (
            lambda app: app.budgets["openai"](cost="no name"),
            "a cost of 'no name' tokens is no number; or give the name",
        ),
        (lambda app: app.budgets["openai"](cost=20_001), "a cost of 20001 tokens could never be met: at most 20000"),
        (lambda app: app.budgets["openai"](cost=True), "a cost of True tokens is no number"),
    ],
)
def test_what_is_wrong_is_said(app: Distq, openai: Budget, declare: Callable[[Distq], object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        declare(app)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda app: {"limits": [5]}, "limits=5: give uses of budgets: limits=[openai(cost=…)]"),
        (lambda app: {"limits": app.budgets["openai"]}, "cost=None: say what a call costs of each unit"),
        (
            lambda app: {"limits": [app.budgets["openai"](5)] * 2},
            "limits= names openai, openai: give at most 8 budgets",
        ),
        (
            lambda app: {"limits": [app.budgets["openai"](5)], "queue": "other"},
            "task ask is in queue 'other', and budget openai in 'default'",
        ),
        (
            lambda app: {"limits": [app.budgets["openai"]("tokns")]},
            "task ask: budget openai: cost='tokns' is no parameter of it (did you mean `tokens`?)",
        ),
        (lambda app: {"limits": [app.budget("api", "1/s", per="user")()]}, "budget api: per='user' is no parameter"),
    ],
)
def test_what_a_task_says_wrong(
    app: Distq, openai: Budget, options: Callable[[Distq], dict[str, Any]], message: str
) -> None:
    def ask(tokens: int, api_key: str = "") -> None: ...

    with pytest.raises(ConfigurationError, match=re.escape(message)):
        app.task(**options(app))(ask)


def told(app: Distq, *args: Any, **options: Any) -> dict[str, Any]:
    """What the message of a call says of its flow."""

    @app.task(type=f"ask-{len(app.tasks)}", **options)  # type: ignore[untyped-decorator]
    def ask(tokens: int, api_key: str | None = "k", tenant: str = "t") -> None: ...

    tell = ask.flow_of(None)
    assert tell is not None
    said: dict[str, Any] = msgpack.unpackb(tell(args, {}) or b"")
    return said


def test_what_travels_with_a_call(app: Distq, openai: Budget) -> None:
    disk = app.budget("disk", "1/s")
    assert told(app, 7, limits=[openai(cost="tokens")]) == {"k": "", "l": "\x1fk", "b": [["openai", "k", 1, 7]]}
    assert told(app, 7, limits=[openai(lambda p: p["tokens"] / 2)])["b"] == [["openai", "k", 1, 3.5]]
    assert told(app, 7, limits=[openai({"tokens": 0})])["b"] == [["openai", "k", 1, 0]]
    assert told(app, 7, limits=[disk()]) == {"k": "", "b": [["disk", "", 1]]}
    assert told(app, 7, limits=[disk]) == {"k": "", "b": [["disk", "", 1]]}
    assert told(app, 7, limits=[disk(), openai(cost=1)])["l"] == "\x1fk"


def test_a_lane_is_for_all_the_keys_that_it_waits_for(app: Distq, openai: Budget) -> None:
    use = openai(cost="tokens")
    assert told(app, 1, limits=[use], fair="tenant")["l"] == "t\x1fk"
    assert "l" not in told(app, 1, limits=[use], fair="api_key"), "it is the same"
    assert "l" not in told(app, 1, limits=[use], ordered="tenant"), "nothing overtakes it, whatever it waits for"
    assert told(app, 1, None, limits=[use]) == {"k": "", "l": "\x1f\x1e", "b": [["openai", "\x1e", 1, 1]]}


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        (20_001, ValueError, 'could never be met: at most 20000 are there at once; declare it with "… burst 20001"'),
        (-1, ValueError, "a cost of -1 tokens: give a number from 0 up"),
        (float("nan"), ValueError, "a cost of nan tokens"),
        (float("inf"), ValueError, "a cost of inf tokens"),
        ("7", TypeError, "a cost of '7' tokens is no number"),
        (None, TypeError, "a cost of None tokens is no number"),
    ],
)
def test_a_call_that_cannot_be_paid_is_refused_when_it_is_made(
    app: Distq, openai: Budget, tokens: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        told(app, tokens, limits=[openai(cost="tokens")])


def test_what_acquire_is_told_wrong(app: Distq, openai: Budget) -> None:
    disk = app.budget("disk", "1/s")
    with (
        pytest.raises(ValueError, match=re.escape("budget disk has no keys, and key='a' was given")),
        disk.acquire(key="a"),
    ):
        pass
    with pytest.raises(ConfigurationError, match="say what a call costs"), openai.acquire(key="a"):
        pass
    with pytest.raises(ValueError, match="could never be met"), openai.acquire(key="a", cost=20_001):
        pass
    with pytest.raises(TypeError, match="cannot be a key"), openai.acquire(key=1.5, cost=1):
        pass
    with (
        pytest.raises(ConfigurationError, match="timeout='soon' is no duration"),
        openai.acquire(cost=1, timeout="soon"),
    ):
        pass


def test_what_is_limited_costs_no_attempt(openai: Budget) -> None:
    decided = decide(RateLimited("2m", budget=openai, key="k"))
    assert (decided.word, decided.delay_ms) == ("snooze", 120_000)
    assert decided.limited is not None
    assert (decided.limited.terms, decided.limited.key) == (openai.terms, "k")
    with pytest.raises(ConfigurationError, match="retry_after='soon' is no duration"):
        RateLimited("soon", budget=openai)
