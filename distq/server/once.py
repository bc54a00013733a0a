"""What many ask alike, and is read once for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

KEPT_S = 2.0


class Once:
    """What was read in the last two seconds, or reads it; who asks meanwhile waits for that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_s, self._found = -KEPT_S, dict[str, Any]()

    def __call__(self, read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The same for everybody."""
        with self._lock:
            if time.monotonic() - self._at_s > KEPT_S:
                self._found = read()
                self._at_s = time.monotonic()
            return self._found
