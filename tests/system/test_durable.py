"""`durable=True`: what confirms a call, what is said when nobody does; to say it again makes no second task."""

from __future__ import annotations

import asyncio
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from distq import Distq, NotDurable
from distq.broker import witness
from distq.errors import BrokerError, BrokerUnavailable, ConfigurationError
from tests.support.eventually import eventually
from tests.support.ports import free_ports
from tests.support.proxy import Proxy, Stall
from tests.support.sentinel import Server


@contextmanager
def servers(folder: Path, *settings: list[str]) -> Iterator[list[Server]]:
    """One for each list of settings; those after the first one are its replicas."""
    found: list[Server] = []
    ports = free_ports(len(settings))
    try:
        for number, (port, lines) in enumerate(zip(ports, settings, strict=True)):
            follow = [f"replicaof 127.0.0.1 {ports[0]}"] if number else []
            found.append(Server(port, folder / f"{number}", ["repl-diskless-sync-delay 0", "save ''", *follow, *lines]))
        replicas = len(found) - 1
        for _ in range(2 if replicas else 0):  # what one was sent to load it confirms a second before it hears of more
            eventually(
                lambda: found[0].client.set("a", 1) and found[0].client.wait(replicas, 100) == replicas, "they follow"
            )
        if replicas:
            found[0].client.delete("a")
        yield found
    finally:
        for server in found:
            if server.process.poll() is None:
                server.send(signal.SIGCONT)
            server.stop()
            server.client.close()


def application(server: Server, **options: Any) -> Distq:
    app = Distq("shop", f"redis://127.0.0.1:{server.port}/0", **options)

    @app.task(type="job")
    def job(number: int = 0) -> int:
        return number

    return app


def enqueued(server: Server) -> int:
    return int(server.client.hlen("distq:{shop/default}:tasks"))


def test_nothing_is_enqueued_where_nobody_could_confirm(tmp_path: Path) -> None:
    with servers(tmp_path, []) as [server]:
        job = application(server).tasks["job"].options(durable=True)
        for call in (job.delay, lambda: job.delay_many([(1,)]), lambda: asyncio.run(job.adelay())):
            with pytest.raises(BrokerError, match=r"nothing was enqueued.*set appendonly yes, add a replica") as caught:
                call()
            assert not isinstance(caught.value, BrokerUnavailable)
        assert enqueued(server) == 0


def test_the_disk_confirms_where_there_is_no_replica(tmp_path: Path) -> None:
    with servers(tmp_path, ["appendonly yes", "appendfsync everysec"]) as [server]:
        app = application(server, durable=True)
        handle = app.enqueue("job", {"number": 1})
        server.send(signal.SIGKILL)
        server.process.wait(10)
        server.start()
        assert handle.status() == "queued"
        assert enqueued(server) == 1


def test_a_replica_confirms_every_kind_of_call(tmp_path: Path) -> None:
    with servers(tmp_path, [], []) as [primary, replica]:
        app = application(primary)
        job = app.tasks["job"].options(durable=True)
        job.delay(0)
        assert enqueued(replica) == 1
        job.delay_many([(number,) for number in range(2500)])
        assert enqueued(replica) == 2501

        async def many() -> None:
            await asyncio.gather(*(job.adelay(number) for number in range(300)))
            assert enqueued(replica) == 2801
            app.async_broker.close()

        asyncio.run(many())
        first = app.enqueue("job", {"number": 1}, id="one", durable=True)
        second = app.enqueue("job", {"number": 1}, id="one", durable=True)
        assert (first.created, second.created, enqueued(replica)) == (True, False, 2802)


