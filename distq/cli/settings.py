"""What a worker host is told on its command line, group by group, each checked at the door."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import typer

from distq.cli import complete, values
from distq.cli.quota import processors as usable
from distq.errors import ConfigurationError
from distq.logs import configure

MOST_PROCESSES = 1024
MOST_THREADS = 256
MOST_COROUTINES = 10_000

Target = typer.Argument(
    None, metavar="MODULE:APP", envvar="DISTQ_APP", help="The application, e.g. myapp:app.", show_default=False
)
MetricsPort = typer.Option(
    None,
    "--metrics-port",
    metavar="PORT",
    envvar="DISTQ_METRICS_PORT",
    help="Port of /metrics; 0 for none. [default: 8080, or the next free one]",
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


def application(target: str | None) -> str:
    """The one that was given."""
    if not target:
        raise ConfigurationError("which application? give it as module:app, e.g. myapp:app, or set $DISTQ_APP")
    return target


def port_of_metrics(text: str | None) -> int | None:
    """None: none was given."""
    return None if text is None else values.whole(text, "--metrics-port", 0, 65535)


@dataclass(frozen=True)
class Size:
    """How much the host runs at a time."""

    processes: str | None = typer.Option(
        None,
        "--processes",
        "-p",
        "--concurrency",
        "-c",
        metavar="N",
        envvar="DISTQ_PROCESSES",
        help="Worker processes. [default: one per core that it may use]",
    )
    threads: str = typer.Option(
        "1",
        "--threads",
        "-t",
        metavar="N",
        envvar="DISTQ_THREADS",
        help="Threads per process, for handlers that wait: tasks that each process runs at a time. From 1 to 256.",
    )
    coroutines: str | None = typer.Option(
        None,
        "--coroutines",
        metavar="N",
        envvar="DISTQ_COROUTINES",
        help="`async def` tasks that each event loop runs at a time, in as many more processes. From 1 to 10000. "
        "[default: no event loops; such a task takes a thread]",
    )

    def settings(self) -> dict[str, Any]:
        """For WorkerConfig."""
        said = {
            "processes": math.ceil(usable()) if self.processes is None else processes(self.processes),
            "threads": values.whole(self.threads, "--threads", 1, MOST_THREADS),
        }
        if self.coroutines is not None:
            said["coroutines"] = values.whole(self.coroutines, "--coroutines", 1, MOST_COROUTINES)
        return said


@dataclass(frozen=True)
class Work:
    """Which tasks the host runs."""

    queues: str | None = typer.Option(
        None,
        "--queues",
        "-Q",
        envvar="DISTQ_QUEUES",
        metavar="A,B",
        autocompletion=complete.queues,
        help="Queues to serve. [default: all that the application declares]",
    )
    types: str | None = typer.Option(
        None, "--types", envvar="DISTQ_TYPES", metavar="A,B", help="Types of tasks to run; others wait for other hosts."
    )
    exclude_types: str | None = typer.Option(
        None, "--exclude-types", envvar="DISTQ_EXCLUDE_TYPES", metavar="A,B", help="Types that other hosts run."
    )
    tags: str | None = typer.Option(
        None,
        "--tag",
        envvar="DISTQ_TAG",
        metavar="A,B",
        help="What this host has, such as gpu, for tasks that need it. `*`: everything.",
    )

    def settings(self) -> dict[str, Any]:
        """For WorkerConfig."""
        return {
            "queues": _names(self.queues, "--queues"),
            "types": _names(self.types, "--types"),
            "exclude_types": _names(self.exclude_types, "--exclude-types"),
            "tags": _names(self.tags, "--tag"),
        }


@dataclass(frozen=True)
class Patience:
    """When what runs is given back, taken over, given up or replaced."""

    grace: str = typer.Option(
        "30s", "--grace", metavar="TIME", envvar="DISTQ_GRACE", help="Time to finish what runs after TERM or INT."
    )
    lease: str = typer.Option(
        "15s",
        "--lease",
        metavar="TIME",
        envvar="DISTQ_LEASE",
        help="After this long without a sign of life, others take over. From 1s to 1d.",
    )
    max_deliveries: str = typer.Option(
        "3",
        "--max-deliveries",
        metavar="N",
        envvar="DISTQ_MAX_DELIVERIES",
        help="A task that kills its process this often is dead. From 1 to 255.",
    )
    max_tasks: str | None = typer.Option(
        None,
        "--max-tasks-per-child",
        metavar="N",
        envvar="DISTQ_MAX_TASKS_PER_CHILD",
        help="Replace a process after at most so many tasks. [default: never]",
    )
    max_memory: str | None = typer.Option(
        None,
        "--max-memory-per-child",
        metavar="SIZE",
        envvar="DISTQ_MAX_MEMORY_PER_CHILD",
        help="Replace a process that has more memory than this for itself, e.g. 512M. Linux. [default: never]",
    )
    max_lifetime: str | None = typer.Option(
        None,
        "--max-lifetime",
        metavar="TIME",
        envvar="DISTQ_MAX_LIFETIME",
        help="Replace a process that is older than this, or up to a tenth younger. [default: never]",
    )

    def settings(self) -> dict[str, Any]:
        """For WorkerConfig."""
        lease_s = values.seconds(self.lease, "--lease")
        if not 1 <= lease_s <= 86400:
            raise ConfigurationError(f"--lease {self.lease}: give a time from 1s to 1d")
        said = {
            "lease_ms": round(lease_s * 1000),
            "grace_ms": round(values.seconds(self.grace, "--grace") * 1000),
            "max_deliveries": values.whole(self.max_deliveries, "--max-deliveries", 1, 255),
        }
        if self.max_tasks is not None:
            said["max_tasks"] = values.whole(self.max_tasks, "--max-tasks-per-child", 1, 1 << 40)
        if self.max_memory is not None:
            if not sys.platform.startswith("linux"):
                raise ConfigurationError(
                    "--max-memory-per-child needs Linux, which tells what a process has for itself"
                )
            said["max_memory"] = values.size(self.max_memory, "--max-memory-per-child")
        if self.max_lifetime is not None:
            said["max_lifetime_ms"] = round(values.above_0(self.max_lifetime, "--max-lifetime") * 1000)
        return said


@dataclass(frozen=True)
class Log:
    """What is logged, and how."""

    log_level: str = LogLevel
    log_format: str = typer.Option(
        "text",
        "--log-format",
        metavar="FORMAT",
        envvar="DISTQ_LOG_FORMAT",
        autocompletion=complete.formats,
        help="text or json.",
    )

    def configure(self) -> None:
        """From here on it is logged so."""
        configure(self.log_level, self.log_format)

    def settings(self) -> dict[str, Any]:
        """For WorkerConfig."""
        return {"log_level": self.log_level, "log_format": self.log_format}


def processes(text: str) -> int:
    """How many there are to be."""
    return values.whole(text, "--processes", 1, MOST_PROCESSES)


def _names(text: str | None, option: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    if not all(names):
        raise ConfigurationError(f"{option} {text!r}: give names with commas between, or leave it out for all")
    return names
