"""The broker room of one application's queue, as tests see it: verbs with short names, all its keys in plain values."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack
import redis

from distq import message
from distq.broker import keys, verbs, verdicts
from distq.broker.connect import Wire
from distq.broker.scripts import script
from distq.broker.verdicts import NO_VERDICTS, Verdicts
from distq.message import Message, parse

LEASE_MS = 15_000
LEVELS = ("high", "default", "low")


@dataclass
class Worker:
    """A worker as the broker sees one, moved by hand."""

    name: str
    digest: str
    number: int = 0


@dataclass
class Room:
    """One queue on a real server."""

    url: str
    app: str = "app"
    queue: str = "default"
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.prefix = keys.prefix(self.app, self.queue)
        self.redis: Any = redis.Redis.from_url(self.url, protocol=2)  # its replies are typed for all modes at once
        self.wire = Wire(self.url, timeout=5.0)

    def close(self) -> None:
        self.wire.close()
        self.redis.close()

    def run(self, command: verbs.Command[verbs.T]) -> verbs.T:
        return self.wire.run(command)

    def key(self, name: str, suffix: str = "") -> str:
        return keys.key(self.prefix, name, suffix)

    def now_ms(self) -> int:
        seconds, micros = self.redis.time()
        return int(seconds * 1000 + micros // 1000)

    # -- verbs -------------------------------------------------------------------------------------------------------

    def enqueue(
        self,
        type: str = "job",
        priority: int = 1,
        id: str | None = None,
        ttl: int | None = 600,
        body: bytes = b"\x91\x90",
        **options: Any,
    ) -> str:
        """The id of a new message; `options` are those of the script. Raises AssertionError for a duplicate."""
        name = id or message.new_id(self.queue)
        assert self.send(name, type, priority, ttl, body, **options) == ["created"]
        return name

    def send(
        self,
        id: str,
        type: str = "job",
        priority: int = 1,
        ttl: int | None = 600,
        body: bytes = b"\x91\x90",
        **options: Any,
    ) -> list[str]:
        return [
            word.decode()
            for word in self.wire.run_script(
                script("enqueue"), self.enqueue_bytes(id, type, priority, ttl, body, **options)
            )
        ]

    def enqueue_bytes(
        self, id: str, type: str, priority: int, ttl: int | None, body: bytes, **options: Any
    ) -> bytes:  # fmt: skip
        return self.enqueue_many_bytes([id], type, priority, ttl, body, **options)

    def enqueue_many_bytes(
        self,
        ids: Sequence[str],
        type: str = "job",
        priority: int = 1,
        ttl: int | None = 600,
        body: bytes = b"\x91\x90",
        most: int = 0,
        key: str | dict[str, Any] | None = None,
        **options: Any,
    ) -> bytes:
        """`most`: how often it may kill its process, as it says itself. `key`: of its flow."""
        flow = None if key is None else msgpack.packb({"k": key} if isinstance(key, str) else key)
        raw = message.head(type, priority, ttl, most, flow) + body
        front = verbs.enqueue_front(self.prefix, type, priority, verbs.enqueue_options(options))
        return verbs.enqueue(front, ids, [raw] * len(ids)).data

    def register(
        self,
        types: Sequence[str] = ("job",),
        limits: dict[str, str] | None = None,
        lease_ms: int = LEASE_MS,
        host: str = "host",
        takes: verbs.Takes = "all",
        apart: Sequence[str] = (),
        shares: Sequence[tuple[str, bool, Sequence[str]]] = (),
        flows: dict[str, dict[str, Any]] | None = None,
        weights: str = "",
    ) -> Worker:
        digest = "isolated" if takes == "isolated" else "_".join(types).replace("/", "")
        worker = Worker(f"{host}:{next(self._ids)}", digest)
        command = verbs.register(
            self.prefix, worker.name, host, lease_ms, worker.digest, b"{}", takes, types,
            {type: (limit, b"") for type, limit in (limits or {}).items()}
            | {type: ((limits or {}).get(type, ""), msgpack.packb(flow)) for type, flow in (flows or {}).items()},
            verbs.Lanes(apart, shares, weights),
        )  # fmt: skip
        reply = self.run(command)
        assert reply[0] == "ok", reply
        return worker

    def step(
        self,
        worker: Worker,
        want: int = 10,
        verdicts: Sequence[bytes] = (),
        room: int = 1 << 20,
        number: int | None = None,
        shares: str = "",
    ) -> verbs.Step:
        if number is None:
            worker.number += 1
            number = worker.number
        return self.run(self.step_command(worker, number, want, verdicts, room, shares))

    def step_command(
        self, worker: Worker, number: int, want: int, verdicts: Sequence[bytes] = (), room: int = 1 << 20,
        shares: str = "",
    ) -> verbs.Command[verbs.Step]:  # fmt: skip
        packed = Verdicts(len(verdicts), b"".join(verdicts))
        return verbs.step(self.prefix, worker.name, number, want, room, worker.digest + shares, packed)

    def hold(self, worker: Worker, id: str) -> str:
        """The worker reserves what is ready, which must be just this task; its entry."""
        entries = [entry.decode() for entry in self.step(worker).entries]
        assert [keys.id_of(entry) for entry in entries] == [id]
        return entries[0]

    def tick(self, host: str = "host", lease_ms: int = LEASE_MS) -> verbs.Tick:
        return self.run(verbs.tick(self.prefix, host, lease_ms))

    def recover(
        self,
        worker: Worker,
        how: verbs.How,
        *,
        started: Sequence[bytes] = (),
        verdicts: Verdicts = NO_VERDICTS,
        step: int = -1,
        doubtful: int | None = None,
        ran: int | None = None,
        **options: Any,
    ) -> verbs.Recovery:
        """All verdicts are doubtful, and nothing else ran in its process, unless it says otherwise."""
        held = verbs.Held(0, list(started), [], verdicts, step, verdicts.number if doubtful is None else doubtful)
        ran = len(started) if ran is None else ran
        return self.run(verbs.recover(self.prefix, worker.name, how, held=held, ran=ran, **options))

    def cancel(self, id: str) -> str:
        return self.run(verbs.cancel(self.prefix, id, "test"))

    def look(self, id: str) -> verbs.Look:
        return self.run(verbs.look(self.prefix, id))

    # -- what is in it -----------------------------------------------------------------------------------------------

    def where(self, id: str) -> str:
        """The state of a task by where it is, not by what a script says: the source and target names of the arrows."""
        entry = self.entry_of(id)
        if self.redis.hexists(self.key("TASKS"), entry):
            places = self.places(entry)
            assert len(places) == 1, f"{id} is in {places or 'no place'}"
            return places[0]
        element = self.result(id)
        word = str(element[0]) if element else "none"
        if self.redis.hexists(self.key("DEAD"), id):
            assert self.redis.zscore(self.key("DEAD_LETTERS"), id) is not None
            assert word in ("dead", "none")
            return "dead"
        assert word != "dead", "a result says dead, but the dead letters do not have it"
        return word

    def entry_of(self, id: str) -> str:
        entry = self.redis.hget(self.key("GENERATIONS"), id)
        return id if entry is None else entry.decode()

    def places(self, entry: str) -> list[str]:
        """Every place that a live entry is in."""
        found = []
        if self.redis.zscore(self.key("DELAYED"), entry) is not None:
            found.append("scheduled")
        for name, entries in self.lists().items():
            for member in entries:
                if member == entry:
                    found.append("active" if "processing_queue:" in name else "queued")
        return found

    def lists(self) -> dict[str, list[str]]:
        """Every list of entries."""
        named = (self.key("QUEUE"), self.key("SUSPECTS"), self.key("LANE"), self.key("PROCESSING"))
        names = [name for name in self.all_keys() if name.startswith(named)]
        lists = self.ask_all(("LRANGE", name, 0, -1) for name in names)
        return {name: [entry.decode() for entry in entries] for name, entries in zip(names, lists, strict=True)}

    def ask_all(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The replies of several commands, in one round trip."""
        pipeline: Any = self.redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(pipeline.execute())

    def result(self, id: str) -> list[Any]:
        raw = [raw for raw in self.ask_all(("HGET", name, id) for name in self.shelves()) if raw is not None]
        assert len(raw) <= 1, "an id is on one shelf"
        return list(msgpack.unpackb(raw[0], strict_map_key=False)) if raw else []

    def shelves(self) -> list[str]:
        """The keys of the shelves."""
        return [self.key("SHELF", name.decode()) for name in self.redis.zrange(self.key("SHELVES"), 0, -1)]

    def shelf_of(self, id: str) -> str:
        """The key of the shelf that has this result."""
        [shelf] = [name for name in self.shelves() if self.redis.hexists(name, id)]
        return shelf

    def forget_result(self, id: str) -> None:
        """The time for which it is kept is over."""
        self.ask_all(("HDEL", name, id) for name in self.shelves())

    def attempts(self, id: str) -> list[dict[str, Any]]:
        return [msgpack.unpackb(raw) for raw in self.redis.lrange(self.key("ATTEMPTS", id), 0, -1)]

    def head(self, id: str) -> Message:
        raw = self.redis.hget(self.key("TASKS"), self.entry_of(id)) or self.redis.hget(self.key("DEAD"), id)
        assert isinstance(raw, bytes)
        return parse(raw)

    def ledger(self) -> dict[str, int]:
        return {k.decode(): int(v) for k, v in self.redis.hgetall(self.key("LEDGER")).items()}

    def all_keys(self) -> list[str]:
        return sorted(key.decode() for key in self.redis.scan_iter(match=self.pattern(), count=1000))

    def pattern(self) -> str:
        return self.prefix.replace("[", "\\[") + "*"

    def snapshot(self) -> dict[str, Any]:
        """All keys as plain values, without the times that pass (leases, TTLs)."""
        names = self.all_keys()
        kinds = [kind.decode() for kind in self.ask_all(("TYPE", name) for name in names)]
        values = self.ask_all(self._ask(name, kind) for name, kind in zip(names, kinds, strict=True))
        return dict(zip(names, values, strict=True))

    def _ask(self, name: str, kind: str) -> tuple[Any, ...]:
        if kind == "list":
            return ("LRANGE", name, 0, -1)
        if kind == "zset":
            return ("ZRANGE", name, 0, -1, *(() if name == self.key("LEASES") else ("WITHSCORES",)))
        return ({"string": "GET", "set": "SMEMBERS", "hash": "HGETALL"}[kind], name)

    # -- time --------------------------------------------------------------------------------------------------------

    def pass_time(self, ms: int) -> None:
        """Makes it `ms` later for everything in this room, by moving all its times into the past."""
        for name in ("DELAYED", "DEADLINES", "LEASES", "HOSTS", "SHELVES", "RESUMES", "FIRES", "ORPHANED", "DECLARERS"):
            for member, score in self.redis.zrange(self.key(name), 0, -1, withscores=True):
                self.redis.zadd(self.key(name), {member: score - ms})
        for name in self.redis.smembers(self.key("SCHEDULES")):
            self.redis.hincrby(self.key("SCHEDULE", name.decode()), "tick", -ms)
        if (left := self.redis.pttl(self.key("LATEST"))) > 0:
            self.redis.pexpire(self.key("LATEST"), left - ms)  # below 0: it goes at once
        for field_name in ("armed", "keeper_until"):
            at = self.redis.hget(self.key("META"), field_name)
            if at is not None:
                self.redis.hset(self.key("META"), field_name, str(int(float(at)) - ms))
        for name in self.redis.keys(self.key("BUCKET").replace("[", "\\[") + "*"):
            at, left = float(self.redis.get(name) or 0), self.redis.pttl(name)
            moved_by = ms if b"! " in name else ms * 1000  # parks are in ms
            self.redis.set(name, f"{at - moved_by:.3f}", px=max(1, left - ms))
        for name, since in self.redis.hgetall(self.key("FILLING")).items():
            self.redis.hset(self.key("FILLING"), name, str(int(since) - ms))
        for name, text in self.redis.hgetall(self.key("LIMITS")).items():
            interval, burst, tat = text.split()
            self.redis.hset(
                self.key("LIMITS"), name, f"{interval.decode()} {burst.decode()} {float(tat) - ms * 1000:.3f}"
            )
        for entry, raw in self.redis.hgetall(self.key("TASKS")).items():
            created, expires = struct.unpack_from(">dd", raw)
            moved = struct.pack(">dd", created - ms, expires - ms if expires else 0) + raw[16:]
            self.redis.hset(self.key("TASKS"), entry, moved)


def verdict(entry: str, word: str, *, type: str = "job", number: int = 0, blob: bytes = b"") -> bytes:
    """One verdict in wire form."""
    return verdicts.verdict(entry.encode(), word.encode(), type.encode(), number, blob)


def completed(entry: str, value: object = None, ttl_ms: int = 600_000) -> bytes:
    return verdict(entry, "complete", number=ttl_ms, blob=msgpack.packb(["completed", value, 1.7e12, 1.7e12]))


def retried(entry: str, delay_ms: int = 200) -> bytes:
    return verdict(
        entry, "retry", number=delay_ms, blob=msgpack.packb({"outcome": "raised", "type": "E", "attempt": 1})
    )


def buried(entry: str) -> bytes:
    return verdict(entry, "bury", blob=msgpack.packb({"outcome": "raised", "type": "E", "attempt": 1}))


def released(entries: Iterable[str]) -> list[bytes]:
    """In the order that keeps theirs: the last one first."""
    return [verdict(entry, "release") for entry in reversed(list(entries))]
