"""When a schedule ticks: `@every 90s`, `*/5 * * * *`, `@daily`, in a time zone. Pure: it knows no clock.

croniter reads the five or six fields and finds matches on a calendar without gaps; what summer time does to them is
decided here (docs/decisions/0046). No other module imports croniter.

    a time that is left out (02:30, when 02:00 becomes 03:00)     ticks once, when the gap is over
    a time that comes twice (02:30, when 03:00 becomes 02:00)     ticks the first time
    expressions for every hour (`*/15 * * * *`)                   go by what has passed: they tick in both hours, and
                                                                  know no gap
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from distq.durations import seconds
from distq.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
EVERY = "@every"
UTC = "UTC"
LEAST_MS, MOST_MS = 100, 366 * 86_400_000
"""Of `@every`."""
LONGEST = 200
"""Characters of an expression."""
PORTION = 100
"""Ticks of one schedule that fire at once."""
REPEATED_S = 3 * 3600
"""No zone sets its clocks back by more than this."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "l")
_FIELD = re.compile(r"[0-9A-Za-z*,/#-]+\Z")
_EPOCH = datetime(1970, 1, 1)
_A_TIME = 1_700_000_000_000
_HINT = 'give "@every 5m", "@daily" or five fields: minute hour day month weekday, such as "*/5 * * * *"'


class Timing(Protocol):
    """The ticks of a schedule, as milliseconds since 1970."""

    def next(self, after_ms: int) -> int:
        """The first one after this."""
        ...


@lru_cache(maxsize=4096)
def timing(when: str, tz: str = "") -> Timing:
    """What `when=` and `tz=` say ("" for UTC). Raises ConfigurationError with the value and a hint."""
    if not isinstance(when, str) or not when.strip() or len(when) > LONGEST:
        raise ConfigurationError(f"when={when!r:.80} is no schedule: {_HINT}")
    word, _, rest = when.strip().partition(" ")
    if word == EVERY:
        return _every(when, rest, tz)
    if when.strip().startswith("@"):
        return _Cron(when, _macro(when.strip()), zone(tz or UTC))
    return _Cron(when, _checked(when), zone(tz or UTC))


def upcoming(when: str, tz: str, after_ms: int, number: int = 5) -> list[int]:
    """The next ticks."""
    return list(islice(ticks(timing(when, tz), after_ms), number))


def ticks(of: Timing, after_ms: int) -> Iterator[int]:
    """All that come after this, one after the other."""
    at = after_ms
    while True:
        at = of.next(at)
        yield at


def shown(moments: Iterable[int], tz: str) -> str:
    """Ticks for people, in their zone, the day only where it is another one."""
    of, texts, day = zone(tz or UTC), [], ""
    for ms in moments:
        moment = datetime.fromtimestamp(ms / 1000, of)
        this_day, time = f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S}"
        texts.append(time if this_day == day else f"{this_day} {time}")
        day = this_day
    return ", ".join(texts) or "none"


def catch_up(of: Timing, first_ms: int, now_ms: int, missed: str, patience_ms: int) -> tuple[list[int], int]:
    """Which ticks fire of those that are due, from `first_ms` on, and the next one after these.

    Some are a little late: a host died, and another one took over. If the first one is later than `patience_ms`, nobody
    was there: then `missed` decides about all of them: "skip", "once" (the last one stands for all) or "all". They come
    in portions: then the next one is due, too.
    """
    if now_ms - first_ms > patience_ms and missed != "all":
        return ([] if missed == "skip" else [_last(of, first_ms, now_ms)]), of.next(now_ms)
    due, following = [first_ms], of.next(first_ms)
    while len(due) < PORTION and following <= now_ms:
        due.append(following)
        following = of.next(following)
    return due, following


def _last(of: Timing, first_ms: int, now_ms: int) -> int:
    """The last tick up to now, found by halves: there may have been very many."""
    last, end = first_ms, now_ms
    while last < end:
        middle = (last + end) // 2
        at = of.next(middle)
        last, end = (at, end) if at <= now_ms else (last, middle)
    return last


def zone(name: object) -> ZoneInfo:
    """The time zone of this name. Raises ConfigurationError."""
    import zoneinfo  # noqa: PLC0415 (0.8 MiB that only who has schedules needs)

    try:
        if isinstance(name, str) and name:
            return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError
        pass
    known = zoneinfo.available_timezones()
    hint = did_you_mean(str(name), known) or ': give a name such as "Europe/Berlin"'
    raise ConfigurationError(f"tz={name!r:.80} is no time zone that is known here{hint if known else ''}")


def _every(when: str, text: str, tz: str) -> Timing:
    if tz:
        raise ConfigurationError(f"tz={tz!r:.80}: {when!r:.80} ticks at the same moments everywhere: leave tz= out")
    try:
        period_ms = round(seconds(text.strip(), "when") * 1000)
    except ConfigurationError:
        period_ms = 0
    if not LEAST_MS <= period_ms <= MOST_MS:
        raise ConfigurationError(
            f'when={when!r:.80}: give a duration from 100ms to a year behind @every, such as "@every 90s"'
        )
    return _Every(period_ms)


