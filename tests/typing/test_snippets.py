"""What programs that use distq look like to type checkers: right uses pass, and a wrong one is an error on its line.

The files in `snippets/` are checked, never run. A line that ends with `# error` must be an error, and no other line may
be one. mypy runs with --strict, pyright (as basedpyright, which brings what it runs on) in its mode "strict".
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SNIPPETS = Path(__file__).parent / "snippets"
FILES = sorted(SNIPPETS.glob("*.py"))

Errors = dict[str, dict[int, str]]
"""Per file and line the message."""


def run(*command: str | Path) -> str:
    """As a user does: where only installed packages are found."""
    environ = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    done = subprocess.run(command, cwd=SNIPPETS, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> Errors:
    cache = tmp_path_factory.mktemp("mypy")
    options = ("--strict", "--config-file=", "--no-error-summary", "--no-pretty", "--cache-dir", str(cache))
    out = run(sys.executable, "-m", "mypy", *options, *(path.name for path in FILES))
    errors: Errors = {path.name: {} for path in FILES}
    for name, line, text in re.findall(r"^(\w+\.py):(\d+): error: (.*)$", out, re.M):
        errors[name].setdefault(int(line), text)
    return errors


@pytest.fixture(scope="module")
def pyright(tmp_path_factory: pytest.TempPathFactory) -> Errors:
    project = tmp_path_factory.mktemp("pyright") / "pyrightconfig.json"
    project.write_text(json.dumps({"include": [str(SNIPPETS)], "typeCheckingMode": "strict"}))
    checker = Path(sys.executable).parent / "basedpyright"
    out = run(checker, "--project", project, "--pythonpath", sys.executable, "--level", "error", "--outputjson")
    report = json.loads(out)
    assert report["summary"]["filesAnalyzed"] == len(FILES)
    errors: Errors = {path.name: {} for path in FILES}
    for found in report["generalDiagnostics"]:
        errors[Path(found["file"]).name].setdefault(found["range"]["start"]["line"] + 1, found["message"])
    return errors


def marked(path: Path) -> set[int]:
    lines = path.read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("  # error")}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_errors_are_where_they_should_be_and_nowhere_else(
    path: Path, checker: str, request: pytest.FixtureRequest
) -> None:
    found: dict[int, str] = request.getfixturevalue(checker)[path.name]
    wrong = {line: found[line] for line in sorted(set(found) - marked(path))}
    assert not wrong, f"{checker} does not accept what is right: {wrong}"
    missed = {line: path.read_text("utf-8").splitlines()[line - 1].strip() for line in marked(path) - set(found)}
    assert not missed, f"{checker} accepts what is wrong: {missed}"


def test_there_are_marks_in_each_file() -> None:
    assert len(FILES) >= 5
    assert all(len(marked(path)) > 5 for path in FILES)
