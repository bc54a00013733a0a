"""Every key of distq, one name each. Nothing else in the package spells a key.

All keys of a queue share one hash tag, `{app/queue}`, so that a script touches one Cluster slot only and two
applications on one broker never meet. `QUEUE_KEYS` is also the source of the names that the Lua files use:
`scripts.py` puts `local TASKS = KEYS[1] .. 'tasks'` in front of a script that mentions TASKS, and so on.

    entry = what lists and sorted sets hold: the id, or `id N` when this id lived before and left a ghost in a list
"""

from __future__ import annotations

import re

LAYOUT = 2
"""Version of the keys and messages in the broker. Another release with another number refuses to start."""

PRIORITIES = ("low", "default", "high")
"""Names of the priorities by their number: 0, 1, 2."""

QUEUE_KEYS = {
    # one per queue
    "TASKS": "tasks",  # HASH entry -> message; a task is alive iff it is here
    "DELAYED": "delayed_queue",  # ZSET entry -> due ms
    "DEADLINES": "deadlines",  # ZSET entry -> ms after which a waiting task ends (expires=, or nobody knows its type)
    "DEAD_LETTERS": "dead_letter_queue",  # ZSET id -> ms of death
    "DEAD": "dead",  # HASH id -> message
    "COMPLETED": "completed_queue",  # LIST of ids, those of a step behind "type seconds worker"; the last 100 or more
    "DONE_TYPES": "done_types",  # SET of types that have one (TTL)
    "SHELVES": "shelves",  # ZSET shelf -> ms when a result was last noted to come to it
    "LATEST": "latest",  # the shelves to which results came lately, with spaces between them (TTL)
    "WAITED": "waited",  # ZSET id -> ms until which somebody waits for its ending (TTL)
    "WAKE": "wake",  # ZSET marker: "something is runnable now"
    "WAKE_ALONE": "wake_alone",  # ZSET marker: "a suspect is runnable now"
    "LEASES": "leases",  # ZSET worker -> ms until which it lives without renewal
    "HOSTS": "hosts",  # ZSET supervisor -> ms likewise
    "GENERATIONS": "generations",  # HASH id -> entry, for live entries that are not their plain id
    "LANES": "lanes",  # HASH lane -> "limited" | "flow" | "apart <digest>" | "parked <ms>"
    "LIMITS": "limits",  # HASH type -> "interval_us burst tat_us"
    "FLOWS": "flows",  # HASH type -> msgpack of what decides when its tasks are handed over, beyond a rate
    "FLOWING": "flowing",  # HASH "priority flow" -> entries in the lanes of a flow
    "RESUMES": "resumes",  # ZSET "priority flow g" | "priority flow :key" -> ms until which it is blocked
    "FILLING": "filling",  # HASH "priority flow key" -> ms since when the first entry of a batch waits
    "RUNNING": "running",  # HASH gate -> how many run
    "HELD": "held",  # HASH entry -> msgpack of the gates in which it counts
    "STOPPED": "stopped",  # STRING msgpack {by, at}: the queue is paused
    "PAUSED": "paused",  # HASH "type" | "type key" -> msgpack {by, at}
    "OVERRIDES": "overrides",  # HASH type -> msgpack of limits that win over the declared ones, and these
    "BUDGETS": "budgets",  # HASH budget -> msgpack ["interval_us burst", …]
    "UNIQUES": "uniques",  # HASH "type key" -> the entry that has this name
    "NAMED": "named",  # HASH entry -> its name, which it has until it ends
    "UNSTARTED": "unstarted",  # HASH entry -> its name, which it has until it is handed over
    "GROUPS": "groups",  # SET of digests: which sets of types workers announce
    "LEDGER": "ledger",  # HASH "event type" -> count
    "SCHEDULES": "schedules",  # SET of names
    "FIRES": "fires",  # ZSET schedule -> ms of its next tick
    "CODED": "coded",  # SET of those that the code of some release declares
    "DECLARERS": "declarers",  # ZSET "digest hold host" -> ms until which this host declares the set of that digest
    "ORPHANED": "orphaned",  # ZSET schedule that no living host declares -> ms when it is retired
    "CONFIRMED": "confirmed",  # STRING, written by each durable call so that there is something to wait for (TTL)
    "WANTED": "wanted",  # ZSET "most type" -> ms until which somebody waits for room (TTL); of "": in the queue
    "REFUSED": "refused",  # HASH type -> "ms gone rate" when a call last found no room (TTL)
    "LEAVING": "leaving",  # HASH id -> "leaving token queue due at\nmessage", of tasks on their way to another queue
    "ARRIVING": "arriving",  # HASH id -> "expected | arrived token queue at", of those that are to come from another
    "ACTIONS": "actions",  # ZSET msgpack [id, who, what, with what] -> ms, of what people have done over HTTP (TTL)
    "META": "meta",  # HASH layout, fence, armed, apart, wanted, weights, passes, noted, and those of its keeper
    # one per priority
    "QUEUE": "queue:",  # LIST of entries, ready
    "SUSPECTS": "suspects:",  # LIST of entries whose process died; each is reserved singly and runs alone
    "GHOSTS": "ghosts:",  # SET of entries still in a list although their task has ended
    "LANES_AT": "lanes:",  # SET of lanes that hold entries at this priority
    "TURNS": "turns:",  # + priority:flow, ZSET key of a lane -> its turn, of those that may have one
    "BLOCKED": "blocked:",  # + priority:flow, HASH "g" | ":key" -> the gate that it waits for; "": a time
    "WAITERS": "waiters:",  # + gate, SET of what waits for it, as in RESUMES
    "ROOM": "room:",  # + type, ZSET marker: "there is room, ask again" (TTL)
    "BUCKET": "bucket:",  # + its name, the time at which it is full again, in us (TTL)
    "LANE": "lane:",  # + priority:lane, LIST of entries, ready when the lane's limit allows
    # one per worker, group, host or task
    "PROCESSING": "processing_queue:",  # + worker, LIST of entries that it holds
    "WORKER": "worker:",  # + worker, HASH lease, step, settled, fence, reserved, alone, takes, apart, host, …
    "TYPES": "types:",  # + digest, SET of lanes that a worker of this group can run (TTL)
    "WAKE_GROUP": "wake:",  # + digest, ZSET marker for lanes
    "CONTROL": "control:",  # + host, ZSET of orders to a supervisor (TTL)
    "STACKS": "stacks:",  # + host, what its processes were at when somebody asked (TTL)
    "SHELF": "shelf:",  # + span:number, HASH id -> result (TTL); + live:minute, of ids that have a further entry
    "ANSWER": "answer:",  # + id, LIST of one result, for whoever waits for it (TTL)
    "SENT": "sent:",  # + id, the token of the call that enqueued a given id, or the task that this call changed (TTL)
    "ONCE": "once:",  # + name, the id of the task that has it for a time (TTL)
    "MEMORY": "memory:",  # + id, HASH of what a task remembers from run to run, and its progress (TTL)
    "CANCEL": "cancel:",  # + entry, who wants it to end although it runs (TTL)
    "ATTEMPTS": "attempts:",  # + id, LIST of records of ended attempts (TTL)
    "HISTORY": "history:",  # + range:stretch, HASH slot | "slot type" -> msgpack of numbers (TTL)
    "DONE": "done:",  # + type, HASH id -> msgpack of a completed task (TTL)
    "DONE_AT": "done_at:",  # + type, ZSET id -> ms when it ended (TTL)
    "TOLD": "told:",  # + host, the number of its last roll-up (TTL)
    "SCHEDULE": "schedule:",  # + name, HASH what it is, tick, edition, turn, last, …
    "FIRED": "fired:",  # + name, LIST of its last 20 ticks (TTL)
    "DECLARED": "declared:",  # + digest, SET of schedules (TTL)
}

