"""A declared function is called in many ways, and each of them knows its parameters and its result."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from distq import Distq, Handle, Task

app = Distq("shop", broker="redis://localhost:6379/0")


@app.task
def add(a: int, b: int = 0, *, note: str = "") -> int:
    return a + b


@app.task(type="email", priority="high", rate="10/s", retries=3, backoff="exponential", result_ttl=600)
def send_email(to: str, subject: str) -> None: ...


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(queue="bulk", expires=timedelta(hours=1), retry_rules={TimeoutError: 5})
async def crawl(url: str, depth: int = 1) -> list[str]:
    return [url] * depth


def the_function_itself_stays_callable() -> None:
    assert_type(add(1, 2, note="x"), int)
    coroutine: Coroutine[Any, Any, bytes] = fetch("x")
    coroutine.close()
    add("1")  # error
    add(1, 2, nota="x")  # error
    add()  # error
    fetch(1).close()  # error
    send_email("a@example.com")  # error


async def of_an_async_function_too() -> None:
    assert_type(await fetch("x"), bytes)
    assert_type(await crawl("x", 2), list[str])


def delay_takes_the_parameters_of_the_function() -> None:
    assert_type(add.delay(1, b=2), Handle[int])
    assert_type(send_email.delay("a@example.com", subject="Hi"), Handle[None])
    assert_type(fetch.delay("x"), Handle[bytes])
    assert_type(crawl.delay("x", depth=2), Handle[list[str]])
    add.delay("1")  # error
    add.delay(1, c=2)  # error
    add.delay()  # error
    send_email.delay("a@example.com", 17)  # error
    fetch.delay(b"x")  # error
    crawl.delay("x", "deep")  # error


async def adelay_does_so_too() -> None:
    assert_type(await add.adelay(1), Handle[int])
    assert_type(await fetch.adelay("x"), Handle[bytes])
    await add.adelay("1")  # error
    await crawl.adelay()  # error


def with_options_it_is_the_same() -> None:
    assert_type(add.options(delay=2.5).delay(1), Handle[int])
    assert_type(fetch.options(priority="low", id="order-17").delay("x"), Handle[bytes])
    add.options(delay=2.5).delay("1")  # error
    fetch.options(queue="bulk").delay()  # error


async def with_options_in_asyncio() -> None:
    assert_type(await crawl.options(retries=0).adelay("x"), Handle[list[str]])
    await crawl.options(retries=0).adelay(17)  # error


def options_have_names_and_types() -> None:
    add.options(
        delay="5m",
        priority=2,
        queue="bulk",
        id="a",
        expires=datetime.now(UTC),
        retries=0,
        result_ttl=60,
        headers={"a": 1},
    ).delay(1)
    add.options(eta=datetime.now(UTC) + timedelta(hours=1)).delay(1)
    add.options(priorty="high")  # error
    add.options(delay=[1])  # error
    add.options(eta="tomorrow")  # error
    add.options(retries="3")  # error
    add.options(id=17)  # error
    add.options(headers=["a"])  # error
    add.options("high")  # error


def many_calls_at_once() -> None:
    assert_type(add.delay_many([(1, 2), (3,)]), list[Handle[int]])
    assert_type(send_email.delay_many([{"to": "a", "subject": "b"}]), list[Handle[None]])
    assert_type(fetch.options(priority="low").delay_many(("x",) for _ in range(3)), list[Handle[bytes]])
    add.delay_many([1, 2])  # error
    add.delay_many(17)  # error


def by_type_name_anything_goes() -> None:
    assert_type(app.enqueue("email", {"to": "a@example.com"}), Handle[Any])
    app.enqueue("email", {"to": "a@example.com"}, delay=5, queue="bulk")
    app.enqueue("email", dealy=5)  # error
    app.enqueue(17)  # error


async def by_type_name_in_asyncio() -> None:
    assert_type(await app.aenqueue("email", {"to": "a@example.com"}, priority="high"), Handle[Any])
    await app.aenqueue("email", None, priority=[])  # error


def a_task_has_a_type_of_its_own() -> None:
    sync: Task[[int, str], bool, bool]

    @app.task
    def check(number: int, text: str, /) -> bool:
        return str(number) == text

    sync = check
    sync.delay(1, "1")
    sync.delay("1", 1)  # error
    assert_type(check.type, str)
