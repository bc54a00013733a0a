"""The scripts of a process are those of its release."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from distq.broker import scripts


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of scripts of a release that has not been used yet."""
    folder = shutil.copytree(scripts._LUA, tmp_path / "lua")
    caches = (scripts.files, scripts.script, scripts.each)
    with monkeypatch.context() as patch:
        patch.setattr(scripts, "_LUA", folder)
        for cached in caches:
            cached.cache_clear()
        yield folder
    for cached in caches:
        cached.cache_clear()


def test_a_process_keeps_the_scripts_of_its_release_when_an_upgrade_takes_the_files_away(release: Path) -> None:
    known = {name: scripts.script(name).sha for name in ("settle", "recover")}
    scripts.script.cache_clear()
    scripts.script("step")
    shutil.rmtree(release)
    assert {name: scripts.script(name).sha for name in known} == known
    assert scripts.each("tick").text
