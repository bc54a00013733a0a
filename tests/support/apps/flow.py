"""Tasks whose flow is bounded: in all, per key, in turn, in order."""

from __future__ import annotations

import time
from uuid import UUID

from distq import Distq, current
from tests.support.journal import running

app = Distq("app")


@app.task(max_running=2)
def two_at_once(seconds: float) -> None:
    with running("all"):
        time.sleep(seconds)


@app.task(max_running=1, retries=0)
def alone(seconds: float) -> None:
    with running("alone"):
        time.sleep(seconds)


@app.task(max_running=[3, "1 per tenant"])
def one_of_each(tenant: str, seconds: float) -> None:
    with running(tenant):
        time.sleep(seconds)


@app.task(rate="20/s per tenant")
def at_its_rate(tenant: str | UUID | int | None) -> None:
    with running(str(tenant)):
        pass


@app.task(fair="tenant")
def in_turn(tenant: str, seconds: float = 0.005) -> None:
    with running(tenant):
        time.sleep(seconds)


@app.task(ordered="account", retries=3)
def in_order(account: str, number: int, fails: int = 0) -> None:
    with running(account):
        time.sleep(0.002)
    if current().attempt <= fails:
        raise ValueError("once more")
