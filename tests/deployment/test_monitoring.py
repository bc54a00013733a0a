"""The monitoring example: its files fit together, and Prometheus's own tool accepts them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import typer.main
import yaml

from distq.cli.commands import app as command_line
from tests.support.host import ROOT

MONITORING = ROOT / "examples" / "monitoring"
DASHBOARD = MONITORING / "grafana" / "distq.json"


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False)


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_promtool_accepts_configuration_and_rules_and_the_rules_do_what_their_tests_say() -> None:
    for words in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        done = promtool(*words)
        assert done.returncode == 0, done.stdout + done.stderr


def known(words: list[str]) -> bool:
    """Whether the command line has such a command."""
    command: Any = typer.main.get_command(command_line)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    return not hasattr(command, "commands")


def test_each_alert_has_a_test_a_severity_and_says_what_to_do() -> None:
    tested = (MONITORING / "alerts_test.yml").read_text()
    for rule in rules():
        assert rule["alert"] in tested
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description"}
        for command in re.findall(r"`(distq [^`]*)`", rule["annotations"]["description"]):
            assert known(command.split()[1:]), command


def test_the_dashboard_is_made_from_the_list_of_its_panels() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.monitoring.dashboard", "--check"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_panels_do_not_overlap_and_each_says_what_it_shows() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        box = panel["gridPos"]
        cells = {(x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])}
        assert not cells & taken, panel["title"]
        assert box["x"] + box["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith(".")
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
