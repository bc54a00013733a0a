"""Which tasks are meant, as people write it: `type:email error:"no route" older:1h`. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from distq.durations import seconds
from distq.errors import ConfigurationError, did_you_mean
from distq.message import PRIORITIES, priority_number

STATES = ("queued", "scheduled", "retrying", "running")
FIELDS = ("state", "type", "error", "queue", "priority", "key", "parent", "since", "older")
ARGUMENT = "args."
"""In front of the name of an argument."""
ALL = "all"
MOST = 1000
"""Characters of a filter."""

EXAMPLE = "such as 'type:email error:timeout older:1h'"


@dataclass(frozen=True)
class Filter:
    """Which tasks are meant. What is empty means any."""

    states: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    """Names; one that ends in `*` means all that begin so."""
    error: str = ""
    """Part of the class or message of the last error, in any letter case."""
    queue: str = ""
    priorities: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """Of limits, turns and order, as `types`."""
    arguments: tuple[tuple[str, str], ...] = ()
    """Names and values, as they are shown."""
    parent: str = ""
    """The id of the task that has enqueued it."""
    since_s: float | None = None
    """Called so long ago at most."""
    older_s: float | None = None
    """Called so long ago at least."""
    text: str = field(default="", compare=False)
    """As it was written."""

    @classmethod
    def parse(cls, text: str) -> Filter:
        """`field:value` words, all of which must hold; `a,b` means one of them, and quotes go around spaces. `all`
        alone means all. Raises ConfigurationError."""
        if len(text) > MOST:
            raise ConfigurationError(f"a filter of {len(text)} characters is too long: at most {MOST}")
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise ConfigurationError(f"filter {text!r:.80}: {str(error).lower()}; quotes come in pairs") from None
        if not words:
            raise ConfigurationError(f"which tasks? give a filter, {EXAMPLE}, or all")
        if words == [ALL]:
            return cls(text=text)
        said: dict[str, str] = {}
        for word in words:
            name, value = _split(word)
            if name in said:
                raise ConfigurationError(f"filter: {name}: is there twice; give one, such as {name}:a,b")
            said[name] = value
        return cls(
            states=_each_of(said, "state", STATES),
            types=_listed(said, "type"),
            error=said.get("error", "").lower(),
            queue=said.get("queue", ""),
            priorities=tuple(PRIORITIES[priority_number(_number(one))] for one in _listed(said, "priority")),
            keys=_listed(said, "key"),
            arguments=tuple((name[len(ARGUMENT) :], value) for name, value in said.items() if _is_argument(name)),
            parent=said.get("parent", ""),
            since_s=seconds(said["since"], "since") if "since" in said else None,
            older_s=seconds(said["older"], "older") if "older" in said else None,
            text=text,
        )

    def conditions(self) -> dict[str, Any]:
        """As the script `sift` takes them."""
        said = {
            "states": list(self.states), "types": list(self.types), "levels": list(self.priorities),
            "keys": list(self.keys), "error": self.error,
            "calls": bool(self.arguments or self.parent) or None,
            "since": None if self.since_s is None else self.since_s * 1000,
            "older": None if self.older_s is None else self.older_s * 1000,
        }  # fmt: skip
        return {name: value for name, value in said.items() if value not in ([], "", None)}


def _split(word: str) -> tuple[str, str]:
    name, colon, value = word.partition(":")
    if not colon:
        raise ConfigurationError(
            f"filter: {word!r:.80} is no condition: write field:value, with quotes around spaces, {EXAMPLE}"
        )
    if name not in FIELDS and not _is_argument(name):
        raise ConfigurationError(
            f"filter: there is no field {name!r:.80}{did_you_mean(name, FIELDS)}; there are: {', '.join(FIELDS)}, and "
            f"{ARGUMENT}NAME for an argument"
        )
    if not value:
        raise ConfigurationError(f"filter: {name}: is empty: give a value, or leave it out")
    return name, value


def _is_argument(name: str) -> bool:
    return name.startswith(ARGUMENT) and name != ARGUMENT


def _listed(said: dict[str, str], name: str) -> tuple[str, ...]:
    return tuple(part for part in said.get(name, "").split(",") if part)


def _each_of(said: dict[str, str], name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    for one in (found := _listed(said, name)):
        if one in ("dead", "completed", "cancelled", "expired"):
            hint = "; for dead ones there is `distq dlq`" if one == "dead" else ""
            raise ConfigurationError(f"filter: state:{one}: what has ended cannot be changed{hint}")
        if one not in known:
            raise ConfigurationError(
                f"filter: state:{one[:80]}{did_you_mean(one, known)}; there are: {', '.join(known)}"
            )
    return found


def _number(said: str) -> str | int:
    return int(said) if said in ("0", "1", "2") else said
