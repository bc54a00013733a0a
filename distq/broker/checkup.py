"""What `distq doctor` looks at in a queue: is everything in it going to be done? It only reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from shlex import quote
from typing import NamedTuple

from distq.broker import controls, inventory, keys, ledger, verbs
from distq.broker.broker import Broker
from distq.broker.health import Finding
from distq.broker.ledger import OTHER, Tally
from distq.broker.scripts import encode
from distq.broker.strays import KINDS
from distq.broker.verbs import Present
from distq.broker.waits import waits
from distq.errors import did_you_mean
from distq.message import family, untyped

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
MOST_PAGES = 40
"""Of the server's keys, each of about 500."""


class Declared(NamedTuple):
    """What the application says of itself; None where there is no application at hand."""

    queues: Collection[str]
    types: Collection[str]
    """As they travel: each version is one."""
    limits: Mapping[str, str]
    """Type -> limit, as the broker writes it; versions of a type share one."""
    needs: Mapping[str, str] = {}
    """Type -> the tag that a host must have."""


class Queue(NamedTuple):
    """What the broker says of a queue."""

    name: str
    prefix: str
    tally: Tally
    workers: list[Present]
    digests: Mapping[str, str]
    """Worker -> its group."""
    announced: frozenset[str]
    """Types that workers know, as they travel."""

    @property
    def living(self) -> list[Present]:
        """Workers with a lease."""
        return [worker for worker in self.workers if worker.lease_left_ms > 0]


def check_queue(broker: Broker, name: str, declared: Declared | None) -> list[Finding]:
    """What was found, good and bad. Raises BrokerError."""
    queue = _read(broker, name)
    found = [
        *_workers(queue),
        *_paused(broker, queue),
        *_types(queue, declared),
        *_time(broker, queue),
        *_schedules(broker, queue),
    ]
    found += [*_dead(broker, queue), *_ledger(queue), *_leaks(broker, queue), *waits(broker, name, queue.tally.counts)]
    if declared is not None:
        found += _limits(broker, queue, declared)
        if family(name) not in declared.queues and ledger.placed(queue.tally.depths):
            found.append(
                Finding("warning", "declared", "the application does not declare this queue, and tasks are in it",
                        f'app.queue("{name}")')
            )  # fmt: skip
    return found


def _read(broker: Broker, name: str) -> Queue:
    prefix, exchange = broker.prefix(name), broker.exchange
    tally, workers = broker.run(ledger.tally(prefix)), broker.run(verbs.workers(prefix))
    digests = exchange.read_all(
        [encode("HGET", keys.key(prefix, "WORKER", worker.name), "digest") for worker in workers]
    )
    groups = exchange.request(encode("SMEMBERS", keys.key(prefix, "GROUPS")))
    members = exchange.read_all([encode("SMEMBERS", keys.key(prefix, "TYPES", group.decode())) for group in groups])
    named = {worker.name: (digest or b"").decode() for worker, digest in zip(workers, digests, strict=True)}
    announced = frozenset(type.decode("utf-8", "replace") for types in members for type in types)
    return Queue(name, prefix, tally, workers, named, announced)


def _workers(queue: Queue) -> Iterator[Finding]:
    depths, living = queue.tally.depths, queue.living
    over = [worker for worker in queue.workers if worker.lease_left_ms <= 0]
    hosts = {worker.host for worker in living}
    if living:
        yield Finding("ok", "workers", f"{_number(len(living), 'worker')} on {_number(len(hosts), 'host')}")
    elif ledger.placed(depths):
        yield Finding(
            "problem", "workers", f"{_number(ledger.placed(depths), 'task')} and no worker that takes them",
            f"distq run MODULE:APP -Q {queue.name}",
        )  # fmt: skip
    else:
        yield Finding("note", "workers", "no worker takes from this queue")
    if over:
        held = sum(len(worker.holds) for worker in over)
        text = f"{_number(len(over), 'worker')} of hosts that are gone, with {_number(held, 'task')}"
        hint = (
            "another host takes these back within a lease and a half" if living else "they come back when a host starts"
        )
        yield Finding("note" if living else "warning", "leases", text, hint)
    groups = Counter(queue.digests[worker.name] for worker in living)
    if len(groups) > 1:
        sizes = ", ".join(f"{size:,}" for size in groups.values())
        yield Finding(
            "note", "releases", f"workers announce {len(groups)} different sets of types ({sizes} workers)",
            "fine while you deploy: each takes what it knows",
        )  # fmt: skip
    versions = Counter(version for worker in living if (version := version_of(worker.info)))
    if len(versions) > 1:
        text = ", ".join(f"{number:,} with distq {version}" for version, number in sorted(versions.items()))
        yield Finding("note", "versions", f"workers of different releases: {text}", "fine while you deploy")