def _macro(when: str) -> str:
    if when not in MACROS:
        hint = did_you_mean(when, [*MACROS, EVERY])
        if when == "@reboot":
            hint = " (for what each process does at its start there is app.on_worker_start)"
        raise ConfigurationError(f"when={when!r:.80} is unknown{hint}; there are: {', '.join([*MACROS, EVERY])}")
    return MACROS[when]


def _checked(when: str) -> str:
    """The fields, if it may be such an expression: croniter knows more than we can promise, such as chance (`R`)."""
    fields = when.split()
    if len(fields) not in (5, 6):
        hint = f'did you mean "@every {fields[0]}"?' if len(fields) == 1 and fields[0][0].isdigit() else _HINT
        raise ConfigurationError(
            f"when={when!r:.80} has {len(fields)} field{'s' * (len(fields) > 1)}: {hint} (a sixth in front: seconds)"
        )
    for field in fields:
        if not _FIELD.match(field):
            raise ConfigurationError(f"when={when!r:.80}: {field!r:.40} is no field{' (`?` is `*`)' * ('?' in field)}")
        for word in re.findall("[A-Za-z]+", field):
            if word.lower() not in (*_MONTHS, *_DAYS):
                hint = did_you_mean(word.lower(), (*_MONTHS, *_DAYS))
                raise ConfigurationError(f"when={when!r:.80}: {word!r:.40} is neither a month nor a weekday{hint}")
    return " ".join(fields)


class _Every:
    """A fixed interval, counted from 1970: nothing shifts when a host is started."""

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms

    def next(self, after_ms: int) -> int:
        return (after_ms // self._period_ms + 1) * self._period_ms


class _Cron:
    """An expression in a zone. A *wall* is what the clock on the wall shows, as seconds since its 1970."""

    def __init__(self, when: str, fields: str, tz: ZoneInfo) -> None:
        from croniter import croniter  # noqa: PLC0415 (only who has such schedules needs it)

        self._zone, self._lock = tz, Lock()
        has_seconds = len(fields.split()) == 6
        try:
            self._calendar: Any = croniter(fields, 0, ret_type=float, second_at_beginning=has_seconds)
            hours = croniter.expand(fields, second_at_beginning=has_seconds)[0][1]
            self._is_for_every_hour = hours == ["*"] or set(range(24)) <= set(hours)
            self.next(_A_TIME)
        except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
            raise ConfigurationError(f"when={when!r:.80} is no schedule: {_said(error)}") from None

    def next(self, after_ms: int) -> int:
        after = after_ms // 1000
        if self._zone.key == UTC:
            return self._match(after) * 1000
        return (self._by_time_passed(after) if self._is_for_every_hour else self._by_the_wall(after)) * 1000

    def _match(self, wall: int) -> int:
        """The next one on a calendar without gaps."""
        with self._lock:
            self._calendar.set_current(wall, force=True)
            return int(self._calendar.get_next(float))

    # -- what summer time does ---------------------------------------------------------------------------------------

    def _by_the_wall(self, after: int) -> int:
        wall = after + self._offset(after)
        while True:
            wall = self._match(wall)
            if not self._exists(wall):
                return self._instant(self._next_minute(wall, self._exists))
            at = self._instant(wall)
            if at > after:
                return at
            wall = self._next_minute(wall, lambda wall: self._instant(wall) == self._instant(wall, 1)) - 1

    def _by_time_passed(self, after: int) -> int:
        before = self._offset(after)
        wall = self._match(after + before)
        while not self._exists(wall):
            wall = self._match(self._next_minute(wall, self._exists) - 1)
        found = min(at for at in (self._instant(wall), self._instant(wall, 1)) if at > after)
        soon = min(found, after + REPEATED_S)
        if self._offset(soon) < before:  # the clocks are set back before: what they show again comes first
            ends, begins = after, soon
            while begins - ends > 1:
                middle = (ends + begins) // 2
                ends, begins = (middle, begins) if self._offset(middle) == before else (ends, middle)
            now = self._offset(begins)
            found = min(found, self._match(begins + now - 1) - now)
        return found

    def _offset(self, at: int) -> int:
        """Seconds that the wall is ahead of UTC."""
        offset = datetime.fromtimestamp(at, self._zone).utcoffset()
        return 0 if offset is None else round(offset.total_seconds())

    def _instant(self, wall: int, fold: int = 0) -> int:
        """When a wall is shown, the first time or the second."""
        shown = (_EPOCH + timedelta(seconds=wall)).replace(tzinfo=self._zone, fold=fold)
        return round(shown.timestamp())

    def _exists(self, wall: int) -> bool:
        at = self._instant(wall)
        return at + self._offset(at) == wall

    @staticmethod
    def _next_minute(wall: int, holds: Callable[[int], bool]) -> int:
        """The first full minute after a wall of which this is true: clocks are set at full minutes."""
        wall = (wall // 60 + 1) * 60
        while not holds(wall):
            wall += 60
        return wall


def _said(error: Exception) -> str:
    text = str(error)
    return "no such date ever comes" if "failed to find" in text else f"{text:.200}; {_HINT}"
