"""A broker whose clock can be set while it runs: a shim before the C library adds so many seconds to the time of day.

It leaves the monotonic clock alone, as a person or NTP does. It needs Linux and a C compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distq.embedded import EmbeddedBroker

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long skew(void) {
  const char *place = getenv("TEST_SKEW_FILE");
  char text[32] = {0};
  int file = place ? open(place, O_RDONLY) : -1;
  if (file < 0) return 0;
  if (read(file, text, 31) < 0) text[0] = 0;
  close(file);
  return atol(text);
}
int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int done = real(clock, at);
  if (clock == CLOCK_REALTIME) at->tv_sec += skew();
  return done;
}
int gettimeofday(struct timeval *at, void *zone) {
  static int (*real)(struct timeval *, void *);
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  int done = real(at, zone);
  at->tv_sec += skew();
  return done;
}
time_t time(time_t *out) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  if (out) *out = at.tv_sec;
  return at.tv_sec;
}
"""


class Clock:
    """The clock of a broker."""

    def __init__(self, url: str, place: Path) -> None:
        self.url, self._place = url, place

    def set(self, seconds: int) -> None:
        """It is off by so much from now on."""
        new = self._place.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._place)


def skewed(folder: Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is off by so much."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "this test sets the clock of a process by a shim, and needs a C compiler (cc) for that"
    source, shim, place = folder / "skew.c", folder / "skew.so", folder / f"skew-{seconds}"
    if not shim.exists():
        source.write_text(SHIM)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
    place.write_text(str(seconds))
    return {"LD_PRELOAD": str(shim), "TEST_SKEW_FILE": str(place)}


@contextmanager
def adjustable(folder: Path) -> Iterator[Clock]:
    """A broker with such a clock."""
    told = skewed(folder, 0)
    broker = EmbeddedBroker()
    os.environ.update(told)
    try:
        broker.__enter__()
    finally:
        for name in told:
            del os.environ[name]
    try:
        yield Clock(broker.url, Path(told["TEST_SKEW_FILE"]))
    finally:
        broker.__exit__(None, None, None)
