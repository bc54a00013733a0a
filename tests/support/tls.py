"""TLS in front of a broker: the servers at hand are built without it, so a terminator takes it off.

What the broker answers together travels together, in one record.
"""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class Certificates:
    """An authority, and what it has signed for the server and for a client. Made by openssl."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._openssl(
            "req", "-x509", *_NEW_KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test CA"
        )
        self._sign("server", "subjectAltName=IP:127.0.0.1")
        self._sign("client", "subjectAltName=DNS:client")
        self._sign("elsewhere", "subjectAltName=DNS:elsewhere.example")
        self.authority = folder / "ca.crt"

    def file(self, name: str) -> str:
        """Its path."""
        return str(self._folder / name)

    def _sign(self, name: str, names: str) -> None:
        (self._folder / f"{name}.ext").write_text(names)
        self._openssl("req", *_NEW_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-out", f"{name}.crt", "-extfile", f"{name}.ext",
        )  # fmt: skip

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Terminator:
    """Takes TLS off, for a broker at a unix socket. `url` has no options."""

    def __init__(self, made: Certificates, broker: str, *, name: str = "server", asks_clients: bool = False) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(made.file(f"{name}.crt"), made.file(f"{name}.key"))
        if asks_clients:
            self._context.load_verify_locations(made.authority)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._broker = broker.removeprefix("unix://")
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"rediss://127.0.0.1:{self._door.getsockname()[1]}/0"

    def __enter__(self) -> Terminator:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.socket(socket.AF_UNIX) as server:
            server.connect(self._broker)
            with self._context.wrap_socket(client, server_side=True) as secured:
                while True:
                    readable = [secured] if secured.pending() else select.select([secured, server], [], [])[0]
                    for source, target in ((secured, server), (server, secured)):
                        if source in readable:
                            data = source.recv(65536)
                            if not data:
                                return
                            target.sendall(data)
