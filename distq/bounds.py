"""How many tasks may wait, of a queue and of a type, and what happens to a call for which there is no room. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, cast

from distq.durations import seconds
from distq.errors import ConfigurationError, did_you_mean

OnFull = Literal["reject", "block", "drop_oldest"]

HOW: Mapping[str, str] = {"reject": "reject", "block": "block", "drop_oldest": "drop"}
"""on_full -> as the scripts are told."""

MOST_PENDING = 1_000_000_000
MAX_BLOCK_S = 86_400


class BoundOptions(TypedDict, total=False):
    """Options of queues and of tasks."""

    max_pending: int
    on_full: OnFull
    block_timeout: Any


@dataclass(frozen=True)
class Bound:
    """At most so many wait or are scheduled. `type`: of this type; "": of the whole queue."""

    most: int
    on_full: OnFull = "reject"
    block_timeout_s: float | None = None
    """None: the application's timeout."""
    type: str = ""

    def of(self, type: str) -> Bound:
        """The same for a type as it travels."""
        return replace(self, type=type)

    def spread(self, partitions: int) -> Bound:
        """Of each of so many partitions."""
        return replace(self, most=max(1, -(-self.most // partitions)))


def bound(options: Mapping[str, Any], where: str) -> Bound | None:
    """What these options say; None: nothing."""
    on_full, block_timeout = options.get("on_full", "reject"), options.get("block_timeout")
    if "max_pending" not in options:
        for name in ("on_full", "block_timeout"):
            if name in options:
                raise ConfigurationError(f"{where}: {name}= says what happens above max_pending=: give that as well")
        return None
    most = options["max_pending"]
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_PENDING:
        raise ConfigurationError(f"max_pending={most!r:.80}: give a whole number from 1 to {MOST_PENDING:,}")
    if not isinstance(on_full, str) or on_full not in HOW:
        hint = did_you_mean(on_full, HOW) if isinstance(on_full, str) else ""
        raise ConfigurationError(f"on_full={on_full!r:.80} is none of {', '.join(HOW)}{hint}")
    if block_timeout is None:
        return Bound(most, cast("OnFull", on_full))
    if on_full != "block":
        raise ConfigurationError(f'{where}: block_timeout= is for on_full="block", and this is on_full="{on_full}"')
    block_s = seconds(block_timeout, "block_timeout")
    if block_s > MAX_BLOCK_S:
        raise ConfigurationError(f"block_timeout={block_timeout!r:.80}: give at most a day")
    return Bound(most, cast("OnFull", on_full), block_s)


def applying(own: Bound | None, type: str, whole: Bound | None) -> tuple[Bound, ...]:
    """To calls of this type: its own, and that of the queue."""
    return tuple(each for each in (own and own.of(type), whole) if each is not None)


def told(bounds: Iterable[Bound]) -> dict[str, Any]:
    """As an option of the enqueue script."""
    packed = [[each.type, each.most, HOW[each.on_full]] for each in bounds]
    return {"bounds": packed} if packed else {}
