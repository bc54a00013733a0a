"""What people change while everything runs: `app.pause`, `app.resume`, `app.limits`. It takes effect at once, without a
deployment, and is kept in the broker until it is taken back.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from distq.broker import controls
from distq.broker.inspect import ledger, whole
from distq.errors import ConfigurationError, did_you_mean
from distq.facts import every_place, places
from distq.flow import limits_said
from distq.message import check_type
from distq.rate import Rate

if TYPE_CHECKING:
    from distq.app import Distq

MOST_WHO = 200
MOST_REASON = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


# -- pauses -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pause:
    """What is paused: a queue, a type in it, or a key of that type."""

    queue: str
    type: str | None
    key: str | None
    by: str
    since: datetime
    """By the broker's clock; in UTC."""
    reason: str = ""

    @property
    def what(self) -> str:
        """For people: "queue mail", "type email in queue mail", "key 7 of type email in queue mail"."""
        of = f"key {self.key} of " if self.key is not None else ""
        return f"queue {self.queue}" if self.type is None else f"{of}type {self.type} in queue {self.queue}"


@dataclass(frozen=True)
class _What:
    """What is meant, checked."""

    queue: str | None
    type: str
    key: str
    kind: str

    @classmethod
    def of(cls, app: Distq, queue: str | None, type: str | None, key: str | None) -> _What:
        if queue is None and type is None:
            raise ConfigurationError('say what: queue="mail", type="email", or type="email" with key="7"')
        if key is not None and type is None:
            raise ConfigurationError(f"key={key!r:.80}: say of which type it is")
        if type is not None:
            check_type(type)
        if key is not None:
            _check_key(app, str(type), key)
        return cls(queue, type or "", key or "", "queue" if type is None else "type" if key is None else "key")


def _check_key(app: Distq, type: str, key: object) -> None:
    if not isinstance(key, str):
        raise ConfigurationError(f"key={key!r:.80}: give it as text")
    task = app.tasks.get(type)
    if task is not None and (task.declaration.flow is None or task.declaration.flow.key is None):
        raise ConfigurationError(
            f"type {type} has no keys: nothing of it is per tenant, fair or ordered; pause the whole type"
        )


def pause(app: Distq, queue: str | None, type: str | None, key: str | None, by: str | None, reason: str | None) -> bool:
    """See `Distq.pause`."""
    what, who, why = _What.of(app, queue, type, key), check_who(by), _check_reason(reason)
    places = every_place(app, what.queue)
    done = [controls.pause(app.broker, place, what.kind, what.type, what.key, who, why) for place in places]
    return any(done)


def resume(app: Distq, queue: str | None, type: str | None, key: str | None) -> bool:
    """See `Distq.resume`."""
    what = _What.of(app, queue, type, key)
    places = every_place(app, what.queue)
    done = [controls.resume(app.broker, place, what.kind, what.type, what.key) for place in places]
    return any(done)


def pauses(app: Distq) -> list[Pause]:
    """See `Distq.pauses`."""
    return in_order(
        one
        for queue, names in places(app).items()
        for name in names
        for one in pauses_in(queue, *controls.pauses(app.broker, name))
    )


def pauses_in(queue: str, stopped: Mapping[str, Any], paused: Mapping[str, Mapping[str, Any]]) -> Iterator[Pause]:
    """What is paused in a queue, by what the broker has noted of the queue, and of its types and keys."""
    if stopped:
        yield Pause(queue, None, None, *_note(stopped), _reason(stopped))
    for name, note in paused.items():
        type, space, key = name.partition(" ")
        yield Pause(queue, type, key if space else None, *_note(note), _reason(note))


def in_order(found: Iterable[Pause]) -> list[Pause]:
    """Each once, although all partitions of a queue are paused."""
    each: dict[tuple[str, str | None, str | None], Pause] = {}
    for one in found:
        each.setdefault((one.queue, one.type, one.key), one)
    return sorted(each.values(), key=lambda one: (one.queue, one.type or "", one.key or ""))


