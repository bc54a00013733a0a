"""Batches: a handler that is given a list of the items of many calls. What is declared, and how one item fails. Pure.

When a batch is handed over is decided in the broker (lua/parts/flow.lua); what becomes of its items in
`distq.worker.units`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from inspect import Signature
from typing import Any

from distq.durations import seconds
from distq.errors import ConfigurationError

MOST_ITEMS = 500
MOST_WITHIN_S = 3600


@dataclass(frozen=True)
class Batch:
    """`@app.task(batch=Batch(200, within="2s", per="shard"))`: calls are handed to the handler as a list.

    A batch is handed over when it has `size` items, or when its first one has waited for `within` (seconds, timedelta
    or "2s"). `per`: each key has batches of its own; the name of a field of the item, or a function of the item.
    """

    size: int
    within: float | timedelta | str = "1s"
    per: str | Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        size = self.size
        if isinstance(size, bool) or not isinstance(size, int) or not 2 <= size <= MOST_ITEMS:
            raise ConfigurationError(f"Batch({size!r:.80}): give a number of items from 2 to {MOST_ITEMS}")
        if not 0.001 <= seconds(self.within, "within") <= MOST_WITHIN_S:
            raise ConfigurationError(
                f"Batch(within={self.within!r:.80}): for so long its first item may wait: 1 ms to an hour"
            )
        if self.per is not None and not callable(self.per) and not (isinstance(self.per, str) and self.per):
            raise ConfigurationError(
                f"Batch(per={self.per!r:.80}): give the name of a field of the items, or a function of an item"
            )

    @property
    def within_ms(self) -> int:
        """`within` as the scripts take it."""
        return round(seconds(self.within, "within") * 1000)


class BatchFailed(Exception):
    """Raised by a handler of batches: these items have failed, each with its error, and all others are done.

    `raise BatchFailed({3: error})`: by their index in the list. Instead of an error, `Retry`, `Reject` or `Snooze`.
    """

    def __init__(self, failed: Mapping[int, BaseException]) -> None:
        if not isinstance(failed, Mapping):
            raise TypeError(f"BatchFailed({failed!r:.80}): give a mapping from the index of an item to its error")
        for index, error in failed.items():
            if isinstance(index, bool) or not isinstance(index, int) or index < 0:
                raise TypeError(f"BatchFailed: {index!r:.80} is no index of an item: give whole numbers from 0 on")
            if not isinstance(error, BaseException):
                raise TypeError(f"BatchFailed: item {index} has {error!r:.80}, which is no exception")
        super().__init__(f"{len(failed)} items have failed")
        self.failed = dict(failed)


@dataclass(frozen=True)
class Field:
    """A key by the name of a field."""

    name: str

    def __call__(self, item: Any) -> Any:
        """Of a mapping, or of an object."""
        try:
            return item[self.name] if isinstance(item, Mapping) else getattr(item, self.name)
        except (KeyError, AttributeError):
            raise TypeError(f"per {self.name!r}: an item of {type(item).__name__} has no such field") from None

    def __str__(self) -> str:
        return repr(self.name)


def item_of(args: tuple[Any, ...] | list[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a call gives to its batch: its one argument, or by name the fields of a mapping."""
    return args[0] if args else dict(kwargs)


def fits(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raises TypeError for a call that is not one item."""
    if len(args) + bool(kwargs) != 1:
        raise TypeError(
            f"{name}(): a call is one item of a batch: give one argument, or the fields of a mapping by name; "
            "for many at once delay_many([(item,), …])"
        )


def check_takes_a_list(signature: Signature, where: str) -> None:
    """Raises ConfigurationError for a handler that cannot be called with one list."""
    try:
        signature.bind([])
    except TypeError as error:
        raise ConfigurationError(
            f"{where}: its handler is called with one list of items, and takes {signature} ({error})"
        ) from None


NOT_TOGETHER = ("max_running", "ordered", "slots", "limits")


def check_batch(options: Mapping[str, Any]) -> Batch | None:
    """That of `@app.task(**options)`."""
    said = options.get("batch")
    if said is None:
        return None
    if not isinstance(said, Batch):
        raise ConfigurationError(f'batch={said!r:.80}: give a Batch, such as Batch(200, within="2s")')
    for name in NOT_TOGETHER:
        if options.get(name) not in (None, False):
            raise ConfigurationError(
                f"batch= with {name}=: {name} counts single tasks, not items of a batch; leave one of them out"
            )
    return said
