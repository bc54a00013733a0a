"""Who sits at the command line, as others are told."""

from __future__ import annotations

import getpass
import os
import socket

import pytest

from distq.cli import person


def test_a_person_is_named_as_the_machine_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    monkeypatch.setattr(socket, "gethostname", lambda: "web-1")
    assert person.asks("cli") == "cli ann@web-1"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert person.asks("cli").startswith(f"cli uid-{os.getuid()}@")


def test_whatever_the_machine_says_is_one_short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann\n\x1b[31m" * 50)
    monkeypatch.setattr(socket, "gethostname", lambda: "")
    said = person.asks("purge")
    assert said.isprintable()
    assert said.endswith("@-")
    assert len(said) < 100
