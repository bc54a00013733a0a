"""Who sits at the command line: for those whose tasks are cancelled from there."""

from __future__ import annotations

import re
import socket

from distq.controls import user


def asks(where: str) -> str:
    """`cli ann@web-1`: where somebody asks, and who it is as far as this machine knows."""
    return f"{where} {_plain(user())}@{_plain(socket.gethostname())}"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:60] or "-"
