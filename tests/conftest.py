import os

import numpy as np
import pytest
from hypothesis import settings

# The CUDA simulator is chosen before Numba is imported, so its tests run in a process of their own.
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
collect_ignore = [] if SIMULATED else ["cuda"]

settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=10_000, deadline=None)
settings.register_profile("simulator", max_examples=5, deadline=None, derandomize=True)
settings.load_profile("simulator" if SIMULATED else os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def rng():
    return np.random.default_rng(20130616)
