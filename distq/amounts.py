"""What a budget allows, and what a call costs of it. Pure.

"500/m"                        calls: each costs 1
"200_000 tokens/m"             of a unit: what a call costs is told by `cost=`
"200_000 tokens/m burst 5000"  the most that is there at once, and so the most that a call may cost
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from distq.errors import ConfigurationError, did_you_mean
from distq.rate import PER_MS, Rate

Cost = float | str | Callable[[Mapping[str, Any]], float]
"""A number, the name of a parameter, or what makes a number of the arguments."""

Costs = Cost | Mapping[str, Cost]
"""Of several units: of each its own."""

MOST_AMOUNTS = 8
MOST_USES = 8
"""Budgets of one type; lua/parts/head.lua has it, too."""
MOST_PER_S = 4_000_000
"""The scripts count in quarters of a microsecond."""
MOST_BURST = 1_000_000_000

_TEXT = re.compile(r"\s*(\d[\d_]*(?:\.\d+)?)(?:\s+([A-Za-z]\w*))?\s*/\s*([smhd])(?:\s+burst\s+(\d[\d_]*))?\s*\Z")


@dataclass(frozen=True)
class Amount:
    """So much per time, of a unit or of calls."""

    rate: Rate
    unit: str = ""

    @classmethod
    def parse(cls, text: object) -> Amount:
        """The amount in a text. The default burst is a tenth of the amount, of calls a tenth of a second's worth, and
        at least 1. Raises ConfigurationError that says what is allowed."""
        match = _TEXT.match(text) if isinstance(text, str) else None
        count = float(match[1].replace("_", "")) if match else 0.0
        per_ms = PER_MS[match[3]] if match else 1
        if match is None or not 0 < count <= MOST_PER_S * per_ms / 1000:
            raise ConfigurationError(
                f'{text!r:.80} is no amount of a budget: give text such as "10/s", "500/m burst 20" or '
                f'"200_000 tokens/m", at most {MOST_PER_S} a second'
            )
        unit = match[2] or ""
        worth = count / 10 if unit else count * 100 / per_ms
        burst = int(match[4].replace("_", "")) if match[4] else min(max(1, math.floor(worth)), MOST_BURST)
        if not 1 <= burst <= MOST_BURST:
            raise ConfigurationError(f"{text!r:.80}: a burst is at least 1 and at most {MOST_BURST}")
        return cls(Rate(count, per_ms, burst), unit)


@dataclass(frozen=True)
class Terms:
    """A budget as it was declared."""

    name: str
    queue: str
    amounts: tuple[Amount, ...]
    key: str | Callable[[Mapping[str, Any]], Any] | None = None

    @property
    def declared(self) -> list[str]:
        """Its amounts as the scripts keep them."""
        return [amount.rate.declared for amount in self.amounts]

    @property
    def units(self) -> list[str]:
        """Those that a cost has to be told of."""
        return list(dict.fromkeys(amount.unit for amount in self.amounts if amount.unit))

    def costs(self, said: Mapping[str, Any]) -> list[float]:
        """What a call pays of each amount, by unit. Raises TypeError or ValueError for what can be no cost."""
        return [self._checked(amount, said[amount.unit]) if amount.unit else 1 for amount in self.amounts]

    def by_unit(self, cost: Any) -> dict[str, Any]:
        """A cost as a mapping of all units. Raises ConfigurationError if some are missing, or others are named."""
        units = self.units
        if cost is None and not units:
            return {}
        if not units:
            raise ConfigurationError(
                f"budget {self.name}: cost={cost!r:.80}, but it counts calls only, and each is one; declare an amount "
                'with a unit, such as "200_000 tokens/m"'
            )
        if not isinstance(cost, Mapping) and cost is not None and len(units) == 1:
            return {units[0]: cost}
        if not isinstance(cost, Mapping) or set(cost) != set(units):
            wanted = "".join(f"{', ' if n else ''}{unit!r}: …" for n, unit in enumerate(units))
            raise ConfigurationError(
                f"budget {self.name}: cost={cost!r:.80}: say what a call costs of each unit: "
                f"cost={{{wanted}}}" + (" or cost=…" if len(units) == 1 else "")
            )
        return dict(cost)

    def _checked(self, amount: Amount, cost: Any) -> float:
        if isinstance(cost, bool) or not isinstance(cost, int | float):
            raise TypeError(f"budget {self.name}: a cost of {cost!r:.80} {amount.unit} is no number")
        if not 0 <= cost < math.inf:
            raise ValueError(f"budget {self.name}: a cost of {cost!r:.80} {amount.unit}: give a number from 0 up")
        if cost > amount.rate.burst:
            raise ValueError(
                f"budget {self.name}: a cost of {cost:.15g} {amount.unit} could never be met: at most "
                f'{amount.rate.burst} are there at once; declare it with "… burst {math.ceil(cost)}" or more'
            )
        return cost


class HasTerms(Protocol):
    """A budget, or the use of one."""

    @property
    def terms(self) -> Terms:
        """As it was declared."""


@dataclass(frozen=True)
class Use:
    """That the tasks of a type take from a budget, and what each costs."""

    terms: Terms
    said: Mapping[str, Cost]
    """The cost by unit."""

    @classmethod
    def of(cls, terms: Terms, cost: Any = None) -> Use:
        """Raises ConfigurationError for what can never be a cost."""
        said = terms.by_unit(cost)
        for unit, one in said.items():
            if isinstance(one, str) and one.isidentifier():
                continue
            if not callable(one):
                try:
                    terms.costs(dict.fromkeys(terms.units, 0) | {unit: one})
                except (TypeError, ValueError) as error:
                    hint = "; or give the name of a parameter, or a function of the arguments"
                    raise ConfigurationError(f"{error}{hint if isinstance(error, TypeError) else ''}") from None
        return cls(terms, said)

    def costs(self, arguments: Mapping[str, Any]) -> list[float]:
        """What a call with these arguments pays. Raises TypeError or ValueError."""
        return self.terms.costs({unit: _value(cost, arguments) for unit, cost in self.said.items()})

    def check_parameters(self, names: Mapping[str, Any], where: str) -> None:
        """Raises ConfigurationError if it names a parameter that the function does not have."""
        named = [("cost", cost) for cost in self.said.values()] + [("per", self.terms.key)]
        for what, name in named:
            if isinstance(name, str) and name not in names:
                raise ConfigurationError(
                    f"{where}: budget {self.terms.name}: {what}={name!r:.80} is no parameter of it"
                    f"{did_you_mean(name, names)}; it has: {', '.join(names) or 'none'}; or give a function of the "
                    f"arguments: {what}=lambda p: …"
                )


def _value(cost: Any, arguments: Mapping[str, Any]) -> Any:
    if isinstance(cost, str):
        return arguments[cost]
    return cost(arguments) if callable(cost) else cost


def terms(name: str, amounts: Sequence[object], key: Any, queue: str) -> Terms:
    """A checked declaration."""
    if not 1 <= len(amounts) <= MOST_AMOUNTS:
        raise ConfigurationError(
            f'budget {name}: give 1 to {MOST_AMOUNTS} amounts, such as "500/m" or "200_000 tokens/m"'
        )
    return Terms(name, queue, tuple(map(Amount.parse, amounts)), key)


def uses(said: Any) -> tuple[Use, ...]:
    """What `limits=` says."""
    if said is None:
        return ()
    items = list(said) if isinstance(said, list | tuple) else [said]
    for item in items:
        if not isinstance(getattr(item, "terms", None), Terms):
            raise ConfigurationError(
                f"limits={item!r:.80}: give uses of budgets: limits=[openai(cost=…)] of openai = app.budget(…)"
            )
    found = tuple(item if isinstance(item, Use) else Use.of(item.terms) for item in items)
    names = [use.terms.name for use in found]
    if len(set(names)) < len(names) or len(names) > MOST_USES:
        raise ConfigurationError(f"limits= names {', '.join(names)}: give at most {MOST_USES} budgets, each once")
    return found


def check_queue(found: Sequence[Use], type: str, queue: str) -> None:
    """Raises ConfigurationError if a type is in another queue than its budgets."""
    for use in found:
        if use.terms.queue != queue:
            raise ConfigurationError(
                f"task {type} is in queue {queue!r}, and budget {use.terms.name} in {use.terms.queue!r}: all that "
                f"share it are in one queue: app.budget(…, queue={queue!r}), or queue= of the task"
            )
