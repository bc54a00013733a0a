"""The cookie of somebody who has signed in to the dashboard with a key. Servers keep no sessions: the cookie names the
key and its end, signed with what only those know who have the key. Whoever takes the key away ends all its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import time

from distq.server.access import Key, Keys

LASTS_S = 7 * 86400
MOST_BYTES = 512


def cookie_name(host: bytes) -> str:
    """Of the server under this Host. Cookies do not know ports: two servers of one machine have different names."""
    port = host.rpartition(b":")[2]
    return f"distq-{port.decode('ascii')}" if port.isdigit() and len(port) <= 5 else "distq"


def signed(key: Key) -> str:
    """What stands for this key from now on."""
    until = str(int(time.time()) + LASTS_S)
    return f"{key.name}.{until}.{_signature(key, until)}"


def find(keys: Keys, header: bytes, host: bytes) -> Key | None:
    """Whose cookie it is, in the header Cookie. None: nobody's, or its time is over."""
    wanted = cookie_name(host).encode()
    for pair in header.split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name == wanted and len(value) <= MOST_BYTES and value.isascii():
            return _holder(keys, value.decode("ascii"))
    return None


def _holder(keys: Keys, value: str) -> Key | None:
    name, _, rest = value.partition(".")
    until, _, signature = rest.partition(".")
    key = keys.named(name)
    if key is None or not hmac.compare_digest(_signature(key, until), signature):
        return None
    return key if int(until) > time.time() else None


def _signature(key: Key, until: str) -> str:
    return hmac.new(key.digest, f"dashboard {key.name} {until}".encode(), hashlib.sha256).hexdigest()
