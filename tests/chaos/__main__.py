"""`python -m tests.chaos [--minutes 3] [--seed N] [--server PROGRAM] [--out FILE]`: a storm, and its account.

Exit code 1 if it is not clean. `--smoke` runs the older, smaller form instead, one host at a time; `--holders 50` kills
those that have the only place of a type, so often.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import get_args

from tests.chaos.account import written
from tests.chaos.holders import holders
from tests.chaos.page import publish
from tests.chaos.smoke import Way, smoke
from tests.chaos.storm import LANES, Storm


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="of the faults; then it waits until all has ended")
    parser.add_argument("--seed", type=int, help="the same one again: the same faults in the same order")
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--rate", type=float, default=150.0, help="calls per second of each of the three producers")
    parser.add_argument("--lanes", nargs="+", default=LANES, choices=LANES, help="of what there are faults")
    parser.add_argument("--server", metavar="PROGRAM", help="the broker, if not the first one found")
    parser.add_argument("--out", type=Path, metavar="FILE", help="writes the account there too, as JSON")
    parser.add_argument("--publish", action="store_true", help="writes docs/reliability.json, and the page's figures")
    parser.add_argument(
        "--holders", type=int, metavar="KILLS", help="kills of those that have the only place of a type"
    )
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--tasks", type=int, default=10_000, help="of --smoke")
    parser.add_argument("--seconds", type=float, default=0.005, help="of --smoke: how long a task takes")
    parser.add_argument("--threads", type=int, default=1, help="of --smoke: of each of the two processes")
    options = parser.parse_args()
    if options.smoke:
        return _smoke(options)
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    if options.holders:
        held = holders(options.holders, seed)
        print(held, flush=True)
        return _said(held.problems())
    minutes, lanes = options.minutes, tuple(options.lanes)
    storm = Storm(seed, minutes * 60, options.hosts, options.rate, options.server, lanes)
    account = storm.run()
    print(account, flush=True)
    if account.problems():
        print(f"  evidence          {storm.folder}", flush=True)
    if options.out:
        options.out.write_text(written([account]), "utf-8")
    if options.publish:
        publish(written([account]))
    return _said(account.problems())


def _smoke(options: argparse.Namespace) -> int:
    clean = True
    for way in get_args(Way):
        account = smoke(options.tasks, way, options.seed or 0, seconds=options.seconds, threads=options.threads)
        print(account, flush=True)
        clean = not _said(account.problems()) and clean
    return 0 if clean else 1


def _said(problems: list[str]) -> int:
    for problem in problems:
        print(f"  NOT CLEAN: {problem}", flush=True)
    print("  clean: nothing lost, nothing stuck, each repeated run has its fault" if not problems else "", flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
