"""`distq dev`: an embedded broker, a worker host with reload and the dashboard, for people who have no Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from distq.broker.address import mask, resolve_url
from distq.cli import beside, output, settings, values
from distq.cli import run as running
from distq.cli.groups import grouped
from distq.cli.host import PortUnavailable
from distq.embedded import EmbeddedBroker, is_free
from distq.errors import ConfigurationError
from distq.logs import check_level
from distq.watchdog import watchdog

DATA = Path(".distq")
DEFAULT_PORT = 6379
GRACE = "5s"

EXAMPLES = output.examples(
    "distq dev myapp:app",
    "distq dev myapp:app --ephemeral --port 7000",
    "distq dev myapp:app --broker redis://localhost:6379/1",
)


@dataclass(frozen=True)
class OwnBroker:
    """The broker that is started when none is given."""

    data: Path = typer.Option(
        DATA, "--data", metavar="FOLDER", help="Where the embedded broker keeps its data for the next start."
    )
    ephemeral: bool = typer.Option(False, "--ephemeral", help="Keep no data.")
    port: str | None = typer.Option(
        None, "--port", metavar="PORT",
        help="Port of 127.0.0.1 by which other programs reach the embedded broker. [default: 6379, if it is free]",
    )  # fmt: skip


@grouped
def dev(
    target: str = settings.Target,
    processes: str = typer.Option(
        "2", "--processes", "-p", "--concurrency", "-c", metavar="N", help="Worker processes."
    ),
    broker: str = typer.Option(
        None,
        "--broker",
        metavar="URL",
        envvar="DISTQ_BROKER",
        help="Start no broker, use this one.",
    ),
    *,
    own: OwnBroker,
    reload: bool = typer.Option(
        True, "--reload/--no-reload", help="Load the application afresh when a Python file changes."
    ),
    dashboard: bool = typer.Option(
        True,
        "--dashboard/--no-dashboard",
        help="Serve the dashboard here, if the extra `server` is installed.",
    ),
    metrics_port: str = settings.MetricsPort,
    log_level: str = settings.LogLevel,
) -> None:
    """Run a broker, a worker and the dashboard for development.

    Nothing else needs to be installed or started. Ctrl-C: the worker finishes what runs, then the broker ends.
    """
    settings.application(target)
    settings.processes(processes)
    settings.port_of_metrics(metrics_port)
    check_level(log_level)
    if reload:
        running.can_reload("use --no-reload")
    with contextlib.ExitStack() as stack:
        url = _given(broker) if broker else _start_broker(stack, None if own.ephemeral else own.data, own.port)
        command = [sys.executable, "-m", "distq", "run", target, "-p", processes]
        command += ["--log-level", log_level, "--grace", GRACE, "--tag", "*"]
        command += ["--reload"] if reload else []
        if metrics_port is not None:
            command += ["--metrics-port", metrics_port]
        environment = {**os.environ, "DISTQ_BROKER": url, running.OVERRIDE: url}
        if dashboard:
            _serve_dashboard(stack, target, environment, reload)
        tell = stack.enter_context(watchdog())
        raise typer.Exit(_Session(command, environment, tell).run())


def _given(broker: str) -> str:
    url = resolve_url(broker)
    typer.echo(f"Broker at {mask(url)} (given by --broker or $DISTQ_BROKER: none is started)")
    return url


def _start_broker(stack: contextlib.ExitStack, data: Path | None, given_port: str | None) -> str:
    """An embedded broker. On 6379 every program finds it without being told."""
    port = DEFAULT_PORT if is_free(DEFAULT_PORT) else None
    if given_port is not None:
        port = values.whole(given_port, "--port", 1, 65535)
        if not is_free(port):
            raise PortUnavailable(f"--port {port}: 127.0.0.1:{port} is taken; give another, or leave it out")
    is_new = data is not None and not data.exists()
    try:
        embedded = stack.enter_context(EmbeddedBroker(data, port=port))
        if data is not None and is_new:
            (data / ".gitignore").write_text("*\n")
    except OSError as error:
        what = "the embedded broker" if data is None else f"--data {data}"
        raise ConfigurationError(f"{what}: {error.strerror}") from None
    url = f"redis://127.0.0.1:{port}/0" if port else embedded.url
    typer.echo(
        f"Broker at {url} ({Path(embedded.program).name}, {'keeps nothing' if data is None else f'data in {data}/'})"
    )
    if port != DEFAULT_PORT:
        why = "" if given_port else f" (port {DEFAULT_PORT} is taken)"
        typer.echo(f"For other programs{why}: export DISTQ_BROKER='{url}'")
    return embedded.url


def _serve_dashboard(
    stack: contextlib.ExitStack, target: str, environment: Mapping[str, str], is_reloading: bool
) -> None:
    if not beside.is_installed():
        typer.echo("For a dashboard: pip install 'distq[server]'")
        return
    typer.echo(f"Dashboard at {stack.enter_context(beside.dashboard(target, environment, is_reloading))}")


class _Session:
    """The worker as a subprocess, in a group of its own: Ctrl-C of a terminal does not reach it."""

    def __init__(self, command: list[str], environment: dict[str, str], tell: Callable[[str], None]) -> None:
        self._command, self._environment, self._tell = command, environment, tell
        self._signals: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Until the worker ends, by itself or after Ctrl-C; the exit code of this program."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._end)
        self._process = subprocess.Popen(self._command, env=self._environment, start_new_session=True)
        self._tell(str(self._process.pid))
        if self._signals:  # Ctrl-C came in between
            self._ask_to_end()
        code = self._process.wait()
        self._tell("")
        if self._signals:
            return 128 + self._signals[-1] if len(self._signals) > 1 and code != 0 else 0
        return 128 - code if code < 0 else code

    def _ask_to_end(self) -> None:
        """TERM, also for an INT: to that, a worker that has only just been started answers with a traceback."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def _end(self, number: int, frame: object) -> None:
        """Ctrl-C: the worker drains; the broker is stopped after it. A second one: at once."""
        self._signals.append(number)
        self._ask_to_end()
