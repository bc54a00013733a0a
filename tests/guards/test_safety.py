"""What comes from outside is data: nothing in the package turns text or bytes into code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guards.source import MODULES, PACKAGE, imports, place, tree

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "yaml", "jsonpickle", "imp"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput"}
IMPORTS_BY_NAME = {PACKAGE / "loader.py", PACKAGE / "__init__.py"}
"""May import what a person has named on the command line; what its own table names."""
SECRET = re.compile(r"password|secret|passwd|signature_of|hmac|api_key|auth", re.I)


def dangers(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """(where, what) for all that a file must not do."""
    for statement, name in imports(path):
        if name.split(".")[0] in FORBIDDEN_MODULES:
            yield statement, f"imports {name}"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS:
                yield node, f"calls {called}()"
            if called.endswith("import_module") and path not in IMPORTS_BY_NAME:
                yield node, "imports by name"
            if any(word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords):
                yield node, "starts a shell"
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq | ast.In) for op in node.ops):
            sides = [side for side in (node.left, *node.comparators) if isinstance(side, ast.Name | ast.Attribute)]
            if any(SECRET.search(ast.unparse(side)) for side in sides):
                yield node, "compares a secret with ==, which tells its length and beginning; use hmac.compare_digest"


def test_nothing_turns_data_into_code() -> None:
    found = [f"{place(path, node)} {what}" for path in MODULES for node, what in dangers(path)]
    assert not found, "; ".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from yaml import load",
        "x = eval(y)",
        "importlib.import_module(name)",
        "subprocess.run(line, shell=True)",
        "ok = given == self.password",
    ],
)
def test_the_guard_knows_a_danger_when_it_sees_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(text + "\n")
    assert list(dangers(file))
