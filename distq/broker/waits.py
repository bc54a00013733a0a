"""What `distq doctor` finds of limits: those that hold up what waits for longer than anybody means, those that no key
can reach, and calls that are refused. It only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote

from distq.broker import controls, keys
from distq.broker.broker import Broker
from distq.broker.health import Finding
from distq.broker.inspect import whole
from distq.broker.scripts import Reply, encode
from distq.durations import format_duration
from distq.rate import Rate

LONG_S = 86_400.0
"""What waits longer than this for its rate is worth a warning."""


def waits(broker: Broker, queue: str, counts: Mapping[str, int]) -> Iterator[Finding]:
    """Of one queue; `counts` are those of its ledger."""
    for type, limits in controls.limits(broker, queue).items():
        yield from _too_slow(broker, queue, type, Rate.read(limits.rate))
        yield from _never_reached(type, limits)
    yield from _refused(broker, queue)


def _too_slow(broker: Broker, queue: str, type: str, rate: Rate | None) -> Iterator[Finding]:
    """A rate that is too low for what waits already."""
    if rate is None:
        return
    number = _waiting(broker, queue, type)
    seconds = number * rate.interval_us / 1e6
    if seconds > LONG_S:
        text = f"{number:,} of type {type} wait for {rate.short}: the last one starts in {format_duration(seconds)}"
        hint = f"distq limits set {quote(type)} --rate …; or distq tasks cancel {quote(f'type:{type}')}"
        yield Finding("warning", "rates", text, hint)


def _waiting(broker: Broker, queue: str, type: str) -> int:
    """In the lanes of a type that is limited, whichever of its versions they are of."""
    prefix = broker.prefix(queue)
    names = [
        name.decode("utf-8", "surrogateescape")
        for name in broker.exchange.request(encode("HKEYS", keys.key(prefix, "LANES")))
    ]
    lanes = [name for name in names if name.removeprefix("v2/").partition("@")[0] == type]
    pairs = [(level, lane) for level in keys.PRIORITIES for lane in lanes]
    asked = [encode("HGET", keys.key(prefix, "FLOWING"), f"{level} {lane}") for level, lane in pairs]
    asked += [encode("LLEN", keys.key(prefix, "LANE", f"{level}:{lane}")) for level, lane in pairs]
    found: list[Reply] = broker.exchange.read_all(asked)
    flowing, plain = found[: len(pairs)], found[len(pairs) :]
    return sum(int(number) if number else length for number, length in zip(flowing, plain, strict=True))


def _never_reached(type: str, limits: controls.Limits) -> Iterator[Finding]:
    """What each key may do cannot be more than all may do together."""
    whole_rate, key_rate = Rate.read(limits.rate), Rate.read(str(limits.policy.get("r", "")))
    hint = f"distq limits set {quote(type)} …: a higher limit for all, or a lower one per key"
    if whole_rate and key_rate and key_rate.interval_us < whole_rate.interval_us:
        text = f"type {type}: {key_rate.short} per key can never be met, as all keys together get {whole_rate.short}"
        yield Finding("note", "rates", text, hint)
    most, most_of_key = whole(limits.policy.get("m")), whole(limits.policy.get("mk"))
    if 0 < most < most_of_key:
        text = f"type {type}: {most_of_key} at once per key can never be met, as all keys together get {most}"
        yield Finding("note", "rates", text, hint)


def _refused(broker: Broker, queue: str) -> Iterator[Finding]:
    """Calls that found no room lately."""
    place = keys.key(broker.prefix(queue), "REFUSED")
    types = [controls.text(name) for name in broker.exchange.request(encode("HKEYS", place))]
    if types:
        named = ", ".join(f"type {type}" if type else "the queue" for type in sorted(types)[:5])
        yield Finding(
            "warning", "room", f"calls were refused within the last hour, since max_pending is reached: {named}",
            "more workers (distq run … -p), a larger max_pending, or distq purge",
        )  # fmt: skip
