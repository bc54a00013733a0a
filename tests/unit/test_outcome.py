"""What user code did and what follows: the table of verdicts, and bounded records of whatever was raised."""

from __future__ import annotations

import json
from datetime import timedelta

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distq.errors import ConfigurationError
from distq.outcome import (
    MAX_DELAY_S,
    MAX_MESSAGE,
    MAX_TRACEBACK,
    Directive,
    Reject,
    Retry,
    Snooze,
    Verdict,
    clip,
    decide,
    record,
)

ERROR = ValueError("bad")


def because(directive: Directive) -> Directive:
    """The directive as `raise directive from ERROR` leaves it."""
    directive.__cause__ = ERROR
    return directive


def fields(verdict: Verdict) -> tuple[str, int, str]:
    return verdict.word, verdict.delay_ms, verdict.reason


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Retry(), ("retry", 0, "")),
        (Retry(delay=5), ("retry", 5000, "")),
        (Retry("later", delay="2m"), ("retry", 120_000, "later")),
        (Retry(delay=timedelta(milliseconds=1)), ("retry", 1, "")),
        (Snooze(60), ("snooze", 60_000, "")),
        (Snooze("500ms"), ("snooze", 500, "")),
        (Reject("never"), ("bury", 0, "never")),
        (Reject(), ("bury", 0, "")),
        (ERROR, ("bury", 0, "")),
        (SystemExit(1), ("bury", 0, "")),
        (KeyboardInterrupt(), ("bury", 0, "")),
        (GeneratorExit(), ("bury", 0, "")),
    ],
    ids=repr,
)
def test_verdicts(error: BaseException, expected: tuple[str, int, str]) -> None:
    assert fields(decide(error)) == expected


@pytest.mark.parametrize("directive", [Retry(), Reject("no")], ids=repr)
def test_a_directive_raised_because_of_an_error_records_that_error(directive: Directive) -> None:
    assert decide(because(directive)).error is ERROR


@pytest.mark.parametrize("directive", [Retry(), Reject("no")], ids=repr)
def test_a_directive_of_its_own_records_itself(directive: Directive) -> None:
    assert decide(directive).error is directive


@pytest.mark.parametrize("directive", [Retry, Reject, Snooze])
def test_except_exception_lets_directives_pass(directive: type[Directive]) -> None:
    assert not issubclass(directive, Exception)


@pytest.mark.parametrize("delay", [-1, "soon", float("nan")])
def test_wrong_delay_of_a_directive(delay: float) -> None:
    with pytest.raises(ConfigurationError, match="delay="):
        Retry(delay=delay)
    with pytest.raises(ConfigurationError, match="delay="):
        Snooze(delay)


def test_delay_of_a_directive_ends_at_a_year() -> None:
    assert Retry(delay="9999d").delay_s == Snooze(1e14).delay_s == MAX_DELAY_S


# -- records ---------------------------------------------------------------------------------------------------------


def kept(verdict: Verdict) -> dict[str, object]:
    return record(verdict, attempt=2, at_ms=1000, seconds=0.1234567, worker="w1")


def raised(error: BaseException) -> BaseException:
    """The error with a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught


def test_record_of_an_error() -> None:
    written = kept(decide(raised(ValueError("bad"))))
    traceback = str(written.pop("traceback"))
    assert traceback.startswith("Traceback (most recent call last)")
    assert traceback.endswith("ValueError: bad\n")
    assert written == {
        "outcome": "raised",
        "type": "ValueError",
        "message": "bad",
        "attempt": 2,
        "at": 1000,
        "seconds": 0.123457,
        "worker": "w1",
        "retry_in_ms": None,
    }


def test_record_of_a_retry_says_when() -> None:
    written = kept(decide(because(Retry("busy", delay=3))))
    assert (written["type"], written["message"], written["retry_in_ms"]) == ("ValueError", "busy", 3000)


def test_record_of_a_rejection() -> None:
    written = kept(decide(Reject("not ours")))
    assert (written["outcome"], written["type"], written["message"]) == ("rejected", "Reject", "not ours")


def test_class_of_an_error_is_named_with_its_module() -> None:
    assert kept(decide(json.JSONDecodeError("bad", "", 0)))["type"] == "json.decoder.JSONDecodeError"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Wordless(Exception):
    def __str__(self) -> str:
        return self.args[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("error", "reason"), [(Mute(), "RuntimeError"), (Wordless(5), "TypeError")], ids=repr)
def test_error_whose_str_fails(error: Exception, reason: str) -> None:
    written = kept(decide(raised(error)))
    assert written["message"] == f"(its message cannot be shown: {reason})"
    assert type(error).__name__ in str(written["traceback"])


def deep(levels: int) -> None:
    if levels:
        deep(levels - 1)
    raise ValueError("x" * 100_000)


def test_record_is_bounded() -> None:
    with pytest.raises(ValueError, match="x") as caught:
        deep(200)
    written = kept(decide(caught.value))
    assert len(str(written["message"])) <= MAX_MESSAGE
    assert len(str(written["traceback"])) <= MAX_TRACEBACK


def test_long_traceback_keeps_its_ends() -> None:
    error = raised(ExceptionGroup("many", [ValueError(f"{i} " + "x" * 1000) for i in range(100)]))
    traceback = str(kept(decide(error))["traceback"])
    assert "Traceback" in traceback[:200]
    assert "characters left out" in traceback


def test_chain_of_causes_that_is_a_circle() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert "ValueError: a" in str(kept(decide(raised(first)))["traceback"])


@given(st.text(st.characters(codec=None), max_size=50))
def test_any_message_can_be_packed(text: str) -> None:
    assert msgpack.packb(kept(decide(raised(ValueError(text)))))


@given(st.text(), st.integers(100, 200))
def test_clip_keeps_short_text(text: str, most: int) -> None:
    assert clip(text[:most], most) == text[:most]


@given(st.text(min_size=300, max_size=600), st.integers(100, 200))
def test_clip_cuts_the_middle(text: str, most: int) -> None:
    cut = clip(text, most)
    assert len(cut) <= most
    assert cut.startswith(text[:20])
    assert cut.endswith(text[-20:])
