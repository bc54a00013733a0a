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
from distq.embedded import EmbeddedBroker
from distq.errors import ConfigurationError

DATA = Path(".distq")


def dev(
    target: str = running.Target,
    processes: int = typer.Option(2, "--processes", "-p", "--concurrency", "-c", help="Worker processes."),
    broker: str = typer.Option(None, "--broker", metavar="URL", help="Use this broker instead of an embedded one."),
    data: Path = typer.Option(DATA, "--data", help="Folder in which the embedded broker keeps its data."),
    ephemeral: bool = typer.Option(False, "--ephemeral", help="Keep no data."),
    port: int = typer.Option(None, "--port", help="Also listen on this port of 127.0.0.1, for other programs."),
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
        command = [sys.executable, "-m", "distq", "run", target, "-p", str(processes), "--log-level", log_level, "--grace", "5s"]
        if metrics_port is not None:
            command += ["--metrics-port", str(metrics_port)]
        raise typer.Exit(_Session(command, {**os.environ, "DISTQ_BROKER": url}, reload).run())


def _start_broker(stack: contextlib.ExitStack, data: Path | None, port: int | None) -> str:
    embedded = stack.enter_context(EmbeddedBroker(data, port=port))
    where = "no data is kept" if data is None else f"data in {data}/"
    typer.echo(f"Broker: {embedded.url} ({where})")
    hint = f"redis://127.0.0.1:{port}/0" if port else embedded.url
    typer.echo(f"To enqueue from another program: export DISTQ_BROKER='{hint}'")
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
            from watchfiles import PythonFilter, watch
        except ImportError:
            raise ConfigurationError("reload needs watchfiles: pip install 'distq[dev]', or use --no-reload") from None
        for changes in watch(".", watch_filter=PythonFilter(), stop_event=self._stop, raise_interrupt=False, yield_on_timeout=False):
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
