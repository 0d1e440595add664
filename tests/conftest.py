import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# The CUDA simulator is chosen before Numba is imported, so its tests run in a process of their own. So do the
# compiled kernels.
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" or "PTX_CAPABILITY" in os.environ
collect_ignore = ["support"] if SIMULATED else ["cuda", "support"]
sys.path.insert(0, str(Path(__file__).parent / "support"))

settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=10_000, deadline=None)
settings.register_profile("simulator", max_examples=5, deadline=None, derandomize=True)
settings.load_profile("simulator" if SIMULATED else os.environ.get("HYPOTHESIS_PROFILE", "ci"))

FIGURES = pytest.StashKey[dict]()


@pytest.fixture
def figures(request):
    """Take a count of what a test has done; the sums of all tests close the output."""
    sums = request.config.stash.setdefault(FIGURES, {})

    def add(subject, count, what):
        sums[subject, what] = sums.get((subject, what), 0) + count

    return add


def pytest_terminal_summary(terminalreporter, config):
    sums = config.stash.get(FIGURES, {})
    if sums:
        terminalreporter.section("figures")
    for (subject, what), count in sorted(sums.items(), key=lambda item: item[0][0]):
        terminalreporter.line(f"{subject:20} {count:>13,} {what}")


@pytest.fixture
def rng():
    return np.random.default_rng(20130616)