def _note(said: Mapping[str, Any]) -> tuple[str, datetime]:
    """Who, and when."""
    return str(said.get("by", "")), moment(said.get("at"))


def _reason(said: Mapping[str, Any]) -> str:
    return str(said.get("why", ""))


def moment(ms: object) -> datetime:
    """A time of the broker."""
    return datetime.fromtimestamp(min(max(whole(ms), 0), 250_000_000_000_000) / 1000, UTC)


def user() -> str:
    """Whose process this is, as far as this machine knows."""
    import getpass  # noqa: PLC0415 (only who pauses or limits something is asked)

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may run as a number that nobody has
        return f"uid {os.getuid()}"


def check_who(by: object) -> str:
    """Who does it: as said, or the user of this process."""
    if by is None:
        by = _CONTROL.sub("", f"{user()}@{socket.gethostname()}")[:MOST_WHO]
    if not isinstance(by, str) or not 0 < len(by) <= MOST_WHO or _CONTROL.search(by):
        raise ConfigurationError(f"by={by!r:.80}: say who, in at most {MOST_WHO} characters")
    return by


def _check_reason(reason: object) -> str:
    if reason is None:
        return ""
    if not isinstance(reason, str) or len(reason) > MOST_REASON or _CONTROL.search(reason):
        raise ConfigurationError(f"reason={reason!r:.80}: say why, in one line of at most {MOST_REASON} characters")
    return reason


# -- limits -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """What limits a type; None: nothing. Rates as text, such as "10/s burst 20"."""

    rate: str | None = None
    max_running: int | None = None
    rate_per_key: str | None = None
    max_running_per_key: int | None = None

    @property
    def text(self) -> str:
        """For people: "10/s, 3 at once, 1 at once per key"."""
        said = [
            self.rate,
            self.max_running and f"{self.max_running:,} at once",
            self.rate_per_key and f"{self.rate_per_key} per key",
            self.max_running_per_key and f"{self.max_running_per_key:,} at once per key",
        ]
        return ", ".join(part for part in said if part) or "none"


@dataclass(frozen=True)
class TypeLimits:
    """The limits of one type in one queue."""

    type: str
    queue: str
    now: Limit
    """Those that hold."""
    declared: Limit
    is_set: bool
    """Whether people have set some, that win over the declared ones."""
    by: str
    since: datetime | None
    """When they were set."""


