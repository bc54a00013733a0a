"""What the documentation says is so: links lead somewhere, names exist, snippets and commands do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

import distq
from distq.broker import keys
from distq.broker.scripts import all_scripts, script
from distq.cli.commands import app as command_line
from distq.message import parse
from tests.docs.pages import DOCS, PAGES, RECORDS, ROOT, WITH_SNIPPETS, blocks, name, prose, quoted, rows, section
from tests.support.room import Room

each_page = pytest.mark.parametrize("page", PAGES, ids=name)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip


# -- pages that are made or run -------------------------------------------------------------------------------------


def test_the_picture_of_the_states_is_made_from_their_table() -> None:
    done = run("docs/state_machine.py", "--check")
    assert done.returncode == 0, done.stderr


def test_the_vectors_for_other_languages_are_made_from_the_code() -> None:
    done = run("docs/vectors.py", "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", WITH_SNIPPETS, ids=name)
def test_snippets_do_what_they_say(page: Path) -> None:
    done = run("docs/check.py", str(page))
    assert done.returncode == 0, done.stdout + done.stderr


# -- links and names ------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), f"{target} leads to nothing"
        assert not anchor or anchor in anchors(found), f"{target}: {name(found)} has no such heading"


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    for path in quoted(prose(page)):
        if re.match(r"(distq|docs|tests|examples)/[\w./*-]+$", path):
            assert list(ROOT.glob(path.rstrip("/"))), f"there is no {path}"


@each_page
def test_commands_of_the_makefile_that_are_named_exist(page: Path) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    for target in re.findall(r"(?:`|\$ |^ +)make (\w+)", page.read_text("utf-8"), re.M):
        assert target in targets


@each_page
def test_no_page_names_a_path_of_somebodys_machine(page: Path) -> None:
    assert not re.findall(r"/(?:home|work|root|tmp|Users|opt)/\S*", page.read_text("utf-8"))


def test_the_changelog_has_the_version() -> None:
    newest = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest
    assert newest[1] == distq.__version__


# -- architecture ---------------------------------------------------------------------------------------------------


def test_the_architecture_is_one_page() -> None:
    assert len((DOCS / "architecture.md").read_text().splitlines()) <= 80


def test_every_noun_of_the_architecture_is_a_file() -> None:
    nouns = rows(section(DOCS / "architecture.md", "The nouns"))
    assert len(nouns) > 10
    for noun, _, files in nouns:
        assert quoted(files), f"{noun} has no file"
        for file in quoted(files):
            assert list((ROOT / "distq").glob(file.rstrip("/"))), f"{noun}: there is no distq/{file}"


def test_the_floors_of_the_architecture_are_those_that_are_checked() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    checked = [{part.strip().removeprefix("distq.") for part in re.split("[:|]", line)} for line in contract["layers"]]
    told = [
        {word.rstrip("/") for word in quoted(row[1])} for row in rows(section(DOCS / "architecture.md", "Six floors"))
    ]
    assert [floor - {"redis"} for floor in told] == checked


# -- the command line -----------------------------------------------------------------------------------------------


@cache
def commands() -> Mapping[str, Any]:
    """Every command by its words: `dlq list` and so on."""

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        yield " ".join(words), command
        for word, inner in getattr(command, "commands", {}).items():
            yield from below(inner, (*words, word))

    return dict(below(typer.main.get_command(command_line), ()))


def options(command: Any) -> set[str]:
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return {option for option in known if option.startswith("-")} | {"--help", "-h"}


def variables() -> set[str]:
    """Every DISTQ_ variable that the package reads."""
    return set(re.findall(r"\bDISTQ_[A-Z_]+\b", "".join(file.read_text() for file in (ROOT / "distq").rglob("*.py"))))


def command_of(line: str) -> tuple[Any, str]:
    """The command that a line of a shell calls, and the rest of the line."""
    words = line.split()
    for length in (2, 1):
        if " ".join(words[:length]) in commands():
            return commands()[" ".join(words[:length])], " ".join(words[length:])
    raise AssertionError(f"there is no command for: distq {line}")


@each_page
def test_commands_have_the_options_that_a_page_gives_them(page: Path) -> None:
    text = page.read_text("utf-8")
    for line in re.findall(r"(?:\$ |`|^ {4})distq ((?!\.)[a-z][^`\n]*)", text, re.M):
        command, rest = command_of(line)
        for option in re.findall(r"(?<![\w'\"-])--?[a-zA-Z][\w-]*", re.sub(r"'[^']*'|\"[^\"]*\"", "", rest)):
            assert option in options(command), f"distq {line}: there is no {option}"


@pytest.mark.parametrize("page", [DOCS / "guide" / "cli.md", DOCS / "guide" / "workers.md"], ids=name)
def test_options_and_variables_that_are_named_exist(page: Path) -> None:
    known = set().union(*(options(command) for command in commands().values()))
    ours = "\n".join([prose(page), *blocks(page, ""), *blocks(page, "ini")])
    named = {option for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", ours) if option != "--no-raw"}
    assert named
    assert named <= known
    assert set(re.findall(r"\bDISTQ_[A-Z_]+\b", page.read_text())) <= variables()


def test_every_command_is_in_the_guide() -> None:
    guide = (DOCS / "guide" / "cli.md").read_text()
    for words, command in commands().items():
        if words and not getattr(command, "commands", None):
            last = words.split()[-1]
            assert f"distq {words}" in guide or (words.startswith("dlq ") and last in guide), words


def test_every_option_of_a_worker_host_is_in_the_guide_with_its_variable() -> None:
    table = section(DOCS / "guide" / "workers.md", "Options")
    told = {option for row in rows(table) for cell in quoted(row[0]) for option in re.findall(r"-[\w-]+", cell)}
    assert told == options(commands()["run"]) - {"--help", "-h"}
    for parameter in commands()["run"].params:
        assert not parameter.envvar or not getattr(parameter, "show_envvar", True) or f"`{parameter.envvar}`" in table


# -- the protocol ---------------------------------------------------------------------------------------------------


def test_the_protocol_has_exactly_the_keys_of_the_code() -> None:
    known = set(keys.QUEUE_KEYS.values())
    told = set()
    for row in rows(section(DOCS / "protocol.md", "Keys")):
        for key in quoted(row[0]):
            place = key.partition("<")[0]
            told.add(place if place in known else f"{place.partition(':')[0]}:")
    assert told == known


def test_the_protocol_has_every_script() -> None:
    told = re.findall(r"^- \*\*`(\w+)`\*\*", section(DOCS / "protocol.md", "Scripts"), re.M)
    assert sorted(told) == sorted(verb.name for verb in all_scripts())


def test_the_protocol_is_enough_to_enqueue_from_another_language(room: Room) -> None:
    """Its examples, sent as they stand there, with nothing of distq but the script's text."""
    calls = re.findall(r"^> EVALSHA \w+ 1 (\S+) (.*)$", (DOCS / "protocol.md").read_text(), re.M)
    assert len(calls) == 2
    room.prefix = calls[0][0]
    for prefix, rest in calls:
        arguments = [
            word[1:-1].encode().decode("unicode_escape").encode("latin-1") if word.startswith('"') else word.encode()
            for word in re.findall(r'"[^"]*"|\S+', rest)
        ]
        assert room.redis.eval(script("enqueue").text, 1, prefix, *arguments) == [b"created"]
        id = arguments[3].decode()
        message = room.redis.hget(room.key("TASKS"), id)
        assert message[16:] == arguments[4]
        assert parse(message).type == "add"
    assert room.where("order-17") == "scheduled"
    room.redis.delete("distq:queues")


