"""The figures of docs/reliability.md: made from docs/reliability.json, which a run has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.host import ROOT

PAGE = ROOT / "docs" / "reliability.md"
NUMBERS = ROOT / "docs" / "reliability.json"
BEGIN, END = "<!-- made by --publish from reliability.json -->", "<!-- until here -->"


def publish(text: str) -> None:
    """Writes the numbers of a run, and the page's part about them."""
    NUMBERS.write_text(text, "utf-8")
    PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")


def renewed(page: str, numbers: Path = NUMBERS) -> str:
    """The page with the figures of the last published run."""
    head, _, rest = page.partition(BEGIN)
    [account] = json.loads(numbers.read_text("utf-8"))
    return f"{head}{BEGIN}\n\n{figures(account)}\n{END}{rest.partition(END)[2]}"


def figures(account: dict[str, Any]) -> str:
    """The account as Markdown."""
    wrong = account["wrong"]
    unfinished = sum(number for kind, number in wrong.items() if kind in ("lost", "stuck"))
    rows = [
        ("server", account["server"]),
        ("last release beside the working tree", account["last_release"]),
        ("faults", f"{sum(account['faults'].values()):,}"),
        ("calls", f"{account['called']:,}"),
        ("acknowledged", f"{account['acknowledged']:,}"),
        ("raised, of which the task was there all the same", f"{account['raised']:,}, {account['ghosts']:,}"),
        ("ended", _list(account["endings"])),
        ("lost or stuck", f"{unfinished}"),
        ("runs", f"{account['runs']:,}"),
        ("repeated runs, each with its fault", _list(account["repeated"])),
        ("overlaps, each with its fault", _list(account["overlaps"])),
        ("poison tasks", _list({f"dead after {number}": many for number, many in account["poison"].items()})),
        ("found wrong", _list(wrong)),
    ]
    lines = [
        "```console",
        f"$ {account['command']} --seed {account['seed']}",
        "```",
        "",
        "| what | number |",
        "|---|---|",
    ]
    lines += [f"| {name} | {text} |" for name, text in rows]
    found = [account["recovery_s"], *([account["alone_s"]] if "alone_s" in account else [])]  # older runs have none
    head = ["fault", "times", "longest recovery", "with no other fault meanwhile"][: 2 + len(found)]
    lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for kind, times in sorted(account["faults"].items(), key=lambda pair: -pair[1]):
        seconds = [f"{longest[kind]:.2f} s" if kind in longest else "" for longest in found]
        lines.append(f"| {kind} | {times} | {' | '.join(seconds)} |")
    return "\n".join(lines) + "\n"


def _list(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in numbers.items()) or "none"
