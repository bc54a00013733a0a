"""Whether there is a Node.js with which the package for it can be tested."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1] / "sdk"
OLDEST = (20, 3)


@cache
def lacks() -> str:
    """What is missing, in words; nothing: it is there."""
    program = shutil.which("node")
    if program is None:
        return "there is no node on this machine's PATH"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    if found and (int(found[1]), int(found[2])) >= OLDEST:
        return ""
    return f"node is {said.strip() or 'broken'}, {OLDEST[0]}.{OLDEST[1]} or later is needed"
