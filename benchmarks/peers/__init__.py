"""distq beside other task queues: the same workloads, each system in its own environment and on its own broker.

`make bench-peers`, or `python -m benchmarks.peers [NAME...]`. A system that cannot be installed or started here is left
out, and the report says which and why.
"""
