"""The repository speaks of the product alone, and works on any machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.guards.source import ROOT, place, tracked

FOREIGN = re.compile(
    r"(?<![\w.\-/}])/(?:work|root|home/\w+|Users/\w+)(?![\w-])"  # a path of one machine
    r"|(?<![\w.\-}])/tmp/\w"
    r"|\bpypi\.org|pythonhosted\.org|\bartifactory\b|\bnexus\b|\bdevpi\b|(?<!-)-?-index-url\b|\bregistry\.npmjs\b"
)
ITSELF = Path(__file__)


def text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""


TEXTS = [path for path in tracked() if path != ITSELF and text_of(path)]


def test_the_guard_sees_the_repository() -> None:
    assert {ROOT / "README.md", ROOT / "pyproject.toml", ROOT / "distq" / "app.py", ROOT / "Makefile"} <= set(TEXTS)


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = [
        f"{place(path)}:{number}: {match[0]}"
        for path in TEXTS
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if (match := FOREIGN.search(line))
    ]
    assert not found, "; ".join(found)


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [
        ("cd /work/main", True),
        ("open('/root/x')", True),
        ("/tmp/socket", True),
        ("pip install --index-url x", True),
        ("https://pypi.org/simple", True),
        ("the /worker folder", False),
        ("distq/worker/root.py", False),
        ("tmp_path / 'x'", False),
    ],
)
def test_the_guard_knows_a_path_when_it_sees_one(text: str, is_foreign: bool) -> None:
    assert bool(FOREIGN.search(text)) == is_foreign
