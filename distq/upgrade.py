"""Versions of a task's arguments: what a declaration may say, and how a call of an older version becomes one of now.

A call of version 1 travels under the type's own name, one of version 2 as `name@2`. A worker announces those that it
understands, so a call that is too new for it waits like one of an unknown type: also on releases without versions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from distq.errors import ConfigurationError
from distq.message import MAX_VERSION, typed

Upgrade = Callable[..., "tuple[Any, ...] | Mapping[str, Any]"]
"""Has the parameters of one version, and returns the arguments of the next: a tuple of positional ones, or a mapping of
keyword ones, as `delay_many` takes them."""


def check_version(version: object) -> int:
    """A version, if it can be one."""
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= MAX_VERSION:
        raise ConfigurationError(f"version={version!r:.80}: give a whole number from 1 to {MAX_VERSION}")
    return version


def check_upgrades(version: int, upgrades: object) -> dict[int, Upgrade]:
    """The upgrades of a declaration: from each version that is still understood to the next one, up to `version`."""
    if not isinstance(upgrades, Mapping):
        raise ConfigurationError(
            f"upgrade={upgrades!r:.80}: give a mapping from a version to the function that leads to the next one, "
            "such as {1: from_1_to_2}"
        )
    for start, function in upgrades.items():
        if isinstance(start, bool) or not isinstance(start, int) or not 1 <= start < version:
            below = (
                f"a whole number from 1 to {version - 1}" if version > 1 else "none: with version=1 there is no older"
            )
            raise ConfigurationError(f"upgrade= from {start!r:.80}: a version to start from is {below}")
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise ConfigurationError(
                f"upgrade= from {start} is {function!r:.80}: give a function with the parameters of version {start}"
            )
    if version > 1 and not upgrades:
        raise ConfigurationError(
            f"version={version} without upgrade= would leave calls of version {version - 1} waiting: "
            f"give upgrade={{{version - 1}: function}}"
        )
    missing = [start for start in range(min(upgrades, default=version), version) if start not in upgrades]
    if missing:
        raise ConfigurationError(
            f"upgrade= has nothing for version {missing[0]}, so nothing leads from there to {version}: "
            f"give {{{missing[0]}: function}} too"
        )
    return {start: upgrades[start] for start in sorted(upgrades)}


def upgrade(
    type: str, steps: Mapping[int, Upgrade], version: int, args: list[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of this version as arguments of now. Raises whatever such a function raises."""
    while version in steps:
        given = steps[version](*args, **kwargs)
        if isinstance(given, Mapping):
            args, kwargs = [], dict(given)
        elif isinstance(given, tuple | list):
            args, kwargs = list(given), {}
        else:
            raise TypeError(
                f"the upgrade of {typed(type, version)} must return the arguments of version {version + 1}, a tuple of "
                f"positional or a mapping of keyword ones, and not {given.__class__.__name__}"
            )
        version += 1
    return args, kwargs
