"""`distq doctor`: what is wrong with a set-up, and how to mend it. It only reads."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from distq.app import Distq
from distq.broker import cluster, keys
from distq.broker.address import mask, resolve_url
from distq.broker.checkup import Declared, check_queue
from distq.broker.connect import Wire
from distq.broker.health import Finding, examine, fitness, servers
from distq.broker.inspect import applications
from distq.cli import output, target
from distq.cli.groups import grouped
from distq.cli.machine import examine_machine
from distq.cli.settings import Size
from distq.config import WorkerConfig
from distq.errors import BrokerError, BrokerUnavailable, ConfigurationError, LoadError
from distq.message import family, partitions, untyped

EXAMPLES = output.examples(
    "distq doctor",
    "distq doctor myapp:app",
    "distq doctor myapp:app -p 32 -t 16 --broker redis://queue.internal:6379/0",
    "distq doctor --json | jq '.[] | select(.level == \"problem\")'",
)
PROBLEMS = 5
"""The exit code if there are some."""

ENOUGH = (("connection", "problem"), ("server", "problem"))
"""With these there is nothing more to look at."""
HERE = f"{Path(sys.executable).name} -c 'import MODULE' in the folder of the application says more"

Section = tuple[str, list[Finding]]

Target = typer.Argument(None, metavar="[MODULE:APP]", envvar="DISTQ_APP", show_default=False, help="The application.")


@grouped
def doctor(
    app: str = Target,
    broker: str = target.Broker,
    name: str = target.Name,
    *,
    size: Size,
    as_json: bool = output.Json,
) -> None:
    """Say what is wrong with a set-up, and how to mend it.

    Looks at this machine, the application, the broker, and each queue; changes nothing. -p, -t and --coroutines: as for
    `distq run`.

    The exit code is 0 if there is no problem, 5 if there is one. Warnings and notes are none.
    """
    config = WorkerConfig(app=app or "none", **size.settings())
    sections = list(_sections(app, broker, name, config))
    if as_json:
        output.print_json([{"about": about, **finding._asdict()} for about, found in sections for finding in found])
    else:
        _show(sections)
    if any(finding.level == "problem" for _, found in sections for finding in found):
        raise typer.Exit(PROBLEMS)


def _sections(target_app: str | None, url: str | None, name: str | None, config: WorkerConfig) -> Iterator[Section]:
    yield "this machine", list(examine_machine(config))
    application: Distq | None = None
    if target_app:
        found, application = _load(target_app)
        yield "application", found
    try:
        address = resolve_url(url) if url or application is None else application.url
    except ConfigurationError as error:
        yield "broker", [Finding("problem", "address", str(error), "--broker redis://HOST:6379/0")]
        return
    if application is None and target_app and not url:
        return  # it could have named another broker
    is_there = True
    for about, found in _broker(address, config, application):
        yield about, found
        is_there = is_there and all((one.check, one.level) not in ENOUGH for one in found)
    if is_there:
        yield from _queues(application, address, name)


# -- one thing after the other --------------------------------------------------------------------------------------


def _load(app: str) -> tuple[list[Finding], Distq | None]:
    try:
        found = target.load_quietly(app)
    except LoadError as error:
        return [Finding("problem", "import", str(error), HERE)], None
    except Exception as error:
        return [Finding("problem", "import", f"{app}: {type(error).__name__}: {error}", HERE)], None
    queues = ", ".join(found.queues)
    if not found.tasks:
        return [
            Finding(
                "warning", "tasks", f"{found.name} declares no task", "import the modules that hold them in its own"
            )
        ], found
    return [Finding("ok", "tasks", f"{found.name}: {output.number(len(found.tasks), 'task')}; queues {queues}")], found


def _broker(url: str, config: WorkerConfig, application: Distq | None) -> Iterator[Section]:
    """The server; of a cluster each that has queues of the application."""
    names = (
        [part for queue in application.queues for part in partitions(queue, application.partitions.get(queue, 1))]
        if application
        else ["default"]
    )
    prefixes = [keys.prefix(application.name if application else "app", queue) for queue in names]
    about, in_cluster = f"broker {mask(url)}", cluster.is_cluster(url)
    try:
        for wire, some in servers(url, prefixes, target.TIMEOUT_S, "distq-cli"):
            found = examine(wire, [], url, config.connections(len(some), is_cluster=in_cluster))
            yield (f"{about}, node {wire.peer}" if in_cluster else about), found
            wire.close()
    except BrokerUnavailable as error:
        hint = "start one, or name another with --broker or $DISTQ_BROKER"
        yield about, [Finding("problem", "connection", str(error), hint)]
    except BrokerError as error:
        yield about, [Finding("problem", "server", str(error), "use Redis 6.2 or later, or Valkey")]


def _queues(application: Distq | None, url: str, name: str | None) -> Iterator[Section]:
    try:
        known = applications(url, target.TIMEOUT_S)
    except BrokerError as error:
        text, _, hint = str(error).rpartition("; ")
        yield "queues", [Finding("problem", "names", text, hint)]
        return
    names = [application.name] if application else [name] if name else list(known)
    for each in names:
        app = application or Distq(each, url, timeout=target.TIMEOUT_S)
        if app.url != url:
            app.rebind(url)
        queues = list(dict.fromkeys([*(application.queues if application else ()), *known.get(each, ())]))
        if not queues:
            yield f"application {each}", [Finding("note", "queues", "this broker has never heard of it")]
        for queue in queues:
            declared = None if application is None else _declared(app, family(queue))
            found = _queue(app, queue, declared)
            if family(queue) == queue or any(finding.level in ("warning", "problem") for finding in found):
                yield f"queue {each}/{queue}", found  # of partitions those where something is wrong


def _queue(app: Distq, queue: str, declared: Declared | None) -> list[Finding]:
    try:
        prefix = app.broker.prefix(queue)
        wire = Wire(cluster.place(app.url, prefix), timeout=target.TIMEOUT_S, name="distq-cli")
        unfit = fitness(wire, prefix)
        wire.close()
        return unfit or check_queue(app.broker, queue, declared)
    except BrokerError as error:
        return [Finding("problem", "keys", str(error), "the release that wrote them; or another database or --name")]


def _declared(app: Distq, queue: str) -> Declared:
    types = [type for task in app.tasks.values() for type in task.declaration.versions]
    limits = {untyped(type)[0]: limit for type, (limit, _) in app.limits_of(queue).items() if limit}
    needs = {type: task.declaration.needs for type, task in app.tasks.items() if task.declaration.needs}
    return Declared(list(app.queues), types, limits, needs)


# -- what is said ---------------------------------------------------------------------------------------------------


def _wrapped(text: str, room: int) -> list[str]:
    """In lines; commands such as `redis-cli` can be copied from them."""
    return textwrap.wrap(text, room, break_on_hyphens=False)


def _show(sections: Sequence[Section]) -> None:
    width = output.terminal_width()
    findings = [finding for _, found in sections for finding in found]
    checks = max(len(finding.check) for finding in findings)
    room = max(30, width - checks - 13)
    for about, found in sections:
        typer.echo(output.clean(about))
        for finding in found:
            said = [finding.text, f"→ {finding.hint}"] if finding.hint else [finding.text]
            lines = [line for text in said for line in _wrapped(output.clean(text, 2000), room)]
            typer.echo(f"  {finding.level:7}  {finding.check:{checks}}  {lines[0] if lines else ''}")
            for line in lines[1:]:
                typer.echo(f"{'':{checks + 13}}{line}")
        typer.echo()
    counts = [
        output.number(number, level)
        for level in ("problem", "warning", "note")
        if (number := sum(finding.level == level for finding in findings))
    ]
    typer.echo(", ".join(counts) or "all is well")
    sys.stdout.flush()
