"""The keys of a queue: which are none of ours, of a wrong type, or without a TTL that they should have."""

from __future__ import annotations

from distq.broker import keys
from distq.broker.scripts import Reply, script
from distq.broker.verbs import Command

TYPES = {
    "TASKS": "hash", "DELAYED": "zset", "DEADLINES": "zset", "DEAD_LETTERS": "zset", "DEAD": "hash",
    "COMPLETED": "list", "SHELVES": "zset", "LATEST": "string", "WAITED": "zset", "WAKE": "zset", "WAKE_ALONE": "zset",
    "LEASES": "zset", "HOSTS": "zset", "GENERATIONS": "hash", "LANES": "hash", "LIMITS": "hash", "GROUPS": "set",
    "LEDGER": "hash", "META": "hash", "QUEUE": "list", "SUSPECTS": "list", "GHOSTS": "set", "LANES_AT": "set",
    "LANE": "list", "PROCESSING": "list", "WORKER": "hash", "TYPES": "set", "WAKE_GROUP": "zset", "CONTROL": "zset",
    "SHELF": "hash", "ANSWER": "list", "SENT": "string", "CANCEL": "string", "ATTEMPTS": "list", "CONFIRMED": "string",
    "MEMORY": "hash", "SCHEDULES": "set", "FIRES": "zset", "CODED": "set", "DECLARERS": "zset", "ORPHANED": "zset",
    "SCHEDULE": "hash", "FIRED": "list", "DECLARED": "set",
    "FLOWS": "hash", "FLOWING": "hash", "FILLING": "hash", "RESUMES": "zset", "RUNNING": "hash", "HELD": "hash",
    "PAUSED": "hash", "STOPPED": "string", "OVERRIDES": "hash",
    "BUDGETS": "hash", "TURNS": "zset", "BLOCKED": "hash", "WAITERS": "set", "BUCKET": "string",
    "UNIQUES": "hash", "NAMED": "hash", "UNSTARTED": "hash", "ONCE": "string",
    "LEAVING": "hash", "ARRIVING": "hash",
    "WANTED": "zset", "ROOM": "zset", "REFUSED": "hash", "HISTORY": "hash", "TOLD": "string",
    "DONE_TYPES": "set", "DONE": "hash", "DONE_AT": "zset",
    "ACTIONS": "zset", "STACKS": "string",
}  # fmt: skip
"""The server's type of each key of `keys.QUEUE_KEYS`."""

_EXACT = {spelled: name for name, spelled in keys.QUEUE_KEYS.items() if not spelled.endswith(":")}
_FAMILIES = {spelled: name for name, spelled in keys.QUEUE_KEYS.items() if spelled.endswith(":")}


def page(prefix: str, cursor: str) -> Command[list[Reply]]:
    """A page of the keys: the next cursor, then name without prefix, type and ms to live by turns."""
    verb = script("inventory")
    return Command(verb, verb.command(prefix.encode(), cursor), list)


def name_of(spelled: str) -> tuple[str, str] | None:
    """Name and suffix of a key without its prefix; None: it is none of ours."""
    if spelled in _EXACT:
        return _EXACT[spelled], ""
    family, colon, suffix = spelled.partition(":")
    name = _FAMILIES.get(family + colon)
    if name is None or (name in ("QUEUE", "SUSPECTS", "GHOSTS", "LANES_AT") and suffix not in keys.PRIORITIES):
        return None
    return name, suffix


class Stock:
    """What the pages have shown."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._found: dict[str, dict[str, None]] = {}
        self.strays: set[tuple[str, str, str]] = set()
        """Kind, key and expected type, as the audit names them."""

    def add(self, reply: list[Reply]) -> str:
        """Takes a page; the cursor of the next one."""
        cursor, *words = reply
        for spelled, kind, ttl in zip(words[::3], words[1::3], words[2::3], strict=True):
            if ttl != -2:
                self._take(spelled.decode("utf-8", "surrogateescape"), kind.decode(), ttl)
        return str(cursor, "ascii")

    def _take(self, spelled: str, kind: str, ttl: int) -> None:
        known, key = name_of(spelled), self._prefix + spelled
        if known is None:
            self.strays.add(("unknown", key, ""))
        elif kind != TYPES[known[0]]:
            self.strays.add(("kind", key, TYPES[known[0]]))
        else:
            if ttl == -1 and not any(pattern.match(key) for pattern in keys.PERMANENT):
                self.strays.add(("lasting", key, ""))
            self._found.setdefault(known[0], {})[known[1]] = None

    def suffixes(self, name: str) -> list[str]:
        """What is appended to the keys of this family."""
        return list(self._found.get(name, ()))

    def names(self, name: str, suffix: str | None = None) -> list[str]:
        """The keys of this name that are there (and, if given, have this suffix)."""
        return [keys.key(self._prefix, name, found) for found in self._found.get(name, ()) if suffix in (None, found)]
