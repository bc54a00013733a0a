"""Tells the service manager how it goes: systemd's `Type=notify` or `notify-reload`, and its watchdog.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, MutableMapping

from distq.supervisor.condition import Condition
from distq.supervisor.service import NEVER, Service


class Notify(Service):
    """1. says READY, RELOADING, STOPPING; 2. sends the watchdog its sign while this host can work."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        told = os.environ if environment is None else environment
        place = told.pop("NOTIFY_SOCKET", "")  # what handlers start does not speak for this service
        period, owner = told.pop("WATCHDOG_USEC", ""), told.pop("WATCHDOG_PID", "")
        self._place = "\0" + place[1:] if place.startswith("@") else place
        is_watched = bool(place) and period.isdigit() and owner in ("", str(os.getpid()))
        self._every_s = int(period) / 2_000_000 if is_watched else NEVER
        self._next, self._is_reloading = NEVER, False
        self._condition: Condition | None = None
        self._is_loaded: Callable[[], bool] = lambda: True

    def serve(self, condition: Condition, is_loaded: Callable[[], bool]) -> None:
        """Whom to ask whether this host can work, and whether fresh code is everywhere."""
        self._condition, self._is_loaded = condition, is_loaded

    def ready(self) -> None:
        """It has started."""
        self._send("READY=1")
        self._next = time.monotonic() + self._every_s

    def reloading(self) -> None:
        """It loads fresh code."""
        self._is_reloading = True
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It ends."""
        self._send("STOPPING=1")

    def deadline(self) -> float:
        """Twice in the time that the watchdog gives."""
        return self._next

    def work(self, now: float) -> None:
        """A sign of life, if it is one: who calls this is alive, but are the processes?"""
        if self._is_reloading and self._is_loaded():
            self._is_reloading = False
            self._send("READY=1")
        if now >= self._next:
            self._next = now + self._every_s
            if self._condition is None or self._condition.is_alive:
                self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._place:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), self._place)
