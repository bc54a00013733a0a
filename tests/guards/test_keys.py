"""Keys are spelled in one module, so that one look shows all of them (distq/broker/keys.py)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from distq.broker.keys import QUEUE_KEYS
from tests.guards.source import LUA, MODULES, PACKAGE, place, strings, tree

NAMES = {name.rstrip(":") for name in QUEUE_KEYS.values()}
ANY_NAME = "|".join(sorted(NAMES, key=len, reverse=True))
UNMISTAKABLE = re.compile(r"distq:[\w{]|\}:|_queue:\S|:\w+_queue\b")
"""Only a key says this."""
APPENDED = re.compile(rf":?({ANY_NAME})(:|$)")
"""Says a key when it is put behind something."""
OTHERS = [path for path in MODULES if path != PACKAGE / "broker" / "keys.py"]


def spelled(path: Path) -> Iterator[ast.AST]:
    """Where a file spells a key, or the part of one."""
    for node in strings(path):
        if UNMISTAKABLE.search(str(node.value)):
            yield node
    for outer in ast.walk(tree(path)):
        for part in put_behind_something(outer):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and APPENDED.match(part.value):
                yield part


def put_behind_something(node: ast.AST) -> list[ast.expr]:
    """Of an f-string what comes after a value, of a sum its right side."""
    if isinstance(node, ast.JoinedStr):
        pairs = zip(node.values, node.values[1:], strict=False)
        return [part for before, part in pairs if isinstance(before, ast.FormattedValue)]
    return [node.right] if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) else []


def test_no_other_module_spells_a_key() -> None:
    found = [place(path, node) for path in OTHERS for node in spelled(path)]
    assert not found, f"a key is spelled outside of keys.py: {found}"


def test_the_guard_knows_a_key_when_it_sees_one(tmp_path: Path) -> None:
    wrong = ['"distq:{a/b}:tasks"', 'f"{prefix}tasks"', 'prefix + "answer:" + id', 'f"{p}:wake"', '"x:delayed_queue"']
    right = ['"tasks"', 'f"{number} tasks"', 'f"queue: {name}"', '"result" + id', 'f"{number} results"']
    for number, text in enumerate([*wrong, *right]):
        file = tmp_path / f"{number}.py"
        file.write_text(f"x = {text}\n")
        assert bool(list(spelled(file))) == (text in wrong), text


@pytest.mark.parametrize("path", LUA, ids=place)
def test_scripts_use_the_names_of_keys_only(path: Path) -> None:
    code = re.sub(r"--.*", "", path.read_text("utf-8"))
    may_build = path.stem == "each"  # it hands one prefix after the other to a script
    assert may_build or not re.search(r"\bKEYS\b", code), "a script builds a key of its own"
    written = re.findall(r"redis\.call\(\s*'(\w+)'\s*,\s*('[^']*'|\"[^\"]*\")", code)
    assert not written, f"a key is written as text: {written}"
    texts = set(re.findall(r"'([^']*)'", code))
    assert not (found := {text for text in texts if UNMISTAKABLE.search(text)}), f"a key is written as text: {found}"
    assert not re.findall(rf"\.\.\s*'({ANY_NAME})(?::)?'", code), "a key is put together from text"


def test_each_key_is_used() -> None:
    words = {word for path in [*LUA, *OTHERS] for word in re.findall(r"\w+", path.read_text("utf-8"))}
    assert not (idle := set(QUEUE_KEYS) - words), f"declared in keys.py, but nothing uses it: {idle}"
