"""An application that cannot be imported while a file exists beside the journal: half a deployment."""

from __future__ import annotations

import os
from pathlib import Path

from distq import Distq
from tests.support.journal import PLACE

app = Distq("app")

if Path(os.environ.get(PLACE, "nowhere")).with_suffix(".broken").exists():
    raise ValueError("half a deployment")


@app.task
def work() -> int:
    return os.getpid()
