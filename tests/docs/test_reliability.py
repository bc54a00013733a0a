"""docs/reliability.md says what the last published run of `make chaos` has found."""

from __future__ import annotations

import json
import re

from tests.chaos.page import NUMBERS, PAGE, renewed
from tests.docs.pages import ROOT


def test_the_figures_are_those_of_the_run() -> None:
    page = PAGE.read_text("utf-8")
    assert renewed(page) == page


def test_the_run_was_clean() -> None:
    [account] = json.loads(NUMBERS.read_text("utf-8"))
    assert account["wrong"] == {}


def test_the_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE.read_text("utf-8"))
    assert len(named) > 20
    for file, test in named:
        assert not test or f"def {test}(" in (ROOT / file).read_text("utf-8"), f"{file} has no {test}"
