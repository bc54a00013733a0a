"""Who sits at the command line: for those whose tasks are cancelled from there."""

from __future__ import annotations

import getpass
import os
import re
import socket


def asks(where: str) -> str:
    """`cli ann@web-1`: where somebody asks, and who it is as far as this machine knows."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may run as a number that nobody has
        name = str(os.getuid())
    return f"{where} {_plain(name)}@{_plain(socket.gethostname())}"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:60] or "-"
