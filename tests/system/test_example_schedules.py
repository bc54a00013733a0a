"""The example of schedules does what its page says."""

from __future__ import annotations

import subprocess
import sys

from tests.support.host import ROOT


def test_no_second_is_missing_although_a_host_is_killed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.schedules"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 are missing" in done.stdout
    assert "by hand: de " in done.stdout
