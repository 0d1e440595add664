"""The number of cores that this process may use, by its affinity and the CPU quota of its control groups."""

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
    """Return the CPU quota in cores, rounded down but at least 1.

    The files are read once: after a call has filled the caches with its arrays, reading them is slow.
    """
    quota = sys.maxsize
    for times in _limits():
        with suppress(OSError, ValueError):  # no such file, or no number in it: no quota
            time, period = (int(word) for file in times for word in file.read_text("ascii").split())
            if time > 0:
                quota = min(quota, max(1, time // period))
    return quota


def _limits() -> Iterator[list[Path]]:
    """Yield the files that hold a quota and its period, from the process's own control group upwards.

    In a container, the own group may be the root of the tree, so that only its file exists.
    """
    try:
        lines = OWN_GROUPS.read_text("utf-8").splitlines()
    except OSError:  # not on Linux
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        for group in (PurePosixPath(own), *PurePosixPath(own).parents):
            inside = str(group).lstrip("/")
            if not controllers:
                yield [GROUPS / inside / "cpu.max"]
            elif "cpu" in controllers.split(","):  # version 1 of control groups
                folder = GROUPS / "cpu" / inside
                yield [folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"]
