"""Which node of a cluster holds a queue? Reads cluster addresses and knows what to ask; it opens nothing itself.

    cluster://[user:password@]host[:6379],host2,host3[?options]      clusters:// with TLS

All keys of a queue share one hash tag, and so one slot and one node. `place` makes from the address of a cluster and a
queue's prefix the address of whatever node holds that queue now: `cluster://…#slot`. Everything that opens
connections takes such an address like any other. Of a single server, `place` is its own address for every queue.

A node that redirects (MOVED, ASK) is never followed: the connection is opened anew, by the cluster's map as it is then.
While a slot is moved key by key, each script on it is refused as a whole (ASK), and its queue rests: it is never in two
places (docs/decisions/0034).
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Generator, Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from distq.broker import keys
from distq.broker.dial import Question, Refused, check
from distq.broker.scripts import Reply, encode

SCHEMES = {"cluster": "redis", "clusters": "rediss"}
PORT = 6379
SLOTS = 16384
ASK_S = 1.0
"""Time limit of each thing that is asked on the way. A dead node must not keep anybody from the next."""
MOVED = ("MOVED", "ASK")
"""The map that we have is not, or not long, right any more."""

_PLACE = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")

Node = tuple[str, int]


class Seeds(NamedTuple):
    """An address that has been read."""

    places: tuple[Node, ...]
    before: str
    """What stands before host:port in the address of a node."""
    after: str


class Map(NamedTuple):
    """Who holds which slots."""

    starts: list[int]
    """First slot of each range, rising."""
    ends: list[int]
    nodes: list[Node]

    def holder(self, slot: int) -> Node | None:
        """The primary of a slot; None: nobody holds it."""
        at = bisect_right(self.starts, slot) - 1
        return self.nodes[at] if at >= 0 and slot <= self.ends[at] else None


def is_cluster(url: str) -> bool:
    """Whether the address is that of a cluster."""
    return url.startswith(("cluster:", "clusters:"))


def slot_of(key: bytes) -> int:
    """The slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it (the Redis Cluster specification)."""
    from binascii import crc_hqx  # noqa: PLC0415 (a shared library that others do without)

    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    return crc_hqx(key[start + 1 : end] if start >= 0 and end > start + 1 else key, 0) % SLOTS


def place(url: str, key: str) -> str:
    """The address of what serves this key, or all keys with this prefix."""
    return f"{url}#{slot_of(key.encode())}" if is_cluster(url) else url


def place_of(url: str, command: bytes) -> str:
    """The same for a command in wire form: its first hash tag is that of its keys. Those without one go where the
    names of the queues are."""
    is_tagged = b"{" in command
    return f"{url}#{slot_of(command if is_tagged else keys.KNOWN_QUEUES.encode())}" if is_cluster(url) else url


def grouped(url: str, prefixes: Iterable[str]) -> dict[str, list[int]]:
    """Which of the queues (their numbers) one connection serves, by its address."""
    found: dict[str, list[int]] = {}
    for number, prefix in enumerate(prefixes):
        found.setdefault(place(url, prefix), []).append(number)
    return found


@lru_cache(maxsize=16)
def read(url: str) -> Seeds:
    """The address without its place. Raises ValueError with what is wrong with it."""
    parts = urlsplit(url)
    if parts.path.strip("/"):
        raise ValueError(f"{parts.path}: a cluster has no numbered databases: cluster://host1,host2,host3")
    who, at, hosts = parts.netloc.rpartition("@")
    query = f"?{parts.query}" if parts.query else ""
    told = Seeds(
        tuple(_node(host) for host in hosts.split(",")), f"{SCHEMES[parts.scheme]}://{who}{at}", f"/0{query}"
    )  # fmt: skip
    check(_address(told, told.places[0]))
    return told


def search(url: str) -> Generator[Question, Reply | Exception, None]:
    """Asks until a connection to the right node is open: when it returns, the last one is that. Raises Refused.

    Without a place any node is right. What the map says is asked of the node itself: around a failover a map is old.
    """
    base, _, slot = url.partition("#")
    told = read(base)
    trouble: list[str] = []
    for turn in range(2):
        found = _maps.get(base) or (yield from _ask_for_map(base, told, trouble))
        if found is None:
            break
        node = found.holder(int(slot)) if slot else random.choice(found.nodes)
        if node is not None:
            role = yield Question(_address(told, node), encode("ROLE"), ASK_S)
            if not isinstance(role, Exception) and role[0] == b"master":
                return
            why = _text(role) if isinstance(role, Exception) else "it is a replica"
            trouble.append(f"{node[0]}:{node[1]}: {why}")
        elif turn:
            trouble.append(f"nobody holds slot {slot}: CLUSTER INFO says whether the cluster is whole")
        forget(base)
    raise Refused(f"{'; '.join(dict.fromkeys(trouble))}; a failover may be under way")


def forget(url: str) -> None:
    """The map has been wrong: whoever connects next asks for it again."""
    _maps.pop(url.partition("#")[0], None)


_maps: dict[str, Map] = {}
_known: dict[str, tuple[Node, ...]] = {}
"""Who was in the last map: some of the seeds may be gone by now."""


def _ask_for_map(base: str, told: Seeds, trouble: list[str]) -> Generator[Question, Reply | Exception, Map | None]:
    """Any node knows. They are asked in a new order each time: one that is cut off has an old map."""
    nodes = list(dict.fromkeys((*told.places, *_known.get(base, ()))))
    for node in random.sample(nodes, len(nodes)):
        reply = yield Question(_address(told, node), encode("CLUSTER", "SLOTS"), ASK_S)
        if isinstance(reply, Exception):
            trouble.append(f"{node[0]}:{node[1]}: {_text(reply)}")
        elif reply:
            ranges = sorted((int(first), int(last), _named(who, node)) for first, last, who, *_ in reply)
            starts, ends, holders = zip(*ranges, strict=True)
            _maps[base] = found = Map(list(starts), list(ends), list(holders))
            _known[base] = tuple(dict.fromkeys(holders))
            return found
        else:
            trouble.append(f"{node[0]}:{node[1]}: it knows of no node with slots")
    return None


def _named(node: list[bytes | int | None], asked: Node) -> Node:
    """A node that does not know its own address is the one that was asked."""
    host = node[0].decode() if isinstance(node[0], bytes) else ""
    return (host if host not in ("", "?") else asked[0], int(node[1] or 0))


def _text(error: Exception) -> str:
    if isinstance(error, BlockingIOError | TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _node(text: str) -> Node:
    match = _PLACE.fullmatch(text)
    if match is None or not 0 < int(match[2] or PORT) < 65536:
        raise ValueError(f"{text!r} is no host:port: give the nodes with commas between")
    return match[1].strip("[]"), int(match[2] or PORT)


def _address(told: Seeds, node: Node) -> str:
    return f"{told.before}{f'[{node[0]}]' if ':' in node[0] else node[0]}:{node[1]}{told.after}"
