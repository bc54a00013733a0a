"""Files and functions stay small enough to be read at once, and say what they are. The exceptions have a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.guards.source import MODULES, PACKAGE, ROOT, place, tracked, tree

MOST_LINES = 400
MOST_FUNCTION_LINES = 50
MOST_PARAMETERS = 10

LONG_MODULES: dict[str, str] = {}
LARGE_FUNCTIONS: dict[str, str] = {}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_large(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return lines(node) > MOST_FUNCTION_LINES or parameters(node) > MOST_PARAMETERS


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without self and cls."""
    told = node.args
    names = [arg.arg for arg in (*told.posonlyargs, *told.args, *told.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"])) + (told.vararg is not None) + (told.kwarg is not None)


def test_long_modules_have_a_reason() -> None:
    long = {place(path) for path in MODULES if len(path.read_text("utf-8").splitlines()) > MOST_LINES}
    assert long <= set(LONG_MODULES), f"longer than {MOST_LINES} lines: {sorted(long - set(LONG_MODULES))}"
    assert long == set(LONG_MODULES), f"not long any more, take it off the list: {sorted(set(LONG_MODULES) - long)}"


def test_large_functions_have_a_reason() -> None:
    large = {f"{place(path)} {node.name}" for path in MODULES for node in functions(path) if is_large(node)}
    assert large <= set(LARGE_FUNCTIONS), (
        f"more than {MOST_FUNCTION_LINES} lines or {MOST_PARAMETERS} parameters: {sorted(large - set(LARGE_FUNCTIONS))}"
    )
    assert large == set(LARGE_FUNCTIONS), f"take it off the list: {sorted(set(LARGE_FUNCTIONS) - large)}"


def test_a_python_file_says_what_it_is() -> None:
    silent = [place(path) for path in tracked() if path.suffix == ".py" and not ast.get_docstring(tree(path))]
    assert not silent, f"no docstring: {silent}"


def test_every_folder_of_the_package_is_one() -> None:
    folders = {path.parent for path in MODULES}
    assert all((folder / "__init__.py").is_file() for folder in folders)
    assert PACKAGE in folders
    assert ROOT not in folders
