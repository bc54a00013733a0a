"""An application that takes its time to be imported: until a file exists beside the journal."""

from __future__ import annotations

import os
import time
from pathlib import Path

from distq import Distq
from tests.support.journal import PLACE

app = Distq("app")

_here = Path(os.environ[PLACE])
_here.with_suffix(".importing").touch()
while not _here.with_suffix(".go").exists():
    time.sleep(0.002)


@app.task
def work() -> None:
    return None


_here.with_suffix(".imported").touch()
