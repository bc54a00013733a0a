"""`distq doctor`: what is wrong with a set-up, and how to mend it. It only reads."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

import typer

from distq import __version__
from distq.app import Distq
from distq.broker import cluster
from distq.broker.address import mask, resolve_url
from distq.broker.checkup import Declared, check_queue
from distq.broker.connect import Wire
from distq.broker.health import Finding, examine, fitness
from distq.broker.inspect import applications
from distq.cli import output, target
from distq.cli.groups import grouped
from distq.cli.settings import Size
from distq.config import WorkerConfig
from distq.errors import BrokerError, BrokerUnavailable, ConfigurationError, LoadError
from distq.message import family, untyped

EXAMPLES = output.examples(
    "distq doctor",
    "distq doctor myapp:app",
    "distq doctor myapp:app -p 32 -t 16 --broker redis://queue.internal:6379/0",
    "distq doctor --json | jq '.[] | select(.level == \"problem\")'",
)
FILES_OF_HOST, FILES_OF_PROCESS = 100, 6
"""File descriptors of a supervisor: its own, and what it holds of each process."""
FILES_OF_SEAT = 4
"""Of what runs in a thread, or as a coroutine."""

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

    The exit code is 0 if there is no problem, 1 if there is one. Warnings and notes are none.
    """
    config = WorkerConfig(app=app or "none", **size.settings())
    sections = list(_sections(app, broker, name, config))
    if as_json:
        output.print_json([{"about": about, **finding._asdict()} for about, found in sections for finding in found])
    else:
        _show(sections)
    if any(finding.level == "problem" for _, found in sections for finding in found):
        raise typer.Exit(1)


def _sections(target_app: str | None, url: str | None, name: str | None, config: WorkerConfig) -> Iterator[Section]:
    yield "this machine", list(_machine(config))
    application: Distq | None = None
    if target_app:
        found, application = _load(target_app)
        yield "application", found
    try:
        address = resolve_url(url) if url or application is None else application.url
    except ConfigurationError as error:
        yield "broker", [Finding("problem", "address", str(error))]
        return
    if application is None and target_app and not url:
        return  # it could have named another broker
    queues = sum(application.partitions.get(queue, 1) for queue in application.queues) if application else 1
    found, is_there = _broker(address, config, queues)
    yield f"broker {mask(address)}", found
    if is_there:
        yield from _queues(application, address, name)


# -- one thing after the other --------------------------------------------------------------------------------------


def _machine(config: WorkerConfig) -> Iterator[Finding]:
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()}, {os.cpu_count()} cores")
    parts = [f"distq {__version__}"]
    for package in ("redis", "hiredis", "msgpack"):
        with contextlib.suppress(PackageNotFoundError):
            parts.append(f"{package} {version(package)}")
    yield Finding("ok", "packages", ", ".join(parts))
    slots, seats = config.slots, max(config.threads, config.coroutines)
    needed = FILES_OF_HOST + max(FILES_OF_PROCESS * slots, FILES_OF_SEAT * seats)
    options = f"-p {config.processes} -t {config.threads}"
    options += f" --coroutines {config.coroutines}" if config.coroutines else ""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < needed:
        yield Finding(
            "warning", "files", f"a process may open {soft:,} files: {options} takes "
            f"about {needed:,}", f"ulimit -n {min(hard, 4096) if hard > needed else needed}",
        )  # fmt: skip
    else:
        yield Finding("ok", "files", f"{'any number of' if soft < 0 else format(soft, ',')} files per process")


def _load(app: str) -> tuple[list[Finding], Distq | None]:
    try:
        found = target.load_quietly(app)
    except LoadError as error:
        return [Finding("problem", "import", str(error))], None
    except Exception as error:
        return [Finding("problem", "import", f"{app}: {type(error).__name__}: {error}")], None
    queues = ", ".join(found.queues)
    if not found.tasks:
        return [
            Finding(
                "warning", "tasks", f"{found.name} declares no task", "import the modules that hold them in its own"
            )
        ], found
    return [Finding("ok", "tasks", f"{found.name}: {output.number(len(found.tasks), 'task')}; queues {queues}")], found


def _broker(url: str, config: WorkerConfig, queues: int) -> tuple[list[Finding], bool]:
    try:
        wire = Wire(url, timeout=target.TIMEOUT_S, name="distq-cli")
        found = examine(wire, [], url, config.connections(queues, is_cluster=cluster.is_cluster(url)))
        wire.close()
    except BrokerUnavailable as error:
        hint = "start one, or name another with --broker or $DISTQ_BROKER"
        return [Finding("problem", "connection", str(error), hint)], False
    except BrokerError as error:
        return [Finding("problem", "server", str(error))], False
    return found, True


def _queues(application: Distq | None, url: str, name: str | None) -> Iterator[Section]:
    try:
        known = applications(url, target.TIMEOUT_S)
    except BrokerError as error:
        yield "queues", [Finding("problem", "names", str(error))]
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
        return [Finding("problem", "keys", str(error))]


def _declared(app: Distq, queue: str) -> Declared:
    types = [type for task in app.tasks.values() for type in task.declaration.versions]
    limits = {untyped(type)[0]: limit for type, (limit, _) in app.limits_of(queue).items() if limit}
    needs = {type: task.declaration.needs for type, task in app.tasks.items() if task.declaration.needs}
    return Declared(list(app.queues), types, limits, needs)


# -- what is said ---------------------------------------------------------------------------------------------------


def _show(sections: Sequence[Section]) -> None:
    width = output.terminal_width()
    findings = [finding for _, found in sections for finding in found]
    checks = max(len(finding.check) for finding in findings)
    room = max(30, width - checks - 13)
    for about, found in sections:
        typer.echo(output.clean(about))
        for finding in found:
            lines = textwrap.wrap(output.clean(finding.text, 2000), room)
            lines += textwrap.wrap(f"→ {output.clean(finding.hint, 2000)}", room) if finding.hint else []
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
