"""For programs that reach no broker: the same calls and handles over `distq server`, with the standard library alone.

    client = Client("https://tasks.example", key=os.environ["DISTQ_API_KEY"])
    client.enqueue("add", {"a": 1, "b": 2}).get(timeout=10)

`transport` speaks HTTP, blocking and for asyncio; `handle` says what answers mean. Values are those of JSON.
"""

from distq.client.client import Client
from distq.client.handle import RemoteHandle

__all__ = ["Client", "RemoteHandle"]
