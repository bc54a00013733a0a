"""The dashboard's files: small, without a build, and unable to turn what comes from a task into markup or code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.guards.source import PACKAGE

FILES = sorted((PACKAGE / "server" / "dashboard").iterdir())
MOST_BYTES = 100_000
DANGERS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|\beval\b"
    r"|new Function|setTimeout\(\s*[\"'`]|javascript:|localStorage\.setItem\((?!\"distq-theme\")|https?://(?!www\.w3\.org/)"
)


def test_all_files_together_are_below_100_kb() -> None:
    assert {path.name for path in FILES} >= {"index.html", "main.js", "style.css", "icon.svg"}
    assert sum(path.stat().st_size for path in FILES) < MOST_BYTES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_becomes_markup_or_code_or_comes_from_elsewhere(path: Path) -> None:
    assert not DANGERS.findall(path.read_text("utf-8"))


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    page = (PACKAGE / "server" / "dashboard" / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page)


@pytest.mark.parametrize("text", ["x.innerHTML = y", "setTimeout('x()')", 'src="https://cdn.example/x.js"'])
def test_the_guard_knows_a_danger_when_it_sees_one(text: str) -> None:
    assert DANGERS.search(text)
