"""Makes what the npm package has of the rest of the repository: the Lua scripts that it calls, and the licence.

    python sdk/node/build.py

One source for both languages: nothing of it is kept in the repository (.gitignore), and the package cannot be packed
without it (`make node`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from distq.broker.scripts import script  # noqa: E402 (of this repository, wherever it is run from)

CALLED = ("enqueue", "look", "cancel")


def module() -> str:
    """The scripts as a JavaScript module, so that bundlers carry them along."""
    lines = ["// Made by build.py from distq/broker/lua: the scripts of this release, to the byte. Do not edit.\n"]
    for name in CALLED:
        verb = script(name)
        lines.append(f'export const {name} = {{ sha: "{verb.sha}", text: {json.dumps(verb.text)} }};\n')
    return "\n".join(lines)


def write(path: Path, text: str) -> None:
    """Whole or not at all: tests of several processes may make it at the same time."""
    if path.exists() and path.read_text("utf-8") == text:
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def main() -> None:
    """Writes both."""
    write(HERE / "src" / "scripts.js", module())
    shutil.copyfile(ROOT / "LICENSE", HERE / "LICENSE")


if __name__ == "__main__":
    main()
