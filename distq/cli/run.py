"""`distq run`: a worker host in production."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import typer

from distq.cli import complete, output, values
from distq.cli.host import host
from distq.config import WorkerConfig
from distq.errors import ConfigurationError
from distq.logs import configure

MOST_PROCESSES = 1024
MOST_THREADS = 256
MOST_COROUTINES = 10_000
OVERRIDE = "DISTQ_DEV_BROKER"
"""How `distq dev` tells its worker the address: an argument can be read by everybody on the machine."""


Target = typer.Argument(
    None, metavar="MODULE:APP", envvar="DISTQ_APP", help="The application, e.g. myapp:app.", show_default=False
)
Processes = typer.Option(
    None,
    "--processes",
    "-p",
    "--concurrency",
    "-c",
    metavar="N",
    envvar="DISTQ_PROCESSES",
    help="Worker processes. [default: one per core]",
)
Threads = typer.Option(
    "1",
    "--threads",
    "-t",
    metavar="N",
    envvar="DISTQ_THREADS",
    help="Threads per process, for handlers that wait: tasks that each process runs at a time. From 1 to 256.",
)
Coroutines = typer.Option(
    None,
    "--coroutines",
    metavar="N",
    envvar="DISTQ_COROUTINES",
    help="`async def` tasks that each event loop runs at a time, in as many more processes. From 1 to 10000. "
    "[default: no event loops; such a task takes a thread]",
)
Queues = typer.Option(
    None,
    "--queues",
    "-Q",
    envvar="DISTQ_QUEUES",
    metavar="A,B",
    autocompletion=complete.queues,
    help="Queues to serve. [default: all that the application declares]",
)
Types = typer.Option(
    None, "--types", envvar="DISTQ_TYPES", metavar="A,B", help="Types of tasks to run; others wait for other hosts."
)
ExcludeTypes = typer.Option(
    None, "--exclude-types", envvar="DISTQ_EXCLUDE_TYPES", metavar="A,B", help="Types that other hosts run."
)
Tags = typer.Option(
    None,
    "--tag",
    envvar="DISTQ_TAG",
    metavar="A,B",
    help="What this host has, such as gpu, for tasks that need it. `*`: everything.",
)
BrokerUrl = typer.Option(
    None,
    "--broker",
    metavar="URL",
    envvar=OVERRIDE,
    show_envvar=False,
    help="Broker to use instead of the application's own.",
)
MetricsPort = typer.Option(
    None,
    "--metrics-port",
    metavar="PORT",
    envvar="DISTQ_METRICS_PORT",
    help="Port of /metrics; 0 for none. [default: 8080, or the next free one]",
)
Grace = typer.Option(
    "30s", "--grace", metavar="TIME", envvar="DISTQ_GRACE", help="Time to finish what runs after TERM or INT."
)
Lease = typer.Option(
    "15s",
    "--lease",
    metavar="TIME",
    envvar="DISTQ_LEASE",
    help="After this long without a sign of life, others take over. From 1s to 1d.",
)
MaxDeliveries = typer.Option(
    "3",
    "--max-deliveries",
    metavar="N",
    envvar="DISTQ_MAX_DELIVERIES",
    help="A task that kills its process this often is dead. From 1 to 255.",
)
MaxTasks = typer.Option(
    None,
    "--max-tasks-per-child",
    metavar="N",
    envvar="DISTQ_MAX_TASKS_PER_CHILD",
    help="Replace a process after at most so many tasks. [default: never]",
)
MaxMemory = typer.Option(
    None,
    "--max-memory-per-child",
    metavar="SIZE",
    envvar="DISTQ_MAX_MEMORY_PER_CHILD",
    help="Replace a process that has more memory than this for itself, e.g. 512M. Linux. [default: never]",
)
MaxLifetime = typer.Option(
    None,
    "--max-lifetime",
    metavar="TIME",
    envvar="DISTQ_MAX_LIFETIME",
    help="Replace a process that is older than this, or up to a tenth younger. [default: never]",
)
Burst = typer.Option(
    False,
    "--burst",
    envvar="DISTQ_BURST",
    help="End when the queues are empty and nothing runs. What is scheduled for later does not count.",
)
Reload = typer.Option(
    False,
    "--reload",
    envvar="DISTQ_RELOAD",
    help="For development: load the application afresh, as after HUP, when a Python file below this folder changes.",
)
LogLevel = typer.Option(
    "INFO",
    "--log-level",
    "-l",
    metavar="LEVEL",
    envvar="DISTQ_LOG_LEVEL",
    autocompletion=complete.levels,
    help="DEBUG, INFO, WARNING or ERROR.",
)
LogFormat = typer.Option(
    "text",
    "--log-format",
    metavar="FORMAT",
    envvar="DISTQ_LOG_FORMAT",
    autocompletion=complete.formats,
    help="text or json.",
)
EXAMPLES = output.examples(
    "distq run myapp:app",
    "distq run myapp:app -p 8 -Q default,mail",
    "distq run myapp:app -p 2 -t 16",
    "distq run myapp:app -p 2 --coroutines 500",
    "distq run myapp:app --broker redis://queue.internal:6379/0",
    "distq run myapp:app --max-memory-per-child 512M --max-lifetime 1h",
    "distq run myapp:app --reload",
    "distq run myapp:app --grace 10m --lease 1m --log-format json",
)


def run(
    context: typer.Context,
    target: str = Target,
    processes: str = Processes,
    threads: str = Threads,
    coroutines: str = Coroutines,
    queues: str = Queues,
    types: str = Types,
    exclude_types: str = ExcludeTypes,
    tags: str = Tags,
    broker: str = BrokerUrl,
    metrics_port: str = MetricsPort,
    grace: str = Grace,
    lease: str = Lease,
    max_deliveries: str = MaxDeliveries,
    max_tasks: str = MaxTasks,
    max_memory: str = MaxMemory,
    max_lifetime: str = MaxLifetime,
    burst: bool = Burst,
    reload: bool = Reload,
    log_level: str = LogLevel,
    log_format: str = LogFormat,
) -> None:
    """Run a worker host in production.

    Imports the application once, forks worker processes, and runs tasks until it is told to end.

    TERM or INT: finish what runs within the grace period, give back the rest. A second one: give back everything now.
    HUP: load the application afresh, and replace the processes one by one. TSTP: take nothing until CONT. USR1: stacks.
    """
    config = worker_config(
        target=target, processes=processes, threads=threads, coroutines=coroutines, queues=queues, broker=broker,
        metrics_port=metrics_port, grace=grace, lease=lease, max_deliveries=max_deliveries,
    )  # fmt: skip
    config = replace(
        config, burst=burst, reload=reload and can_reload(), types=_names(types, "--types"),
        exclude_types=_names(exclude_types, "--exclude-types"), tags=_names(tags, "--tag"),
    )  # fmt: skip
    config = _with_limits(config, max_tasks, max_memory, max_lifetime)
    configure(log_level, log_format)
    raise typer.Exit((context.obj or host)(replace(config, log_level=log_level, log_format=log_format)))


def worker_config(
    *,
    target: str | None,
    processes: str | None,
    threads: str = "1",
    coroutines: str | None = None,
    queues: str | None = None,
    broker: str | None = None,
    metrics_port: str | None = None,
    grace: str = "30s",
    lease: str = "15s",
    max_deliveries: str = "3",
) -> WorkerConfig:
    """The settings of the command line, checked."""
    if not target:
        raise ConfigurationError("which application? give it as module:app, e.g. myapp:app, or set $DISTQ_APP")
    lease_s = values.seconds(lease, "--lease")
    if not 1 <= lease_s <= 86400:
        raise ConfigurationError(f"--lease {lease}: give a time from 1s to 1d")
    return WorkerConfig(
        app=target,
        processes=_cores() if processes is None else values.whole(processes, "--processes", 1, MOST_PROCESSES),
        threads=values.whole(threads, "--threads", 1, MOST_THREADS),
        coroutines=0 if coroutines is None else values.whole(coroutines, "--coroutines", 1, MOST_COROUTINES),
        queues=_names(queues, "--queues"),
        broker=values.given(broker, "--broker"),
        lease_ms=round(lease_s * 1000),
        grace_ms=round(values.seconds(grace, "--grace") * 1000),
        max_deliveries=values.whole(max_deliveries, "--max-deliveries", 1, 255),
        metrics_port=None if metrics_port is None else values.whole(metrics_port, "--metrics-port", 0, 65535),
        import_path=str(Path.cwd()),
    )


def can_reload(hint: str = "leave out --reload") -> bool:
    """Raises ConfigurationError if that needs something that is not installed."""
    if find_spec("watchfiles") is None:
        raise ConfigurationError(f"reload needs watchfiles: pip install 'distq[reload]', or {hint}")
    return True


def _names(text: str | None, option: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    if not all(names):
        raise ConfigurationError(f"{option} {text!r}: give names with commas between, or leave it out for all")
    return names


def _with_limits(
    config: WorkerConfig, max_tasks: str | None, max_memory: str | None, max_lifetime: str | None
) -> WorkerConfig:
    """When a process is replaced."""
    if max_tasks is not None:
        config = replace(config, max_tasks=values.whole(max_tasks, "--max-tasks-per-child", 1, 1 << 40))
    if max_memory is not None:
        if not sys.platform.startswith("linux"):
            raise ConfigurationError("--max-memory-per-child needs Linux, which tells what a process has for itself")
        config = replace(config, max_memory=values.size(max_memory, "--max-memory-per-child"))
    if max_lifetime is not None:
        config = replace(config, max_lifetime_ms=round(values.above_0(max_lifetime, "--max-lifetime") * 1000))
    return config


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
