"""Moments that travel: aware datetimes only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from distq.clock import eta_ms
from distq.errors import ConfigurationError


@pytest.mark.parametrize(
    ("moment", "ms"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 1, 0, 0, 1, 500, tzinfo=UTC), 1000),
        (datetime(1970, 1, 1, 0, 0, 1, 1500, tzinfo=UTC), 1002),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 0),
        (datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Rome")), 1719828000000),
        (datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Rome")), 1729989000000),
        (datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Rome")), 1729992600000),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), -1000),
    ],
)
def test_eta(moment: datetime, ms: int) -> None:
    assert eta_ms(moment) == ms


def test_naive_datetime_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigurationError, match=r"eta=2024-05-06T07:08:09 has no time zone.*value\.astimezone\(\)"):
        eta_ms(datetime(2024, 5, 6, 7, 8, 9))


@pytest.mark.parametrize("value", [None, 5, "2024-05-06", timedelta(1)])
def test_only_datetimes(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"expires=.*: give a datetime with a time zone"):
        eta_ms(value, "expires")
