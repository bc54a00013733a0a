"""Whatever the dashboard offers is done in a real browser, by a real worker, and asked of the broker afterwards."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.server.conftest import ADMIN, Shop
from tests.support.eventually import eventually
from tests.support.tab import NEEDS_BROWSER, Tab

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def signed_in(chromium: Browser, shop: Shop) -> Iterator[Tab]:
    tab = Tab(chromium, shop.web)
    tab.sign_in(ADMIN)
    yield tab
    tab.close()


@pytest.fixture
def tab(signed_in: Tab, shop: Shop) -> Iterator[Tab]:
    """The tab of somebody who may do everything, and nothing is left of the test before."""
    yield signed_in
    shop.clear()
    signed_in.leave()


def test_one_task_is_run_now_or_cancelled_wherever_it_is(tab: Tab, shop: Shop, tmp_path: Path) -> None:
    due, unwanted = shop.later("add", 20, 22), shop.later("add", 1)
    tab.open(f"task/{due}")
    tab.is_in_state("scheduled")
    tab.press("Run now")
    tab.is_in_state("completed")
    assert shop.web.get(f"/api/v1/results/{due}").json["result"] == 42
    tab.open(f"task/{unwanted}")
    tab.press("Cancel")
    tab.is_in_state("cancelled")
    tab.is_told("by API key boss")

    shop.web.post("/api/v1/pauses", {"type": "add", "reason": "they count"})
    waiting = shop.web.task("add", 1)
    tab.open(f"task/{waiting}")
    tab.is_told("Why is it not running?")
    tab.is_told(re.compile("paused.*they count"))
    tab.press("Cancel")
    tab.is_in_state("cancelled")

    for stubborn, how in ((False, "running"), (True, "kill")):
        running = shop.web.task("hold", str(tmp_path / "never"), stubborn)
        tab.open(f"task/{running}")
        tab.is_in_state("running")
        tab.is_told("1 of 4 (25 %)")
        tab.press("Cancel")
        tab.answer("Cancel it", how=how)
        tab.is_in_state("cancelled")
        assert shop.state(running) == "cancelled"
    assert [shop.state(id) for id in (unwanted, waiting)] == ["cancelled"] * 2


def test_a_dead_task_is_retried_as_it_was_or_with_edits_or_deleted(tab: Tab, shop: Shop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    same, other, unwanted = shop.dead("fail", "odd", str(gate)), shop.dead("fail", "odd"), shop.dead("fail", "odd")
    gate.touch()
    tab.open(f"task/{same}")
    tab.is_told("it has no attempts left")
    tab.press("Retry")
    tab.is_in_state("completed")
    tab.is_told('"mended"')

    tab.open(f"task/{other}")
    tab.press("Retry with edits")
    problem = tab.box.get_by_role("alert")
    tab.answer("Retry", args='["odd", ')
    expect(problem).to_contain_text("The first field is no JSON")
    tab.answer("Retry", args='["odd"]', kwargs='{"no": 1}')
    expect(problem).to_contain_text("no")
    tab.forgive("400")
    assert shop.state(other) == "dead"
    tab.answer("Retry", args='["odd"]', kwargs=f'{{"gate": "{gate}"}}')
    tab.is_in_state("completed")
    assert shop.web.get(f"/api/v1/results/{other}").json["result"] == "mended"

    tab.open(f"task/{unwanted}")
    tab.press("Delete")
    tab.answer("Delete")
    tab.page.wait_for_url("**/#/dead")
    assert shop.state(unwanted) == "unknown"


def test_dead_letters_of_a_search_and_of_a_group_are_replayed_and_deleted(tab: Tab, shop: Shop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    odd = [shop.web.task("fail", f"odd {number}", str(gate)) for number in range(12)]
    other = [shop.web.task("fail", "other", kind="LookupError") for _ in range(2)]
    for id in (*odd, *other):
        shop.await_state(id, "dead")

    tab.open("tasks?q=state:dead error:odd since:1h")
    tab.is_told("12 tasks shown")
    tab.press("Replay all")
    tab.is_told("Replay 12 dead letters?")
    tab.answer("Replay", rate="1/h")  # the first one dies again at once
    tab.is_told("12 tasks will run again.")
    eventually(lambda: len(shop.web.get("/api/v1/tasks?state=scheduled").json["tasks"]) == 11, "they come in turn")
    eventually(lambda: len(shop.web.get("/api/v1/dead").json["dead"]) == 3, "the first one has died again")
    gate.touch()
    assert shop.web.post("/api/v1/tasks/reschedule", {"filter": "type:fail", "delay": 0}).json["number"] == 11
    for id in odd[:-1]:
        eventually(lambda id=id: shop.state(id) in ("completed", "dead"), "it has ended")  # type: ignore[misc]

    tab.open("dead")
    for id in (shop.web.task("fail", f"odd {number}") for number in range(10)):
        shop.await_state(id, "dead")
    tab.press("Refresh")
    tab.press("Replay", row="LookupError")
    tab.is_told("Replay 2 dead letters?")
    tab.box.get_by_role("button", name="Cancel").click()
    tab.press("Delete", row="ValueError")
    tab.is_told("Delete 11 dead letters for good?")
    expect(tab.box.get_by_role("button", name="Delete")).to_be_disabled()
    tab.answer("Delete", typed="11")
    tab.is_told("11 dead letters deleted.")
    expect(tab.page.get_by_role("row", name="ValueError")).to_have_count(0)
    assert {one["id"] for one in shop.web.get("/api/v1/dead").json["dead"]} == set(other)
    tab.press("Delete all")
    tab.answer("Delete", typed="2")
    tab.is_told("No dead letters")
    assert shop.web.get("/api/v1/dead").json["dead"] == []


def test_what_is_selected_is_replayed_deleted_or_cancelled(tab: Tab, shop: Shop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    kept, retried, deleted = (shop.dead("fail", f"odd {number}", str(gate)) for number in range(3))
    gate.touch()
    waits = shop.later("add", 1)

    def choose(*ids: str) -> None:
        for id in ids:
            tab.page.get_by_label(f"Select {id}").check()

    tab.open("tasks?q=since:1h")
    choose(retried)
    tab.is_told("1 task selected")
    tab.press("Replay 1")
    tab.answer("Replay")
    tab.is_told("1 task will run again.")
    shop.await_state(retried, "completed")
    tab.press("Clear")
    choose(deleted, waits)
    tab.is_told("2 tasks selected")
    tab.press("Delete 1")
    tab.answer("Delete", typed="1")
    tab.is_told("1 dead letter deleted.")
    tab.press("Cancel 1")
    tab.answer("Cancel them")
    tab.is_told("1 of 1 task cancelled")
    assert [shop.state(id) for id in (kept, deleted, waits)] == ["dead", "unknown", "cancelled"]
    tab.page.get_by_label("Select all").check()
    tab.press("Clear")
    expect(tab.page.get_by_text(re.compile("tasks? selected"))).to_have_count(0)


def test_very_many_are_counted_searched_and_cancelled_in_parts_and_the_page_says_how_far_it_is(
    tab: Tab, shop: Shop
) -> None:
    for calls in ([[number] for number in range(10_000)], [[-1]] * 1_000):
        shop.web.post("/api/v1/tasks/bulk", {"type": "add", "calls": calls, "delay": 3600})
    wanted = shop.later("add", 10_000)
    tab.open("tasks?q=state:scheduled args.a:10000")
    for looked in range(2, 12, 2):
        tab.is_told(f"0 tasks shown, {looked},000 looked at; there are more.")
        tab.press("Show more")
    tab.is_told("1 task shown, 11,001 looked at.")
    expect(tab.page.get_by_label(f"Select {wanted}")).to_be_visible()

    tab.open("tasks?q=state:scheduled type:add")
    tab.press("Cancel all")
    tab.is_told(re.compile(r"Cancel 10,\d+ or more waiting tasks"))
    asked: list[str] = []

    def note(route: Route) -> None:
        """The second request is sent when the page has said how far the first one has come."""
        if asked:
            tab.is_told(re.compile(r"^10,\d+ so far …"))
        asked.append(route.request.url)
        route.continue_()

    tab.page.route("**/tasks/cancel", note)
    label = tab.box.get_by_text("to confirm").inner_text()
    tab.answer("Cancel them", typed=label.split()[1])
    tab.is_told("11,001 tasks cancelled.")
    tab.page.unroute("**/tasks/cancel")
    assert len(asked) == 2
    assert shop.web.get("/api/v1/tasks?state=scheduled").json["tasks"] == []


def test_queues_types_and_keys_are_paused_and_limits_changed(tab: Tab, shop: Shop) -> None:
    tab.open("queues")
    tab.press("Pause a type or key")
    tab.answer("Pause", type="turn", key="acme", queue="default", reason="they pay late")
    tab.is_told("they pay late")
    held, free = shop.web.task("turn", "acme"), shop.web.task("turn", "other")
    shop.await_state(free, "completed")
    assert shop.state(held) == "queued"
    tab.press("Resume", row="key acme of type turn")
    tab.is_told("Nothing is paused")
    shop.await_state(held, "completed")

    tab.press("Pause", row="mail 0")
    tab.is_told("paused: what runs goes on")
    ids = [shop.web.post("/api/v1/tasks", {"type": "fail", "args": ["odd"], "priority": p}).json["id"] for p in (2, 0)]
    tab.press("Purge", row="mail paused")
    tab.answer("Purge", place="low", typed="mail")
    tab.is_told("1 task cancelled.")
    assert [shop.state(id) for id in ids] == ["queued", "cancelled"]
    tab.press("Resume", row="mail paused")
    shop.await_state(ids[0], "dead")

    tab.press("Set a limit")
    tab.answer("Set", type="limited", rate="fast")
    expect(tab.box.get_by_role("alert")).to_contain_text("fast")
    tab.forgive("400")
    tab.page.keyboard.press("Escape")
    tab.press("Change", row="limited")
    tab.answer("Set", rate="1/h", most="1")
    tab.is_told("1/h, 1 at once")
    first, second = shop.web.task("limited", 1), shop.web.task("limited", 2)
    shop.await_state(first, "completed")
    tab.open(f"task/{second}")
    tab.is_told(re.compile("1/h"))
    tab.open("queues")
    tab.press("Clear", row="API key boss")
    expect(tab.page.get_by_role("row", name="limited")).to_contain_text("the same")
    shop.await_state(second, "completed")


def test_schedules_are_triggered_paused_edited_reset_made_and_deleted(tab: Tab, shop: Shop) -> None:
    def told(name: str = "hourly") -> Any:
        return shop.web.get(f"/api/v1/schedules/{name}").json

    tab.open("schedules/hourly")
    ticks = tab.page.locator(".ticks li > time")
    expect(ticks).to_have_count(5)
    shown = ticks.evaluate_all("all => all.map(one => Date.parse(one.dateTime))")
    assert shown == tab.page.evaluate("all => all.map(one => Date.parse(one))", told()["next"])
    tab.press("Pause")
    tab.is_told("None while it is paused.")
    assert told()["state"] == "paused"
    tab.press("Resume")
    expect(ticks).to_have_count(5)
    tab.press("Edit")
    tab.answer("Save")
    expect(tab.box.get_by_role("alert")).to_have_text("Nothing is changed.")
    tab.answer("Save", when="every day")
    expect(tab.box.get_by_role("alert")).to_contain_text("every day")
    tab.forgive("400")
    tab.answer("Save", when="0 7 * * *", overlap="skip")
    tab.is_told("edited")
    assert [(one["when"], one["overlap"], one["tz"]) for one in [told()]] == [("0 7 * * *", "skip", "Europe/Berlin")]
    assert {at[11:16] for at in told()["next"]} == {"07:00"}
    tab.press("Reset")
    expect(tab.page.get_by_text("edited")).to_have_count(0)
    tab.press("Trigger")
    said = tab.page.get_by_text(re.compile(r"^Task \S+ was enqueued")).first.inner_text()
    shop.await_state(said.split()[1], "completed")

    tab.open("schedules")
    tab.press("New schedule")
    tab.answer("Make it", name="often", type="add", when="@every 1s", kwargs='{"a": 7}')
    expect(tab.page.get_by_role("heading", name="often")).to_be_visible()
    eventually(lambda: told("often")["history"], "it has ticked")
    tab.page.keyboard.press("r")
    expect(tab.page.get_by_role("table", name="Last ticks").get_by_text("fired").first).to_be_visible()
    tab.page.get_by_role("table", name="Last ticks").get_by_role("link").first.click()
    tab.is_in_state("completed")
    tab.is_told("by schedule")
    tab.page.get_by_role("link", name="often").click()
    tab.press("Delete")
    tab.answer("Delete")
    tab.page.wait_for_url("**/#/schedules")
    assert told("often")["status"] == 404


def test_a_host_is_quieted_resumed_restarted_and_stopped(tab: Tab, shop: Shop) -> None:
    tab.open("workers")
    first = shop.host.children
    tab.press("Quiet")
    tab.is_told("It takes no more tasks.")
    tab.is_told("No processes: it is quiet")
    id = shop.web.task("add", 1)
    tab.press("Resume")
    shop.await_state(id, "completed")
    tab.press("Restart")
    eventually(lambda: set(shop.host.children).isdisjoint(first), "all its processes are new ones")
    other = shop.work().await_ready()
    card = tab.page.locator(".card.host").filter(has_text=f"pid {other.supervisor}")
    card.get_by_role("button", name="Stop").click()
    tab.answer("Stop it")
    assert other.wait() == 0
    expect(card).to_have_count(0)


def test_any_type_is_enqueued_by_a_form_and_watched(tab: Tab, shop: Shop, tmp_path: Path) -> None:
    tab.open("enqueue/order")
    form = tab.page.locator(".card.call")
    for told in ("Its second paragraph.", "int", "float · default 9.5", '"small"', "default false", "a JSON list"):
        expect(form).to_contain_text(told)

    def fill(**fields: str) -> None:
        for name, value in fields.items():
            tab.page.locator(f"[name={name}]").fill(value)

    tab.press("Enqueue")
    expect(form.get_by_role("alert")).to_have_text("number is needed.")
    fill(item="pen", number="2x")
    tab.press("Enqueue")
    expect(form.get_by_role("alert")).to_contain_text("“2x” is no number")
    fill(number="2", tags='["red"]', more='{"to": "Zoë"}')
    form.get_by_label("size").select_option("large")
    form.get_by_label("gift").select_option("yes")
    form.get_by_text("Options of this call").click()
    form.get_by_label("Priority").select_option("high")
    fill(delay="1h", id="pens")
    tab.press("Enqueue")
    tab.is_in_state("scheduled")
    facts = shop.web.get("/api/v1/tasks/pens").json
    assert (facts["type"], facts["priority"], facts["due_at_ms"] > facts["enqueued_at_ms"]) == ("order", "high", True)
    tab.press("Run now")
    tab.is_in_state("completed")
    result = shop.web.get("/api/v1/results/pens").json["result"]
    assert result == ["pen", 2, 9.5, "large", True, [], ["red"], {"to": "Zoë"}]
    tab.open("enqueue/order")
    fill(item="pen", number="3", price="1e1", notes='["a", "b"]', tags='["blue"]')
    tab.press("Enqueue")
    expect(form.get_by_role("alert")).to_contain_text("give those before it, too")
    form.get_by_label("size").select_option("small")
    form.get_by_label("gift").select_option("no")
    tab.press("Enqueue")
    tab.is_in_state("completed")
    tab.is_told('"b"')
    (made,) = shop.web.get("/api/v1/tasks?state=completed&type=order&args=number:3").json["tasks"]
    result = shop.web.get(f"/api/v1/results/{made['id']}").json["result"]
    assert result == ["pen", 3, 10.0, "small", False, ["a", "b"], ["blue"], {}]

    gate = tmp_path / "gate"
    tab.open("enqueue/hold")
    fill(gate=str(gate))
    tab.press("Enqueue")
    tab.is_told("1 of 4 (25 %) · holds")
    gate.touch()
    tab.is_in_state("completed")
    tab.is_told('"held"')


def test_what_is_edited_copied_or_typed_is_exactly_what_was_called(tab: Tab, shop: Shop, tmp_path: Path) -> None:
    large = 2**53 + 1  # is no number of JavaScript
    gate = tmp_path / "gate"
    id = shop.dead("fail", large)
    gate.touch()
    tab.open(f"task/{id}")
    tab.press("Retry with edits")
    tab.answer("Retry", kwargs=f'{{"gate": "{gate}"}}')
    tab.is_in_state("completed")
    assert shop.web.get(f"/api/v1/tasks/{id}").json["args"] == [large]

    tab.open("enqueue/add")
    tab.page.locator("[name=a]").fill(str(large))
    tab.press("Enqueue")
    tab.is_in_state("completed")
    expect(tab.page.locator(".card.good")).to_contain_text(str(large))

    args, kwargs = ["a'b\"\\\n\u2028é\x07", large, 0.5], {"tags": [None, True, {"a": -large}], "more 'names": "$(x)`"}
    call = {"type": "order", "args": args, "kwargs": kwargs}
    made = shop.web.post("/api/v1/tasks", {**call, "delay": 3600}).json["id"]
    one = shop.web.post("/api/v1/tasks", {"type": "fail", "kwargs": {"text": args[0]}, "delay": 3600}).json["id"]
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])

    def copied(name: str) -> str:
        tab.page.get_by_label(f"Copy as {name}").click()
        tab.is_told(f"Copied as {name}.")
        return str(tab.page.evaluate("navigator.clipboard.readText()"))

    tab.open(f"task/{made}")
    app = Mock()
    app.tasks = {"order": app.order}
    eval(copied("Python"), {"app": app})
    app.order.delay.assert_called_once_with(*args, **kwargs)
    curl = shlex.split(copied("curl"))
    assert (curl[1], json.loads(curl[-1])) == (f"{tab.origin}/api/v1/tasks", call)
    assert shlex.split(copied("Show")) == ["distq", "tasks", "show", made]
    tab.open(f"task/{one}")
    cli = shlex.split(copied("CLI"))
    assert (cli[:3], json.loads(cli[3])) == (["distq", "enqueue", "fail"], {"text": args[0]})
