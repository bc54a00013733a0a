"""What comes back has the type that the function returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from distq import Distq, Handle, ResultTimeout, TaskCancelled, TaskExpired, TaskFailed

app = Distq("shop")


@dataclass
class Invoice:
    """A value of the user's own."""

    number: int


@app.task
def invoice(order: int) -> Invoice:
    return Invoice(order)


@app.task(retries=0)
async def total(*orders: int) -> float:
    return float(sum(orders))


def waiting() -> None:
    handle = invoice.delay(17)
    assert_type(handle.get(), Invoice)
    assert_type(handle.get(timeout=5).number, int)
    assert_type(total.delay(1, 2).get(timeout=0.5), float)
    assert_type(handle.id, str)
    assert_type(handle.cancel(), bool)
    wrong: str = handle.get()  # error
    handle.get(5).nummer  # error
    handle.get(timeout="5")  # error
    handle.got()  # error
    del wrong


async def waiting_in_asyncio() -> None:
    handle = await total.adelay(1, 2)
    assert_type(await handle.aget(timeout=5), float)
    assert_type(await handle.acancel(), bool)
    wrong: str = await handle.aget()  # error
    not_awaited: float = handle.aget()  # error
    del wrong, not_awaited


def the_state_is_one_of_eight() -> None:
    status = invoice.delay(17).status()
    if status == "completed":
        return
    word: str = status
    number: int = status  # error
    del word, number


def of_an_id_nothing_is_known() -> None:
    assert_type(app.result("order-17"), Handle[Any])
    app.result(17)  # error


def handles_are_typed(handle: Handle[Invoice]) -> Handle[int]:
    return handle  # error


def endings_are_errors(handle: Handle[Invoice]) -> str:
    try:
        return str(handle.get(timeout=5).number)
    except TaskFailed as error:
        assert_type(error.traceback, str)
        assert_type(error.type, str)
        return error.message
    except (TaskCancelled, TaskExpired, ResultTimeout) as error:
        assert_type(error.id, str)
        error.nothing  # error
        return str(error)
