"""Is this server one that can do distq's work, and keeps what it is given? Asked when a worker host starts, and by
`distq doctor`. It changes nothing.

What the server does not tell (no right to, not loaded yet) is left out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from distq.broker import cluster, dial, inventory, keys
from distq.broker.broker import check_layout
from distq.broker.connect import PASSING, ServerError, Wire
from distq.broker.scripts import Reply, encode, script
from distq.errors import BrokerError

OLDEST = (6, 2)
SLOW_MS = 5.0
"""A round trip above this is worth a warning."""
TIGHT, NEARLY_FULL = 0.85, 0.97
"""Used part of maxmemory."""
LEAST_OUTPUT = 4 << 20
"""Bytes: a reply may hold two messages of 1 MiB, as text and once more on its way."""
LEAST_IDLE_S = 60
CLOCK_S = 5.0

Level = Literal["ok", "note", "warning", "problem"]
SETTINGS = (
    "maxmemory-policy", "appendonly", "save", "appendfsync", "dir", "timeout", "tcp-keepalive", "maxclients",
    "client-output-buffer-limit",
)  # fmt: skip

WRITES = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
"""What of INFO says "err" when the disk is full, or gone."""

_ABOUT_KEYS = re.compile(r"access (a key|(at least )?one of the keys)")


class Finding(NamedTuple):
    """One thing that was looked at: how it is, and how to mend it."""

    level: Level
    check: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.hint}" if self.hint else self.text


class Outset(NamedTuple):
    """What a worker host says at its start, and which of its queues it must leave alone."""

    warnings: list[str]
    broken: dict[str, str]
    """Prefix -> what is wrong with its keys: every script would fail there."""
    server: str = ""
    """Name and version; of several, each that there is."""


def at_start(url: str, prefixes: Sequence[str], connections: Callable[[int], int]) -> Outset:
    """What is found on each server that has one of these queues, and in these.

    `connections`: how many it is going to open to a server that has so many of them. Raises BrokerUnavailable, and what
    `examine` does."""
    found: list[Finding] = []
    broken: dict[str, str] = {}
    for wire, names in servers(url, prefixes, 3.0, "distq-supervisor"):
        found += examine(wire, names, url, connections(len(names)))
        broken |= {prefix: str(wrong[0]) for prefix in names if (wrong := _wrong_keys(_probe(wire, prefix), prefix))}
        wire.close()
    said = [str(finding) for finding in found if finding.level in ("warning", "problem") and finding.check != "keys"]
    versions = dict.fromkeys(finding.text for finding in found if finding.check == "server")
    return Outset(list(dict.fromkeys(said)), broken, ", ".join(versions))


def servers(url: str, prefixes: Sequence[str], timeout: float, name: str) -> Iterator[tuple[Wire, list[str]]]:
    """A connection to each server that has one of these queues, and those that it has. Raises BrokerUnavailable."""
    found: dict[str, tuple[Wire, list[str]]] = {}
    for place, queues in cluster.grouped(url, prefixes).items():
        wire = Wire(place, timeout=timeout, name=name)
        found.setdefault(wire.peer, (wire, []))[1].extend(prefixes[queue] for queue in queues)
    yield from found.values()


class Server(NamedTuple):
    """What a server has said of itself."""

    info: Mapping[str, str]
    settings: Mapping[str, str]

    def sets(self, setting: str) -> str:
        """The command that changes it: for a shell, until its next restart, and what makes it stay."""
        tool = "valkey-cli" if self.info.get("server_name") == "valkey" else "redis-cli"
        return f"{tool} CONFIG SET {setting}, then {tool} CONFIG REWRITE"

    @property
    def is_embedded(self) -> bool:
        """Whether it is the embedded broker without data: whoever started it knows."""
        return "/distq-" in self.settings.get("dir", "")

    def number(self, name: str) -> int:
        """A field of INFO, or a setting; -1 if it is not told."""
        text = self.info.get(name) or self.settings.get(name) or ""
        return int(text) if text.isdigit() else -1


def examine(wire: Wire, prefixes: Iterable[str], url: str = "", connections: int = 0) -> list[Finding]:
    """What was found, good and bad. Raises LayoutMismatch for keys of an incompatible release, BrokerError for a server
    that is too old. `connections`: how many more the caller is going to open."""
    names = list(prefixes)
    for prefix in names:
        _check_layout(wire, prefix)
    server = _server(wire)
    found = [_version(server.info)]
    if not server.is_embedded:
        found += [*_durability(server), *_memory(server), *_connections(server, connections)]
    found += _place(server, url)
    found += [_round_trip(wire), *_clock(wire)]
    for prefix in names[:1]:
        found += _abilities(wire, prefix) or [Finding("ok", "commands", "all that distq needs")]
    return found


def fitness(wire: Wire, prefix: str) -> list[Finding]:
    """What keeps a queue from being used there. Raises LayoutMismatch."""
    _check_layout(wire, prefix)
    return _abilities(wire, prefix)


def _check_layout(wire: Wire, prefix: str) -> None:
    check_layout(_ask(wire, "HGET", keys.key(prefix, "META"), "layout"))


def _server(wire: Wire) -> Server:
    text = (_ask(wire, "INFO") or b"").decode("utf-8", "replace")
    info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    wire.send(b"".join(encode("CONFIG", "GET", name) for name in SETTINGS))
    settings = {}
    for name in SETTINGS:
        reply = _reply(wire, "CONFIG")
        if reply:
            settings[name] = reply[1].decode("utf-8", "replace")
    return Server(info, settings)


def _ask(wire: Wire, *command: str) -> Reply:
    wire.send(encode(*command))
    return _reply(wire, command[0])


def _reply(wire: Wire, name: str) -> Reply:
    try:
        return wire.read()
    except ServerError as error:
        if error.code in (*PASSING, "NOPERM", "ERR"):
            return None
        raise BrokerError(f"the broker refused {name}: {error}") from error


# -- the checks -----------------------------------------------------------------------------------------------------


def _version(info: Mapping[str, str]) -> Finding:
    told = info.get("redis_version", "")
    match = re.match(r"(\d+)\.(\d+)", told)
    if match and (int(match[1]), int(match[2])) < OLDEST:
        raise BrokerError(f"the broker is Redis {told}: distq needs 6.2 or later, or Valkey")
    name = info.get("server_name", "redis")
    told = info.get(f"{name}_version", told)
    return Finding("ok", "server", f"{name} {told}" if told else "it does not tell its version")


def _durability(server: Server) -> Iterator[Finding]:
    policy, fsync = server.settings.get("maxmemory-policy"), server.settings.get("appendfsync")
    if policy not in (None, "noeviction"):
        yield Finding(
            "warning", "eviction", f"the broker has maxmemory-policy {policy}: when it is full it deletes tasks",
            server.sets("maxmemory-policy noeviction"),
        )  # fmt: skip
    appendonly, save = server.settings.get("appendonly"), server.settings.get("save")
    failed = [name for name in WRITES if server.info.get(name, "ok") != "ok"]
    if failed:
        yield Finding(
            "problem", "persistence", f"the broker could not write to its disk ({', '.join(failed)}): a restart loses "
            "what is new, and it may refuse calls", f"df -h {server.settings.get('dir') or '(its folder)'}; and look "
            "into its log",
        )  # fmt: skip
    elif appendonly == "no" and save == "":
        yield Finding(
            "warning", "persistence", "the broker keeps nothing on disk: a restart of it loses all tasks",
            server.sets("appendonly yes"),
        )  # fmt: skip
    elif appendonly == "no":
        yield Finding(
            "note", "persistence", f"the broker keeps snapshots only ({save}): a crash loses all since the last one",
            server.sets("appendonly yes"),
        )  # fmt: skip
    elif appendonly == "yes" and fsync == "no":
        yield Finding(
            "warning", "persistence", "the broker has appendfsync no: a crash of its machine loses up to half a minute",
            server.sets("appendfsync everysec"),
        )  # fmt: skip
    elif appendonly == "yes":
        yield Finding("ok", "persistence", f"appendonly yes, appendfsync {fsync}; maxmemory-policy {policy}")


def _memory(server: Server) -> Iterator[Finding]:
    used, most, there = (server.number(name) for name in ("used_memory", "maxmemory", "total_system_memory"))
    if used < 0 or most < 0:
        return
    limit = most or (there if 0 < TIGHT * there <= used else 0)
    if not limit:
        yield Finding(
            "note", "memory", f"the broker uses {_mib(used)} and has no limit: the kernel ends it when memory is short",
            server.sets(f"maxmemory {there * 3 // 4 >> 20 if there > 0 else 4096}mb"),
        )  # fmt: skip
        return
    part = used / limit
    level: Level = "problem" if part >= NEARLY_FULL else "warning" if part >= TIGHT else "ok"
    text = f"the broker uses {_mib(used)} of {_mib(limit)}"
    if level == "ok":
        yield Finding("ok", "memory", text)
    elif most:
        hint = f"{server.sets(f'maxmemory {most * 2 >> 20}mb')}; or add workers; `distq queues` says what waits"
        yield Finding(level, "memory", f"{text}: when it is full, calls are refused", hint)
    else:
        hint = "give it a larger machine; or add workers; `distq queues` says what waits"
        yield Finding(level, "memory", f"{text} that its machine has: when it is full, the kernel ends it", hint)


def _mib(number: int) -> str:
    return f"{number / (1 << 20):,.0f} MiB"


def _connections(server: Server, needed: int) -> Iterator[Finding]:
    most, present = server.number("maxclients"), server.number("connected_clients")
    if 0 <= most < present + needed:
        yield Finding(
            "warning", "connections", f"the broker takes {most:,} connections and has {present:,}: this host needs "
            f"about {needed:,} more", server.sets(f"maxclients {2 * (present + needed)}"),
        )  # fmt: skip
    idle = server.number("timeout")
    if 0 < idle < LEAST_IDLE_S:
        yield Finding(
            "warning", "idle connections", f"the broker closes connections that are idle for {idle} s: producers "
            "connect again for each call", server.sets("timeout 0"),
        )  # fmt: skip
    if server.number("tcp-keepalive") == 0:
        yield Finding(
            "warning", "keepalive", "the broker has tcp-keepalive 0: connections of dead hosts stay for ever",
            server.sets("tcp-keepalive 300"),
        )  # fmt: skip
    match = re.search(r"normal (\d+)", server.settings.get("client-output-buffer-limit", ""))
    if match and 0 < int(match[1]) < LEAST_OUTPUT:
        yield Finding(
            "warning", "output buffers", f"the broker cuts connections with {int(match[1]):,} bytes of replies: large "
            "tasks never arrive", server.sets("client-output-buffer-limit 'normal 0 0 0'"),
        )  # fmt: skip


def _place(server: Server, url: str) -> Iterator[Finding]:
    if server.info.get("role") == "slave":
        primary = f"{server.info.get('master_host')}:{server.info.get('master_port')}"
        yield Finding(
            "problem", "replica", f"the broker is a replica (of {primary}): it refuses what changes anything",
            "use the address of its primary",
        )  # fmt: skip
    in_cluster = server.info.get("cluster_enabled") == "1"
    if in_cluster and not url.startswith("cluster"):
        yield Finding(
            "problem", "cluster", "the broker is a node of a cluster: queues of other nodes are refused (MOVED)",
            "use an address of a server that is no cluster, or cluster://",
        )  # fmt: skip


def _round_trip(wire: Wire) -> Finding:
    took = []
    for _ in range(5):
        begin = time.perf_counter()
        _ask(wire, "PING")
        took.append((time.perf_counter() - begin) * 1000)
    ms = sorted(took)[len(took) // 2]
    if ms < SLOW_MS:
        return Finding("ok", "round trip", f"{ms:.2g} ms to the broker and back")
    return Finding(
        "warning", "round trip", f"{ms:.0f} ms to the broker and back: one caller makes at most {1000 / ms:.0f} calls "
        "a second, and a worker waits as long for each fetch", "move the broker near to its workers",
    )  # fmt: skip


def _clock(wire: Wire) -> Iterator[Finding]:
    reply = _ask(wire, "TIME")
    if reply:
        ahead = int(reply[0]) + int(reply[1]) / 1e6 - time.time()
        if abs(ahead) >= CLOCK_S:
            yield Finding(
                "note", "clock", f"the broker's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} "
                "this machine's: `eta` and `expires` go by the broker's", "synchronize them (NTP)",
            )  # fmt: skip


def _abilities(wire: Wire, prefix: str) -> list[Finding]:
    """Which commands are missing, renamed or forbidden, and which keys of the queue are none of ours."""
    missing = _probe(wire, prefix)
    found = _wrong_keys(missing, prefix)
    nobody = keys.key(prefix, "ANSWER", " probe")  # no id has a space, so nobody has this key
    for command in (("BLMOVE", nobody, nobody, "LEFT", "LEFT", 0.001), ("BZPOPMIN", nobody, 0.001)):
        if (why := _why_not(wire, encode(*map(str, command)))) is not None:
            missing[str(command[0])] = why
    forbidden = {what: why for what, why in missing.items() if dial.is_forbidden(why)}
    if any(_ABOUT_KEYS.search(why) for why in forbidden.values()):
        place = f"~{prefix.partition('/')[0]}/*"
        hint = f"ACL SETUSER … {place}"
        found.append(Finding("problem", "rights", f"the user of this address may not use the keys {place[1:]}", hint))
        forbidden = {what: why for what, why in forbidden.items() if not _ABOUT_KEYS.search(why)}
    if forbidden:
        names = " ".join(sorted(f"+{what.lower().replace(' ', '|')}" for what in forbidden))
        text = f"the user of this address may not send {', '.join(sorted(forbidden))}"
        found.append(Finding("problem", "rights", text, f"ACL SETUSER … {names}; the guide names all that it needs"))
    hint = "use Redis 6.2 or later, or Valkey"
    return found + [
        Finding("problem", "commands", f"the broker cannot do what distq needs: {what} ({why})", hint)
        for what, why in missing.items()
        if not what.startswith(prefix) and not dial.is_forbidden(why)
    ]


def _probe(wire: Wire, prefix: str) -> dict[str, str]:
    """What does not work there, and why."""
    verb = script("probe")
    if (why := _why_not(wire, verb.load_command())) is not None:
        return {"SCRIPT LOAD": why}
    try:
        words = [word.decode("utf-8", "replace") for word in wire.request(verb.command(prefix.encode()))]
    except ServerError as error:
        return {} if error.code in PASSING else {"EVALSHA": str(error)}
    return dict(zip(words[::2], words[1::2], strict=True))


def _why_not(wire: Wire, command: bytes) -> str | None:
    """What the server says against a command; None: nothing that stays."""
    try:
        wire.request(command)
    except ServerError as error:
        return None if error.code in PASSING else str(error)
    return None


def _wrong_keys(missing: Mapping[str, str], prefix: str) -> list[Finding]:
    found = []
    for key in missing:
        if key.startswith(prefix) and (known := inventory.name_of(key.removeprefix(prefix))):
            text = f"the key {key} is no {inventory.TYPES[known[0]]}: whatever touches it fails"
            found.append(Finding("problem", "keys", text, "it is none of distq's: delete it, or rename it"))
    return found
