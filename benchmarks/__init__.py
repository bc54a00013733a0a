"""What distq can do here, measured: `make bench`, or `python -m benchmarks [NAME...]`.

Every figure stands beside one that was measured in the same run: a bare loop without any features, redis-py's own
command, or the ideal. Compare those: absolute numbers are those of this machine at this moment.

Other task queues stand beside distq in `benchmarks/peers`: `make bench-peers`.
"""
