"""What a worker host looks at before it starts: is this a broker that can do the work, and keeps what it is given?"""

from __future__ import annotations

import re
from collections.abc import Iterable

from distq.broker import keys
from distq.broker.broker import check_layout
from distq.broker.connect import PASSING, ServerError, Wire
from distq.broker.scripts import Reply, encode
from distq.errors import BrokerError

OLDEST = (6, 2)


def examine(wire: Wire, prefixes: Iterable[str]) -> list[str]:
    """What is worth a warning. Raises LayoutMismatch for keys of an incompatible release, BrokerError for a server that
    is too old. What the server does not tell (no right to, not loaded yet) is left out."""
    for prefix in prefixes:
        layout = _ask(wire, "HGET", keys.key(prefix, "META"), "layout")
        check_layout(layout)
    _check_version(_ask(wire, "INFO", "server") or b"")
    warnings = []
    policy = _setting(wire, "maxmemory-policy")
    if policy not in (None, "noeviction"):
        warnings.append(
            f"the broker has maxmemory-policy {policy}: when it is full it deletes tasks; set it to noeviction"
        )
    is_embedded = "/distq-" in (_setting(wire, "dir") or "")  # it was told to keep nothing, and whoever did knows
    if _setting(wire, "appendonly") == "no" and _setting(wire, "save") == "" and not is_embedded:
        warnings.append("the broker keeps nothing on disk: a restart of it loses all tasks; set appendonly yes")
    return warnings


def _ask(wire: Wire, *command: str) -> Reply:
    try:
        return wire.request(encode(*command))
    except ServerError as error:
        if error.code in (*PASSING, "NOPERM", "ERR"):
            return None
        raise BrokerError(f"the broker refused {command[0]}: {error}") from error


def _setting(wire: Wire, name: str) -> str | None:
    reply = _ask(wire, "CONFIG", "GET", name)
    return reply[1].decode() if reply else None


def _check_version(info: bytes) -> None:
    found = re.search(rb"^redis_version:((\d+)\.(\d+)\S*)", info, re.M)
    if found and (int(found[2]), int(found[3])) < OLDEST:
        raise BrokerError(f"the broker is Redis {found[1].decode()}: distq needs 6.2 or later, or Valkey")
