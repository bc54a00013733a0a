"""The last release beside the working tree: both run against one broker, as in a rolling deployment."""

from __future__ import annotations

import os
import subprocess
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from tests.support.host import ROOT

LAST = "edfdf06"
"""The commit of the last release."""


@dataclass(frozen=True)
class Release:
    """A folder that holds a `distq`."""

    name: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """With it, `import distq` finds this one, and `import tests` those of the working tree."""
        return {"PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}"}


TREE = Release("tree", ROOT)


def last_release(folder: Path) -> Release:
    """The last release, laid into `folder`; the working tree where the history is not there."""
    done = subprocess.run(["git", "archive", LAST, "distq"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        return TREE
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return Release(LAST, folder)
