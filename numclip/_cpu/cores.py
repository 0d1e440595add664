"""How many cores this process may use: by its affinity, and by the time that its control groups give it."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def available_cores() -> int:
    """Return the number of cores, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _quota())


@cache
def _quota() -> int:
    """Return for how many cores there is time, rounded down but at least 1.

    Read once: a call that has just filled the caches with its arrays takes 100 us for such a file.
    """
    quota = sys.maxsize
    for times in _limits():
        with suppress(OSError, ValueError):  # no such file, or no number in it: no limit
            time, period = (int(word) for file in times for word in file.read_text("ascii").split())
            if time > 0:
                quota = min(quota, max(1, time // period))
    return quota


def _limits() -> Iterator[list[Path]]:
    """Name the files that hold a time and the period that it is for, from the process's own group upwards.

    A container may see its own group as the root of the tree, so that only this one is there.
    """
    try:
        lines = OWN_GROUPS.read_text("utf-8").splitlines()
    except OSError:  # another system than Linux
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        for group in (PurePosixPath(own), *PurePosixPath(own).parents):
            inside = str(group).lstrip("/")
            if not controllers:
                yield [GROUPS / inside / "cpu.max"]
            elif "cpu" in controllers.split(","):  # the first version of control groups
                folder = GROUPS / "cpu" / inside
                yield [folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"]
