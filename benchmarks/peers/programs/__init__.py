"""One file for each system: its tasks and its producer's calls. They run in the environments of their systems.

Nothing here imports more than the standard library and the system itself. `driver` and `record` are shared by all that
are written in Python; the programs in other languages do the same by themselves.
"""