def _paused(broker: Broker, queue: Queue) -> Iterator[Finding]:
    """What waits because somebody wants it so."""
    stopped, paused = controls.pauses(broker, queue.name)
    if stopped:
        said = f"{stopped.get('by', '?')} has paused this queue" + (f": {why}" if (why := stopped.get("why")) else "")
        yield Finding("note", "paused", said, f"distq resume --queue {quote(family(queue.name))}")
    for name, note in sorted(paused.items()):
        type, _, key = name.partition(" ")
        of, key_option = (f"key {key} of ", f" --key {quote(key)}") if key else ("", "")
        text = f"{note.get('by', '?')} has paused {of}type {type}"
        yield Finding("note", "paused", text, f"distq resume --type {quote(type)}{key_option}")


def version_of(info: str) -> str:
    """The release of a worker, as its supervisor has noted it; empty if it has not."""
    try:
        return str(json.loads(info).get("distq", ""))
    except (ValueError, AttributeError):
        return ""


def _types(queue: Queue, declared: Declared | None) -> Iterator[Finding]:
    """Types with tasks that nobody at hand can run."""
    if not queue.living:
        return
    for type, events in ledger.by_type(queue.tally.counts).items():
        number = ledger.alive(events)
        if number > 0 and type not in queue.announced and type != OTHER:
            yield Finding(
                "warning", "types", f"{_number(number, 'task')} of type {type}: no worker that runs knows it",
                _why_unknown(type, queue, declared),
            )  # fmt: skip


def _why_unknown(type: str, queue: Queue, declared: Declared | None) -> str:
    name, version = untyped(type)
    if declared is None or type in declared.types:
        start = "start a host with a release that declares it"
        if declared is None:
            return start
        if tag := declared.needs.get(name):
            return f"it needs {tag}: start a host with --tag {tag}"
        return "the application declares it: start a host with this release, or one that does not leave it to others"
    if version > 1 and name in {untyped(other)[0] for other in declared.types}:
        return f"the application knows other versions of {name}: start a host with the release that sent these"
    hint = did_you_mean(type, queue.announced)
    end = f"distq tasks cancel {quote(f'type:{name}')}"
    return f"the application does not declare it{hint}: {end}; without a worker for 24 hours they die"


def _time(broker: Broker, queue: Queue) -> Iterator[Finding]:
    """Whether somebody waits for what is due later."""
    words = broker.exchange.request(encode("HMGET", keys.key(queue.prefix, "META"), "keeper", "keeper_until", "armed"))
    keeper, until, armed = (word.decode("utf-8", "replace") if word else "" for word in words)
    now = broker.exchange.request(encode("TIME"))
    now_ms = int(now[0]) * 1000 + int(now[1]) // 1000
    if not queue.living or not armed:
        return
    if not keeper or float(until or 0) < now_ms:
        yield Finding(
            "warning", "keeper", "nobody keeps the time of delayed tasks", "a host takes over within a lease; if not, "
            "look into the logs of the hosts",
        )  # fmt: skip
    elif now_ms - float(armed) > 5000:
        yield Finding(
            "warning", "keeper", f"what is due is {(now_ms - float(armed)) / 1000:.0f} s late: the keeper {keeper} "
            "does not answer", "look into its log",
        )  # fmt: skip
    else:
        yield Finding("ok", "keeper", keeper)


