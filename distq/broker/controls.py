"""What people ask and change while everything runs: pauses, limits, and why a task does not run. Verbs and readings.

What it answers is untrusted data, of plain types; whoever shows it makes it harmless.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgpack

from distq.broker import keys
from distq.broker.broker import Broker
from distq.broker.scripts import Argument, Reply, encode, script
from distq.broker.verbs import Command


class Facts(NamedTuple):
    """What `why` found in one queue."""

    state: str
    """As `look` says it."""
    element: bytes | None
    """How it has ended."""
    known: dict[str, Any]
    """What is known of a live task, by the names that lua/why.lua gives."""


class Limits(NamedTuple):
    """The limits of a type in one queue, as the broker keeps them."""

    rate: str
    """ "interval_us burst", or empty."""
    policy: dict[str, Any]
    override: dict[str, Any]
    """What people have set, with who, when, and what is declared; empty: nothing."""


def _command(name: str, prefix: str, *args: Argument) -> Command[Reply]:
    verb = script(name)
    return Command(verb, verb.command(prefix.encode(), *args), lambda reply: reply)


def pausing(prefix: str, what: str, type: str, key: str, who: str, why: str = "") -> Command[Reply]:
    """The call of `pause`."""
    return _command("pause", prefix, what, type, key, who, os.urandom(8).hex(), why)


def resuming(prefix: str, what: str, type: str, key: str) -> Command[Reply]:
    """The call of `resume`."""
    return _command("resume", prefix, what, type, key, os.urandom(8).hex())


def overriding(prefix: str, type: str, limits: Mapping[str, Any] | None, who: str) -> Command[Reply]:
    """The call of `override`."""
    packed = b"" if limits is None else msgpack.packb(dict(limits))
    return _command("override", prefix, type, packed, who, os.urandom(8).hex())


def looking_again(prefix: str, level: str, lane: str, cursor: Argument = "0") -> Command[Reply]:
    """The call of `look_again`."""
    return _command("look_again", prefix, level, lane, cursor)


def pause(broker: Broker, queue: str, what: str, type: str, key: str, who: str, why: str) -> bool:
    """Pauses a queue (`what` is "queue"), a "type" in it, or a "key" of a type; False: it was paused already."""
    return bool(broker.run(pausing(broker.open(queue), what, type, key, who, why)) == b"paused")


def resume(broker: Broker, queue: str, what: str, type: str, key: str) -> bool:
    """Ends a pause; False: there was none."""
    return bool(broker.run(resuming(broker.open(queue), what, type, key)) == b"resumed")


def override(broker: Broker, queue: str, type: str, limits: Mapping[str, Any] | None, who: str) -> bool:
    """Sets limits of a type (parts/override.lua), or clears them; False: there was nothing to clear. Keys that wait
    because of the old ones look again, some at a time."""
    word, *waiting = broker.run(overriding(broker.open(queue), type, limits, who))
    for level, lane in zip(waiting[::2], waiting[1::2], strict=True):
        cursor: Argument = "0"
        while True:
            cursor = broker.run(looking_again(broker.prefix(queue), text(level), text(lane), cursor))
            if cursor == b"0":
                break
    return bool(word != b"none")


def why(broker: Broker, queue: str, id: str) -> Facts:
    """All that decides whether this task runs now, if it is in this queue."""
    state, element, known = broker.run(_command("why", broker.prefix(queue), id))
    return Facts(text(state), element, unpacked(known))


def pauses(broker: Broker, queue: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Who paused the queue and when (empty: nobody), and the same by "type" and "type key"."""
    prefix = broker.prefix(queue)
    stopped, paused = broker.exchange.read_all(
        [encode("GET", keys.key(prefix, "STOPPED")), encode("HGETALL", keys.key(prefix, "PAUSED"))]
    )
    return unpacked(stopped), {text(name): unpacked(note) for name, note in _pairs(paused)}


def limits(broker: Broker, queue: str) -> dict[str, Limits]:
    """By type, what limits it: what holds now, and what people have set."""
    prefix = broker.prefix(queue)
    rates, flows, overrides = (
        {text(name): value for name, value in _pairs(reply)}
        for reply in broker.exchange.read_all(
            [encode("HGETALL", keys.key(prefix, name)) for name in ("LIMITS", "FLOWS", "OVERRIDES")]
        )
    )
    return {
        type: Limits(
            text(rates.get(type)).rpartition(" ")[0], unpacked(flows.get(type)), _override(overrides.get(type))
        )
        for type in sorted({*rates, *flows, *overrides})
    }


def _override(raw: bytes | None) -> dict[str, Any]:
    """What people have set; the declared policy in it is packed once more."""
    found = unpacked(raw, "surrogateescape")
    declared = found.get("declared")
    if isinstance(declared, dict):
        declared["flow"] = unpacked(str(declared.get("flow", "")).encode("utf-8", "surrogateescape"))
    if "by" in found:
        found["by"] = str(found["by"]).encode("utf-8", "replace").decode()
    return found


def _pairs(reply: Reply) -> list[tuple[bytes, bytes]]:
    return list(zip(reply[::2], reply[1::2], strict=True))


def text(raw: bytes | None) -> str:
    """Text of the broker."""
    return (raw or b"").decode("utf-8", "replace")


def unpacked(raw: bytes | None, errors: str = "replace") -> dict[str, Any]:
    """A msgpack map that a script has written; empty if it is none."""
    try:
        found = msgpack.unpackb(raw or b"\x80", strict_map_key=False, unicode_errors=errors)
    except Exception:
        return {}
    return found if isinstance(found, dict) else {}
