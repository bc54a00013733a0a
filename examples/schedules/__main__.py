"""`python -m examples.schedules`: two hosts, one of which is killed, and not a second is left out."""

from __future__ import annotations

import subprocess
import sys
import time

from distq.embedded import EmbeddedBroker
from examples.schedules.app import app

SECONDS = 6


def main() -> int:
    """The exit code is 0 if each second fired once."""
    with EmbeddedBroker() as broker:
        app.rebind(broker.url)
        command = [sys.executable, "-m", "distq", "run", "examples.schedules.app:app", "-p", "1", "--lease", "2s"]
        command += ["--broker", broker.url, "--metrics-port", "0", "--log-level", "ERROR"]
        hosts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        try:
            for host in hosts:
                assert host.stdout is not None
                print(host.stdout.readline().strip())
            hosts[0].kill()
            print("one host was killed")
            time.sleep(SECONDS)
            for schedule in app.schedules.list():
                print(f"{schedule.name}: {schedule.when} {schedule.tz}, next {schedule.next[0]:%Y-%m-%d %H:%M:%S}")
            print(f"by hand: {app.schedules.trigger('report-de').get(timeout=20)}")
            ticks = sorted(round(past.tick.timestamp()) for past in app.schedules.history("heartbeat"))
        finally:
            for host in hosts:
                host.terminate()
                host.communicate()
    print(f"{len(ticks)} seconds fired, {ticks[-1] - ticks[0] + 1 - len(set(ticks))} are missing")
    return 0 if ticks == list(range(ticks[0], ticks[-1] + 1)) else 1


if __name__ == "__main__":
    sys.exit(main())
