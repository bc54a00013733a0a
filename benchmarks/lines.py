"""What a line in the log about each attempt costs, beside a drain without metrics and without a log."""

from __future__ import annotations

from functools import partial

from benchmarks.figure import Figure, compared
from benchmarks.host import rate_between, room, worker_host
from benchmarks.tasks import app
from benchmarks.turns import by_turns

BACKLOG = 100_000
PROCESSES = 2


def logs(rounds: int) -> list[Figure]:
    """A backlog of no-op tasks, with metrics and a line each, as JSON and as text."""
    forms = ("json", "text")
    sides = {form: partial(_rate, "tasks", "INFO", form) for form in forms}
    rates = by_turns(rounds, {**sides, "off": partial(_rate, "plain", "WARNING", "text")})
    return [
        compared(
            f"no-op drain with metrics and a {form} line each, {PROCESSES} processes", "tasks/s", rates[form],
            rates["off"], "without both", at_least=0.7 if form == "json" else None,
        )
        for form in forms
    ]  # fmt: skip


def _rate(module: str, level: str, form: str) -> float:
    with room() as place:
        place.app()
        app.tasks["noop"].delay_many((number,) for number in range(BACKLOG))
        target, log = f"benchmarks.{module}:app", {"DISTQ_LOG_LEVEL": level, "DISTQ_LOG_FORMAT": form}
        with worker_host(place, PROCESSES, 1, target, **log):
            return rate_between(lambda: place.counted("completed", "noop"), BACKLOG)
