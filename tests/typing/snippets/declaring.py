"""Declarations: what may stand in `@app.task(...)`, `app.queue(...)` and `Distq(...)`."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_type

from distq import Batch, Distq, RetryRule

app = Distq("shop", "redis://localhost:6379/0", timeout=5, max_payload=1 << 20, retries=5, priority="low")
assert_type(app.queue("bulk", result_ttl=60, priority="low", backoff=lambda attempt: attempt * 0.5), str)


@app.task(
    type="email",
    priority=2,
    rate="10/s burst 20",
    queue="bulk",
    retries=3,
    backoff=lambda attempt: 2.0**attempt,
    retry_rules={ConnectionError: RetryRule(10, "linear"), TimeoutError: 2},
    result_ttl=timedelta(minutes=10),
    expires="2h",
)
def everything(name: str) -> str:
    return name


@app.task()
def nothing(name: str) -> str:
    return name


assert_type(everything("x"), str)
assert_type(nothing.delay("x").get(), str)


@app.periodic("@every 1m")
@app.task(priority="high")
def sweep(room: str = "all") -> int:
    return 1


@app.periodic("*/5 * * * *", tz="Europe/Berlin", args=("x",), jitter="5s", overlap="skip", missed="all")
async def asweep(room: str) -> int:
    return 1


assert_type(sweep(), int)
assert_type(sweep.delay(room="x").get(), int)
sweep.delay(1)  # error
assert_type(asweep.delay("x").get(), int)
asweep.delay()  # error
app.periodic("@daily", overlap="never")  # error
app.periodic("@daily", timezone="UTC")  # error
app.periodic(60)  # error


class Shop:
    """Functions that belong to a class."""

    @staticmethod
    @app.task
    def open(door: int) -> bool:
        return door > 0


assert_type(Shop.open(1), bool)
assert_type(Shop.open.delay(1).get(), bool)
Shop.open.delay("1")  # error


app.task(priorty="high")  # error
app.task(retries="3")  # error
app.task(rate=10)  # error
app.task(backoff=lambda: 1.0)  # error
app.task(retry_rules={"TimeoutError": 2})  # error
app.task(delay=5)  # error
app.task("email")  # error
app.queue(17)  # error
app.queue("bulk", rate="10/s")  # error
Distq()  # error
Distq("shop", brokr="redis://")  # error
Distq("shop", timeout=None)  # error
RetryRule(retries="3")  # error


@app.task(batch=Batch(200, within="2s", per="shard"), retries=1)
def index(docs: list[dict[str, str]]) -> list[str]:
    return [doc["shard"] for doc in docs]


@app.task(batch=Batch(200))
async def aindex(docs: list[int]) -> None: ...


index.delay({"shard": "a"})
aindex.delay(5)
assert_type(index([{"shard": "a"}]), list[str])
index.delay([{"shard": "a"}])  # error
aindex.delay("5")  # error
