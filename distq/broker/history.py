"""What happened when, added up in the broker: its two verbs. Nothing is written per task (docs/decisions/0059).

Of what happens in a queue the ledger knows; its keeper notes that with each renewal. How long attempts took each host
tells from its status board. All of it ends by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgpack

from distq.broker.scripts import Reply, readable, script
from distq.broker.together import several
from distq.broker.verbs import Command
from distq.run_times import STATUSES, RunTimes

RANGES = {"5m": 300, "1h": 3600, "24h": 86400, "7d": 604800}
"""In seconds: how far one can look back, each with slots of a fitting width."""
NOTED = ("enqueued", "completed", "retried", "dead", "cancelled", "expired")
"""Events of the ledger, as a slot has them."""
AT_ONCE = 4
"""Queues in one call: of a day with many types each is a page of a megabyte."""
_SLOT = re.compile(r"\d{1,15}")


class Past(NamedTuple):
    """What is known of a queue. A slot is numbered by its begin since 1970, in widths."""

    now_ms: int
    width_s: int
    events: dict[int, tuple[int, ...]]
    """By slot, as NOTED."""
    runs: dict[int, dict[str, RunTimes]]
    """By slot and type: of the hosts that tell it here."""


def roll_up(prefix: str, host: str, number: int, runs: Sequence[tuple[str, RunTimes]]) -> Command[bytes]:
    """Adds ended attempts to the slots of now. `number` rises with each call of this host."""
    verb = script("roll_up")
    items = [item for type, times in runs for item in (type, msgpack.packb(_numbers(times)))]
    return Command(verb, verb.command(prefix.encode(), host, number, *items), bytes)


def history(prefix: str, range: str) -> Command[Past]:
    """What happened in one of RANGES, and before, as far as it is still there."""
    verb = script("history")
    return Command(verb, verb.command(prefix.encode(), RANGES[range]), _parse)


def histories(prefixes: Sequence[str], range: str) -> Command[list[Past | None]]:
    """The same of several queues; None where keys are of the wrong kind."""
    return several("history", prefixes, _parse, RANGES[range])


def _numbers(times: RunTimes) -> list[int]:
    return [*times.statuses, *times.buckets, round(times.sum_s * 1e6)]


def _parse(reply: Reply) -> Past:
    now_ms, width_s, *stretches = reply
    past = Past(now_ms, width_s, {}, {})
    for words in stretches:
        for field, raw in zip(words[::2], words[1::2], strict=True):
            slot, _, type = readable(field).partition(" ")
            numbers = _read(raw)
            if not _SLOT.fullmatch(slot):
                continue
            if type and len(numbers) == len(_numbers(RunTimes())):
                split = len(STATUSES)
                times = RunTimes(tuple(numbers[:split]), tuple(numbers[split:-1]), numbers[-1] / 1e6)
                past.runs.setdefault(int(slot), {})[type] = times
            elif not type:
                past.events[int(slot)] = tuple((numbers[1:] + [0] * len(NOTED))[: len(NOTED)])
    return past


def _read(raw: bytes) -> list[int]:
    """The numbers of a field; none of what no script has written."""
    try:
        found = msgpack.unpackb(raw)
    except Exception:
        return []
    return found if isinstance(found, list) and all(isinstance(one, int) and one >= 0 for one in found) else []
