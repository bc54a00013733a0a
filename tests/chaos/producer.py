"""A producer of the storm: `python -m tests.chaos.producer URL STYLE NAME SEED PER_SECOND FILE`, until it is ended.

It appends to FILE what it is about to call, and what came of it, one JSON list a line: what it did not write did not
happen. A call that raises is not repeated: its task may be there, or not.

    ["called", label, kind, time, delay]   ["acked", label, id, time]   ["raised", label, error]
    ["cancelled", label]
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from distq.errors import BrokerError
from tests.support.apps import storm

WEIGHTS = {
    "noop": 60, "slow": 2, "flaky": 8, "hopeless": 2, "urgent": 8, "limited": 4, "large": 1, "given": 6, "delayed": 5,
    "cancelled": 2, "expiring": 2, "poison": 0.06,
}  # fmt: skip
LATER_S = 6.0
"""After which a task that is to be cancelled would run."""
BULK = 200


class Producer:
    """1. calls tasks at a rate, 2. writes down each call and its answer."""

    def __init__(self, name: str, seed: int, file: str) -> None:
        self._name, self._chance = name, random.Random(seed)
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._number = 0
        self._to_cancel: list[tuple[str, Any]] = []

    def write(self, *lines: Iterable[Any]) -> None:
        os.write(self._file, "".join(json.dumps(list(line)) + "\n" for line in lines).encode())

    def label(self) -> str:
        self._number += 1
        return f"{self._name}-{self._number}"

    def kind(self) -> str:
        return self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    def call(self, kind: str, label: str) -> tuple[Any, tuple[Any, ...], float]:
        """What is called, with which arguments, and after which delay it may run at the earliest."""
        chance = self._chance
        match kind:
            case "slow":
                return storm.slow, (label, chance.uniform(0.05, 0.5)), 0
            case "flaky":
                return storm.flaky, (label, chance.randint(1, 3)), 0
            case "hopeless":
                return storm.flaky, (label, 99), 0
            case "given":
                return storm.noop.options(id=f"given-{label}"), (label,), 0
            case "delayed":
                delay = chance.uniform(0.2, 4.0)
                return storm.noop.options(delay=delay), (label,), delay
            case "cancelled":
                return storm.noop.options(delay=LATER_S), (label,), LATER_S
            case "expiring":
                return storm.noop.options(expires=chance.uniform(0.05, 1.0)), (label,), 0
        return getattr(storm, kind), (label,), 0

    def one(self) -> None:
        kind, label = self.kind(), self.label()
        sender, arguments, delay = self.call(kind, label)
        self.write(("called", label, kind, time.monotonic(), delay))
        try:
            self.acked(kind, label, sender.delay(*arguments))
        except BrokerError as error:
            self.write(("raised", label, type(error).__name__))

    def acked(self, kind: str, label: str, handle: Any) -> None:
        self.write(("acked", label, handle.id, time.monotonic()))
        if kind == "cancelled":
            self._to_cancel.append((label, handle))

    def bulk(self) -> None:
        labels = [self.label() for _ in range(BULK)]
        self.write(*(("called", label, "noop", time.monotonic(), 0) for label in labels))
        try:
            handles = storm.noop.delay_many((label,) for label in labels)
        except BrokerError as error:
            self.write(*(("raised", label, type(error).__name__) for label in labels))
        else:
            now = time.monotonic()
            self.write(*(("acked", label, made.id, now) for label, made in zip(labels, handles, strict=True)))

    async def some(self) -> None:
        """A few at the same time."""
        await asyncio.gather(*(self._one_of_some() for _ in range(20)))

    async def _one_of_some(self) -> None:
        kind, label = self.kind(), self.label()
        sender, arguments, delay = self.call(kind, label)
        self.write(("called", label, kind, time.monotonic(), delay))
        try:
            self.acked(kind, label, await sender.adelay(*arguments))
        except BrokerError as error:
            self.write(("raised", label, type(error).__name__))

    def cancel(self) -> None:
        """The oldest of those that are to be cancelled; it is tried until there is an answer."""
        if self._to_cancel:
            label, handle = self._to_cancel[0]
            try:
                if handle.cancel():
                    self.write(("cancelled", label))
            except BrokerError:
                return
            del self._to_cancel[0]


def main(url: str, style: str, name: str, seed: str, per_second: str, file: str) -> None:
    """Calls until TERM."""
    storm.app.rebind(url)
    producer, ending = Producer(name, int(seed), file), []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    with asyncio.Runner() as runner:
        ways: dict[str, tuple[Callable[[], None], int]] = {
            "sync": (producer.one, 1),
            "bulk": (producer.bulk, BULK),
            "async": (lambda: runner.run(producer.some()), 20),
        }
        call, size = ways[style]
        due = time.monotonic()
        while not ending:
            call()
            producer.cancel()
            due = max(due + size / float(per_second), time.monotonic() - 1.0)
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main(*sys.argv[1:])
