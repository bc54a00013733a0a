"""Which server is the primary now? Reads sentinel addresses and knows what to ask; it opens nothing itself.

    sentinel://[user:password@]host[:26379],host2,host3/name[/database][?options]      sentinels:// with TLS

`search` is a conversation without I/O: it yields what to ask of whom, and gets the replies. `reach.py` has the two
loops, blocking and asyncio, that hold it.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from distq.broker.dial import Question, Refused, check, reason
from distq.broker.scripts import Reply, encode

SCHEMES = {"sentinel": "redis", "sentinels": "rediss"}
PORT = 26379
ASK_S = 0.5
"""Time limit of each thing that is asked of a sentinel. A dead one must not keep anybody from the next."""
ROLE_S = 1.0
"""The same for the server that is said to be the primary: one that is stopped still accepts connections."""

_PLACE = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")


class Sentinels(NamedTuple):
    """An address that has been read."""

    name: str
    """What the sentinels call the primary."""
    places: tuple[tuple[str, int], ...]
    asking: tuple[str, str]
    """What stands before and after host:port in the address of a sentinel."""
    using: tuple[str, str]
    """The same for the primary."""


def is_sentinel(url: str) -> bool:
    """Whether sentinels have to be asked."""
    return url.startswith(("sentinel:", "sentinels:"))


@lru_cache(maxsize=16)
def read(url: str) -> Sentinels:
    """The address. Raises ValueError with what is wrong with it."""
    parts = urlsplit(url)
    who, _, hosts = parts.netloc.rpartition("@")
    name, _, database = parts.path.strip("/").partition("/")
    if not name:
        raise ValueError("it needs the name of the primary: sentinel://host1,host2,host3/name")
    if not re.fullmatch(r"[0-9]{0,9}", database, re.ASCII):
        raise ValueError(f"/{name}/{database}: after the name comes the number of a database")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    username, password = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
    own = f"{quote(username, safe='')}:{quote(password, safe='')}@" if username or password else ""
    scheme, query = SCHEMES[parts.scheme], f"?{urlencode(options)}" if options else ""
    told = Sentinels(
        name,
        tuple(_place(host) for host in hosts.split(",")),
        (f"{scheme}://{own}", f"/0{query}"),
        (f"{scheme}://{who}@" if who else f"{scheme}://", f"/{database or 0}{query}"),
    )
    check(_address(told.asking, *told.places[0]))
    check(_address(told.using, *told.places[0]))
    return told


def search(url: str) -> Generator[Question, Reply | Exception, None]:
    """Asks until a connection to the primary is open: when it returns, the last one is that. Raises Refused.

    A server that is said to be the primary is asked itself: around a failover sentinels know it a moment before or
    after it is true. Another sentinel may know more then.
    """
    told = read(url)
    silent, lost, strangers = [], [], 0
    tried: set[tuple[str, int]] = set()
    for place in _last_that_answered_first(told):
        asked = encode("SENTINEL", "GET-MASTER-ADDR-BY-NAME", told.name)
        reply = yield Question(_address(told.asking, *place), asked, ASK_S)
        if isinstance(reply, Exception):
            silent.append(f"{place[0]}:{place[1]}: {reason(reply)}")
            continue
        _answered[told] = place
        if reply is None:
            strangers += 1
            continue
        primary = (reply[0].decode(), int(reply[1]))
        if primary in tried:
            continue
        tried.add(primary)
        role = yield Question(_address(told.using, *primary), encode("ROLE"), ROLE_S)
        if not isinstance(role, Exception) and role[0] == b"master":
            return
        why = reason(role) if isinstance(role, Exception) else f"it is a {role[0].decode()}"
        lost.append(f"{primary[0]}:{primary[1]}: {why}")
    raise Refused(_complaint(told.name, silent, lost, strangers))


def survey(url: str, peer: str) -> Generator[Question, Reply | Exception, int]:
    """Asks how many replicas, other than this peer, are up and follow the primary, until a sentinel says so.
    Raises Refused.

    For sentinels one that has just been promoted is still a replica. So the old primary, which they still name then,
    is not taken for one that has lost a replica; and it is the new one itself that is left out.
    """
    told = read(url)
    for place in _last_that_answered_first(told):
        reply = yield Question(_address(told.asking, *place), encode("SENTINEL", "REPLICAS", told.name), ASK_S)
        if isinstance(reply, list):
            return sum(_may_be_promoted(replica, peer) for replica in reply)
    raise Refused("no sentinel says which replicas there are")


def _may_be_promoted(replica: list[bytes], peer: str) -> bool:
    said = dict(zip(replica[::2], replica[1::2], strict=True))
    if peer.startswith(str((said[b"ip"].decode(), int(said[b"port"]))).rstrip(")")):
        return False
    is_up = not {b"s_down", b"o_down", b"disconnected"} & set(said[b"flags"].split(b","))
    return is_up and said[b"master-link-status"] == b"ok"


def places(url: str) -> list[str]:
    """The addresses of the sentinels, that which answered last first."""
    told = read(url)
    return [_address(told.asking, *place) for place in _last_that_answered_first(told)]


_answered: dict[Sentinels, tuple[str, int]] = {}


def _last_that_answered_first(told: Sentinels) -> list[tuple[str, int]]:
    first = _answered.get(told)
    return list(told.places) if first is None else [first, *(place for place in told.places if place != first)]


def _complaint(name: str, silent: list[str], lost: list[str], strangers: int) -> str:
    others = f"; of the other sentinels: {'; '.join(silent)}" if silent else ""
    if lost:
        return f"no primary {name!r} ({'; '.join(lost)}); a failover may be under way{others}"
    if strangers:
        return f"the sentinels know no primary {name!r}: check the name (`sentinel monitor NAME …`){others}"
    return f"no sentinel answers: check the addresses, and sentinel_password= ({'; '.join(silent)})"


def _place(text: str) -> tuple[str, int]:
    match = _PLACE.fullmatch(text)
    if match is None or not 0 < int(match[2] or PORT) < 65536:
        raise ValueError(f"{text!r} is no host:port: give the sentinels with commas between")
    return match[1].strip("[]"), int(match[2] or PORT)


def _address(around: tuple[str, str], host: str, port: int) -> str:
    return f"{around[0]}{f'[{host}]' if ':' in host else host}:{port}{around[1]}"
