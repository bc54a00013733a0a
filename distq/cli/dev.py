"""`distq dev`: an embedded broker and a worker host with reload, in one process tree, for people who have no Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import typer

from distq.cli import run as running
from distq.cli.run import worker_config
from distq.embedded import EmbeddedBroker, is_free
from distq.errors import ConfigurationError

DATA = Path(".distq")
DEFAULT_PORT = 6379


def dev(
    target: str = running.Target,
    processes: int = typer.Option(2, "--processes", "-p", "--concurrency", "-c", help="Worker processes."),
    broker: str = typer.Option(None, "--broker", metavar="URL", help="Use this broker instead of an embedded one."),
    data: Path = typer.Option(DATA, "--data", help="Folder in which the embedded broker keeps its data."),
    ephemeral: bool = typer.Option(False, "--ephemeral", help="Keep no data."),
    port: int = typer.Option(
        None, "--port", min=1, max=65535, help="Port of 127.0.0.1 for other programs. [default: 6379, if it is free]"
    ),
    reload: bool = typer.Option(True, "--reload/--no-reload", help="Restart the worker when the source changes."),
    metrics_port: int = running.MetricsPort,
    log_level: str = running.LogLevel,
) -> None:
    """Run broker and worker for development; nothing else needs to be installed or started.

    Examples:

      distq dev myapp:app

      distq dev myapp:app --ephemeral --port 6379
    """
    worker_config(target=target, processes=processes, metrics_port=metrics_port)
    with contextlib.ExitStack() as stack:
        url = broker or os.environ.get("DISTQ_BROKER") or _start_broker(stack, None if ephemeral else data, port)
        command = [sys.executable, "-m", "distq", "run", target, "--broker", url, "-p", str(processes)]
        command += ["--log-level", log_level, "--grace", "5s"]
        if metrics_port is not None:
            command += ["--metrics-port", str(metrics_port)]
        raise typer.Exit(_Session(command, {**os.environ, "DISTQ_BROKER": url}, reload).run())


def _start_broker(stack: contextlib.ExitStack, data: Path | None, port: int | None) -> str:
    """An embedded broker. On 6379 every program finds it without being told."""
    if port is None and is_free(DEFAULT_PORT):
        port = DEFAULT_PORT
    embedded = stack.enter_context(EmbeddedBroker(data, port=port))
    if data is not None:
        (data / ".gitignore").write_text("*\n")
    url = f"redis://127.0.0.1:{port}/0" if port else embedded.url
    typer.echo(
        f"Broker at {url} ({Path(embedded.program).name}, {'keeps nothing' if data is None else f'data in {data}/'})"
    )
    if port != DEFAULT_PORT:
        typer.echo(f"For other programs: export DISTQ_BROKER='{url}'")
    return embedded.url


class _Session:
    """The worker as a subprocess: restarted when the source changes, kept down while it cannot be imported."""

    def __init__(self, command: list[str], environment: dict[str, str], reload: bool) -> None:
        self._command, self._environment, self._reload = command, environment, reload
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._signals = 0

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        self._start()
        if not self._reload:
            return self._wait()
        for changed in self._changes():
            if changed:
                typer.echo(f"Reloading: {', '.join(sorted(changed))} changed")
                self._halt()
                self._start()
        return self._halt()

    def _changes(self) -> Iterator[set[str]]:
        try:
            from watchfiles import PythonFilter, watch  # noqa: PLC0415 (extra `dev`)
        except ImportError:
            raise ConfigurationError("reload needs watchfiles: pip install 'distq[dev]', or use --no-reload") from None
        for changes in watch(
            ".", watch_filter=PythonFilter(), stop_event=self._stop, raise_interrupt=False, yield_on_timeout=False
        ):
            yield {os.path.relpath(path) for _, path in changes}

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, env=self._environment, start_new_session=True)

    def _halt(self) -> int:
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return self._wait()

    def _wait(self) -> int:
        assert self._process is not None
        return self._process.wait()

    def _end(self, number: int, frame: object) -> None:
        """Ctrl-C: the worker drains; the broker is stopped after it. A second one: at once."""
        self._stop.set()
        self._signals += 1
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
