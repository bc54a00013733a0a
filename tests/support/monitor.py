"""What clients send to a server, as the server itself sees it: commands inside scripts are told apart."""

from __future__ import annotations

import time

from distq.broker.connect import Wire
from distq.broker.scripts import encode
from distq.errors import BrokerUnavailable


class Monitor:
    """Listens from now on."""

    def __init__(self, url: str) -> None:
        self._wire = Wire(url, timeout=5.0, name="monitor")
        assert self._wire.request(encode("MONITOR")) == b"OK"

    def commands(self, seconds: float) -> list[str]:
        """What clients have sent since the beginning, and send within this time; one line each."""
        found: list[str] = []
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                line = self._wire.read(left).decode(errors="replace")
            except BrokerUnavailable:  # nothing more within the time: the wire is closed now
                return found
            if " lua] " not in line:
                found.append(line)
        self._wire.close()
        return found
