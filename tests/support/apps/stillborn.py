"""An application in which no worker process lives: each ends as soon as it is forked, and says when."""

from __future__ import annotations

import os
import time

from distq import Distq
from tests.support.journal import PLACE

app = Distq("app")


def _end() -> None:
    with open(os.environ[PLACE], "a") as births:
        births.write(f"{time.monotonic()}\n")
    os._exit(7)


os.register_at_fork(after_in_child=_end)
