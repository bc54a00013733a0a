"""Programs of Debian's packages that tests of the deployment run; `make monitoring` installs them."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

DEPLOYMENT = Path(__file__).parents[1] / "deployment"
TESTS = {DEPLOYMENT / f"test_{name}.py" for name in ("backup", "monitoring", "stack")}
PROGRAMS = ("prometheus", "promtool", "redis-cli", "wget")


@cache
def lacks() -> str:
    """What is missing, in words; nothing: all is there."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"there is no {', '.join(missing)} on this machine's PATH (make monitoring)" if missing else ""


def place_of(name: str) -> str:
    """Where this program is."""
    found = shutil.which(name)
    assert found, name
    return found
