"""Compose files and the Dockerfile as Docker reads them, and services run as they are written, without containers."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:-|:\?)(?P<text>[^}]*))?\})")


class Missing(Exception):
    """A variable that a file requires is not set."""


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """With the values of `${NAME}`, `${NAME:-default}`, `${NAME:?why}`, and `$` for `$$`."""

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if set_to := environ.get(found["name"], ""):
            return set_to
        if found["how"] == ":?":
            raise Missing(f"{found['name']}: {found['text']}")
        return found["text"] or ""

    return _VARIABLE.sub(value, text)


def variables(path: Path) -> set[str]:
    """Those that a file asks for."""
    content = yaml.safe_load(path.read_text("utf-8"))
    named = {found["name"] for found in _VARIABLE.finditer(json.dumps(content)) if found["name"]}
    return named | {secret["environment"] for secret in content.get("secrets", {}).values()}


def load(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """A Compose file with this environment."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(item) for item in node]
        return interpolated(node, environ) if isinstance(node, str) else node

    found: dict[str, Any] = walk(yaml.safe_load(path.read_text("utf-8")))
    return found


def instructions(path: Path = ROOT / "Dockerfile") -> Iterator[tuple[str, str]]:
    """(word, rest) of a Dockerfile."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()


def image() -> dict[str, str]:
    """The last stage of the Dockerfile: the last of each instruction."""
    found: dict[str, str] = {}
    for word, rest in instructions():
        found = {} if word == "FROM" else found | {word: rest}
    return found


def exec_form(text: str) -> list[str]:
    """The words of a command that no shell reads. Raises ValueError for one that a shell does."""
    command = json.loads(text)
    assert isinstance(command, list)
    return [str(word) for word in command]


class Service:
    """One service of a file: what runs, with which environment, and what says whether it is well."""

    def __init__(self, file: Mapping[str, Any], name: str) -> None:
        self.options: dict[str, Any] = file["services"][name]
        is_ours = "distq" in self.options["image"]
        ours = image() if is_ours else {}
        told = dict(word.partition("=")[::2] for word in shlex.split(ours.get("ENV", "")))
        self.environment: dict[str, str] = {**told, **self.options.get("environment", {})}
        begins = {"distq": exec_form(ours["ENTRYPOINT"])} if is_ours else {"prom/prometheus": ["prometheus"]}
        self.command = [*begins.get(self.options["image"].partition(":")[0], []), *self.options["command"]]
        self.check: list[str]
        if "healthcheck" in self.options:
            how, *words = self.options["healthcheck"]["test"]
            self.check = words if how == "CMD" else ["/bin/sh", "-c", *words]
        else:
            self.check = exec_form(ours["HEALTHCHECK"].partition(" CMD ")[2])

    @property
    def replicas(self) -> int:
        """How many there are."""
        return int(self.options.get("deploy", {}).get("replicas", 1))


class Running:
    """A service that runs here. `here` says what stands on this machine for each place or address that is written."""

    def __init__(self, service: Service, here: Mapping[str, str], environ: Mapping[str, str], folder: Path, log: Path):
        self._here = here
        told = {name: self._placed(value) for name, value in service.environment.items() if name != "PATH"}
        self._environ, self._folder = {**told, **environ}, folder
        self._check = [self._placed(word) for word in service.check]
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [self._placed(word) for word in service.command], cwd=folder, env=self._environ,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def _placed(self, text: str) -> str:
        for written, real in self._here.items():
            text = text.replace(written, real)
        return text

    def is_well(self) -> bool:
        """What its health check says."""
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log()}"
        return self.checks()

    def checks(self) -> bool:
        """Whether the command of the health check succeeds."""
        done = subprocess.run(
            self._check, cwd=self._folder, env=self._environ, capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0

    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text(errors="replace")

    def stop(self, number: signal.Signals) -> int:
        """What `docker stop` does; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        """Ends it by force, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


def program(place: Path, real: str, before: Sequence[str] = (), after: Sequence[str] = ()) -> None:
    """A program for a PATH: the real one, with arguments that it would not need in a container."""
    place.write_text(f'#!/bin/sh\n{shlex.join(["exec", real, *before])} "$@" {shlex.join(after)}\n')
    place.chmod(0o755)
