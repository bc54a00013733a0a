"""Runs the Python snippets of docs/ against an embedded broker and a worker host, so that the text stays true.

    python docs/check.py [page.md ...]

A page's snippets that begin with `# myapp.py` are put together as one file, and so are those that begin with the name
of another file. `distq run` serves what the page's first `$ distq run` names, or myapp:app. The others run in order, in
one namespace that has all names of the served module. A line that ends in `# → value` is an expression with that repr;
`# → !Error` means that it raises this error. A snippet after `<!-- not run -->` is left alone.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import tempfile
import time
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from pathlib import Path
from typing import Any

from distq import Distq
from distq.embedded import EmbeddedBroker

HERE = Path(__file__).parent
BLOCK = re.compile(r"^(<!-- not run -->\n+)?```python\n(.*?)^```$", re.M | re.S)
CLAIM = re.compile(r"^(?!\s*#)(.+?)\s+# → (.+)$")
FILE = re.compile(r"# ([\w/]+\.py)\n")
TARGET = re.compile(r"^\$ distq run ([\w.]+:\w+)", re.M)


def check(page: Path) -> list[str]:
    """What is not true on a page."""
    text = page.read_text("utf-8")
    files: dict[str, str] = {}
    calls = []
    for skipped, code in BLOCK.findall(text):
        named = FILE.match(code)
        if skipped:
            continue
        if named is None:
            calls.append(code)
        else:
            files[named[1]] = files.get(named[1], "") + code
    served = TARGET.search(text)
    target = served[1] if served else "myapp:app"
    module = target.partition(":")[0]
    if module == "myapp":
        files.setdefault("myapp.py", "from distq import Distq\n\napp = Distq('shop')\n")
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        os.environ["DISTQ_BROKER"] = broker.url
        for path, code in files.items():
            Path(folder, path).parent.mkdir(exist_ok=True)
            Path(folder, path).write_text(code, "utf-8")
        command = [sys.executable, "-m", "distq", "run", target, "-p", "2", "--metrics-port", "0"]
        with Path(folder, "log").open("wb") as log:
            worker = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log)
        assert worker.stdout is not None
        if not worker.stdout.readline():
            return [f"the worker does not start: {Path(folder, 'log').read_text()}"]
        try:
            return _run(page, folder, module, calls)
        finally:
            worker.terminate()
            worker.communicate()


def _run(page: Path, folder: str, module: str, calls: list[str]) -> list[str]:
    names: dict[str, Any] = {"__name__": "snippet"}
    sys.path.insert(0, folder)
    before = set(sys.modules)
    home = Path.cwd()
    os.chdir(folder)
    wrong = []
    with asyncio.Runner() as runner:
        try:
            _execute(f"from {module} import *", names, runner)
            _await_schedules([found for found in names.values() if isinstance(found, Distq)])
            for code in calls:
                wrong += [f"{page.name}: {problem}" for problem in _snippet(code, names, runner)]
        finally:
            os.chdir(home)
            sys.path.remove(folder)
            for name in set(sys.modules) - before:
                if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
                    del sys.modules[name]
    return wrong


def _await_schedules(apps: list[Distq]) -> None:
    """A host says that it has started, and makes the schedules of its code known a moment later."""
    give_up = time.monotonic() + 20
    for app in apps:
        declared = {name for found in app.schedules.declared(app.queues).values() for name in found}
        while declared and not declared <= {schedule.name for schedule in app.schedules.list()}:
            if time.monotonic() > give_up:
                raise RuntimeError(f"the schedules of the code are not known: {declared}")
            time.sleep(0.01)


def _snippet(code: str, names: dict[str, Any], runner: asyncio.Runner) -> list[str]:
    """Runs one snippet, up to each claim in turn."""
    wrong, pending = [], ""
    for line in code.splitlines(keepends=True):
        claim = CLAIM.match(line)
        if claim is None:
            pending += line
            continue
        expression, expected = claim.groups()
        try:
            _execute(pending, names, runner)
            said = repr(_execute(expression, names, runner, "eval"))
        except Exception as error:
            said = f"!{type(error).__name__}"
            if said != expected:
                said += f": {error}"
        pending = ""
        if said != expected:
            wrong.append(f"{expression}\n    is {said}\n    not {expected}")
    try:
        _execute(pending, names, runner)
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {error} in\n{pending}")
    return wrong


def _execute(code: str, names: dict[str, Any], runner: asyncio.Runner, mode: str = "exec") -> Any:
    """Runs code, in which `await` is allowed at the top."""
    compiled = compile(code, "<snippet>", mode, flags=PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(compiled, names)  # noqa: S307 (our own pages)
    return runner.run(value) if inspect.iscoroutine(value) else value


def main(pages: list[str]) -> int:
    """Checks the given pages, or all; 1 if something is not true."""
    chosen = [Path(page).resolve() for page in pages] or sorted([*HERE.glob("*.md"), *HERE.glob("guide/*.md")])
    wrong = [problem for page in chosen if "```python" in page.read_text("utf-8") for problem in check(page)]
    print("\n".join(wrong) or f"{len(chosen)} pages: all snippets do what they say")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
