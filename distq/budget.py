"""Budgets: named limits that several types, and programs outside of tasks, share."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from distq import message
from distq.amounts import Costs, Terms, Use, terms
from distq.broker import budgets
from distq.broker.verbs import Command
from distq.durations import Duration, format_duration, seconds
from distq.errors import BudgetExhausted, ConfigurationError
from distq.flow import NO_KEY, Key, check_key, key_of
from distq.options import QueueDefaults
from distq.outcome import MAX_DELAY_S

if TYPE_CHECKING:
    from distq.app import Distq


@dataclass(frozen=True)
class Left:
    """One amount of a budget, and how much of it is there now."""

    rate: str
    unit: str
    """Empty: calls."""
    left: float


@dataclass(frozen=True)
class BudgetState:
    """What is left of a budget, of one of its keys if it has some."""

    name: str
    queue: str
    key: str
    amounts: tuple[Left, ...]
    parked_until: datetime | None
    """By the broker's clock; in UTC."""


class Budget:
    """A limit with a name, of `app.budget(…)`. Called, it is a use of it, for `@app.task(limits=[openai(cost=5)])`."""

    def __init__(self, app: Distq, terms: Terms) -> None:
        self._app, self.terms = app, terms
        self.name = terms.name

    def __call__(self, cost: Costs | None = None) -> Use:
        """What each task of a type takes of it. `cost`, if it has an amount with a unit: a number, the name of a
        parameter, a function of the arguments, or a mapping of these by unit."""
        return Use.of(self.terms, cost)

    @contextmanager
    def acquire(self, *, key: object = None, cost: Any = None, timeout: Duration | None = None) -> Iterator[None]:
        """Waits until the budget allows one more call, and takes it: `with openai.acquire(cost=500): …`.

        `key`: of a budget with keys. `cost`: a number, or a mapping by unit. Raises BudgetExhausted as soon as it is
        known that `timeout` is too short for it (None: it waits as long as it takes; 0: it never waits), and ValueError
        for a cost above the burst, which could never be met. Nothing is given back at the end.
        """
        wish, until = self._wish(key, cost), _until(timeout)
        while wait_s := self._app.broker.run(wish):
            time.sleep(self._bearable(wait_s, until))
        yield

    @asynccontextmanager
    async def aacquire(
        self, *, key: object = None, cost: Any = None, timeout: Duration | None = None
    ) -> AsyncIterator[None]:
        """`acquire` for asyncio."""
        import asyncio  # noqa: PLC0415 (a third of what `import distq` would cost)

        wish, until = self._wish(key, cost), _until(timeout)
        while wait_s := await self._app.async_broker.run(wish):
            await asyncio.sleep(self._bearable(wait_s, until))
        yield

    def park(self, retry_after: Duration, *, key: object = None) -> None:
        """Nobody takes from it before this is over (seconds, timedelta or "5m"), neither tasks nor others: for when
        whoever is called says that it was too much. In a handler: `raise RateLimited(retry_after, budget=…)`."""
        self._app.broker.run(self._parking(retry_after, key))

    async def apark(self, retry_after: Duration, *, key: object = None) -> None:
        """`park` for asyncio."""
        await self._app.async_broker.run(self._parking(retry_after, key))

    def state(self, *, key: object = None) -> BudgetState:
        """What is left of it, as this program has declared it, and until when it is parked."""
        from distq.controls import moment  # noqa: PLC0415 (for those who ask)

        terms, said = self.terms, key_said(self.terms, key)
        waits, till = budgets.look(self._app.broker, terms.queue, self.name, said, len(terms.amounts))
        left = [
            Left(amount.rate.short, amount.unit, max(0.0, amount.rate.burst - ms * 1000 / amount.rate.interval_us))
            for amount, ms in zip(terms.amounts, waits, strict=True)
        ]
        return BudgetState(self.name, terms.queue, said.strip(NO_KEY), tuple(left), moment(till) if till else None)

    def _wish(self, key: object, cost: Any) -> Command[float]:
        costs = self.terms.costs(self.terms.by_unit(cost))
        wanted = list(zip(self.terms.declared, costs, strict=True))
        return budgets.acquire(self._prefix, self.name, key_said(self.terms, key), wanted)

    def _parking(self, retry_after: Duration, key: object) -> Command[None]:
        ms = round(min(seconds(retry_after, "retry_after"), MAX_DELAY_S) * 1000)
        return budgets.park_budget(self._prefix, self.name, key_said(self.terms, key), ms)

    @property
    def _prefix(self) -> str:
        return self._app.broker.prefix(self.terms.queue)

    def _bearable(self, wait_s: float, until: float | None) -> float:
        """How long to wait, if that is in time."""
        if until is None or time.monotonic() + wait_s <= until:
            return wait_s
        error = BudgetExhausted(
            f"budget {self.name} has too little for this call before {format_duration(wait_s)} are over, which is more "
            "than its timeout leaves"
        )
        error.retry_after = wait_s
        raise error

    def __repr__(self) -> str:
        return f"<Budget {self.name}>"


def key_said(terms: Terms, key: object) -> str:
    """A key that a program gives. Raises ValueError or TypeError if that cannot be one, or the budget has none."""
    if terms.key is None:
        if key is not None:
            raise ValueError(f"budget {terms.name} has no keys, and key={key!r:.80} was given: declare it with per=")
        return ""
    return key_of("key", {"key": key}) or NO_KEY


def declare(app: Distq, name: str, amounts: tuple[str, ...], per: Key | None, queue: str) -> Budget:
    """`app.budget(…)`."""
    message.check_place(name, "budget")
    if name in app.budgets:
        raise ConfigurationError(f"budget {name!r} is declared twice: give one of them another name")
    place = message.check_place(queue, "queue")
    key = None if per is None else check_key(per, "per")
    app.queues.setdefault(place, QueueDefaults())
    app.budgets[name] = Budget(app, terms(name, amounts, key, place))
    return app.budgets[name]


def _until(timeout: Duration | None) -> float | None:
    return None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
