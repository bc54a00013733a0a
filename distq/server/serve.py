"""A server process: its socket, its loop, its end. It imports the application itself; handlers do not run here."""

from __future__ import annotations

import gc
import logging
import resource
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp

from distq.server.api import build, guarded
from distq.server.guard import LOOPBACK
from distq.server.site import ServerConfig
from distq.server.wire import LOOK_S, Bounded, Unread

if TYPE_CHECKING:
    from distq.app import Distq

logger = logging.getLogger("distq.server")

MOST_CONNECTIONS = 2000
OWN_FILES = 200
"""Files that a server needs for itself: connections to the broker, mostly of those that wait for results."""
GRACE_S = 5
KEEP_ALIVE_S = 30
BACKLOG = 1024


def bind(host: str, port: int) -> socket.socket:
    """The listening socket. Raises OSError: the port is taken, or there is no such address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(BACKLOG)
    except BaseException:
        found.close()
        raise
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host in LOOPBACK or host.startswith("127.")


def serve(app: Distq, config: ServerConfig, listening: socket.socket, say: Callable[[str], None]) -> int:
    """Answers until INT or TERM; what is being answered then has a moment. The exit code."""
    api = build(app, config)
    host, port = listening.getsockname()[:2]
    say(f"Server listening on http://{f'[{host}]' if ':' in host else host}:{port}")
    run(guarded(api, app, config), listening, api.state.site.close)
    return 0


def run(application: ASGIApp, listening: socket.socket, at_exit: Callable[[], None]) -> None:
    """Answers with this application, in the server that ours has."""
    server = _Server(
        uvicorn.Config(
            application,
            http=Bounded,
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            log_level="error",  # its warnings tell of every odd request of anybody
            limit_concurrency=_most_connections(),
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            backlog=BACKLOG,
            timeout_notify=LOOK_S,
        )
    )
    server.at_exit = at_exit
    unread = Unread()

    async def look() -> None:
        unread.look(list(server.server_state.connections))

    server.config.callback_notify = look
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them once more at its end: that must do nothing
        signal.signal(number, lambda number, frame: None)
    gc.collect()
    gc.freeze()  # the framework's many objects are not looked through again while somebody waits
    server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """One that tells those who wait that it ends."""

    at_exit: Callable[[], None]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """INT or TERM."""
        self.at_exit()
        super().handle_exit(sig, frame)


def _most_connections() -> int:
    """As many as there are file descriptors for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OWN_FILES + 500
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(MOST_CONNECTIONS, soft - OWN_FILES))
