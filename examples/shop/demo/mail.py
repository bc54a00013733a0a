"""A real SMTP server on this machine. It keeps each mail as a file, and greets some customers' mail with "later"."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from aiosmtpd.smtp import SMTP

GREYLISTS = "@slow.example"
"""Mail to these addresses is refused once: 450, try again later."""


class MailServer:
    """Listens on a free port while it is entered; `address` is host:port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._arrived = 0
        self._refused: set[str] = set()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="mail", daemon=True)
        self.address = ""

    def __enter__(self) -> MailServer:
        self._thread.start()
        if not self._listening.wait(10):
            raise TimeoutError("the local SMTP server did not start within 10 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: SMTP(self, hostname="mail.example"), "127.0.0.1", 0)
        self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._end.wait()
        server.close()

    # aiosmtpd calls these by their names

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        """Takes the address, or refuses it the first time."""
        if address.endswith(GREYLISTS) and address not in self._refused:
            self._refused.add(address)
            return "450 4.2.0 Greylisted, try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keeps the mail, then says so."""
        self._arrived += 1
        (self._folder / f"{self._arrived:05}.eml").write_bytes(envelope.content)
        return "250 OK"
