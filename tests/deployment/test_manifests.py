"""The Kubernetes manifests and the systemd units: whole, and their numbers fit together."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from distq.cli.commands import app as command_line
from distq.cli.values import size
from distq.durations import seconds
from distq.supervisor.metrics import HEALTH
from tests.support.compose import ROOT, exec_form, image

KUBERNETES = sorted((ROOT / "examples" / "kubernetes").glob("*.yaml"))
SYSTEMD = sorted((ROOT / "examples" / "systemd").glob("*.service"))
REQUIRED = {
    "apps/v1 Deployment": ("selector", "template"),
    "v1 Service": ("selector", "ports"),
    "policy/v1 PodDisruptionBudget": ("selector", "maxUnavailable"),
    "keda.sh/v1alpha1 ScaledObject": ("scaleTargetRef", "triggers"),
}


def parsed(words: list[str]) -> Mapping[str, Any]:
    """The options of a command of distq, as it reads them. Fails for one that it does not know."""
    command: Any = typer.main.get_command(command_line)
    return dict(command.commands[words[0]].make_context(words[0], words[1:], resilient_parsing=True).params)


# -- Kubernetes -----------------------------------------------------------------------------------------------------


def objects() -> list[dict[str, Any]]:
    return [found for path in KUBERNETES for found in yaml.safe_load_all(path.read_text("utf-8"))]


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found["spec"] for found in objects() if found["kind"] == kind}


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(pod, container) of each deployment."""
    for deployment in named("Deployment").values():
        pod = deployment["template"]["spec"]
        assert len(pod["containers"]) == 1
        yield pod, pod["containers"][0]


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def test_each_object_is_of_a_known_kind_and_has_what_that_needs() -> None:
    kinds = [f"{found['apiVersion']} {found['kind']}" for found in objects()]
    assert set(kinds) == set(REQUIRED)
    for found, kind in zip(objects(), kinds, strict=True):
        assert found["metadata"]["name"]
        assert set(REQUIRED[kind]) <= set(found["spec"]), kind


def test_services_budgets_and_scalers_mean_deployments_that_are_there() -> None:
    labels = {name: spec["template"]["metadata"]["labels"] for name, spec in named("Deployment").items()}
    for name, spec in named("Deployment").items():
        assert spec["selector"]["matchLabels"].items() <= labels[name].items()
    for name, spec in named("Service").items():
        assert spec["selector"].items() <= labels[name].items()
        ports = {port["name"] for _, box in containers() for port in box["ports"] if box["name"] in name}
        assert {port["targetPort"] for port in spec["ports"]} <= ports
    for spec in named("PodDisruptionBudget").values():
        assert spec["selector"]["matchLabels"] in labels.values()
    for spec in named("ScaledObject").values():
        target = spec["scaleTargetRef"]["name"]
        assert "replicas" not in named("Deployment")[target], "applying it would undo what the scaler did"
        url = re.match(r"http://([\w-]+):(\d+)/scale", spec["triggers"][0]["metadata"]["url"])
        assert url
        assert named("Service")[url[1]]["ports"][0]["port"] == int(url[2])


def test_pods_have_longer_to_end_than_their_grace_and_memory_for_a_process_on_each_core() -> None:
    worker = named("Deployment")["distq-worker"]["template"]["spec"]
    told = environment(worker["containers"][0])
    assert worker["terminationGracePeriodSeconds"] > seconds(told["DISTQ_GRACE"], "grace")
    limits = worker["containers"][0]["resources"]["limits"]
    most = size(told["DISTQ_MAX_MEMORY_PER_CHILD"], "most")
    assert int(limits["cpu"]) * most + (100 << 20) < size(limits["memory"].removesuffix("i"), "memory")


def test_pods_are_probed_where_they_answer_and_may_do_nothing_but_their_work() -> None:
    for pod, container in containers():
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert set(container["resources"]) == {"requests", "limits"}
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert {str(port) for port in ports.values()} <= set(image()["EXPOSE"].split())
        assert {"livenessProbe", "readinessProbe"} <= set(container)
        for name, probe in container.items():
            if name.endswith("Probe"):
                assert probe["httpGet"]["path"] in HEALTH
                assert probe["httpGet"]["port"] in ports
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_what_containers_run_is_what_the_image_knows_and_secrets_come_from_one_place() -> None:
    read = "".join(path.read_text() for path in (ROOT / "distq").rglob("*.py"))
    for _, container in containers():
        assert exec_form(image()["ENTRYPOINT"]) == ["distq"]
        parsed(container["args"])
        for variable in container["env"]:
            assert variable["name"] in read
            if "PASSWORD" in variable["name"]:
                assert variable["valueFrom"]["secretKeyRef"]["name"] == "distq"
            elif "value" in variable:
                assert isinstance(variable["value"], str), f"{variable['name']}: Kubernetes takes text only"


# -- systemd --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SYSTEMD, ids=lambda path: path.name)
def test_a_unit_starts_a_command_that_exists_and_waits_for_its_end(path: Path) -> None:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text("utf-8"))
    assert unit.sections() == ["Unit", "Service", "Install"]
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program.endswith("/.venv/bin/distq")
    told = parsed(words)
    if words[0] == "run":
        assert service["Type"] == "notify-reload"
        assert service["KillMode"] == "mixed"
        assert int(service["TimeoutStopSec"]) > seconds(told["grace"], "grace")
        assert int(service["WatchdogSec"]) > 0
    assert service["Restart"] == "always"
    assert "Environment" not in service, "a password would be shown by systemctl"


def test_there_is_a_unit_for_each_part() -> None:
    assert [path.name for path in SYSTEMD] == ["distq-server.service", "distq-worker.service"]
