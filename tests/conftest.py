import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

SUPPORT = Path(__file__).parent / "support"
sys.path.insert(0, str(SUPPORT))

from place import DEVICE  # noqa: E402

collect_ignore = ["support"]
collect_ignore_glob = ["*conftest.py"]  # they have no doctests, and cannot be imported by one name
if DEVICE:
    sys.path[:0] = [str(SUPPORT / "device"), str(SUPPORT / "ptx")]
    import backend  # noqa: F401 before anything loads the CUDA side of numclip

settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=10_000, deadline=None)
settings.register_profile("device", max_examples=5, deadline=None, derandomize=True)
settings.load_profile("device" if DEVICE else os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config):
    if DEVICE:
        config.addinivalue_line("filterwarnings", "ignore::RuntimeWarning")  # devices do not warn


@pytest.fixture
def figures(record_property):
    """Record counts of a test; the sums over all tests are shown before the last line."""

    def add(subject, count, what):
        record_property(
            "figure", (subject, what, count)
        )  # a property is sent from any worker to the process that sums

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
