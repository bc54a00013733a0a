"""All that is known of one task, for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import typer

from distq.cli import output
from distq.durations import format_duration

MOST_SHOWN = 2000
"""Characters of one value; --json shows all."""


def _show_progress(said: Mapping[str, Any]) -> None:
    done, total, text = said["done"], said["total"], said["text"]
    of = "" if total is None else f" of {total:,}"
    share = f" ({done / total:.0%})" if total else ""
    _line("progress", f"{done:,}{of}{share}{text and f': {text}'}, at {output.moment(said['at'])}")


def show(facts: dict[str, Any]) -> None:
    """The same for people."""
    attempts, error, progress = facts.pop("attempts"), facts.pop("error", None), facts.pop("progress", None)
    if facts["correlation_id"] == facts["id"]:
        del facts["correlation_id"]
    events = facts.pop("timeline", [])  # none of what cannot be read
    for key, value in facts.items():
        if value not in (None, "", [], {}, 0) or key == "result":
            _line(key, value)
    if progress:
        _show_progress(progress)
    if error:
        _line("error", f"{error['type']}: {error['message']}" if error["message"] else error["type"])
        for line in str(error["traceback"] or "").splitlines():
            typer.echo(f"{'':>15}  {output.clean(line, 500)}")
    if len(events) > 1:
        typer.echo()
        begun = events[0].get("at_ms", 0)
        rows = [(output.moment(one.get("at_ms")), _after(one, begun), one["event"], _about(one)) for one in events]
        output.table("", ("when", "after", "event", ""), rows, numbers=("after",))
    if attempts and attempts[-1].get("outcome") != "killed" and attempts[-1].get("log"):
        typer.echo()
        _show_lines("logged", str(attempts[-1]["log"]))
    deaths = [attempt for attempt in attempts if attempt.get("outcome") == "killed"]
    if deaths:
        typer.echo()
        _show_death(deaths[-1], str((error or {}).get("traceback") or ""))


def _show_death(record: Mapping[str, Any], shown: str) -> None:
    """What is known of how its process died, the last time that it did; but for a traceback that was shown already."""
    typer.echo("How its process died" if record.get("type") != "HostLost" else "How its host was lost")
    _line("worker", record.get("worker", ""))
    seconds = record.get("seconds")
    if isinstance(seconds, int | float) and abs(seconds) < math.inf:
        _line("ran for", f"{format_duration(seconds)}, in thread {record.get('thread', 1)}")
    if isinstance(record.get("rss_kb"), int):
        _line("peak memory", f"{record['rss_kb'] / 1024:,.0f} MiB")
    _line("charged", "a delivery" if record.get("charged") else "nothing: it may have been another one")
    beside = record.get("beside")
    for number, other in enumerate(beside if isinstance(beside, list) else []):
        if isinstance(other, dict):
            text = f"{other.get('id')}, for {other.get('seconds')} s, in thread {other.get('thread')}"
            _line("" if number else "beside", text)
    traceback = str(record.get("traceback", ""))
    _show_lines("logged", str(record.get("log", "")))
    _show_lines("traceback", "" if traceback == shown else traceback)


def _show_lines(name: str, text: str) -> None:
    for number, line in enumerate(text.splitlines()):
        _line("" if number else name, line)


def _line(key: str, value: Any) -> None:
    if key.endswith("_at_ms"):
        shown = output.moment(value)
    elif key == "seconds":
        key, shown = "took", f"{format_duration(value)} from enqueue to end"
    else:
        shown = value if isinstance(value, str) and key != "result" else output.json_text(value)
    typer.echo(f"{key.removesuffix('_ms').replace('_', ' '):>15}  {output.clean(shown, MOST_SHOWN)}")


def _after(event: Mapping[str, Any], begun: int) -> str:
    """How long after the call."""
    return format_duration(max(0, event["at_ms"] - begun) / 1000) if "at_ms" in event and begun else ""


def _about(event: Mapping[str, Any]) -> str:
    parts = [
        f"attempt {event['attempt']}" if "attempt" in event else "",
        f"at {event['worker']}" if "worker" in event else "",
        f"by {event['by']}" if "by" in event else "",
        str(event.get("error", "")),
        f"retry in {format_duration(event['retry_in_ms'] / 1000)}" if _is_number(event.get("retry_in_ms")) else "",
    ]
    return ", ".join(part for part in parts if part)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) < math.inf