def test_the_protocol_names_the_enqueue_script_of_this_release() -> None:
    """It changes with each edit of the script or its parts: then paste the new one."""
    told = set(re.findall(r"\b[0-9a-f]{40}\b", (DOCS / "protocol.md").read_text()))
    assert told == {script("enqueue").sha}


def test_the_bytes_of_a_message_in_the_protocol_are_those_of_its_example() -> None:
    block = next(code for code in blocks(DOCS / "protocol.md", "") if code.startswith("00 00 02 58"))
    sent = bytes.fromhex("".join(re.findall(r"^((?:[0-9a-f]{2} ?)+)", block, re.M)))
    message = parse(b"\0" * 16 + sent)
    assert (len(sent), message.type, message.result_ttl_s, message.body) == (18, "add", 600, b"\x91\x92\x01\x02")


# -- decisions ------------------------------------------------------------------------------------------------------


def test_the_index_of_decisions_has_each_record_once() -> None:
    index = (DOCS / "decisions" / "README.md").read_text()
    assert re.findall(r"\((0\d{3}[\w-]*\.md)\)", index) == [record.name for record in RECORDS]


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    assert numbers == [f"{number:04}" for number in range(1, len(RECORDS) + 1)]
    assert all(record.read_text().startswith(f"# {record.name[:4]} ") for record in RECORDS)


def test_decisions_that_the_code_names_exist() -> None:
    sources = [*(ROOT / "distq").rglob("*.py"), *(ROOT / "distq").rglob("*.lua"), *(ROOT / "benchmarks").rglob("*.py")]
    named = re.findall(r"docs/decisions/(\d{4})", "".join(source.read_text() for source in sources))
    assert named
    assert set(named) <= {record.name[:4] for record in RECORDS}


@pytest.mark.parametrize("record", RECORDS, ids=name)
def test_tests_that_a_decision_names_exist(record: Path) -> None:
    existing = "".join(file.read_text() for file in (ROOT / "tests").rglob("*.py"))
    for sentence in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", record.read_text()):
        if sentence.count("_") >= 3:
            assert f"def test_{sentence}(" in existing, sentence
