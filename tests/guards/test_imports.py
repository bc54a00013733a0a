"""Who imports whom, and what `import distq` costs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

from tests.guards.source import MODULES, PACKAGE, imports, module_name, place

NAMES = {module_name(path) for path in MODULES}


def own_module(name: str) -> str | None:
    """The module of distq that `import name` or `from … import …` means, if it is one."""
    while name:
        if name in NAMES:
            return name
        name = name.rpartition(".")[0]
    return None


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of modules, or nothing."""
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        for other in sorted(graph.get(module, ())):
            found = visit(other)
            if found:
                return found
        done.add(path.pop())
        return []

    return next((found for module in sorted(graph) if (found := visit(module))), [])


def test_a_circle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c", "d"}, "d": {"b"}, "c": set()}) == ["b", "d", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_modules_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        found = {own_module(name) for _, name in imports(path)}
        graph[module_name(path)] = {name for name in found if name is not None} - {module_name(path)}
    assert len(graph["distq.app"]) > 5, "the guard sees no imports"
    assert not (circle := cycle(graph)), f"modules import each other in a circle: {' -> '.join(circle)}"


def test_only_the_broker_floor_imports_redis() -> None:
    found = {
        path: place(path, statement)
        for path in MODULES
        for statement, name in imports(path)
        if name.split(".")[0] in ("redis", "hiredis")
    }
    outside = [where for path, where in found.items() if PACKAGE / "broker" not in path.parents]
    assert found, "the guard sees no imports"
    assert not outside, f"redis is imported outside of distq/broker/: {', '.join(outside)}"


# -- import distq -----------------------------------------------------------------------------------------------------

THIRD_PARTY = {"distq", "hiredis", "msgpack"}
BASIS = ("contextvars", "dataclasses", "datetime", "heapq", "logging", "pathlib", "random", "struct", "urllib.parse")
STANDARD = {
    "array", "decimal", "difflib", "importlib", "numbers", "platform", "select", "selectors", "socket", "sysconfig",
    "typing", "uuid", "zlib",
}  # fmt: skip
"""What distq needs of the standard library beyond its basis and what that loads."""
INSTALLATION = {"cython_runtime", "sitecustomize", "usercustomize"}
"""Loaded by the interpreter or inside of the others."""
MOST_S = 0.1
"""Processor time in user mode that `import distq` may take beyond `import redis`."""


def test_importing_distq_loads_nothing_heavy() -> None:
    code = (
        f"import sys, json, {', '.join(BASIS)}\n"
        "before = set(sys.modules)\n"
        "import distq\n"
        "top = lambda names: sorted({name.split('.')[0] for name in names})\n"
        "mine = [name for name in top(sys.modules) if name not in sys.stdlib_module_names]\n"
        "print(json.dumps([mine, top(set(sys.modules) - before)]))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded, more = json.loads(out)
    public = {name for name in loaded if not name.startswith("_")} - INSTALLATION
    assert public == THIRD_PARTY, f"import distq loads {sorted(public - THIRD_PARTY)}"
    heavy = {name for name in more if name in sys.stdlib_module_names and not name.startswith("_")} - STANDARD
    assert not heavy, f"import distq loads more of the standard library than it did: {sorted(heavy)}"


def user_seconds(code: str) -> float:
    """Processor time of a fresh interpreter: the same on a busy machine, unlike time on the wall."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, code
    return usage.ru_utime


def test_importing_distq_costs_less_than_a_tenth_of_a_second_more_than_importing_redis() -> None:
    user_seconds("import distq")  # writes the byte code, if that is not there yet
    pairs = [(user_seconds("import redis"), user_seconds("import distq")) for _ in range(7)]
    redis_s, distq_s = (statistics.median(times) for times in zip(*pairs, strict=True))
    assert redis_s > 0
    assert distq_s - redis_s < MOST_S, f"import redis {redis_s:.3f} s, import distq {distq_s:.3f} s"