def test_a_replica_that_has_left_is_missed_until_it_is_taken_for_one_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is promoted leaves, and the others follow the old primary for a while: all that they confirm is lost."""
    with servers(tmp_path, [], [], []) as [primary, one, other], asyncio.Runner() as runner:
        plain, asynchronous = application(primary, timeout=0.5), application(primary, timeout=0.5)
        calls: list[Callable[[], Any]] = [
            plain.tasks["job"].options(durable=True).delay,
            lambda: runner.run(asynchronous.tasks["job"].options(durable=True).adelay()),
        ]
        for call in calls:
            call()
        assert enqueued(one) == enqueued(other) == 2
        one.client.replicaof("no", "one")
        for call in calls:
            with pytest.raises(NotDurable, match="1 of 2 replicas have confirmed"):
                call()
        monkeypatch.setattr(witness, "ABSENT_S", 0.0)
        for call in calls:
            call()
        assert enqueued(other) == 6
        runner.run(_closed(asynchronous))


def test_a_replica_that_has_come_confirms_instead_of_the_disk(tmp_path: Path) -> None:
    with servers(tmp_path, ["appendonly yes", "appendfsync always"], []) as [primary, other]:
        other.client.replicaof("no", "one")
        eventually(lambda: not primary.client.role()[2], "it is alone")
        job = application(primary).tasks["job"].options(durable=True)
        job.delay()
        other.client.replicaof("127.0.0.1", primary.port)
        eventually(lambda: primary.client.role()[2], "it has come")
        job.delay()
        assert enqueued(other) == 2


def test_a_repeated_call_is_confirmed_although_it_writes_nothing(tmp_path: Path) -> None:
    """WAIT looks at what its own connection has written: here that is nothing but what a durable call adds."""
    with servers(tmp_path, [], []) as [primary, replica]:
        app = application(primary, timeout=0.5)
        job = app.tasks["job"].options(durable=True, id="one")
        job.delay()
        replica.send(signal.SIGSTOP)
        app.enqueue("job", id="two")
        app.rebind(app.url)  # no connection of before
        with pytest.raises(NotDurable):
            app.enqueue("job", id="two", durable=True)


@pytest.mark.parametrize("way", ["delay", "delay_many", "adelay", "id"])
def test_what_nobody_confirms_is_said_and_said_again_it_makes_no_second_task(tmp_path: Path, way: str) -> None:
    with servers(tmp_path, [], []) as [primary, replica]:
        app = application(primary, timeout=0.5)
        job = app.tasks["job"].options(durable=True)
        calls: dict[str, Callable[[], Any]] = {
            "delay": lambda: job.delay(1),
            "delay_many": lambda: job.delay_many([(number,) for number in range(1500)]),
            "id": lambda: app.tasks["job"].options(durable=True, id="one").delay(1),
            "adelay": lambda: job.adelay(1),
        }

        def awaited(call: Any) -> Any:
            return loop.run_until_complete(call) if way == "adelay" else call

        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            replica.send(signal.SIGSTOP)
            with pytest.raises(NotDurable, match=r"no replica has confirmed.*may be queued all the same") as caught:
                awaited(calls[way]())
            replica.send(signal.SIGCONT)
            eventually(lambda: enqueued(replica) == enqueued(primary), "the replica has all")
            again = awaited(caught.value.again())
            loop.run_until_complete(_closed(app))
        handles = again if way == "delay_many" else [again]
        assert handles[0].id == caught.value.id == pickle.loads(pickle.dumps(caught.value)).id
        assert enqueued(primary) == enqueued(replica) == len(handles) == (1500 if way == "delay_many" else 1)


@pytest.mark.parametrize("way", ["delay", "adelay"])
def test_a_server_that_stops_before_it_confirms_is_waited_for_no_longer_than_the_call_may_take(
    tmp_path: Path, way: str
) -> None:
    with servers(tmp_path, [], []) as [primary, _], Proxy(f"redis://127.0.0.1:{primary.port}/0") as proxy:
        app = application(primary, timeout=0.5)
        app.rebind(proxy.url)
        job = app.tasks["job"].options(durable=True)

        def once() -> Any:
            return runner.run(job.adelay(1)) if way == "adelay" else job.delay(1)

        with asyncio.Runner() as runner:
            once()  # its connection knows how to wait
            begun = time.monotonic()
            time.sleep(app.timeout)
            late_s = time.monotonic() - begun - app.timeout
            with proxy.fault(Stall(match="WAIT", after=len("*1 $7 created +OK") + 5)):
                begun = time.monotonic()
                with pytest.raises(BrokerUnavailable):
                    once()
                assert time.monotonic() - begun < 1.8 * app.timeout + 10 * late_s
            runner.run(_closed(app))


async def _closed(app: Distq) -> None:
    app.async_broker.close()


def test_it_is_yes_or_no() -> None:
    with pytest.raises(ConfigurationError, match="durable=1: give True or False"):
        Distq("shop", durable=1)  # type: ignore[arg-type]


def test_a_call_says_more_than_its_task_and_that_more_than_its_queue() -> None:
    app = Distq("shop", durable=True)
    app.queue("bulk", durable=False)

    @app.task(queue="bulk")
    def quick() -> None: ...

    @app.task(queue="bulk", durable=True)
    def careful() -> None: ...

    assert app.tasks["quick"].options()._call.durable is False
    assert careful.options()._call.durable is True
    assert careful.options(durable=False)._call.durable is False
    assert quick.options(queue="default")._call.durable is True