def _schedules(broker: Broker, queue: Queue) -> Iterator[Finding]:
    """Whether they are fired, and whether the code of those that it declared is still there."""
    places = [keys.key(queue.prefix, name) for name in ("SCHEDULES", "FIRES", "ORPHANED")]
    late_ms = int(broker.exchange.request(encode("TIME"))[0]) * 1000 - MINUTE_MS
    total, late, orphaned = broker.exchange.read_all(
        [encode("SCARD", places[0]), encode("ZCOUNT", places[1], "-inf", late_ms), encode("ZCARD", places[2])]
    )
    if late:
        text = f"{late:,} of {_number(total, 'schedule')} should have ticked more than a minute ago"
        hint = "look into the logs of the hosts" if queue.living else f"distq run MODULE:APP -Q {queue.name}"
        yield Finding("problem", "schedules", text, hint)
    elif orphaned:
        text = f"{orphaned:,} of {_number(total, 'schedule')} rest: no code of a living host declares them any more"
        yield Finding("note", "schedules", text, "a living host deletes them in a few leases")
    elif total:
        yield Finding("ok", "schedules", f"{_number(total, 'schedule')}, none late")


def _dead(broker: Broker, queue: Queue) -> Iterator[Finding]:
    number = queue.tally.depths.dead
    if not number:
        return
    now_s = int(broker.exchange.request(encode("TIME"))[0])
    place = keys.key(queue.prefix, "DEAD_LETTERS")
    lately = broker.exchange.request(encode("ZCOUNT", place, now_s * 1000 - HOUR_MS, "+inf"))
    text = f"{_number(number, 'dead task')}, {lately:,} of the last hour"
    yield Finding("warning" if lately else "note", "dead", text, "distq dlq list; distq dlq replay")


def _ledger(queue: Queue) -> Iterator[Finding]:
    missing = ledger.difference(queue.tally)
    astray = queue.tally.depths.live - ledger.placed(queue.tally.depths)
    if missing or astray:
        parts = [
            f"{_number(abs(missing), 'task')} {'missing' if missing > 0 else 'too many'} by the ledger"
            if missing
            else "",
            f"{_number(abs(astray), 'task')} {'in no list' if astray > 0 else 'too many in lists'}" if astray else "",
        ]
        yield Finding("problem", "ledger", ", ".join(filter(None, parts)), "distq audit; distq audit --repair")
    else:
        yield Finding("ok", "ledger", "in balance")


def _leaks(broker: Broker, queue: Queue) -> Iterator[Finding]:
    """Keys that are none of ours, or that should end and do not."""
    stock, cursor, pages = inventory.Stock(queue.prefix), "0", 0
    while pages < MOST_PAGES and (pages == 0 or cursor != "0"):
        cursor, pages = stock.add(broker.run(inventory.page(queue.prefix, cursor))), pages + 1
    kinds: dict[str, list[str]] = {}
    for kind, key, _ in sorted(stock.strays):
        kinds.setdefault(kind, []).append(key)
    for kind, keys_of_it in kinds.items():
        known, number = KINDS[kind], len(keys_of_it)
        text = f"{number:,} {known.one if number == 1 else known.many} ({', '.join(keys_of_it[:3])}): {known.cost}"
        hint = "distq audit --repair" if known.mend else f"redis-cli UNLINK {quote(keys_of_it[0])}, if nobody needs it"
        yield Finding("warning", "leaks", text, hint)
    if not kinds:
        part = "" if cursor == "0" else f", as far as {pages} pages of them were looked at: `distq audit` looks at all"
        yield Finding("ok", "leaks", f"none that should not be there{part}")


def _limits(broker: Broker, queue: Queue, declared: Declared) -> Iterator[Finding]:
    """What the broker holds is what the last worker that registered has declared."""
    found = controls.limits(broker, queue.name)
    held = {type: limit.rate for type, limit in found.items()}
    for type in sorted(type for type, limit in found.items() if limit.override):
        said = f"{found[type].override.get('by', '?')} has set limits of type {type}, which win over the declared ones"
        yield Finding("note", "overrides", said, f"distq limits list; distq limits clear {type}")
        held[type] = str(found[type].override["declared"]["rate"])
    for type in sorted(declared.limits.keys() | held.keys()):
        if queue.living and type in {untyped(known)[0] for known in queue.announced}:
            mine, theirs = declared.limits.get(type, ""), held.get(type, "")
            if mine != theirs and (mine or type in {untyped(known)[0] for known in declared.types}):
                yield Finding(
                    "warning", "limits", f"type {type}: the workers' rate is another than the application's",
                    "the last host that starts decides: start them all with one release",
                )  # fmt: skip


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}" + ("" if count == 1 else "s")
