"""The work of one process: fetch, run, settle."""
