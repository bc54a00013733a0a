"""The HTTP API: `distq server myapp:app`, or mounted in an ASGI application of yours. Needs the extra `server`.

A request passes `guard` (host, origin, size, key, body), and then the router of its subject. What goes wrong becomes an
answer in `problems`. It keeps nothing that matters: any number of servers may run side by side, and vanish.
"""
