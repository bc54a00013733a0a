"""The repository as guards see it: its files and what Python's own parser says about them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "distq"
MODULES = sorted(PACKAGE.rglob("*.py"))
LUA = sorted(PACKAGE.rglob("*.lua"))


def git(*command: str) -> str:
    """Also where the files belong to somebody else, as in a container."""
    told = ["git", "-c", "safe.directory=*", *command]
    done = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@cache
def tracked() -> list[Path]:
    """What the repository holds; in a copy without git, what stands in its visible folders."""
    if not (ROOT / ".git").exists():
        found = (path for folder in ROOT.glob("[!.]*") for path in (folder, *folder.rglob("*")))
        return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)
    return [ROOT / name for name in git("ls-files", "-z").split("\0") if name and (ROOT / name).is_file()]


def place(path: Path, node: ast.AST | None = None) -> str:
    """For messages: distq/app.py:17."""
    line = f":{getattr(node, 'lineno', 0)}" if node is not None else ""
    return f"{path.relative_to(ROOT)}{line}"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def strings(path: Path) -> Iterator[ast.Constant]:
    """The strings of a file that are not docstrings."""
    texts = {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            yield node


def imports(path: Path) -> Iterator[tuple[ast.stmt, str]]:
    """(statement, module) for each import that can happen when the program runs."""
    skipped: set[int] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            skipped |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree(path)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(path, node)}: imports are written in full"
            assert node.module is not None
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}"
