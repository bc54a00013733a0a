"""The broker: the only code that imports `redis`; every move of a task is one of its scripts."""
