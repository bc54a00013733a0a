"""The Dockerfile and the Compose files: whole, and as strict as production wants them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distq.durations import seconds
from tests.docs.pages import blocks
from tests.support.compose import ROOT, Missing, Service, exec_form, image, instructions, load, variables

FILES = ["docker-compose.yml", "docker-compose.prod.yml"]
each_file = pytest.mark.parametrize("name", FILES)
PAGE = ROOT / "docs" / "deployment.md"
SECRET = re.compile(r"PASSWORD|KEY|SECRET|TOKEN")


def settings() -> dict[str, str]:
    """What .env.example says, with something in place of each secret that is to be filled in."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    told = dict(line.partition("=")[::2] for line in lines if line and not line.startswith("#"))
    return {name: value or "filled-in" for name, value in told.items()}


def services(name: str) -> dict[str, Any]:
    found: dict[str, Any] = load(ROOT / name, settings())["services"]
    return found


# -- what the page says ---------------------------------------------------------------------------------------------


def commands() -> list[str]:
    return [line[2:] for block in blocks(PAGE, "console") for line in block.splitlines() if line.startswith("$ ")]


def test_files_services_and_secrets_in_the_commands_of_the_page_exist() -> None:
    said = "\n".join(commands())
    files = re.findall(r"(?:^|\s)((?:examples/|docker-compose|\.env\.)\S+)", said, re.M)
    assert len(files) >= 6
    assert all((ROOT / file).is_file() for file in files), files
    asked = "".join(path.read_text() for path in (ROOT / "examples" / "kubernetes").glob("*.yaml"))
    for key in re.findall(r"--from-\w+=([\w-]+)", said):
        assert f"key: {key}" in asked
    page = PAGE.read_text()
    used = re.findall(r"--scale (\w+)=", page) + re.findall(r"up -d worker (\w+)", page)
    assert set(used) == {"worker", "api"} <= set(services("docker-compose.prod.yml"))
    for deployment, container in re.findall(r"set image deployment/([\w-]+) (\w+)=", page):
        assert f"name: {deployment}" in asked
        assert f"- name: {container}" in asked
    for unit in re.findall(r"systemctl (?:reload|restart|enable --now) ([\w-]+)", page):
        assert (ROOT / "examples" / "systemd" / f"{unit}.service").is_file()


def test_the_first_steps_of_the_page_make_an_environment_with_which_all_is_set(tmp_path: Path) -> None:
    copied = shutil.copy(ROOT / ".env.example", tmp_path)
    steps = [command for command in commands() if command.startswith(("cp .env.example .env", "sed -i"))][:2]
    for step in steps:
        subprocess.run(["/bin/sh", "-c", step], cwd=tmp_path, check=True)
    lines = (tmp_path / ".env").read_text().splitlines()
    told = dict(line.partition("=")[::2] for line in lines if not line.startswith("#"))
    assert len(told["API_KEY"]) == 48
    assert load(ROOT / "docker-compose.yml", told)["services"]["api"]["environment"]["API_KEY"] == told["API_KEY"]
    assert Path(copied).read_text() != (tmp_path / ".env").read_text()


# -- the Dockerfile -------------------------------------------------------------------------------------------------


def test_what_the_image_is_made_from_exists_and_is_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [
        source
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in shlex.split(rest)[:-1]
    ]
    assert set(sources) == allowed
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_runs_as_nobody_special_and_signals_reach_the_supervisor() -> None:
    last = image()
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", last["USER"])
    assert exec_form(last["ENTRYPOINT"]) == ["distq"]
    assert exec_form(last["CMD"]) == ["run"]
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert exec_form(last["HEALTHCHECK"].partition(" CMD ")[2])[0] == "python"


# -- the Compose files ----------------------------------------------------------------------------------------------


def test_compose_files_are_what_the_compose_specification_allows() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", *FILES],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@each_file
def test_each_variable_is_explained_and_no_secret_is_written(name: str) -> None:
    explained = {line.partition("=")[0] for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line}
    assert variables(ROOT / name) <= explained
    for line in (ROOT / ".env.example").read_text().splitlines():
        if SECRET.search(line.partition("=")[0]) and not line.startswith("#"):
            assert line.endswith("="), line
    for service in services(name).values():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable):
                assert value == "filled-in" or value.startswith("/run/secrets/"), variable


@each_file
def test_files_that_are_mounted_exist_and_cannot_be_written(name: str) -> None:
    mounts = [mount for service in services(name).values() for mount in service.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith(".")]
    assert files
    for mount in files:
        source, _, access = mount.split(":")
        assert (ROOT / source).is_file(), source
        assert access == "ro", mount
    named = {mount.partition(":")[0] for mount in mounts} - {mount.partition(":")[0] for mount in files}
    assert named == set(load(ROOT / name, settings())["volumes"])


@each_file
def test_images_are_named_with_a_version_and_listen_on_this_machine_only(name: str) -> None:
    for service in services(name).values():
        assert service["image"] == "distq" or re.search(r":\S+$", service["image"]), service["image"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@each_file
def test_workers_have_longer_to_stop_than_their_grace(name: str) -> None:
    worker = services(name)["worker"]
    grace = seconds(worker["environment"]["DISTQ_GRACE"], "grace")
    assert seconds(worker["stop_grace_period"], "period") > grace


def test_without_an_api_key_nothing_starts_and_it_says_why() -> None:
    with pytest.raises(Missing, match=r"API_KEY: set it in \.env"):
        load(ROOT / "docker-compose.yml", settings() | {"API_KEY": ""})


def test_production_has_limits_restarts_health_checks_and_keeps_its_data() -> None:
    file = load(ROOT / "docker-compose.prod.yml", settings())
    for name, service in file["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory"}, name
        assert service["restart"] == "unless-stopped"
        assert service["cap_drop"] == ["ALL"]
        assert "healthcheck" in service or Service(file, name).check
    redis = " ".join(file["services"]["redis"]["command"])
    for option in ("--appendonly yes", "--maxmemory-policy noeviction", "requirepass"):
        assert option in redis
    assert "ports" not in file["services"]["redis"]
    assert Service(file, "worker").replicas == 3
    assert "--storage.tsdb.retention.time=30d" in file["services"]["prometheus"]["command"]


def test_what_grafana_and_prometheus_are_given_fits_together() -> None:
    monitoring = ROOT / "examples" / "monitoring"
    source = load(monitoring / "grafana" / "datasource.yml", {})["datasources"][0]
    provider = load(monitoring / "grafana" / "dashboards.yml", {})["providers"][0]
    scraped = load(monitoring / "prometheus.yml", {})["scrape_configs"][0]["dns_sd_configs"][0]
    for name in FILES:
        grafana = services(name)["grafana"]
        mounted = [mount.split(":")[1] for mount in grafana["volumes"]]
        assert any(Path(place).parent == Path(provider["options"]["path"]) for place in mounted)
        assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted
        assert source["url"] == "http://prometheus:9090"
        assert set(scraped["names"]) <= set(services(name))
        assert str(scraped["port"]) == Service({"services": services(name)}, "worker").environment["DISTQ_METRICS_PORT"]
