import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import settings

# The CUDA simulator is chosen before Numba is imported, so its tests run in a process of their own. So do the
# compiled kernels.
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" or "PTX_CAPABILITY" in os.environ
collect_ignore = ["ptx"] if SIMULATED else ["cuda", "ptx"]

settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=10_000, deadline=None)
settings.register_profile("simulator", max_examples=5, deadline=None, derandomize=True)
settings.load_profile("simulator" if SIMULATED else os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def figures(record_property):
    """Take a count of what a test has done; the sums of all tests are shown before the last line."""

    def add(subject, count, what):
        record_property(
            "figure", (subject, what, count)
        )  # a property reaches the process that sums, from any worker

    return add


def pytest_terminal_summary(terminalreporter):
    sums = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "figure":
                subject, what, count = value
                sums[subject, what] += count
    if sums:
        terminalreporter.section("figures")
    for (subject, what), count in sorted(sums.items()):
        terminalreporter.line(f"{subject:20} {count:>13,} {what}")


@pytest.fixture
def rng():
    return np.random.default_rng(20130616)
