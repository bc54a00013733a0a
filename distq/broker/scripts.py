"""The Lua scripts: loading, their contracts, and their form on the wire. It sends nothing itself.

A file in `lua/` is one verb. It opens with its contract, which is read here and compared with the state table by a
test, and names the parts that it uses (`-- uses clock head`). The text that the server gets is: the names of the keys
that it mentions, the parts, the file. The server knows it by its SHA-1 (EVALSHA, and EVAL after a NOSCRIPT), so that
two releases with different scripts can share one broker.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from distq.broker.keys import QUEUE_KEYS

try:
    from _sha1 import sha1  # the interpreter's own: hashlib brings OpenSSL, 1.5 MiB of a host with four processes
except ImportError:
    from hashlib import sha1

Argument = str | bytes | int
Reply = Any
"""What RESP2 has: bytes, int, None, or a list of these."""

_MARK = "-- the long way\n"
"""A script may do its plain case above this line: the parts come after it, and cost nothing there."""

_WORD = re.compile(r"\b[A-Z_]+\b")
_LUA = Path(__file__).with_name("lua")


@dataclass(frozen=True, slots=True)
class Script:
    """One verb: its Lua text, its SHA-1, and what its contract says."""

    name: str
    packed: bytes
    """The text, which is needed again only when a server has lost it: a host would hold 1 MiB of such texts. It is not
    read anew then, since an upgrade may have changed the files."""
    sha: str
    moves: str
    """The contract's first line, without the name: `active -> completed | queued`."""

    @classmethod
    def of(cls, name: str, text: str, moves: str) -> Script:
        """One with this text."""
        return cls(name, zlib.compress(text.encode(), 1), digest(text), moves)

    @property
    def text(self) -> str:
        """What the server gets."""
        return zlib.decompress(self.packed).decode()

    def command(self, prefix: bytes, *args: Argument) -> bytes:
        """The call by its SHA-1, as bytes for the wire."""
        return encode("EVALSHA", self.sha, 1, prefix, *args)

    def command_each(self, prefixes: Iterable[str], *args: Argument) -> bytes:
        """The call for several queues that share a place; of a script that `each` gave."""
        names = list(prefixes)
        return encode("EVALSHA", self.sha, len(names), *names, *args)

    def command_head(self, prefix: bytes, count: int) -> bytes:
        """The front of a call with `count` arguments, which the caller appends in wire form."""
        return b"*%d\r\n" % (4 + count) + encode_items(("EVALSHA", self.sha, 1, prefix))

    def load_command(self) -> bytes:
        """Makes the server know the script."""
        return encode("SCRIPT", "LOAD", self.text)


def encode(*items: Argument) -> bytes:
    """A command in RESP: an array of bulk strings."""
    return b"*%d\r\n" % len(items) + encode_items(items)


def encode_items(items: Iterable[Argument]) -> bytes:
    """Arguments in RESP without the array's head."""
    parts = []
    for item in items:
        raw = item if isinstance(item, bytes) else str(item).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def readable(raw: bytes) -> str:
    """A name or a word of a reply, whatever somebody has made of it."""
    return raw.decode("utf-8", "replace")


def digest(text: str) -> str:
    """Its SHA-1, by which the server knows a script."""
    return str(sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def files() -> dict[str, bytes]:
    """All files of `lua/`, packed. They are read at once: an upgrade may replace them while this process lives, and
    what it sends later has to be of its own release, too."""
    return {path.relative_to(_LUA).as_posix(): zlib.compress(path.read_bytes(), 1) for path in _LUA.rglob("*.lua")}


def _source(name: str) -> str:
    return zlib.decompress(files()[f"{name}.lua"]).decode()


@cache
def script(name: str) -> Script:
    """The verb `name`, composed from `lua/<name>.lua` and its parts."""
    source = _source(name)
    uses = re.search(r"^-- uses (.*)$", source, re.M)
    parts = [_source(f"parts/{part}") for part in (uses[1].split() if uses else ())]
    if _MARK in source:
        short_way, long_way = source.split(_MARK)
        pieces = [(short_way, []), ("\n".join([*parts, long_way]), _keys_in(short_way))]
    else:
        pieces = [("\n".join([*parts, source]), [])]
    text = "\n".join(_name_keys(piece, named) + piece for piece, named in pieces)
    moves = source.splitlines()[0].removeprefix(f"-- {name}: ")
    return Script.of(name, text, moves)


@cache
def each(name: str) -> Script:
    """The same verb for several queues in one call, with the same arguments. It answers a list of replies, and in it an
    error for a queue where it failed; it fails only if it failed in all."""
    single = script(name)
    before, after = _source("parts/each").split("-- the script\n")
    text = before + single.text + after
    return Script.of(name, text, single.moves)


def _keys_in(text: str) -> list[str]:
    found = set(_WORD.findall(text))
    return [key for key in QUEUE_KEYS if key in found]


def _name_keys(text: str, named: list[str]) -> str:
    """The names of the keys that this text mentions and that have none yet."""
    return "".join(f"local {key} = KEYS[1] .. '{QUEUE_KEYS[key]}'\n" for key in _keys_in(text) if key not in named)


def all_scripts() -> list[Script]:
    """Every verb, by name."""
    return [script(name.removesuffix(".lua")) for name in sorted(files()) if "/" not in name]
