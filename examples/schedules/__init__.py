"""Schedules of the code and of run time, with two worker hosts of which one is killed."""
