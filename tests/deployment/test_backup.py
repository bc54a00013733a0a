"""A snapshot is taken and restored as the page says; what distq does with older data is what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from distq.embedded import EmbeddedBroker, find_server
from distq.errors import UnknownTask
from tests.docs.pages import FENCE, ROOT, section
from tests.support.apps.calling import about_me, add, app, hold
from tests.support.compose import program
from tests.support.debian import place_of
from tests.support.eventually import eventually
from tests.support.host import Host
from tests.support.journal import Journal
from tests.support.ports import free_port


class Shell:
    """The page's commands, with a server at a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        (folder / "bin").mkdir()
        program(folder / "bin" / "redis-cli", place_of("redis-cli"), before=["-p", str(self.port)])
        program(folder / "bin" / "redis-server", find_server(), after=["--port", str(self.port), "--bind", "127.0.0.1"])

    def __call__(self, command: str) -> str:
        environ = os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=self.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout

    def follow(self, block: str) -> None:
        """Runs a block of the page until each command says what stands there."""
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, said = part.partition("\n")
            eventually(partial(self._says, command, said.strip()), command, every=0.05)

    def _says(self, command: str, said: str) -> bool:
        return said in self(command)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell("redis-cli shutdown nosave")  # of what a command of the page has started


def host(broker: EmbeddedBroker, folder: Path) -> Host:
    options = ["-p", "1", "--metrics-port", "0", "--lease", "1s", "--broker", broker.url]
    log = folder / f"host-{len(list(folder.glob('host-*')))}"
    app.rebind(broker.url)
    return Host(["run", "tests.support.apps.calling:app", *options], log, folder / "journal").await_ready()


def test_after_a_restore_it_is_as_if_the_time_since_the_snapshot_had_not_been(shell: Shell, tmp_path: Path) -> None:
    blocks = [code for kind, code in FENCE.findall(section(ROOT / "docs/deployment.md", "Backup and restore"))]
    assert len(blocks) == 2
    journal, gate = Journal(tmp_path / "journal"), tmp_path / "gate"
    with EmbeddedBroker(tmp_path / "data", port=shell.port) as broker:
        shell("redis-cli config set repl-diskless-sync-delay 0")  # by default it waits 5 s for other replicas
        first = host(broker, tmp_path)
        ended = about_me.delay()
        runs = hold.delay(str(gate), "held")
        waits = add.delay(5, 6)
        eventually(lambda: journal.lines("START"), "it runs")
        fence = ended.get(timeout=20)["fence"]
        shell.follow(blocks[0])
        gate.touch()
        assert (runs.get(timeout=20), waits.get(timeout=20)) == ("held", 11)
        later = add.delay(1, 2)
        assert later.get(timeout=20) == 3
        assert first.terminate() == 0

    shell.follow(blocks[1])
    eventually(lambda: "refused" in shell("redis-cli ping"), "the server has ended")
    with EmbeddedBroker(tmp_path / "restored", port=shell.port) as broker:
        app.rebind(broker.url)
        assert (ended.status(), runs.status(), waits.status()) == ("completed", "running", "queued")
        second = host(broker, tmp_path)
        assert (runs.get(timeout=20), waits.get(timeout=20)) == ("held", 11)
        assert len(journal.lines("START")) == 2
        with pytest.raises(UnknownTask):
            later.get(timeout=5)
        assert about_me.delay().get(timeout=20)["fence"] > fence
        audit = f"{sys.executable} -m distq audit --name app --broker redis://127.0.0.1:{shell.port}/0"
        assert "in balance, and everything is in its place" in shell(audit)
        assert second.terminate() == 0
        first.close()
        second.close()
