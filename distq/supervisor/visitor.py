"""One HTTP connection on the metrics port, in the supervisor's loop: one request, one answer, and it never waits."""

from __future__ import annotations

import logging
import re
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator

logger = logging.getLogger("distq.supervisor")

MOST_BYTES = 8192
"""Of a request, with its headers."""
PATIENCE_S = 5.0
"""For a whole request to arrive, and for each piece of the answer to be taken."""
TURN_S = 0.001
"""It writes for so long, or one piece, before others have their turn."""
PLAIN = "text/plain; charset=utf-8"

_REQUEST = re.compile(rb"(GET|HEAD) (/[^ ?#]*)(?:\?([^ #]*))?(?:#[^ ]*)? HTTP/1\.([01])\r?\n")


class Visitor:
    """1. reads until the request is whole, and hands its path and query over; 2. writes what `reply` is given, piece by
    piece; 3. closes, and tells that it is gone: also after an error, or when `end` is called.
    """

    def __init__(
        self,
        sock: socket.socket,
        selector: selectors.BaseSelector,
        asked: Callable[[Visitor, str, str], None],
        gone: Callable[[Visitor], None],
    ) -> None:
        self.socket, self._selector, self._asked, self._gone = sock, selector, asked, gone
        self.socket.setblocking(False)
        self.deadline = time.monotonic() + PATIENCE_S
        self._heard, self._unsent = b"", b""
        self._is_head = self._is_chunked = False
        self._pieces: Iterator[bytes] = iter(())
        selector.register(sock, selectors.EVENT_READ, self._read)

    def reply(self, status: str, kind: str, pieces: Iterable[str]) -> None:
        """Begins to write. A piece is asked for when the one before it is taken."""
        coding = "Transfer-Encoding: chunked\r\n" if self._is_chunked else ""
        self._unsent = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{coding}Connection: close\r\n\r\n".encode()
        if not self._is_head:
            self._pieces = self._coded(pieces)
        self.deadline = time.monotonic() + PATIENCE_S
        self._selector.register(self.socket, selectors.EVENT_WRITE, self._write)

    def end(self) -> None:
        """Closes, once: what has come for it in the same turn of the loop is still told."""
        if self.socket.fileno() < 0:
            return
        if self.socket in self._selector.get_map():
            self._selector.unregister(self.socket)
        self.socket.close()
        self._gone(self)

    def _read(self) -> None:
        try:
            data = self.socket.recv(MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._heard += data
        if not data:
            self.end()
        elif b"\r\n\r\n" in self._heard or b"\n\n" in self._heard or len(self._heard) > MOST_BYTES:
            self._selector.unregister(self.socket)
            self._understand()

    def _understand(self) -> None:
        request = _REQUEST.match(self._heard)
        if request is None or len(self._heard) > MOST_BYTES:
            self.reply("400 Bad Request", PLAIN, ["this port answers GET /metrics\n"])
            return
        self._is_head, self._is_chunked = request[1] == b"HEAD", request[4] == b"1"
        self._asked(self, request[2].decode("ascii", "replace"), (request[3] or b"").decode("ascii", "replace"))

    def _coded(self, pieces: Iterable[str]) -> Iterator[bytes]:
        """An HTTP/1.0 client takes the end of the connection for the end of the answer; others get it in chunks."""
        for piece in pieces:
            raw = piece.encode()
            if raw:
                yield b"%x\r\n%b\r\n" % (len(raw), raw) if self._is_chunked else raw
        if self._is_chunked:
            yield b"0\r\n\r\n"

    def _write(self) -> None:
        until = time.monotonic() + TURN_S
        while self._send() and time.monotonic() < until:
            pass

    def _send(self) -> bool:
        """A piece, or a part of it; whether more may be taken at once."""
        try:
            if not self._unsent:
                self._unsent = next(self._pieces, b"")
            sent = self.socket.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            return False
        except Exception as error:  # a page that cannot be made is not the end of the host
            if not isinstance(error, OSError):
                logger.exception("the metrics cannot be shown")
            sent = 0
        if sent:
            self._unsent = self._unsent[sent:]
            self.deadline = time.monotonic() + PATIENCE_S
        else:
            self.end()
        return sent > 0
