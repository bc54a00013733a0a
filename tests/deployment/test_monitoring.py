"""The monitoring example with a real Prometheus and a real worker host: each query and each alert gets data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import typer.main
import yaml

from distq.cli.commands import app as command_line
from distq.embedded import EmbeddedBroker
from tests.support.eventually import eventually
from tests.support.host import ROOT, Host
from tests.support.ports import free_ports

MONITORING = ROOT / "examples" / "monitoring"
DASHBOARD = MONITORING / "grafana" / "distq.json"
VARIABLES = {"$__rate_interval": "5s", "$__range": "30s"}


class Prometheus:
    """A Prometheus of the test's own, and the address of the host that it scrapes."""

    def __init__(self, port: int, host: str) -> None:
        self._port, self.host = port, host

    def ask(self, path: str, **told: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self._port}{path}?{urlencode(told)}", timeout=20) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def lacks(self, exprs: Iterable[str]) -> list[str]:
        """Those of which it knows nothing."""
        return [expr for expr in exprs if not self.ask("/api/v1/query", query=expr)["result"]]

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=20) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def settings(folder: Path, host: int) -> Path:
    """The example's own, but for where the host is, and in a hurry."""
    told = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    told["global"] = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "500ms"}
    told["rule_files"] = [str(MONITORING / name) for name in told["rule_files"]]
    del told["scrape_configs"][0]["dns_sd_configs"]
    told["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{host}"]}]
    place = folder / "prometheus.yml"
    place.write_text(yaml.safe_dump(told))
    return place


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("monitoring")
    door, port = free_ports(2)
    command = [
        "prometheus", f"--config.file={settings(folder, door)}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with EmbeddedBroker() as broker, (folder / "prometheus.log").open("wb") as log:
        options = ["-p", "2", "--metrics-port", str(door), "--broker", broker.url]
        host = Host(["run", "examples.monitoring.app:app", *options], folder / "host.log", folder / "journal")
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            found = Prometheus(port, f"http://127.0.0.1:{door}")
            host.await_ready()
            eventually(found.is_ready, "Prometheus is ready", within=60, every=0.05)
            yield found
        finally:
            process.terminate()
            process.wait(20)
            host.close()


def promtool(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *words], cwd=MONITORING, input=given, capture_output=True, text=True, timeout=60, check=False
    )


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def plain(expr: str) -> str:
    """What Grafana would ask, with everything chosen."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return re.sub(r"\$\w+", ".*", expr)


def without_thresholds(expr: str) -> str:
    """What an alert looks at, also while all is well: with the same selections and the same matching of labels."""
    expr = re.sub(r"(?:==|!=|>=|<=|>|<)\s*[\d.]+\b", "", expr.replace("unless", "and"))
    return re.sub(r"\babsent\b", "", expr).replace(":1m]", ":1s]")


def await_data(prometheus: Prometheus, exprs: Sequence[str]) -> None:
    """Until there is data for each."""
    missing = list(exprs)

    def is_whole() -> bool:
        missing[:] = prometheus.lacks(missing)
        return not missing

    try:
        eventually(is_whole, "each has data", within=40, every=0.25)
    except AssertionError:
        raise AssertionError("no data:\n" + "\n".join(missing)) from None


def test_every_query_and_every_variable_of_the_dashboard_gets_data(prometheus: Prometheus) -> None:
    queries = [plain(target["expr"]) for panel in panels() for target in panel["targets"]]
    assert len(queries) > 30
    await_data(prometheus, queries)
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
            assert found, variable
            values = partial(prometheus.ask, f"/api/v1/label/{found[2]}/values", **{"match[]": plain(found[1])})
            eventually(values, f"{variable['name']} has values", every=0.1)


def test_every_alert_looks_at_something_and_none_is_broken(prometheus: Prometheus) -> None:
    await_data(prometheus, [without_thresholds(rule["expr"]) for rule in rules()])

    def all_well() -> bool:
        groups = prometheus.ask("/api/v1/rules")["groups"]
        return all(rule["health"] == "ok" for group in groups for rule in group["rules"])

    eventually(all_well, "Prometheus has evaluated each", every=0.1)


def test_autoscalers_are_told_a_number_at_the_place_that_the_manifest_names(prometheus: Prometheus) -> None:
    (scaler,) = yaml.safe_load_all((ROOT / "examples/kubernetes/scaling.yaml").read_text())
    (trigger,) = scaler["spec"]["triggers"]
    path = trigger["metadata"]["url"].partition("8080")[2]
    with urlopen(prometheus.host + path, timeout=20) as answer:
        assert isinstance(json.load(answer)[trigger["metadata"]["valueLocation"]], int)


def test_promtool_finds_nothing_wrong_with_the_page_of_a_host(prometheus: Prometheus) -> None:
    with urlopen(f"{prometheus.host}/metrics", timeout=20) as page:
        done = promtool("check", "metrics", given=page.read().decode())
    assert done.returncode == 0, done.stdout + done.stderr


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
