"""The table of the systems that are measured."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest

from benchmarks.peers.install import versions
from benchmarks.peers.systems import ALL, BY_KEY, PROGRAMS, ROOT, System

PEERS = [system for system in ALL if system.packages]
each_system = pytest.mark.parametrize("system", ALL, ids=lambda system: system.key)


def test_the_peers_that_are_wanted_are_there() -> None:
    wanted = {"celery", "dramatiq", "rq", "huey", "taskiq", "saq", "docket", "bullmq", "sidekiq"}
    assert {system.key for system in PEERS} == wanted
    assert ALL[0] is BY_KEY["distq"]


@pytest.mark.parametrize("system", PEERS, ids=lambda system: system.key)
def test_what_is_installed_is_pinned(system: System) -> None:
    pattern = {"Python": r"[\w\[\]-]+==[\d.]+", "Node": r"[\w-]+@[\d.]+", "Ruby": r"ruby-[\w-]+"}[system.language]
    assert all(re.fullmatch(pattern, package) for package in system.packages)


@each_system
def test_a_system_has_a_program_and_says_how_it_is_tuned_and_what_it_promises(system: System) -> None:
    assert list(PROGRAMS.glob(f"{system.key}.*"))
    assert system.tuning
    assert system.killed.endswith(".")


@each_system
def test_the_program_has_a_call_for_many_exactly_where_the_table_says_so(system: System) -> None:
    (path,) = PROGRAMS.glob(f"{system.key}.*")
    if path.suffix == ".py":
        names = {
            node.name
            for node in ast.parse(path.read_text("utf-8")).body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        assert {"enqueue", "value"} <= names
        assert ("bulk" in names) == (system.bulk is not None)
        assert ("ready" in names) == (system.producers == "coroutines")


@each_system
def test_workers_are_as_many_processes_as_are_asked_for(system: System) -> None:
    for processes in (1, 4):
        commands = system.workers(processes, None)
        assert len(commands) == processes or str(processes) in commands[0]


def test_mypy_leaves_out_only_programs_of_peers() -> None:
    excluded = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["exclude"]
    for path in sorted(PROGRAMS.glob("*.py")):
        is_peer = path.stem in {system.key for system in PEERS}
        assert any(re.search(pattern, str(path.relative_to(ROOT))) for pattern in excluded) == is_peer


def test_versions_are_those_of_the_table_and_of_what_runs_them() -> None:
    found = versions(BY_KEY["celery"])
    assert found["celery"] == "5.7.0"
    assert re.match(r"3\.\d+", found["Python"])
    assert "distq" in versions(BY_KEY["distq"])
