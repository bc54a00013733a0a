"""`python -m tests.chaos [--tasks 10000] [--seconds 0.005] [--threads 1]`: both ways, with the account of each.

Exit code 1 if one is not clean.
"""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from tests.chaos.smoke import Way, smoke


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=0.005, help="how long a task takes")
    parser.add_argument("--threads", type=int, default=1, help="of each of the two processes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    clean = True
    for way in get_args(Way):
        account = smoke(options.tasks, way, options.seed, seconds=options.seconds, threads=options.threads)
        print(account, flush=True)
        for problem in account.problems():
            clean = False
            print(f"  NOT CLEAN: {problem}", flush=True)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
