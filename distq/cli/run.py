"""`distq run`: a worker host in production."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.util import find_spec

import typer

from distq.cli import output, settings, values
from distq.cli.groups import grouped
from distq.cli.host import host
from distq.cli.settings import Log, Patience, Size, Work
from distq.config import WorkerConfig
from distq.errors import ConfigurationError

OVERRIDE = "DISTQ_DEV_BROKER"
"""How `distq dev` tells its worker the address: an argument can be read by everybody on the machine."""

BrokerUrl = typer.Option(
    None,
    "--broker",
    metavar="URL",
    envvar=OVERRIDE,
    show_envvar=False,
    help="Broker to use instead of the application's own.",
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


@grouped
def run(
    context: typer.Context,
    target: str = settings.Target,
    *,
    size: Size,
    work: Work,
    broker: str = BrokerUrl,
    metrics_port: str = settings.MetricsPort,
    patience: Patience,
    burst: bool = Burst,
    reload: bool = Reload,
    log: Log,
) -> None:
    """Run a worker host in production.

    Imports the application once, forks worker processes, and runs tasks until it is told to end.

    TERM or INT: finish what runs within the grace period, give back the rest. A second one: give back everything now.
    HUP: load the application afresh, and replace the processes one by one. TSTP: take nothing until CONT. USR1: stacks.
    """
    config = WorkerConfig(
        app=settings.application(target),
        broker=values.given(broker, "--broker"),
        metrics_port=settings.port_of_metrics(metrics_port),
        burst=burst,
        reload=reload and can_reload(),
        import_path=current_folder(),
        **size.settings(),
        **work.settings(),
        **patience.settings(),
        **log.settings(),
    )
    log.configure()
    raise typer.Exit((context.obj or host)(config))


def current_folder() -> str:
    """By the name under which it was entered, as the shell says it: a symbolic link may lead to another release when
    fresh code is asked for."""
    said = os.environ.get("PWD", "")
    with suppress(OSError):  # it may be what another program has left, gone, or hidden from this user
        if os.path.isabs(said) and os.path.samefile(said, "."):
            return said
    try:
        return os.getcwd()
    except OSError as error:
        raise ConfigurationError(f"the current folder, from which the application is imported: {error}") from None


def can_reload(hint: str = "leave out --reload") -> bool:
    """Raises ConfigurationError if that needs something that is not installed."""
    if find_spec("watchfiles") is None:
        raise ConfigurationError(f"reload needs watchfiles: pip install 'distq[reload]', or {hint}")
    return True
