"""What is not to be shown: the values of arguments with names such as `password`. One place decides, for all doors.

A name counts for parameters, and for keys in what they are given. Who looks at a call may not have its code, so the
call says in a header what is hidden of it: its positional arguments by place, and what its task has named itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from distq.errors import ConfigurationError

HIDDEN = "***"
HEADER = "hidden"
MOST_NAMED = 100
LEAST_OF_A_SECRET = 4
"""Characters. What is shorter stands in every text by chance."""

_LIKELY = re.compile(
    r"(?<![a-z0-9])(?:pass(?:word|wd|phrase|code)|pwd|secret|token|(?:api|access|private|secret)[_ -]?key"
    r"|authorization|credentials?|cookie)(?![a-z0-9])"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Declared(Protocol):
    """A task."""

    @property
    def sensitive(self) -> Iterable[str]:
        """What it has named itself."""

    def names_of(self, number: int) -> list[str]:
        """The names of the parameters that so many positional arguments go to."""


@lru_cache(4096)
def is_likely(name: str) -> bool:
    """Whether what has this name is mostly a secret: `password`, `apiKey`, `X-Auth-Token`; but not `max_tokens`."""
    return _LIKELY.search(_HUMP.sub("_", name).lower()) is not None


def check_sensitive(names: object) -> frozenset[str]:
    """Names, if they can be some."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ConfigurationError(f"sensitive={names!r:.80}: give a list of names, such as ['password']")
    found = list(names)
    if len(found) > MOST_NAMED or not all(isinstance(name, str) and name for name in found):
        raise ConfigurationError(f"sensitive={names!r:.80}: give the names of parameters, at most {MOST_NAMED}")
    return frozenset(name.lower() for name in found)


def told(own: Iterable[str], every: Iterable[str], parameters: Sequence[str]) -> dict[str, Any]:
    """The header of calls of a task; nothing if it has no parameter that counts. `own`: what it has named; `every`:
    what its application has."""
    hiding = Hiding(frozenset((*own, *every)), frozenset())
    places: list[int | str] = [place for place, name in enumerate(parameters) if hiding.covers(name)]
    named = sorted({*own, *(name.lower() for name in parameters if hiding.covers(name) and not is_likely(name))})
    return {HEADER: [*places, *named]} if places or named else {}


def hiding(every: Iterable[str], headers: object, task: Declared | None, number: int) -> Hiding:
    """What is hidden of a call with so many positional arguments. `task`: if its code is known here."""
    said = headers.get(HEADER, ()) if isinstance(headers, dict) else ()
    said = said[:MOST_NAMED] if isinstance(said, list) else []
    names = {*every, *(name.lower() for name in said if isinstance(name, str)), *(task.sensitive if task else ())}
    found = Hiding(frozenset(names), frozenset(place for place in said if type(place) is int))
    if task is None:
        return found
    places = (place for place, name in enumerate(task.names_of(number)) if found.covers(name))
    return found._replace(places=found.places.union(places))


class Hiding(NamedTuple):
    """What is hidden: names, in lower case, and places of positional arguments."""

    names: frozenset[str]
    places: frozenset[int]

    def covers(self, name: object) -> bool:
        """Whether what has this name is hidden."""
        return isinstance(name, str) and (name.lower() in self.names or is_likely(name))

    def shown(self, value: Any) -> Any:
        """A value in what JSON knows, without what is hidden in it."""
        if isinstance(value, dict):
            return {name: HIDDEN if self.covers(name) else self.shown(item) for name, item in value.items()}
        return [self.shown(item) for item in value] if isinstance(value, list) else value

    def args(self, values: Sequence[Any]) -> list[Any]:
        """Positional arguments, likewise."""
        return [HIDDEN if place in self.places else self.shown(value) for place, value in enumerate(values)]

    def secrets(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> set[str]:
        """The texts that are hidden."""
        found: set[str] = set()
        for place, value in enumerate(args):
            self._collect(value, place in self.places, found)
        self._collect(kwargs, False, found)
        return found

    def restored(self, new: Any, old: Any, *, is_hidden: bool = False) -> Any:
        """What somebody was shown, and has changed, with what was hidden from him as it was."""
        if new == HIDDEN and is_hidden:
            return old
        if isinstance(new, dict) and isinstance(old, dict):
            return {
                name: self.restored(item, old[name], is_hidden=self.covers(name)) if name in old else item
                for name, item in new.items()
            }
        if isinstance(new, list) and isinstance(old, list):
            return [*map(self.restored, new, old), *new[len(old) :]]
        return new

    def restored_args(self, new: list[Any], old: list[Any]) -> list[Any]:
        """The same for positional arguments."""
        both = enumerate(zip(new, old, strict=False))
        return [self.restored(a, b, is_hidden=place in self.places) for place, (a, b) in both] + new[len(old) :]

    def _collect(self, value: Any, is_hidden: bool, found: set[str]) -> None:
        if isinstance(value, Mapping):
            for name, item in value.items():
                self._collect(item, is_hidden or self.covers(name), found)
        elif isinstance(value, list | tuple | set | frozenset):
            for item in value:
                self._collect(item, is_hidden, found)
        elif is_hidden and isinstance(value, str) and len(value) >= LEAST_OF_A_SECRET:
            found.add(value)


def without(secrets: Iterable[str], text: str) -> str:
    """A text in which these do not stand, as far as they would stand there as they are."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text
