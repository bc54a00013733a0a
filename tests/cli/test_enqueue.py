"""`distq enqueue` and `distq result`: what is sent, what is refused before, how the answer comes back."""

from __future__ import annotations

import json
import signal
import time

import pytest

from distq.broker import verbs
from distq.codec import Codec
from tests.cli.conftest import Shell, know
from tests.support.eventually import eventually
from tests.support.room import Room, completed

APP = ("--app", "myapp:app")


def body(room: Room, id: str) -> list[object]:
    """The arguments of a waiting task."""

    args, kwargs, _ = Codec().unpack_call(room.head(id).body)
    return [*args, kwargs]


@pytest.mark.parametrize(
    ("payload", "arrives"),
    [
        (['{"a": 1, "b": 2}'], [{"a": 1, "b": 2}]),
        (["[1, 2]"], [[1, 2], {}]),
        (["17"], [17, {}]),
        (['"text"'], ["text", {}]),
        (["null"], [None, {}]),
        (["{}"], [{}]),
        ([], [{}]),
    ],
    ids=["object", "array", "number", "string", "null", "empty", "none"],
)
def test_an_object_becomes_keyword_arguments_and_all_else_one_argument(
    distq: Shell, shop: Room, payload: list[str], arrives: list[object]
) -> None:
    done = distq("enqueue", "anything", *payload)
    assert body(shop, done.out.strip()) == arrives
    assert done.out == f"{done.out.strip()}\n", "the id and nothing else"


