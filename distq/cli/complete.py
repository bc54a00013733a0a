"""Completion for the shell: what the broker or the application knows. It is quick or silent, and never an error."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable

import typer

from distq.app import Distq
from distq.broker import inspect, keys
from distq.broker.address import resolve_url
from distq.broker.scripts import encode
from distq.loader import load
from distq.message import family
from distq.periodic import MISSED, OVERLAPS

TIMEOUT_S = 0.5
PRIORITIES = ("high", "default", "low")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

Complete = Callable[[typer.Context, str], list[str]]


def _completion(find: Callable[[typer.Context], Iterable[str]]) -> Complete:
    """Of what is found, what begins as the word that is typed; nothing if anything goes wrong."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        silence = io.StringIO()
        with (
            contextlib.suppress(Exception, SystemExit),
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
        ):
            return sorted(word for word in set(find(ctx)) if word.startswith(incomplete) and word.isprintable())
        return []

    return complete


def types_of(app: Distq, queues: Iterable[str]) -> dict[str, set[str]]:
    """The types that the broker has heard of, each with the queues that it was sent to."""
    found: dict[str, set[str]] = {}
    for queue in queues:
        for type in inspect.ledger(app.broker, queue):
            found.setdefault(type, set()).add(family(queue))
        for type in announced(app, [queue]):
            found.setdefault(type, set())
    return found


def announced(app: Distq, queues: Iterable[str]) -> set[str]:
    """The types that workers of these queues know; a group of workers that is gone is forgotten by the broker."""
    types: set[str] = set()
    for queue in queues:
        prefix, exchange = app.broker.prefix(queue), app.broker.exchange
        groups = exchange.request(encode("SMEMBERS", keys.key(prefix, "GROUPS")))
        sets = exchange.read_all([encode("SMEMBERS", keys.key(prefix, "TYPES", group.decode())) for group in groups])
        types |= {type.decode("utf-8", "replace") for members in sets for type in members}
    return types - {keys.ISOLATION}


def _apps(ctx: typer.Context) -> Iterable[Distq]:
    """The applications that the words typed so far leave open."""
    said = ctx.params
    target = said.get("app") or said.get("target")
    if target:
        yield load(target)
        return
    url = resolve_url(said.get("broker"))
    for name, queues in inspect.applications(url, TIMEOUT_S).items():
        if said.get("name") in (None, name):
            app = Distq(name, url, timeout=TIMEOUT_S)
            for queue in queues:
                app.queue(family(queue))
            yield app


def _types(ctx: typer.Context) -> Iterable[str]:
    for app in _apps(ctx):
        yield from app.tasks or types_of(app, app.queues)


def _queues(ctx: typer.Context) -> Iterable[str]:
    for app in _apps(ctx):
        yield from app.queues


def _schedules(ctx: typer.Context) -> Iterable[str]:
    for app in _apps(ctx):
        yield from (schedule.name for schedule in app.schedules.list())


types = _completion(_types)
schedules = _completion(_schedules)
overlaps = _completion(lambda ctx: OVERLAPS)
missed = _completion(lambda ctx: MISSED)
queues = _completion(_queues)
names = _completion(lambda ctx: inspect.applications(resolve_url(ctx.params.get("broker")), TIMEOUT_S))
priorities = _completion(lambda ctx: PRIORITIES)
levels = _completion(lambda ctx: LEVELS)
formats = _completion(lambda ctx: ("text", "json"))
