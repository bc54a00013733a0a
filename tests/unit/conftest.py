"""Hypothesis for the unit tests: no deadlines, since a machine that is busy makes no code wrong."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
