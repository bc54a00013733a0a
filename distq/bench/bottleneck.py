"""What the figures mean. Pure."""

from __future__ import annotations

from dataclasses import dataclass

BUSY = 0.85
"""Above this part of the time something is as good as always busy."""
OTHERS = 0.25
"""Other programs are worth a word when they take more than this part of the cores."""


@dataclass(frozen=True)
class Found:
    """What was measured."""

    broker: str
    """Its address without secrets."""
    server: str
    """What it is, with its version; empty if it does not tell."""
    is_here: bool
    """Whether it runs on this machine, as the workers do."""
    cores: int
    processes: int
    tasks: int
    ping_us: float
    """A raw PING, there and back, median."""
    call_per_s: float
    """`.delay()`, one at a time."""
    call_cpu_us: float
    """Processor time of the caller for each."""
    bulk_per_s: float
    """`delay_many`."""
    drain_per_s: float
    """No-op tasks with stored results."""
    broker_busy: float | None
    """Part of the drain in which the broker's main thread computed; None if the broker does not tell."""
    workers_busy: float
    """The same for each worker process, on average."""
    machine_busy: float | None
    """The same for all cores of this machine, whatever they did; None where that is not told."""
    start_p50_ms: float
    """From a call to the start of its task, with nothing else to do."""
    start_p99_ms: float


@dataclass(frozen=True)
class Bottleneck:
    """What limits the drain: `broker`, `workers`, `cores`, `turns` or `network`; what it means, and what helps."""

    kind: str
    text: str


def judge(found: Found) -> Bottleneck:
    """What would have to be faster or more for more tasks per second."""
    broker, workers = found.broker_busy or 0.0, found.workers_busy
    own = broker * found.is_here + workers * found.processes
    if broker >= BUSY:
        return Bottleneck(
            "broker",
            f"the broker's processor, which is busy {broker:.0%} of the time. It does one thing at a time: more "
            "workers will not help, a faster core for it will, and so will a second broker for some applications.",
        )
    if workers >= BUSY:
        more = (
            f"More processes will help (-p), up to the {found.cores} cores here, and then more machines."
            if found.processes < found.cores
            else "More machines will help, or more cores."
        )
        return Bottleneck("workers", f"the workers' processors, busy {workers:.0%} of the time. {more}")
    if own >= BUSY * found.cores or (found.machine_busy or 0.0) >= BUSY:
        others = (found.machine_busy or 0.0) * found.cores - own
        who = f", and other programs {others:.1f}" if others > OTHERS * found.cores else ""
        return Bottleneck(
            "cores",
            f"the cores of this machine: of its {found.cores}, {'broker and ' * found.is_here}workers keep {own:.1f} "
            f"busy{who}. More cores will help, and so will a broker or workers on another machine.",
        )
    waits, turns = 1 - workers, broker / found.processes
    if turns > waits / 2:
        return Bottleneck(
            "turns",
            f"that there are few workers: each waits {waits:.0%} of the time, mostly while the broker does its own "
            f"step, and the broker is busy only {broker:.0%}. More processes (-p) will help.",
        )
    unknown = "" if found.broker_busy is not None else " (How busy the broker is, it does not tell.)"
    return Bottleneck(
        "network",
        f"the round trip to the broker: a worker waits {waits:.0%} of the time. More processes (-p) make use of that "
        f"time, and a broker nearer by makes it shorter.{unknown}",
    )
