"""`distq run`: a worker host in production."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import typer

from distq.config import WorkerConfig
from distq.durations import seconds
from distq.errors import ConfigurationError, DistqError
from distq.logs import configure
from distq.supervisor.metrics import MetricsDoor, PortTaken
from distq.supervisor.supervisor import Supervisor


class PortUnavailable(DistqError):
    """The given metrics port is in use."""


Target = typer.Argument(
    None, metavar="MODULE:APP", envvar="DISTQ_APP", help="The application, e.g. myapp:app.", show_default=False
)
Processes = typer.Option(
    None,
    "--processes",
    "-p",
    "--concurrency",
    "-c",
    envvar="DISTQ_PROCESSES",
    help="Worker processes. [default: one per core]",
)
Queues = typer.Option(
    "",
    "--queues",
    "-Q",
    envvar="DISTQ_QUEUES",
    metavar="A,B",
    help="Queues to serve. [default: all that the application declares]",
)
BrokerUrl = typer.Option(None, "--broker", metavar="URL", help="Broker, instead of the application's own.")
MetricsPort = typer.Option(
    None,
    "--metrics-port",
    envvar="DISTQ_METRICS_PORT",
    help="Port of /metrics; 0 for none. [default: 8080 or the next free one]",
)
Grace = typer.Option("30s", "--grace", envvar="DISTQ_GRACE", help="Time to finish what runs after TERM or INT.")
Lease = typer.Option(
    "15s", "--lease", envvar="DISTQ_LEASE", help="After this long without a sign of life, others take over."
)
MaxDeliveries = typer.Option(
    3,
    "--max-deliveries",
    envvar="DISTQ_MAX_DELIVERIES",
    min=1,
    max=255,
    help="A task that kills its process this often is dead.",
)
LogLevel = typer.Option("INFO", "--log-level", "-l", envvar="DISTQ_LOG_LEVEL", help="DEBUG, INFO, WARNING or ERROR.")
LogFormat = typer.Option("text", "--log-format", envvar="DISTQ_LOG_FORMAT", help="text or json.")


def run(
    target: str = Target,
    processes: int = Processes,
    queues: str = Queues,
    broker: str = BrokerUrl,
    metrics_port: int = MetricsPort,
    grace: str = Grace,
    lease: str = Lease,
    max_deliveries: int = MaxDeliveries,
    log_level: str = LogLevel,
    log_format: str = LogFormat,
) -> None:
    """Run a worker host: import the application once, fork worker processes, run tasks until told to end.

    TERM or INT: finish what runs within the grace period, give back the rest. A second one: give back everything now.

    Examples:

      distq run myapp:app

      distq run myapp:app -p 8 -Q default,mail --broker redis://queue.internal:6379/0

      distq run myapp:app --grace 10m --lease 1m --log-format json
    """
    config = worker_config(
        target=target, processes=processes, queues=queues, broker=broker, metrics_port=metrics_port, grace=grace,
        lease=lease, max_deliveries=max_deliveries,
    )  # fmt: skip
    configure(log_level, log_format)
    raise typer.Exit(supervise(config))


def worker_config(
    *,
    target: str | None,
    processes: int | None,
    queues: str = "",
    broker: str | None = None,
    metrics_port: int | None = None,
    grace: str = "30s",
    lease: str = "15s",
    max_deliveries: int = 3,
) -> WorkerConfig:
    """The settings of the command line, checked."""
    if not target:
        raise ConfigurationError(
            "which application? give it as module:app, e.g. `distq run myapp:app`, or set $DISTQ_APP"
        )
    if processes is not None and not 1 <= processes <= 1024:
        raise ConfigurationError(f"--processes {processes}: give a number from 1 to 1024")
    if metrics_port is not None and not 0 <= metrics_port <= 65535:
        raise ConfigurationError(f"--metrics-port {metrics_port}: give a port from 1 to 65535, or 0 for none")
    lease_s = seconds(lease, "--lease")
    if not 1 <= lease_s <= 86400:
        raise ConfigurationError(f"--lease {lease}: give a time from 1s to 1d")
    return WorkerConfig(
        app=target,
        processes=processes or _cores(),
        queues=tuple(name.strip() for name in queues.split(",") if name.strip()),
        broker=broker,
        lease_ms=round(lease_s * 1000),
        grace_ms=round(seconds(grace, "--grace") * 1000),
        max_deliveries=max_deliveries,
        metrics_port=metrics_port,
        import_path=str(Path.cwd()),
    )


def supervise(config: WorkerConfig) -> int:
    """Runs a worker host in this process; answers its exit code."""
    door = None
    if config.metrics_port != 0:
        try:
            door = MetricsDoor(config.metrics_port)
        except PortTaken as error:
            raise PortUnavailable(str(error)) from error

    def ready(text: str) -> None:
        if door is not None:
            _say(f"Metrics server listening on :{door.port}")
        _say(text)

    return Supervisor(config, ready, lambda text: typer.echo(f"error: {text}", err=True), door).run()


def _say(text: str) -> None:
    print(text, flush=True)
    logging.getLogger("distq").debug("%s", text)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
