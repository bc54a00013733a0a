"""Makes the environment of a system below `.bench/`, once: a virtual environment, a Node folder, a Debian package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.systems import HOME, System

LIMIT_S = 600.0


class Unavailable(Exception):
    """A system cannot be measured here; says why."""


def install(system: System) -> None:
    """Makes what is missing. Raises Unavailable."""
    if not system.packages:
        return
    if system.language == "Ruby":
        _debian(system)
        return
    folder = HOME / system.key
    ready, told = folder / ".ready", "\n".join(system.packages)
    if ready.exists() and ready.read_text("utf-8") == told:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if system.language == "Node":
        _need("node", "npm")
        (folder / "package.json").write_text('{"private": true}\n', "utf-8")
        _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *system.packages], folder)
    else:
        _run([sys.executable, "-m", "venv", str(folder)], folder)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *system.packages], folder)
    ready.write_text(told, "utf-8")


def versions(system: System) -> dict[str, str]:
    """What is measured: the packages that are pinned, and what runs them."""
    if not system.packages:
        from distq import __version__  # noqa: PLC0415 (only this process has it)

        return {"distq": __version__, "Python": sys.version.split()[0]}
    if system.language == "Ruby":
        found = {
            name: _said(["dpkg-query", "-W", "-f", "${Version}", name]) for name in (*system.packages, "ruby-redis")
        }
        return found | {"Ruby": _said(["ruby", "-e", "print RUBY_VERSION"])}
    if system.language == "Node":
        pinned = [package.rpartition("@") for package in system.packages]
        return {name: version for name, _, version in pinned} | {"Node": _said(["node", "--version"]).lstrip("v")}
    parts = [package.partition("==") for package in system.packages]
    return {name.partition("[")[0]: version for name, _, version in parts} | {"Python": sys.version.split()[0]}


def _debian(system: System) -> None:
    if shutil.which("sidekiq") and shutil.which("ruby"):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise Unavailable(f"needs Debian's package {system.packages[0]}: apt-get install {system.packages[0]}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update", "-qq"], Path.cwd(), quiet)
    _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *system.packages], Path.cwd(), quiet)
    _need("ruby", "sidekiq")


def _need(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            raise Unavailable(f"there is no {program} on this machine")


def _run(command: list[str], folder: Path, environ: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{Path(command[0]).name}: {error}") from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise Unavailable(f"{Path(command[0]).name} ended with code {done.returncode}: {' '.join(last)}")


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()
