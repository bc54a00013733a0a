"""The pages of the documentation, and what is in them: prose, blocks of code, sections, tables, quoted names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
WITH_SNIPPETS = [page for page in [*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")] if "```python" in page.read_text()]
RECORDS = sorted(DOCS.glob("decisions/0*.md"))

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text("utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in FENCE.findall(page.read_text("utf-8")) if found == language]


def section(page: Path, heading: str) -> str:
    """What stands below a heading, up to the next one of its level."""
    text = page.read_text("utf-8").split(f"\n## {heading}\n", 1)[1]
    return text.split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables in a text, without their heads."""
    lines = re.findall(r"^\|(.*)\|$", text, re.M)
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    ruled = [index for index, line in enumerate(lines) if set(line) <= set("|- :")]
    return [row for index, row in enumerate(cells) if index not in ruled and index + 1 not in ruled]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)
