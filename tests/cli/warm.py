"""A process that has imported the command line and forks one process per command: what takes 0.3 s takes 0.02 s.

Each command is a process of its own, with its own folder, environment and files, that ends as an interpreter ends.
Requests and answers go over the socket that is standard input; the three files of a command come with its request.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import socket
import sys

import rich.console
import rich.table  # noqa: F401 (imported by the command line only when it draws a table)

import distq.cli.commands
import distq.supervisor.supervisor


def serve(channel: socket.socket) -> None:
    """Returns in the process of a command only."""
    while True:
        data, files, _, _ = socket.recv_fds(channel, 1 << 18, 3)
        if not data:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            channel.close()
            become(json.loads(data), files)
            return
        for file in files:
            os.close(file)
        channel.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(command: dict[str, object], files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.setsid()
    folder, environ, args = command["folder"], command["environ"], command["args"]
    assert isinstance(folder, str)
    assert isinstance(environ, dict)
    assert isinstance(args, list)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.path[0] = folder
    sys.argv = ["distq", *args]


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        distq.cli.commands.app(["queues", "--help"], standalone_mode=False)  # imports what the parser imports late
    gc.freeze()
    serve(socket.socket(fileno=os.dup(0)))
    distq.cli.main()
