"""`history=`: a number of completed tasks, or a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from distq import Distq
from distq.errors import ConfigurationError
from distq.kept import LONGEST_MS, MOST, Kept, kept


def test_a_number_or_a_time() -> None:
    assert kept(1000) == Kept(1000, LONGEST_MS)
    assert kept("7d") == kept(timedelta(days=7)) == Kept(MOST, 7 * 86_400_000)
    assert (str(kept(1000)), str(kept("7d"))) == ("the last 1,000", "7 d")


@pytest.mark.parametrize("value", [-1, False, True, 1.5, "1000", "", "soon", MOST + 1, "401d", timedelta(0), None])
def test_anything_else_is_refused_with_what_can_be_said(value: object) -> None:
    with pytest.raises(ConfigurationError, match="history="):
        kept(value)


def test_a_type_wins_over_its_queue_and_that_over_the_application() -> None:
    app = Distq("app", "redis://localhost", history=5)
    app.queue("mail", history="1h")
    app.task(type="a")(print)
    app.task(type="b", queue="mail")(print)
    app.task(type="c", queue="mail", history=7)(print)
    app.task(type="secret", history=0)(print)
    assert [app.tasks[type].history for type in ("a", "b", "c", "secret")] == [kept(5), kept("1h"), kept(7), None]
    assert Distq("other", "redis://localhost").task(type="d")(print).history is None
