"""When schedules tick: a golden table that no release of croniter may change, and a second way to the same answer."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distq.cron import MACROS, catch_up, timing, upcoming
from distq.errors import ConfigurationError

GOLDEN = [
    # when, zone, after, the next ones
    ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00", "2026-03-29T03:00+02:00 2026-03-30T02:30+02:00"),
    ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00+02:00", "2026-10-25T02:30+02:00 2026-10-26T02:30+01:00"),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T02:10+01:00", "2026-10-26T02:30+01:00"),
    ("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:00+01:00",
     "2026-03-29T01:30+01:00 2026-03-29T03:00+02:00 2026-03-29T03:30+02:00"),
    ("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:30+02:00",
     "2026-10-25T02:00+02:00 2026-10-25T02:30+02:00 2026-10-25T02:00+01:00 2026-10-25T02:30+01:00"),
    ("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00",
     "2026-03-29T03:00+02:00 2026-03-29T03:30+02:00 2026-03-30T02:00+02:00"),
    ("0 */2 * * *", "Europe/Berlin", "2026-10-25T00:30+02:00", "2026-10-25T02:00+02:00 2026-10-25T04:00+01:00"),
    ("*/20 * * * * *", "Europe/Berlin", "2026-10-25T02:59:30+02:00",
     "2026-10-25T02:59:40+02:00 2026-10-25T02:00+01:00 2026-10-25T02:00:20+01:00"),
    ("30 2 25 10 *", "Europe/Berlin", "2026-02-01T00:00+01:00", "2026-10-25T02:30+02:00 2027-10-25T02:30+02:00"),
    ("30 2 * * *", "America/New_York", "2026-03-07T12:00-05:00", "2026-03-08T03:00-04:00 2026-03-09T02:30-04:00"),
    ("30 1 * * *", "America/New_York", "2026-10-31T12:00-04:00", "2026-11-01T01:30-04:00 2026-11-02T01:30-05:00"),
    ("30 * * * *", "America/New_York", "2026-11-01T00:40-04:00",
     "2026-11-01T01:30-04:00 2026-11-01T01:30-05:00 2026-11-01T02:30-05:00"),
    ("@daily", "America/New_York", "2026-03-07T12:00-05:00", "2026-03-08T00:00-05:00 2026-03-09T00:00-04:00"),
    ("@daily", "America/Santiago", "2026-09-05T12:00-04:00", "2026-09-06T01:00-03:00 2026-09-07T00:00-03:00"),
    ("@daily", "America/Havana", "2026-10-31T12:00-04:00", "2026-11-01T00:00-04:00 2026-11-02T00:00-05:00"),
    ("30 * 1 11 *", "America/Havana", "2026-02-01T00:00-05:00",
     "2026-11-01T00:30-04:00 2026-11-01T00:30-05:00 2026-11-01T01:30-05:00"),
    ("0 1 30 3 *", "Europe/Lisbon", "2026-01-01T00:00+00:00", "2026-03-30T01:00+01:00 2027-03-30T01:00+01:00"),
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00+10:30", "2026-10-04T02:30+11:00 2026-10-05T02:15+11:00"),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00+11:00", "2026-04-05T01:45+11:00 2026-04-06T01:45+10:30"),
    ("*/15 * * * *", "Australia/Lord_Howe", "2026-04-05T01:30+11:00",
     "2026-04-05T01:45+11:00 2026-04-05T01:30+10:30 2026-04-05T01:45+10:30 2026-04-05T02:00+10:30"),
    ("*/15 * * * *", "Australia/Lord_Howe", "2026-10-04T01:40+10:30", "2026-10-04T01:45+10:30 2026-10-04T02:30+11:00"),
    ("0 12 * * *", "Asia/Kathmandu", "2026-05-01T00:00+00:00", "2026-05-01T12:00+05:45 2026-05-02T12:00+05:45"),
    ("0 0 29 2 *", "", "2026-01-01T00:00+00:00", "2028-02-29T00:00+00:00 2032-02-29T00:00+00:00"),
    ("0 0 29 2 *", "", "2096-03-01T00:00+00:00", "2104-02-29T00:00+00:00"),
    ("0 0 31 * *", "", "2026-01-31T00:00+00:00", "2026-03-31T00:00+00:00 2026-05-31T00:00+00:00"),
    ("0 0 L * *", "", "2028-01-31T00:00+00:00", "2028-02-29T00:00+00:00 2028-03-31T00:00+00:00"),
    ("59 23 28-31 * *", "", "2026-02-27T00:00+00:00", "2026-02-28T23:59+00:00 2026-03-28T23:59+00:00"),
    ("0 9 * * mon#1", "", "2026-01-01T00:00+00:00", "2026-01-05T09:00+00:00 2026-02-02T09:00+00:00"),
    ("0 0 13 * fri", "", "2026-02-01T00:00+00:00", "2026-02-06T00:00+00:00 2026-02-13T00:00+00:00"),
    ("0 12 * * 7", "", "2026-01-01T00:00+00:00", "2026-01-04T12:00+00:00"),
    ("59/20 * * * *", "", "2026-01-01T00:00+00:00", "2026-01-01T00:59+00:00 2026-01-01T01:59+00:00"),
    ("0/25 * * * *", "", "2026-01-01T00:25+00:00", "2026-01-01T00:50+00:00 2026-01-01T01:00+00:00"),
    ("0 23/5 * * *", "", "2026-01-01T00:00+00:00", "2026-01-01T23:00+00:00 2026-01-02T23:00+00:00"),
    ("0 0 1 12/2 *", "", "2026-01-01T00:00+00:00", "2026-12-01T00:00+00:00 2027-12-01T00:00+00:00"),
    ("0 0 31/5 * *", "", "2026-01-01T00:00+00:00", "2026-01-31T00:00+00:00 2026-03-31T00:00+00:00"),
    ("0 0 * * 6/2", "", "2026-01-01T00:00+00:00", "2026-01-03T00:00+00:00 2026-01-10T00:00+00:00"),
    ("30 15 10 * * *", "", "2026-01-01T00:00+00:00", "2026-01-01T10:15:30+00:00 2026-01-02T10:15:30+00:00"),
    ("@every 90s", "", "2026-01-01T00:00:10+00:00", "2026-01-01T00:01:30+00:00 2026-01-01T00:03+00:00"),
    ("@every 1m", "", "2026-01-01T00:00+00:00", "2026-01-01T00:01+00:00 2026-01-01T00:02+00:00"),
    ("@every 0.5s", "", "2026-01-01T00:00+00:00", "2026-01-01T00:00:00.500+00:00 2026-01-01T00:00:01+00:00"),
    ("@every 100ms", "", "2026-01-01T00:00+00:00", "2026-01-01T00:00:00.100+00:00"),
    ("@hourly", "", "2026-01-01T00:00+00:00", "2026-01-01T01:00+00:00"),
    ("@weekly", "", "2026-01-01T00:00+00:00", "2026-01-04T00:00+00:00"),
    ("@monthly", "", "2026-01-01T00:00+00:00", "2026-02-01T00:00+00:00"),
    ("@yearly", "", "2026-01-01T00:00+00:00", "2027-01-01T00:00+00:00"),
]  # fmt: skip


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(("when", "tz", "after", "expected"), GOLDEN)
def test_ticks_are_those_of_the_golden_table(when: str, tz: str, after: str, expected: str) -> None:
    wanted = [ms(text) for text in expected.split()]
    assert upcoming(when, tz, ms(after), len(wanted)) == wanted


WHEN = {
    # when -> the walls that match: (minutes of the hour, hours)
    "*/15 * * * *": (range(0, 60, 15), range(24)),
    "7 * * * *": ([7], range(24)),
    "30 2 * * *": ([30], [2]),
    "0,20,40 0-3 * * *": ([0, 20, 40], range(4)),
    "0 */2 * * *": ([0], range(0, 24, 2)),
}
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "America/Havana", "UTC")
CHANGES = [
    ms(f"{text}+00:00")
    for text in (
        "2026-03-29T01:00", "2026-10-25T01:00", "2026-03-08T07:00", "2026-11-01T06:00", "2026-04-04T15:00",
        "2026-10-03T15:30", "2026-09-06T04:00", "2026-04-05T03:00", "2026-11-01T05:00", "2026-06-01T00:00",
    )
]  # fmt: skip


def looked_up(when: str, tz: str, after: int, until: int) -> list[int]:
    """The same by looking at every minute."""
    minutes, hours = WHEN[when]
    zone, found = ZoneInfo(tz), []
    is_for_every_hour = len(hours) == 24
    before = datetime.fromtimestamp(after // 1000 - 60, zone)
    for at in range(after // 60_000 * 60, until // 1000, 60):
        wall = datetime.fromtimestamp(at, zone)
        matches = wall.minute in minutes and wall.hour in hours and (is_for_every_hour or wall.fold == 0)
        left_out = wall.replace(tzinfo=None) - before.replace(tzinfo=None) - timedelta(minutes=1)
        if left_out > timedelta(0) and not is_for_every_hour:
            walls = [before.replace(tzinfo=None) + timedelta(minutes=n + 1) for n in range(left_out.seconds // 60)]
            matches = matches or any(one.minute in minutes and one.hour in hours for one in walls)
        if matches and at * 1000 > after:
            found.append(at * 1000)
        before = wall
    return found


@given(
    st.sampled_from(sorted(WHEN)), st.sampled_from(ZONES), st.sampled_from(CHANGES),
    st.integers(-5 * 3600_000, 5 * 3600_000),
)  # fmt: skip
def test_ticks_are_those_that_a_look_at_each_minute_finds(when: str, tz: str, change: int, away: int) -> None:
    after = change + away
    until = after + 8 * 3600_000
    wanted = looked_up(when, tz, after, until)
    assert upcoming(when, tz, after, len(wanted) + 1)[: len(wanted)] == wanted
    assert upcoming(when, tz, after, len(wanted) + 1)[-1] >= until // 60_000 * 60_000


@given(
    st.sampled_from([*WHEN, *MACROS, "@every 7s", "*/7 30 */5 * * *", "0 0 29 2 *", "0 0 L * *"]),
    st.sampled_from(ZONES),
    st.integers(ms("2020-01-01T00:00+00:00"), ms("2090-01-01T00:00+00:00")),
)
def test_each_tick_is_later_than_the_one_before_and_found_from_anywhere_between(when: str, tz: str, after: int) -> None:
    one = timing(when, "" if when.startswith("@every") else tz)
    first = one.next(after)
    second = one.next(first)
    assert after < first < second
    assert one.next(first - 1) == first
    assert one.next((first + second) // 2) == second


def test_a_zone_that_changes_its_rules_changes_the_ticks_and_nothing_else() -> None:
    """The next one is always computed anew, from a moment: no wall is kept anywhere."""
    after = ms("2026-07-01T00:00+00:00")
    berlin, lisbon = (timing("0 9 * * *", tz).next(after) for tz in ("Europe/Berlin", "Europe/Lisbon"))
    assert datetime.fromtimestamp(berlin / 1000, UTC).hour == 7
    assert datetime.fromtimestamp(lisbon / 1000, UTC).hour == 8


BAD = [
    ("5m", "", 'did you mean "@every 5m"?'),
    ("", "", "is no schedule"),
    ("@dayly", "", "did you mean `@daily`?"),
    ("@reboot", "", "on_worker_start"),
    ("@every", "", "give a duration"),
    ("@every 50ms", "", "give a duration"),
    ("@every 400d", "", "give a duration"),
    ("@every 5m", "Europe/Berlin", "leave tz= out"),
    ("* * * *", "", "has 4 fields"),
    ("* * * * * * 2030", "", "has 7 fields"),
    ("61 * * * *", "", "out of range"),
    ("* * * * foo", "", "'foo' is neither a month nor a weekday"),
    ("R * * * *", "", "'R' is neither"),
    ("H * * * *", "", "'H' is neither"),
    ("0 0 ? * *", "", "`?` is `*`"),
    ("0 0 30 2 *", "", "no such date ever comes"),
    ("*/0 * * * *", "", "step"),
    ("@daily", "Europe/Berln", "did you mean `Europe/Berlin`?"),
    ("@daily", "../../etc/passwd", "is no time zone"),
    ("* " * 200, "", "is no schedule"),
]


@pytest.mark.parametrize(("when", "tz", "hint"), BAD)
def test_what_cannot_tick_is_an_error_with_the_value_and_a_hint(when: str, tz: str, hint: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        timing(when, tz)
    assert hint in str(caught.value)
    assert repr(tz if "tz=" in str(caught.value)[:4] else when)[:40] in str(caught.value)
    assert time.monotonic() - begun < 20, "nothing is searched for ever"


HOUR = 3_600_000


@pytest.mark.parametrize(
    ("late_ms", "missed", "fires", "following"),
    [
        (0, "skip", [0], 1),
        (59_000, "skip", [0], 1),
        (3 * HOUR, "skip", [], 4),
        (3 * HOUR, "once", [3], 4),
        (3 * HOUR, "all", [0, 1, 2, 3], 4),
        (3 * HOUR + 1, "once", [3], 4),
    ],
)
def test_of_what_is_late_fires_what_it_says(late_ms: int, missed: str, fires: list[int], following: int) -> None:
    first = ms("2026-01-01T00:00+00:00")
    found = catch_up(timing("@hourly"), first, first + late_ms, missed, 60_000)
    assert found == ([first + HOUR * number for number in fires], first + HOUR * following)


def test_very_many_that_were_missed_come_in_portions_or_are_found_at_once() -> None:
    first = ms("2026-01-01T00:00+00:00")
    due, following = catch_up(timing("* * * * * *"), first, first + 24 * 365 * HOUR, "all", 60_000)
    assert (len(due), following) == (100, first + 100_000)
    begun = time.monotonic()
    due, following = catch_up(timing("* 0 3 * * *"), first, first + 24 * 365 * HOUR, "once", 60_000)
    assert due == [ms("2026-12-31T03:00:59+00:00")]
    assert following == ms("2027-01-01T03:00+00:00")
    assert time.monotonic() - begun < 5
