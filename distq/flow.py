"""What decides, in the broker, when tasks of a type are handed over: per key, at once, in turn, in order. Pure.

A *key* is text that a call's arguments give: the tenant, the account. The scripts see it in the message
(lua/parts/head.lua), and the policy of the type as `policy` packs it (lua/parts/flow.lua).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import msgpack

from distq.amounts import Use, uses
from distq.batch import Batch, Field, check_batch
from distq.errors import ConfigurationError, did_you_mean
from distq.rate import Rate

Arguments = Mapping[str, Any]
"""What a call was made with, by parameter, with the defaults of those that it left out."""

Key = str | Callable[[Arguments], Any]
"""The name of a parameter, or what makes a key of the arguments."""

NO_KEY, BETWEEN = "\x1e", "\x1f"
"""Of a budget per key: that of a call which has none. And what stands between the keys in the name of a lane."""

MAX_KEY = 200
MOST_RUNNING = 1_000_000
MOST_WEIGHT = 1000.0

_PER = re.compile(r"(.*\S)\s+per\s+([A-Za-z_]\w*)\s*\Z", re.S)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Flow:
    """The policy of a type. Limits of 0: none."""

    key: Key | None = None
    rate_per_key: Rate | None = None
    max_running: int = 0
    max_running_per_key: int = 0
    is_fair: bool = False
    is_ordered: bool = False
    weights: Mapping[str, float] | Callable[[str], float] | None = None
    uses: tuple[Use, ...] = ()
    batch: Batch | None = None
    is_counted: bool = False
    """It is kept how many run, and they have lanes of their own: for a bound."""

    def policy(self) -> bytes:
        """As the scripts keep it."""
        said = {
            "r": self.rate_per_key and self.rate_per_key.declared, "m": self.max_running,
            "mk": self.max_running_per_key, "f": self.is_fair, "o": self.is_ordered,
            "b": {use.terms.name: use.terms.declared for use in self.uses},
            "n": self.batch and self.batch.size, "w": self.batch and self.batch.within_ms,
            "c": self.is_counted,
        }  # fmt: skip
        packed: bytes = msgpack.packb({name: value for name, value in said.items() if value})
        return packed

    def of(self, arguments: Any) -> dict[str, Any]:
        """What the message of a call says. `arguments`: by parameter; of a batch, the item. Raises TypeError or
        ValueError for a key that cannot be one."""
        told: dict[str, Any] = {}
        if self.key is not None:
            told["k"] = key = key_of(self.key, arguments)
            if self.weights is not None:
                told["w"] = self._weight(key)
        if self.uses:
            keys = [budget_key(use.terms.key, arguments) for use in self.uses]
            told["b"] = [[use.terms.name, key, *use.costs(arguments)] for use, key in zip(self.uses, keys, strict=True)]
            told |= self._lane(told.get("k", ""), [key for key in keys if key])
        return told

    def _lane(self, own: str, keys: list[str]) -> dict[str, str]:
        """What waits for one key of a budget must not keep back what has another; but what is in order has to wait."""
        if self.is_ordered or all(key == own for key in keys):
            return {}
        return {"l": BETWEEN.join([own, *keys])}

    def check_parameters(self, names: Mapping[str, Any], where: str) -> None:
        """Raises ConfigurationError if the key is a parameter that the function does not have."""
        for use in self.uses:
            use.check_parameters(names, where)
        if isinstance(self.key, str) and self.key not in names:
            raise ConfigurationError(
                f"{where}: per {self.key!r:.80} is no parameter of it{did_you_mean(self.key, names)}; it has: "
                f"{', '.join(names) or 'none'}; or give a function: per=lambda p: …"
            )

    def _weight(self, key: str) -> float:
        weight = self.weights.get(key, 1) if isinstance(self.weights, Mapping) else self.weights(key)  # type: ignore[misc]
        return _check_weight(weight)


def key_of(key: Key, arguments: Arguments) -> str:
    """The key of a call. Raises TypeError or ValueError if that cannot be one."""
    name = f"per {key!r}" if isinstance(key, str) else f"per {key}" if isinstance(key, Field) else "per="
    value = arguments[key] if isinstance(key, str) else key(arguments)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        raise TypeError(f"{name}: {value!r:.80} cannot be a key: it has to be text, a whole number or a UUID")
    text = str(value)
    if (
        len(text.encode("utf-8", "surrogatepass")) > MAX_KEY
        or _CONTROL.search(text)
        or (not text.isascii() and _is_odd(text))
    ):
        raise ValueError(
            f"{name}: {text!r:.80} cannot be a key: use at most {MAX_KEY} bytes without control characters"
        )
    return text


def budget_key(key: Key | None, arguments: Arguments) -> str:
    """The key of a call in a budget; "" for one that has no keys."""
    return "" if key is None else key_of(key, arguments) or NO_KEY


def _is_odd(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def flow(options: Mapping[str, Any]) -> tuple[Rate | None, Flow | None]:
    """The rate of the whole type, and what else `@app.task(**options)` says of the flow of its tasks."""
    rates = [_split(text, "rate") for text in _listed(options.get("rate"))]
    runs = [_split(number, "max_running") for number in _listed(options.get("max_running"))]
    names = [name for _, name in (*rates, *runs) if name is not None]
    per = check_key(options["per"], "per") if options.get("per") is not None else None
    if per is not None and not names:  # then all that is said is per key
        rates, runs = [(said, "per") for said, _ in rates], [(said, "per") for said, _ in runs]
    fair, ordered = _key_option(options, "fair", per), _key_option(options, "ordered", per)
    batch = check_batch(options)
    key = _one_key([*names, *(one for one in (fair, ordered, batch.per if batch else None) if one is not None)], per)
    if per is not None and key is None and not rates and not runs:
        raise ConfigurationError(
            'per= says whose limit it is: give a limit with it, such as rate="5/s" or max_running=3'
        )
    weights = _check_weights(options.get("weights"), fair)
    whole, each = _pair([(_rate(said), name) for said, name in rates], "rate")
    at_once, at_once_each = _pair([(_running(said), name) for said, name in runs], "max_running")
    if ordered is not None and at_once_each not in (None, 1):
        raise ConfigurationError("ordered= runs one task per key at a time: leave max_running per key out")
    limits = uses(options.get("limits"))
    if not any((each, at_once, at_once_each, fair is not None, ordered is not None, limits, batch)):
        return whole, None
    has_key = each or at_once_each or fair is not None or ordered is not None or (batch and batch.per)
    meant = (per if key is None or per is not None else key) if has_key else None
    if batch is not None and isinstance(meant, str):
        meant = Field(meant)
    found = Flow(
        meant, each, at_once or 0, at_once_each or 0, fair is not None, ordered is not None, weights, limits, batch
    )  # fmt: skip
    return whole, found


def limits_said(rate: Any, max_running: Any) -> tuple[dict[str, str | int], list[str]]:
    """What people set while everything runs, as the scripts keep it (lua/parts/override.lua), and the keys that they
    name. "none" takes a limit away."""
    wanted: dict[str, str | int] = {}
    names: list[str] = []
    for what, fields, said in (("rate", ("rate", "r"), rate), ("max_running", ("m", "mk"), max_running)):
        for text, name in (_split(one, what) for one in _listed(said)):
            field = fields[0] if name is None else fields[1]
            if field in wanted:
                raise ConfigurationError(f"{what}= has two limits of the same kind")
            names += [] if name is None else [name]
            if what == "rate":
                wanted[field] = "" if text == "none" else _rate(text).declared
            else:
                wanted[field] = 0 if text == "none" else _running(text)
    return wanted, names


def _listed(said: Any) -> list[Any]:
    if said is None:
        return []
    return list(said) if isinstance(said, list | tuple) else [said]


def _split(said: Any, what: str) -> tuple[Any, str | None]:
    """ "5/s per tenant" -> ("5/s", "tenant")."""
    if isinstance(said, str):
        match = _PER.match(said)
        return (match[1], match[2]) if match else (said, None)
    if what == "rate":
        raise ConfigurationError(f'rate={said!r:.80}: give text such as "10/s", "100/m burst 20" or "5/s per tenant"')
    return said, None


def _rate(said: Any) -> Rate:
    return Rate.parse(said)


def _running(said: Any) -> int:
    number = int(said) if isinstance(said, str) and said.isascii() and said.isdigit() else said
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST_RUNNING:
        raise ConfigurationError(
            f'max_running={said!r:.80}: give a whole number from 1 to {MOST_RUNNING}, or text such as "1 per tenant"'
        )
    return number


def _pair(said: list[tuple[Any, str | None]], what: str) -> tuple[Any, Any]:
    """That of the whole type, and that per key."""
    whole = [value for value, name in said if name is None]
    each = [value for value, name in said if name is not None]
    if len(whole) > 1 or len(each) > 1:
        raise ConfigurationError(f"{what}= has two limits of the same kind: give one for the type, and one per key")
    return (whole or [None])[0], (each or [None])[0]


def check_key(said: Any, what: str) -> Key:
    """A key, if it can be one."""
    if isinstance(said, str) and said.isidentifier():
        return said
    if callable(said):
        return cast("Key", said)
    raise ConfigurationError(
        f"{what}={said!r:.80}: give the name of a parameter, or a function that makes a key of the arguments"
    )


def _key_option(options: Mapping[str, Any], what: str, per: Key | None) -> Key | None:
    """`fair` or `ordered`: a key, or True for that of per=."""
    said = options.get(what)
    if said is None or said is False:
        return None
    if said is True:
        if per is None:
            raise ConfigurationError(f'{what}=True: say by what, such as {what}="tenant"')
        return per
    return check_key(said, what)


def _one_key(keys: list[Key], per: Key | None) -> Key | None:
    """All that is said per key is per the same one: a lane has one."""
    different = list(dict.fromkeys(key for key in keys if key is not per))
    if len(different) > 1 or (different and per is not None and not isinstance(different[0], str)):
        shown = ", ".join(key if isinstance(key, str) else "a function" for key in different)
        raise ConfigurationError(
            f"rate, max_running, fair and ordered of one type share one key, and these are different: {shown}; "
            "give one name everywhere, and with per= what it means"
        )
    return different[0] if different else None


def _check_weights(said: Any, fair: Key | None) -> Any:
    if said is None:
        return None
    if fair is None:
        raise ConfigurationError("weights= says how many turns each key of fair= gets: give fair= as well")
    if isinstance(said, Mapping):
        return {str(key): _check_weight(weight) for key, weight in said.items()}
    if callable(said):
        return said
    raise ConfigurationError(f'weights={said!r:.80}: give a mapping, such as {{"big": 3}}, or a function of the key')


def _check_weight(weight: Any) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 1 / MOST_WEIGHT <= weight <= MOST_WEIGHT:
        raise ConfigurationError(f"a weight of {weight!r:.80}: give a number from {1 / MOST_WEIGHT} to {MOST_WEIGHT:g}")
    return float(weight)