def test_a_payload_can_come_from_standard_input(distq: Shell, shop: Room) -> None:
    rows = [{"row": number} for number in range(20_000)]
    id = distq("enqueue", "import", "-", stdin=json.dumps(rows)).out.strip()
    assert body(shop, id) == [rows, {}]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["add", '{"a": 1'], "error: the payload is no JSON: Expecting"),
        (["add", "hello"], "a text as the argument is '\"hello\"'"),
        (["add", "{a: 1}"], "put it in single quotes for the shell"),
        (["add", "-"], "error: the payload is nested too deeply"),
        (["add", "1", "--priority", "hihg"], "error: --priority 'hihg': give high, default or low (or 2, 1, 0) (did"),
        (["add", "1", "--priority", "3"], "error: --priority '3': give high, default or low"),
        (["add", "1", "--delay", "later"], "error: --delay 'later' is no duration"),
        (["add", "1", "--expires", "-5"], "error: --expires '-5' is no duration"),
        (["add", "1", "--expires", "0"], "error: --expires 0: give a time above 0"),
        (["add", "1", "--retries", "many"], "error: --retries 'many': give a whole number from 0 to 1000"),
        (["add", "1", "--id", "two words"], "error: id='two words' cannot be an id"),
        (["add", "1", "--id", ""], "error: --id is empty"),
        (["add", "1", "-Q", "a b"], "error: queue 'a b' is no valid name"),
        (["add it", "1"], "error: type='add it' cannot be a type"),
        (["add", "1", "--wait", "--timeout", "x"], "error: --timeout 'x' is no duration"),
        (["add", "1", *APP], "error: add(): missing a required argument: 'b'"),
        (["add", '{"a": 1, "c": 2}', *APP], "error: add(): missing a required argument: 'b'"),
        (["echo", "1", "-Q", "mial", *APP], "error: queue='mial' is not declared (did you mean `mail`?)"),
        ([], "error: missing argument 'TYPE'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_refused_before_anything_is_sent(distq: Shell, shop: Room, args: list[str], said: str) -> None:
    done = distq("enqueue", *args, code=2, stdin="[" * 100_000)
    assert done.err.splitlines()[0].startswith(said) or said in done.err.splitlines()[0], done.err
    assert done.out == ""
    assert shop.redis.hlen(shop.key("TASKS")) == 0


@pytest.mark.parametrize(
    ("given", "level"), [("high", 2), ("2", 2), ("default", 1), ("1", 1), ("low", 0), ("0", 0)]
)  # fmt: skip
def test_a_priority_is_a_name_or_its_number(distq: Shell, shop: Room, given: str, level: int) -> None:
    id = distq("enqueue", "add", "--priority", given).out.strip()
    assert shop.head(id).priority == level


def test_a_delayed_task_is_scheduled_for_then(distq: Shell, shop: Room) -> None:
    before = shop.now_ms()
    id = distq("enqueue", "add", "--delay", "2h").out.strip()
    assert shop.where(id) == "scheduled"
    due = shop.redis.zscore(shop.key("DELAYED"), id)
    assert before + 7_200_000 <= due <= shop.now_ms() + 7_200_000


def test_a_given_id_is_sent_once(distq: Shell, shop: Room) -> None:
    first = distq("enqueue", "add", "1", "--id", "order-17", "--json")
    assert first.json == {"id": "order-17", "queue": "default", "created": True}
    second = distq("enqueue", "add", "2", "--id", "order-17", "--json")
    assert second.json == {"id": "order-17", "queue": "default", "created": False}
    third = distq("enqueue", "add", "3", "--id", "order-17")
    assert third.out == "order-17\n"
    assert "note: order-17 was there already and is queued" in third.err
    assert body(shop, "order-17") == [1, {}]


def test_a_task_goes_where_tasks_of_its_type_have_gone_before(distq: Shell, shop: Room, mail: Room) -> None:
    mail.enqueue("newsletter")
    id = distq("enqueue", "newsletter", "1").out.strip()
    assert mail.where(id) == "queued"
    assert distq("enqueue", "newsletter", "1", "-Q", "default").out.startswith("default.")
    assert distq("enqueue", "newsletter", "1").out.startswith("default."), "there too now: the default one is meant"


def test_a_type_that_is_in_several_queues_needs_to_be_told_which(distq: Shell, url: str, mail: Room) -> None:
    bulk = Room(url, "shop", "bulk")
    know(bulk)
    for room in (mail, bulk):
        room.enqueue("newsletter")
    bulk.close()
    done = distq("enqueue", "newsletter", "1", code=2)
    assert done.err == "error: type newsletter is in several queues: bulk, mail; choose with --queue\n"


def test_a_type_that_nobody_knows_is_sent_with_a_note(distq: Shell, shop: Room) -> None:
    shop.register(["email"])
    done = distq("enqueue", "emial", "1", "-Q", "defalt")
    assert "note: nobody on this broker has heard of type emial (did you mean `email`?)" in done.err
    assert "note: shop had no queue defalt so far (did you mean `default`?)" in done.err
    assert done.out.startswith("defalt.")
    assert distq("enqueue", "email", "1").err == ""


def test_declared_options_hold_with_app(distq: Shell, mail: Room) -> None:
    id = distq("enqueue", "send_email", '"x"', *APP).out.strip()
    assert mail.where(id) == "queued", "the declaration says queue='mail'"


# -- waiting --------------------------------------------------------------------------------------------------------


def test_wait_prints_the_result_and_tells_by_the_exit_code_how_it_ended(distq: Shell, shop: Room) -> None:
    distq.host()
    assert distq("enqueue", "add", '{"a": 1, "b": 2}', "--wait").out == "3\n"
    assert distq("enqueue", "echo", '{"value": {"é": [1.5, null, true]}}', "--wait").out == '{"é": [1.5, null, true]}\n'
    done = distq("enqueue", "add", '{"a": 1, "b": 2}', "--wait", "--json").json
    assert done == {"id": done["id"], "status": "completed", "result": 3}

    failed = distq("enqueue", "refuse", '"not today"', "--wait", code=1)
    assert failed.out == ""
    assert failed.err.startswith("error: Reject: not today\nhint: distq tasks show default.")
    failed_json = distq("enqueue", "refuse", '"not today"', "--wait", "--json", code=1).json
    assert failed_json["status"] == "dead"
    assert (failed_json["type"], failed_json["message"]) == ("Reject", "not today")
    assert "Traceback" in failed_json["traceback"]

    late = distq("enqueue", "sleep", "30", "--wait", "--timeout", "200ms", code=6)
    assert late.out == ""
    assert late.err.startswith("not there yet: default.")
    assert "is running" in late.err or "is queued" in late.err


def test_a_task_that_keeps_no_result_can_still_be_waited_for(distq: Shell, shop: Room) -> None:
    distq.host()
    begun = time.monotonic()
    done = distq("enqueue", "forget", '{"seconds": 0.7}', *APP, "--wait", "--json")
    assert done.json["status"] == "completed"
    assert done.json["result"] is None
    assert time.monotonic() - begun > 0.7
    running = distq("enqueue", "forget", '{"seconds": 30}', *APP).out.strip()
    assert distq("result", running, *APP, code=6).err == f"not there yet: {running} is running\n"


def test_who_stops_waiting_is_told_the_id(distq: Shell, shop: Room) -> None:
    waiting = distq.start("enqueue", "add", "1", "--wait")
    eventually(lambda: shop.redis.hlen(shop.key("TASKS")), "it is sent")
    eventually(lambda: b"blmove" in shop.redis.execute_command("CLIENT", "LIST"), "it waits")
    waiting.send(signal.SIGINT)
    assert waiting.ended() == 130
    id = shop.redis.hkeys(shop.key("TASKS"))[0].decode()
    assert f"note: the task was sent; its id is {id}" in waiting.err


def test_result_tells_by_the_exit_code(distq: Shell, shop: Room) -> None:
    id, worker = shop.enqueue("add"), shop.register(["add"])
    assert distq("result", id, code=6).err == f"not there yet: {id} is queued\n"
    shop.hold(worker, id)
    assert distq("result", id, "--json", code=6).out == ""
    shop.step(worker, 0, [completed(id, {"total": 3})])
    assert distq("result", id).out == '{"total": 3}\n'
    assert distq("result", id, "--json").json == {"id": id, "status": "completed", "result": {"total": 3}}
    unknown = distq("result", "nobody", code=1)
    assert unknown.err.startswith("error: no task nobody is known: it never was")
    assert distq("result", "nobody", "--json", code=1).json["status"] == "unknown"


def test_result_of_a_cancelled_and_of_an_expired_task(distq: Shell, shop: Room) -> None:
    cancelled, expired = shop.enqueue(delay=3_600_000), shop.enqueue(expires_in=1000)
    shop.cancel(cancelled)
    shop.pass_time(2000)
    shop.tick()
    assert "was cancelled by test" in distq("result", cancelled, code=1).err
    assert distq("result", expired, "--json", code=1).json["status"] == "expired"


def test_result_waits_as_long_as_it_is_told(distq: Shell, shop: Room) -> None:
    id, worker = shop.enqueue("add"), shop.register(["add"])
    waiting = distq.start("result", id, "--wait", "60s")
    eventually(lambda: b"blmove" in shop.redis.execute_command("CLIENT", "LIST"), "it waits")
    shop.hold(worker, id)
    shop.step(worker, 0, [completed(id, 42)])
    assert waiting.ended() == 0
    assert waiting.out == "42\n"


def test_a_huge_result_is_printed_whole(distq: Shell, shop: Room) -> None:
    id, worker = shop.enqueue("add"), shop.register(["add"])
    shop.hold(worker, id)
    shop.step(worker, 0, [completed(id, "x" * 900_000)])
    assert len(distq("result", id).out) == 900_003
    assert len(distq("tasks", "show", id).out) < 5_000


def test_with_the_code_at_hand_an_unknown_type_is_a_slip(distq: Shell, shop: Room) -> None:
    done = distq("enqueue", "ad", "1", "--app", "myapp:app", code=2)
    assert done.err.startswith("error: myapp:app declares no type 'ad' (did you mean `add`?); there are: ")
    assert shop.run(verbs.depths(shop.prefix)).live == 0
