"""The report that is made of a run's document, and its charts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks.chart import bars
from benchmarks.numbers import Spread
from benchmarks.peers import systems, table
from benchmarks.peers.metrics import ALL, BY_KEY
from benchmarks.peers.report import charts, markdown, write

SVG = "{http://www.w3.org/2000/svg}"


def system(key: str, **numbers: list[float]) -> dict[str, Any]:
    known = systems.BY_KEY[key]
    return {
        "key": key,
        "name": known.name,
        "language": known.language,
        "is_python_peer": known.is_python_peer,
        "versions": {known.name: "1.2.3"},
        "tuning": known.tuning,
        "killed": known.killed,
        "stores_results": known.stores_results,
        "producers": known.producers,
        "bulk": known.bulk,
        "sizes": {"enqueue": 1, "enqueue_10": 1, "bulk": 1, "drain": 1},
        "numbers": numbers,
    }


@pytest.fixture
def document() -> dict[str, Any]:
    return {
        "date": "2026-01-02",
        "machine": {
            "processor": "A Processor",
            "cores": 2,
            "memory_mib": 24_000,
            "system": "Linux 6.1",
            "python": "3.11.7",
            "server": "valkey-server 9.1.2",
            "loop_ms": [100.0, 110.0, 105.0],
            "load": [0.1, 1.9, 2.0, 2.1],
        },
        "scale": {"seconds": 2.0, "stamps": 150, "idle_s": 5.0, "settle_s": 2.0},
        "bare": {"name": "bare loop", "numbers": {"drain_2": [100_000.0, 120_000.0, 110_000.0]}},
        "systems": [
            system("distq", drain_2=[90_000.0, 99_000.0, 80_000.0], latency_p99=[1.0, 1.1, 0.9], idle=[0.0, 0.0, 0.0]),
            system("rq", drain_2=[400.0, 500.0, 450.0], latency_p99=[3.0, 3.0, 3.0], idle=[9.0, 9.0, 9.0]),
            system("dramatiq", drain_2=[6000.0, 5000.0, 7000.0], latency_p99=[400.0, 300.0, 500.0], idle=[31.0] * 3),
            system(
                "sidekiq", drain_2=[15_000.0, 15_500.0, 14_500.0], latency_p99=[2.0, 2.0, 2.0], bulk=[100_000.0] * 3
            ),
        ],
        "skipped": [{"name": "BullMQ", "why": "there is no node on this machine"}],
        "problems": [{"system": "rq", "workload": "drain-4", "why": "it stopped at 3 of 100 tasks"}],
    }


def section(page: str, heading: str) -> str:
    return page.split(f" {heading}\n", 1)[1].split("\n#", 1)[0]


def line(text: str, name: str) -> list[str]:
    (found,) = [row for row in text.splitlines() if re.match(rf"\| \**{re.escape(name)}\**(,[^|]*)? \|", row)]
    return [cell.strip(" *") for cell in found.strip("|").split("|")]


def test_a_table_of_a_figure_has_medians_spreads_and_both_ratios(document: dict[str, Any]) -> None:
    text = section(markdown(document, []), "Draining, two processes")
    assert line(text, "distq") == ["distq", "90,000", "80,000 – 99,000", "15 ×", "6.0 ×"]
    assert line(text, "Sidekiq") == ["Sidekiq", "15,000", "14,500 – 15,500", "2.5 ×", "1.0 ×"]
    assert line(text, "bare loop") == ["bare loop", "110,000", "100,000 – 120,000", "18 ×", "7.3 ×"]
    assert "to Dramatiq, the best Python peer" in text


def test_the_best_comes_first_also_where_less_is_better(document: dict[str, Any]) -> None:
    assert [row.name for row in table.rows(document, BY_KEY["drain_2"])] == ["distq", "Sidekiq", "Dramatiq", "RQ"]
    assert [row.name for row in table.rows(document, BY_KEY["latency_p99"])] == ["distq", "Sidekiq", "RQ", "Dramatiq"]
    assert "to RQ, the best Python peer" in section(markdown(document, []), "From call to start, 99 %")


def test_distq_is_no_peer_of_its_own_and_sidekiq_none_in_python(document: dict[str, Any]) -> None:
    for metric in ALL:
        peer = table.best_python_peer(table.rows(document, metric))
        assert peer is None or peer.name in ("RQ", "Dramatiq")


def test_the_comparison_stands_beside_the_bare_loop_the_best_python_peer_and_sidekiq(document: dict[str, Any]) -> None:
    text = section(markdown(document, []), "distq beside the fastest Python peer, and Sidekiq")
    assert line(text, "Draining, two processes") == [
        "Draining, two processes, tasks/s", "90,000", "0.82 ×", "6,000 (Dramatiq)", "15 ×", "15,000", "6.0 ×",
    ]  # fmt: skip
    assert line(text, "Commands of idle workers")[4:] == ["0.00 ×", "–", "–"]
    assert "bulk" not in text, "distq has no such figure in this run"


def test_every_system_says_what_becomes_of_a_killed_worker_s_task(document: dict[str, Any]) -> None:
    text = section(markdown(document, []), "What each system promises")
    for entry in document["systems"]:
        cells = line(text, entry["name"])
        assert cells[1] == f"{entry['name']} 1.2.3"
        assert cells[4].strip("*") in entry["killed"] or entry["killed"].strip("*") in cells[4]
    assert line(text, "Sidekiq")[3] == "none"
    assert line(text, "RQ")[3] == "yes"


def test_what_is_missing_is_named_with_its_reason(document: dict[str, Any]) -> None:
    text = section(markdown(document, []), "What is missing")
    assert "- BullMQ: there is no node on this machine" in text
    assert "- rq, drain-4, in one round: it stopped at 3 of 100 tasks" in text


def test_the_machine_and_how_quiet_it_was_are_told(document: dict[str, Any]) -> None:
    text = section(markdown(document, []), "The machine")
    for told in (
        "A Processor, 2 cores",
        "Python 3.11.7, valkey-server 9.1.2",
        "105 ms (100 to 110)",
        "0.1, 1.9, 2.0, 2.1",
    ):
        assert told in text


def test_a_report_without_sidekiq_or_any_peer_can_be_written(document: dict[str, Any], tmp_path: Path) -> None:
    document["systems"] = document["systems"][:1]
    write(document, tmp_path)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert line(section(text, "Draining, two processes"), "distq")[3:] == ["–", "–"]


def test_all_links_of_a_report_lead_somewhere_and_the_document_is_beside_it(
    document: dict[str, Any], tmp_path: Path
) -> None:
    write(document, tmp_path)
    text = (tmp_path / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert {"drain.svg", "latency.svg", "idle.svg", "bulk.svg", "peers.json"} <= set(links)
    headings = [
        re.sub(r"[^\w -]", "", found.lower()).replace(" ", "-") for found in re.findall(r"^#+ (.*)$", text, re.M)
    ]
    for link in links:
        assert link[1:] in headings if link.startswith("#") else (tmp_path / link).exists(), link
    assert json.loads((tmp_path / "peers.json").read_text("utf-8")) == document


def test_the_same_document_makes_the_same_report(document: dict[str, Any]) -> None:
    assert charts(document) == charts(document)
    assert markdown(document, ["drain.svg"]) == markdown(json.loads(json.dumps(document)), ["drain.svg"])


def test_bars_are_as_long_as_their_values_and_begin_at_nought() -> None:
    lines = [("a & b", Spread(100.0, 80.0, 120.0), "ours"), ("c", Spread(25.0, 25.0, 25.0), "bar")]
    picture = ElementTree.fromstring(bars("Less < more", "x", lines))
    first, second = picture.findall(f"{SVG}rect")
    assert first.get("x") == second.get("x")
    assert float(str(first.get("width"))) == pytest.approx(4 * float(str(second.get("width"))), rel=0.01)
    texts = ["".join(text.itertext()) for text in picture.findall(f"{SVG}text")]
    assert texts == ["Less < more", "x", "a & b", "100", "c", "25.0"]


def test_no_bar_and_no_number_leaves_the_picture() -> None:
    lines = [("a", Spread(1.0, 1.0, 400_000.0), "ours"), ("b", Spread(399_000.0, 398_000.0, 400_000.0), "bar")]
    picture = ElementTree.fromstring(bars("A title", "x", lines))
    width = float(str(picture.get("width")))
    for bar in picture.findall(f"{SVG}rect"):
        assert float(str(bar.get("x"))) + float(str(bar.get("width"))) <= width
    for text in picture.findall(f"{SVG}text"):
        if text.get("text-anchor") != "end":
            assert float(str(text.get("x"))) + 8 * len("".join(text.itertext())) <= width


def test_a_chart_where_all_values_are_nought_can_be_drawn() -> None:
    ElementTree.fromstring(bars("Nothing", "x", [("a", Spread(0.0, 0.0, 0.0), "ours")]))


def test_the_charts_have_colours_for_dark_pages_and_nothing_from_elsewhere(document: dict[str, Any]) -> None:
    for text in charts(document).values():
        assert "prefers-color-scheme: dark" in text
        assert re.findall(r"https?://[^\"' ]+", text) == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize("less", [False, True])
def test_the_tables_in_the_terminal_fit_into_80_columns(document: dict[str, Any], less: bool) -> None:
    for entry in [*document["systems"], document["bare"]]:
        entry["numbers"] = {metric.key: [345_678.0] for metric in ALL}
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(table.terminal(document, less))
        text = console.export_text()
    assert "…" not in text
    assert text.count("346,000") == 5 * sum(metric.less == less for metric in ALL)
