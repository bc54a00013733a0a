"""From the words behind `distq run` to a worker host, in a process that has imported neither the parser nor a command.

A fork reads the words, while this process imports the supervisor. It says what is wrong with them, or hands their
meaning over through a pipe, and ends; with it end 11 MiB of parser, which would otherwise stay for the host's life.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import asdict
from functools import partial
from typing import Any

from distq.cli.host import host
from distq.config import WorkerConfig
from distq.errors import DistqError


def launch() -> int:
    """Runs a worker host as the command line says; its exit code, or that of the parser. Returns in both processes."""
    reader, writer = os.pipe()
    parser = os.fork()
    if parser == 0:
        from distq.cli import line, run  # noqa: PLC0415 (and none of the other commands)

        os.close(reader)
        app = line.root()
        app.command("run", epilog=run.EXAMPLES)(run.run)
        return line.execute(app, partial(_hand_over, writer))
    os.close(writer)
    try:
        from distq.supervisor import supervisor  # noqa: F401, PLC0415 (two processes import at the same time)

        with open(reader, encoding="utf-8") as pipe:
            said = pipe.read()
        _, status = os.waitpid(parser, 0)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if not said:
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code
    return _run(_config(said))


def _hand_over(writer: int, config: WorkerConfig) -> int:
    """In the parser's process: what the words mean."""
    with contextlib.suppress(BrokenPipeError), open(writer, "w", encoding="utf-8") as pipe:  # nobody waits any more
        pipe.write(json.dumps(asdict(config)))
    return 0


def _config(said: str) -> WorkerConfig:
    told: dict[str, Any] = json.loads(said)
    told |= {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
    return WorkerConfig(**told)


def _run(config: WorkerConfig) -> int:
    try:
        return host(config)
    except DistqError as error:
        from distq.cli import line  # noqa: PLC0415

        return line.failed(error)