class LiveLimits:
    """`app.limits`: looks at the limits of types, and changes them while everything runs.

    What is set wins over what is declared until it is cleared: deployments and restarts change nothing about it. Its
    methods raise BrokerUnavailable when the broker does not answer.
    """

    def __init__(self, app: Distq) -> None:
        self._app = app

    def list(self) -> Sequence[TypeLimits]:
        """All types that have limits, as the broker knows them."""
        found: dict[tuple[str, str], TypeLimits] = {}
        for queue, names in places(self._app).items():
            for name in names:
                for type, limits in controls.limits(self._app.broker, name).items():
                    found.setdefault((queue, type), type_limits(type, queue, limits))
        return tuple(found[place] for place in sorted(found))

    def set(
        self,
        type: str,
        *,
        rate: str | Sequence[str] | None = None,
        max_running: int | str | Sequence[int | str] | None = None,
        queue: str | None = None,
        by: str | None = None,
    ) -> None:
        """Limits a type from now on: `rate="20/s"`, `max_running=3`; per key `rate="5/s per tenant"`,
        `max_running="1 per tenant"`; or both in a list. "none" or "none per tenant" takes a limit away, and what is not
        said stays as it is. `queue`: in that one, else where the type is. `by`: who, as `why` shows it.

        Raises ConfigurationError for what is no limit, a key that the type does not have, or a type that nobody knows.
        """
        wanted, names = limits_said(rate, max_running)
        if not wanted:
            raise ConfigurationError(f'say what limits {type!r:.80}: rate="20/s" or max_running=3')
        where, who = self._where(type, queue), check_who(by)
        self._check_key(type, where, wanted, names)
        for place in where:
            controls.override(self._app.broker, place, type, wanted, who)

    def clear(self, type: str, *, queue: str | None = None) -> bool:
        """What is declared holds again. False: nothing was set."""
        where = self._where(type, queue, is_set=True)
        done = [controls.override(self._app.broker, place, type, None, "") for place in where]
        return any(done)

    def _where(self, type: str, queue: str | None, is_set: bool = False) -> Sequence[str]:
        """The queue of a type. A limit holds for one: its partitions would have one each."""
        check_type(type)
        every = places(self._app, queue)
        if queue is None and type in self._app.tasks:
            home = self._app.tasks[type].declaration.queue
            every = {home: every[home]}
        elif queue is None:
            every = {name: all for name, all in every.items() if any(self._has_seen(type, place) for place in all)}
        if not every:
            raise ConfigurationError(
                f"no queue has seen type {type!r}{did_you_mean(type, self._types())}; name the queue in which it is"
            )
        if len(every) > 1 and not is_set:
            raise ConfigurationError(f"type {type} is in several queues: {', '.join(every)}; name one of them")
        for name, all in every.items():
            if len(all) > 1 and not is_set:
                raise ConfigurationError(
                    f"queue {name} has {len(all)} partitions, and a limit would hold in each: use a queue without"
                )
        return [place for all in every.values() for place in all]

    def _has_seen(self, type: str, place: str) -> bool:
        return type in ledger(self._app.broker, place) or type in controls.limits(self._app.broker, place)

    def _types(self) -> Iterable[str]:
        return [*self._app.tasks, *(type for place in every_place(self._app) for type in self._seen(place))]

    def _seen(self, place: str) -> Iterable[str]:
        return ledger(self._app.broker, place)

    def _check_key(self, type: str, where: Sequence[str], wanted: Mapping[str, Any], names: Sequence[str]) -> None:
        """Raises ConfigurationError if a limit per key is set for a type without keys."""
        if not {"r", "mk"} & wanted.keys():
            return
        task = self._app.tasks.get(type)
        if task is not None:
            key = task.declaration.flow.key if task.declaration.flow else None
            if isinstance(key, str) and any(name != key for name in names):
                raise ConfigurationError(f"the key of type {type} is {key!r}, not {names[0]!r:.80}")
            has_key = key is not None
        else:
            found = [controls.limits(self._app.broker, place).get(type) for place in where]
            has_key = any(one is not None and _has_key(one) for one in found)
        if not has_key:
            raise ConfigurationError(
                f'type {type} has no keys: only what is declared with one ("… per tenant", fair=, ordered=) can be '
                "limited per key"
            )


def _has_key(limits: controls.Limits) -> bool:
    """Whether something of its declaration is per key."""
    declared = limits.override.get("declared")
    policy = declared["flow"] if isinstance(declared, dict) else {}
    return bool({"r", "mk", "f", "o"} & (limits.policy.keys() | policy.keys()))


def type_limits(type: str, queue: str, found: controls.Limits) -> TypeLimits:
    """What the broker keeps, for people."""
    now = _limit(found.rate, found.policy)
    if not found.override:
        return TypeLimits(type, queue, now, now, False, "", None)
    declared = found.override.get("declared")
    said = declared if isinstance(declared, dict) else {}
    flow = said.get("flow")
    by, since = _note(found.override)
    return TypeLimits(
        type, queue, now, _limit(str(said.get("rate", "")), flow if isinstance(flow, dict) else {}), True, by, since
    )


def _limit(rate: str, policy: Mapping[str, Any]) -> Limit:
    each = policy.get("r")
    most = 1 if policy.get("o") else whole(policy.get("mk"))
    return Limit(
        rate_text(rate), whole(policy.get("m")) or None, rate_text(each if isinstance(each, str) else ""), most or None
    )


def rate_text(declared: str) -> str | None:
    """A rate as the scripts keep it, for people."""
    rate = Rate.read(declared)
    return None if rate is None else rate.short
