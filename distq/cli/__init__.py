"""The command line. Each module holds a group of commands; `commands` brings them together.

`distq run` is a process that lives for months: it is prepared by `launch`, and never imports the parser.
"""

from __future__ import annotations

import io
import os
import signal
import sys

from distq.supervisor.signals import FOR_LATER


def main() -> None:
    """The console script."""
    is_host = sys.argv[1:2] == ["run"]
    if is_host:
        signal.pthread_sigmask(signal.SIG_BLOCK, FOR_LATER)
    open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows less than UTF-8
    if is_host:
        from distq.cli.launch import launch  # noqa: PLC0415 (each way imports what it needs, and no more)

        sys.exit(launch())
    from distq.cli.commands import app  # noqa: PLC0415
    from distq.cli.line import execute  # noqa: PLC0415

    sys.exit(execute(app))


def open_standard_streams() -> None:
    """Gives /dev/null the place of a standard stream that is closed: else the next file takes it, a socket perhaps."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (as long as the program)