ISOLATED, ISOLATION = "isolated", "!isolated"
"""The group that takes isolated tasks, and their lane, in which no type is (lua/parts/head.lua)."""

LIVE_SHELF = "live:"
"""A shelf without endings: ids that go on under another entry, for as long as their calls may be sent again."""

KNOWN_QUEUES = "distq:queues"
"""SET of `app/queue`: what exists on this broker."""

PERMANENT = tuple(
    re.compile(pattern)
    for pattern in (
        r"^distq:queues$",
        r"^distq:\{[^}]+\}:(tasks|delayed_queue|deadlines|queue:\w+|suspects:\w+|ghosts:\w+|generations)$",
        r"^distq:\{[^}]+\}:(dead_letter_queue|dead|completed_queue)$",  # bounded by age and number
        r"^distq:\{[^}]+\}:(wake|wake_alone|wake:\w+|leases|hosts|groups|shelves|lanes|lanes:\w+|limits|ledger|meta)$",
        r"^distq:\{[^}]+\}:(flows|flowing|filling|resumes|running|held|stopped|paused|overrides|budgets)$",
        r"^distq:\{[^}]+\}:(uniques|named|unstarted|leaving|arriving)$",
        r"^distq:\{[^}]+\}:(turns|blocked|waiters):.+$",
        r"^distq:\{[^}]+\}:lane:\w+:.+$",
        r"^distq:\{[^}]+\}:(schedules|fires|coded|declarers|orphaned|schedule:.+)$",  # 100,000 schedules at most
        r"^distq:\{[^}]+\}:(processing_queue|worker):.+$",  # live workers; recovery removes them
    )
)
"""Keys that may stand without a TTL: live tasks, and what has a length limit of its own."""


def prefix(app: str, queue: str) -> str:
    """What all keys of a queue begin with: `distq:{shop/default}:`."""
    return f"distq:{{{app}/{queue}}}:"


def queue_of(queue_prefix: str) -> str:
    """The queue's name in a prefix."""
    return queue_prefix.partition("/")[2].rstrip("}:")


def app_of(queue_prefix: str) -> str:
    """The application's name in a prefix."""
    return queue_prefix.partition("{")[2].partition("/")[0]


def known_queue(app: str, queue: str) -> str:
    """The member of KNOWN_QUEUES for a queue."""
    return f"{app}/{queue}"


def key(queue_prefix: str, name: str, suffix: str = "") -> str:
    """One key, by its name in `QUEUE_KEYS`: `key(p, "ANSWER", id)`."""
    return queue_prefix + QUEUE_KEYS[name] + suffix


def id_of(entry: str) -> str:
    """The task's id in an entry."""
    return entry.partition(" ")[0]
