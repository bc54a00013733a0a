"""A worker host in this process, without the parser: what `distq run` does once its words are understood."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys

from distq.config import WorkerConfig
from distq.errors import DistqError
from distq.logs import configure
from distq.supervisor.signals import FOR_LATER


class PortUnavailable(DistqError):
    """A given port is in use."""


def host(config: WorkerConfig) -> int:
    """Runs a worker host in this process; answers its exit code. Raises PortUnavailable."""
    from distq.supervisor.metrics import MetricsDoor, PortTaken  # noqa: PLC0415 (only a host waits for all that)
    from distq.supervisor.supervisor import START_AGAIN, Supervisor  # noqa: PLC0415

    configure(config.log_level, config.log_format)
    door = None
    if config.metrics_port != 0:
        try:
            door = MetricsDoor(config.metrics_port)
        except PortTaken as error:
            hint = "" if config.metrics_port is None else "; give another --metrics-port, or 0 for none"
            raise PortUnavailable(f"{error}{hint}") from error

    def ready(text: str) -> None:
        if door is not None:
            _say(f"Metrics server listening on :{door.port}")
        _say(text)

    code = Supervisor(config, ready, _complain, door).run()
    if code == START_AGAIN:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, FOR_LATER)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (this very program)
    return code


def _complain(text: str) -> None:
    from distq.cli import output  # noqa: PLC0415

    output.complain(f"error: {text}")


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # whoever read it is gone; that is no reason to end
        print(text, flush=True)
    logging.getLogger("distq").debug("%s", text)
