"""Something to watch: an application that keeps itself busy, and of whose tasks some fail.

distq run examples.monitoring.app:app
"""

from __future__ import annotations

import random
import time

from distq import Distq

app = Distq("demo")
app.queue("mail")


@app.task
def resize(picture: int) -> int:
    """Takes a moment."""
    time.sleep(random.uniform(0.01, 0.1))
    return picture


@app.task(queue="mail", priority="high")
def email(to: int) -> None:
    """Is quick, and goes first."""
    time.sleep(random.uniform(0.001, 0.01))


@app.task(retries=4, backoff=1)
def webhook(order: int) -> None:
    """A partner that is away now and then: tried again."""
    if random.random() < 0.2:
        raise ConnectionError("the partner does not answer")


@app.task(queue="mail", priority="low", retries=0)
def newsletter(issue: int) -> None:
    """An address in a hundred does not exist any more: a dead letter."""
    if random.random() < 0.01:
        raise ValueError("there is no such address")


@app.task(rate="2/s")
def look_up(address: int) -> int:
    """A service that allows two calls a second, for all workers together."""
    return address


@app.periodic("@every 1s", overlap="skip")
def visitors() -> None:
    """What the visitors of one second leave to do."""
    for number in range(random.randint(3, 8)):
        resize.delay(number)
        email.delay(number)
        webhook.delay(number)
        newsletter.delay(number)
    look_up.delay(1)
    resize.options(delay=5).delay(0)
