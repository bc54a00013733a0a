"""Hosts are killed while they work, and every run is accounted for: `make chaos`."""
