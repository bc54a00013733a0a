"""Worker hosts: who is there, what they hold and are at, and telling them what to do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from distq.broker import keys, orders, verbs
from distq.broker.glance import Holder
from distq.facts import every_place
from distq.overview import Host, by_host, overview
from distq.server.models import Hosts, Order, Ordered, Stacks
from distq.server.problems import Problem
from distq.server.site import READS, WRITES, Site, answer, needs, problems, site_of

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get("", responses={200: {"model": Hosts}, **READS})
def every(request: Request) -> Response:
    """Each host with its worker processes, and the tasks that these have fetched or run; one that is quiet has none."""
    return answer({"hosts": hosts(site_of(request))})


def hosts(site: Site) -> list[dict[str, Any]]:
    """The same as data, with all that they hold."""
    broker = site.app.broker
    found = ((queue, one) for queue in every_place(site.app) for one in broker.run(verbs.workers(broker.prefix(queue))))
    present = (host.name for host in overview(site.app).hosts)
    return [described(host) for host in by_host(((queue, _holder(one)) for queue, one in found), present)]


def _holder(one: verbs.Present) -> Holder:
    holds = [(keys.id_of(entry), "") for entry in one.holds]
    return Holder(one.name, one.lease_left_ms, one.host, one.info, len(holds), holds)


def described(host: Host) -> dict[str, Any]:
    """One of them."""
    return {
        "host": host.name,
        "about": host.about,
        "workers": [
            {
                "name": worker.name,
                "lease_left_ms": worker.lease_left_ms,
                "holds": [{"queue": held.queue, "id": held.id} for held in worker.holds],
            }
            for worker in host.workers.values()
        ],
    }


@router.post("/{host}/{order}", responses={200: {"model": Ordered}, **WRITES, **problems(404)})
def tell(request: Request, host: str, order: Order) -> Response:
    """Tells a host to take no more tasks (`quiet`), to go on (`resume`), to load the application afresh and replace its
    processes one after the other (`restart`), to finish what runs and end (`stop`), or to say what its processes are at
    (`stacks`).

    It is the same as TSTP, CONT, HUP, TERM and USR1. Needs a key of level admin.
    """
    needs(request, "admin")
    site = site_of(request)
    for queue in every_place(site.app):
        if site.app.broker.run(orders.order(site.app.broker.prefix(queue), host, order)) == "ordered":
            return answer({"host": host, "order": order})
    raise Problem(404, f"there is no host {host!r:.80}")


@router.get("/{host}/stacks", responses={200: {"model": Stacks}, **READS})
def stacks(request: Request, host: str) -> Response:
    """What its processes were at when it was last told to say that, in the last minute; it takes it a second. Needs a
    key of level admin."""
    needs(request, "admin")
    site = site_of(request)
    told = (orders.stacks(site.app.broker, queue, host) for queue in every_place(site.app))
    return answer({"host": host, "text": next(filter(None, told), "")})
