"""The commands that the documentation shows are run as they stand there, and say what it says that they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from distq.embedded import EmbeddedBroker
from tests.docs.pages import DOCS, ROOT, blocks, name
from tests.support.eventually import eventually
from tests.support.host import READY, Host
from tests.support.ports import free_port

SESSIONS = [DOCS / "guide" / "cli.md", DOCS / "guide" / "getting-started.md"]
README = ROOT / "README.md"

CHANGING = [
    (r"\b[0-9a-f]{20}\b", r"[0-9a-f]{20}"),
    (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"),
    (r"\b\d{13}\b", r"\d{13}"),
    (r"\b\d+s ago\b", r"\d+[sm] ago"),
    (r"\b\w+://\S+", r"\S+"),
    (r"\b\w+/myapp\.py:\d+", r"\w+/myapp\.py:\d+"),
]
"""What differs from run to run, and what stands for it."""
READING = re.compile(r"distq (queues|result|tasks show|dlq list|audit|.*--dry-run)")
NOT_HERE = re.compile(r"(distq (dev|run|server)|export|pip|python) ?")


def dialogue(page: Path) -> Iterator[tuple[str, str]]:
    """(command, what it says) of all console blocks of a page."""
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, said = part.partition("\n")
            yield command, said


def pattern(said: str) -> re.Pattern[str]:
    """A text in which what changes may be another; runs of spaces may be of other lengths, as columns are."""
    changing = "|".join(found for found, _ in CHANGING)
    pieces = re.split(f"({changing})", said.strip())
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            pieces[index] = re.sub(r"(?:\\ )+", r" +", re.escape(piece))
        else:
            pieces[index] = next(f"({instead})" for found, instead in CHANGING if re.fullmatch(found, piece))
    return re.compile("".join(pieces))


def shell(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


def environment(url: str) -> dict[str, str]:
    """That of somebody who has distq installed and works with this broker."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("DISTQ_", "REDIS_", "COLUMNS"))}
    return clean | {"DISTQ_BROKER": url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def myapp(page: Path) -> str:
    return "".join(code for code in blocks(page, "python") if code.startswith("# myapp.py"))


@pytest.mark.parametrize("page", SESSIONS, ids=name)
def test_the_commands_of_a_page_say_what_it_shows(page: Path, tmp_path: Path) -> None:
    (tmp_path / "myapp.py").write_text(myapp(page))
    with EmbeddedBroker() as broker:
        settings = environment(broker.url)
        host = Host(
            ["run", "myapp:app", "-p", "2", "--metrics-port", "0", "--broker", broker.url],
            tmp_path / "log", tmp_path / "journal", tmp_path,
        )  # fmt: skip
        try:
            host.await_ready()
            ids: dict[str, str] = {}
            for command, said in dialogue(page):
                if not NOT_HERE.match(command):
                    answer_to(command, said, ids, tmp_path, settings)
        finally:
            host.tracebacks_allowed = True  # of the task that fails there
            host.close()


def answer_to(command: str, said: str, ids: dict[str, str], folder: Path, settings: Mapping[str, str]) -> None:
    """Runs one command; what only reads is run again until what was asked for before is done."""
    for shown, real in ids.items():
        command = command.replace(shown, real)
    expected, answers = pattern(said), [""]

    def is_so() -> re.Match[str] | None:
        answers.append(shell(command, folder, settings))
        return expected.fullmatch(answers[-1].strip())

    try:
        found = eventually(is_so, command, within=20) if READING.match(command) else is_so()
    except AssertionError:
        found = None
    assert found, f"$ {command}\n{answers[-1]}\nThe page says:\n{said}"
    itself = expected.fullmatch(said.strip())
    assert itself, f"what the page says does not fit itself: {said}"
    for there, here in zip(itself.groups(), found.groups(), strict=True):
        if re.fullmatch(CHANGING[0][0], there):
            ids[there] = here


def test_the_first_screen_of_the_readme_works_in_an_empty_folder(tmp_path: Path) -> None:
    """The file has eight lines. Only ports differ, since 6379 and 8080 may be taken here."""
    folder = tmp_path / "empty"
    folder.mkdir()
    code = myapp(README)
    assert len(code.splitlines()) == 8
    (folder / "myapp.py").write_text(code)
    told = dict(dialogue(README))
    start, call = [command for command in told if command.startswith(("distq dev", "python -c"))]
    port = free_port()
    settings = environment(f"redis://127.0.0.1:{port}/0")
    words = [*start.split()[1:], "--ephemeral", "--no-reload", "--port", str(port), "--metrics-port", "0"]
    dev = Host(words, tmp_path / "log", tmp_path / "journal", folder)
    try:
        dev.await_ready()
        assert READY in told[start]
        assert f"redis://127.0.0.1:{port}/0" in dev.log()
        assert shell(call, folder, settings) == told[call] != ""
        enqueue = re.search(r"`(distq enqueue [^`]*)`", README.read_text())
        assert enqueue
        assert shell(enqueue[1], folder, settings).strip() == f'"{told[call].strip()}"'
        assert dev.terminate() == 0
    finally:
        dev.close()


def test_the_demos_output_in_the_readme_has_the_claims_of_the_demo() -> None:
    source = (ROOT / "examples" / "shop" / "demo" / "claims.py").read_text()
    titles = [re.split(r"  +", line)[0] for line in re.findall(r"^✓ (.*)$", README.read_text(), re.M)]
    assert len(titles) == source.count("Claim(\n") + source.count("return Claim(") - source.count("return Claim(\n")
    for title in titles:
        assert f'"{re.sub("of 20 per", "of {rate.count:g} per", title)}"' in source, title


def test_the_tests_of_the_guide_pass(tmp_path: Path) -> None:
    page = DOCS / "guide" / "testing.md"
    (tmp_path / "myapp.py").write_text(myapp(page))
    for code in blocks(page, "python"):
        if code.startswith(("# conftest.py", "# test_tasks.py")):
            (tmp_path / code.split()[1]).write_text(code)
    done = shell("python -m pytest -q -p no:cacheprovider", tmp_path, environment(""))
    said = dict(dialogue(page))["pytest -q"]
    assert done.splitlines()[0] == said.splitlines()[0], done
    assert done.splitlines()[-1].split(" in ")[0] == said.splitlines()[-1].split(" in ")[0], done
