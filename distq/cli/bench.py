"""`distq bench`: what can my broker and my workers do, and where is the bottleneck?"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NoReturn

import typer

from distq.bench.bottleneck import Found, judge
from distq.broker.address import resolve_url
from distq.broker.connect import Wire
from distq.cli import output, settings, values
from distq.cli.target import TIMEOUT_S
from distq.embedded import EmbeddedBroker
from distq.errors import BrokerError

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LEAST_TASKS, MOST_TASKS = 1_000, 1_000_000

EXAMPLES = output.examples(
    "distq bench",
    "distq bench --broker redis://queue.internal:6379/0 -p 8",
    "distq bench --tasks 200000 --json | jq .drain_per_s",
)


class Stopped(BaseException):
    """A signal has come."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def bench(
    broker: str = typer.Option(
        None,
        "--broker",
        metavar="URL",
        envvar="DISTQ_BROKER",
        help="The broker to measure. [default: an embedded one, as with `distq dev`]",
    ),
    processes: str = typer.Option("2", "--processes", "-p", metavar="N", help="Worker processes."),
    tasks: str = typer.Option("20000", "--tasks", metavar="N", help="No-op tasks to drain. At least 1000."),
    as_json: bool = output.Json,
) -> None:
    """Measure your broker, find the bottleneck.

    How fast are calls, workers and starts, and what would have to be faster? It takes some seconds, and keeps the
    broker as busy as it can: not for one that others need just now. It works under an application name of its own,
    and takes away all that it has put there, also after Ctrl-C.
    """
    count = values.whole(tasks, "--tasks", LEAST_TASKS, MOST_TASKS)
    number = settings.processes(processes)
    values.given(broker, "--broker")
    try:
        _answer_signals(_stop)
        with contextlib.ExitStack() as stack:
            url = resolve_url(broker) if broker else stack.enter_context(EmbeddedBroker()).url
            Wire(url, timeout=TIMEOUT_S, name="distq-bench").close()
            _measure(url, not broker, number, count, as_json)
    except Stopped as stopped:
        output.complain("stopped; nothing of it is left in the broker")
        raise typer.Exit(128 + stopped.number) from None


def _measure(url: str, is_embedded: bool, processes: int, tasks: int, as_json: bool) -> None:
    from distq.bench.measure import forget, measure  # noqa: PLC0415 (only who measures waits for it)

    try:
        try:
            found = measure(url, is_embedded, processes, tasks, _progress)
        finally:
            _answer_signals(signal.SIG_IGN)
    finally:  # also if a signal comes just between
        _progress("")
        _clean(url, forget)
    limit = judge(found)
    if as_json:
        output.print_json({**asdict(found), "bottleneck": limit.kind, "bottleneck_text": limit.text})
        return
    _show(found, limit.text, is_embedded)


def _show(found: Found, limit: str, is_embedded: bool) -> None:
    where = ", ".join(filter(None, [found.server, "embedded" if is_embedded else ""]))
    typer.echo(f"Broker   {found.broker}{f' ({where})' if where else ''}")
    processes = f"{found.processes} process" + ("" if found.processes == 1 else "es")
    typer.echo(f"Workers  {processes} on {output.number(found.cores, 'core')}")
    call = f"{1e6 / found.call_per_s:,.0f} µs each, {found.call_cpu_us:,.0f} of them the caller's processor"
    rows = [
        ("round trip, raw PING", f"{found.ping_us:,.0f} µs", "median"),
        (".delay(), one at a time", f"{found.call_per_s:,.0f} /s", call),
        ("delay_many", f"{found.bulk_per_s:,.0f} /s", "the same calls in bulk"),
        ("no-op tasks drained", f"{found.drain_per_s:,.0f} /s", f"{found.tasks:,} of them, with stored results"),
        ("  broker busy meanwhile", _part(found.broker_busy), "its main thread"),
        ("  workers busy meanwhile", _part(found.workers_busy), "each process"),
        ("  all cores here", _part(found.machine_busy), "also with other programs"),
        ("call to start, median", f"{found.start_p50_ms:.2f} ms", "one task at a time, idle workers"),
        ("call to start, 99 %", f"{found.start_p99_ms:.2f} ms", ""),
    ]
    output.table("", ("", "measured", ""), rows, numbers=("measured",))
    text = f"The bottleneck is {limit} Tasks that do something take their own time beside this."
    typer.echo("\n" + textwrap.fill(text, min(100, shutil.get_terminal_size().columns)))


def _part(share: float | None) -> str:
    return "not told" if share is None else f"{share:.0%}"


def _clean(url: str, forget: Callable[[str], None]) -> None:
    try:
        forget(url)
    except BrokerError:
        output.complain("what the benchmark has put into the broker is still there")
        raise


def _progress(text: str) -> None:
    """What is being measured, on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text}{' …' if text else ''}\x1b[K")
        sys.stderr.flush()


def _stop(number: int, frame: object) -> NoReturn:
    """The first signal; from then on there are none: nobody shall keep it from cleaning up."""
    _answer_signals(signal.SIG_IGN)
    raise Stopped(number)


def _answer_signals(answer: Any) -> None:
    for number in ENDING:
        signal.signal(number, answer)
