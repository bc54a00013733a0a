"""Who may do what: API keys with levels and limits. Keys are kept as hashes, and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from distq.errors import ConfigurationError, did_you_mean
from distq.message import check_place
from distq.rate import Rate

Level = Literal["none", "read", "operate", "admin"]
LEVELS: tuple[Level, ...] = ("none", "read", "operate", "admin")
"""Each may do what those before it may: look; call, cancel, retry and replay tasks; delete, and stop workers."""
_GIVEN = LEVELS[1:]
"""Those that a key can have."""

SHORTEST = 16
MOST_KEYS = 1000
SAMPLES = frozenset(
    {
        "secret", "your-secret-key", "your_secret_key", "your-api-key", "<your-api-key>", "api-key", "api_key",
        "apikey", "changeme", "change-me", "password", "your_secure_password_here",
        "test", "example", "key", "none", "null",
    }
)  # fmt: skip
"""What stands in documents for a key, and has been copied from there."""


@dataclass
class Key:
    """One key: its name for logs and records, what it may do, and how many tasks it may enqueue."""

    name: str
    level: Level
    digest: bytes = field(repr=False)
    rate: Rate | None = None
    _tat_us: float = field(default=0.0, repr=False)

    def may(self, level: Level) -> bool:
        """Whether it may do what needs this level."""
        return LEVELS.index(self.level) >= LEVELS.index(level)

    def take(self, number: int) -> float:
        """Counts so many tasks that it wants to enqueue. 0: it may; else seconds until it may, and nothing is counted.

        The algorithm is that of `distq.rate.grant`, all or nothing. More at once than the burst are let through when
        the whole burst is there, and paid for afterwards.
        """
        if self.rate is None:
            return 0.0
        now_us, interval = time.monotonic() * 1e6, self.rate.interval_us
        tat_us = max(self._tat_us, now_us)
        early_us = tat_us - now_us - max(0, self.rate.burst - number) * interval
        if early_us > 1:
            return early_us / 1e6
        self._tat_us = tat_us + number * interval
        return 0.0


NOBODY = Key("nobody", "admin", b"")
"""Who asks where no key is configured: somebody on this machine."""
STRANGER = Key("", "none", b"")
"""Who may ask whether he has signed in, and nothing else."""


class Keys:
    """All that are configured."""

    def __init__(self, keys: Sequence[Key] = ()) -> None:
        self._keys = tuple(keys)
        if len({key.name for key in keys}) < len(keys):
            raise ConfigurationError("two API keys have the same name: give each its own")
        if len({key.digest for key in keys}) < len(keys):
            raise ConfigurationError("two API keys are the same: give each its own")

    def __bool__(self) -> bool:
        return bool(self._keys)

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [key.name for key in self._keys]

    def named(self, name: str) -> Key | None:
        """The one of this name."""
        return next((key for key in self._keys if key.name == name), None)

    def find(self, given: bytes) -> Key | None:
        """The key that was given. It takes as long for a wrong one."""
        digest, found = _digest(given), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def read_keys(environ: Mapping[str, str], file: str | None = None) -> Keys:
    """The keys of `file` (or $DISTQ_API_KEYS_FILE), $DISTQ_API_KEYS and $API_KEY.

    Raises ConfigurationError for what cannot be a key: nobody shall believe that there is one where there is none.
    """
    found: list[Key] = []
    place = file or environ.get("DISTQ_API_KEYS_FILE")
    if place:
        found += _entries(_read(place), f"the file of API keys {place}")
    if "DISTQ_API_KEYS" in environ:
        found += _entries(environ["DISTQ_API_KEYS"].replace(",", "\n"), "$DISTQ_API_KEYS")
    if "API_KEY" in environ:
        found.append(Key("API_KEY", "admin", _digest(_checked(environ["API_KEY"], "$API_KEY", 1))))
    if len(found) > MOST_KEYS:
        raise ConfigurationError(f"{len(found)} API keys: at most {MOST_KEYS}")
    return Keys(found)


def _read(place: str) -> str:
    try:
        return Path(place).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the file of API keys cannot be read: {error}") from None


def _entries(text: str, where: str) -> list[Key]:
    lines = [(number, line.split()) for number, line in enumerate(text.split("\n"), 1)]
    keys = [_entry(words, f"{where}, entry {number}") for number, words in lines if words and words[0][0] != "#"]
    if not keys:
        raise ConfigurationError(f"{where} holds no key: give `name level key [rate]` for each, or leave it out")
    return keys


def _entry(words: Sequence[str], where: str) -> Key:
    """No message shows the words: one of them is the key."""
    if not 3 <= len(words) <= 6:
        raise ConfigurationError(f"{where}: give `name level key`, and perhaps a rate such as 100/s")
    name, level, secret, *rate = words
    if level not in _GIVEN:
        hint = did_you_mean(level, _GIVEN)
        raise ConfigurationError(f"{where}: the second word is the level: read, operate or admin{hint}")
    check_place(name, f"{where}: the name of the key")
    found = next(known for known in _GIVEN if known == level)
    return Key(name, found, _digest(_checked(secret, where, SHORTEST)), Rate.parse(" ".join(rate)) if rate else None)


def _checked(said: str, where: str, shortest: int) -> bytes:
    if not said.strip():
        raise ConfigurationError(f"{where} is empty: give a key, or leave it out (then only this machine is served)")
    if said.strip().lower() in SAMPLES:
        raise ConfigurationError(f"{where} is a sample of a document: make one, e.g. `openssl rand -hex 24`")
    if len(said) < shortest:
        raise ConfigurationError(f"{where}: the key has fewer than {shortest} characters, which can be guessed")
    if said != said.strip() or not said.isprintable() or not said.isascii():
        raise ConfigurationError(f"{where}: a key is printable ASCII without spaces around it")
    return said.encode()
