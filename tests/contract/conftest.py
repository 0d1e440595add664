"""The results of calls on every backend: on NumPy arrays here, on CUDA arrays in a process for each device.

All tests in this folder belong to the contract. A test calls the public functions with NumPy arrays by their
plain names; in the process of a device, the arrays go there and back, and share their memory.
"""

import os
from collections import Counter
from pathlib import Path

import arrays
import pytest
from place import DEVICE

FOLDER = Path(__file__).parent
MOST_CASES = 5  # of one test on a device, evenly spread: a launch on the simulator is slow

if DEVICE:
    from backend import FUNCTIONS
else:
    FUNCTIONS = {}


@pytest.fixture(scope="module", autouse=True)
def backend(request):
    """Let a module call the functions on the backend of this process."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (request.module, arrays):
            for name, function in FUNCTIONS.items():
                if hasattr(module, name):
                    patch.setattr(module, name, function)
        yield


def pytest_collection_modifyitems(config, items):
    if not DEVICE:
        return
    contract = [item for item in items if item.path.is_relative_to(FOLDER)]
    cases, seen, left_out = Counter(item.function for item in contract), Counter(), []
    for item in contract:
        every = -(-cases[item.function] // MOST_CASES) | 1  # odd: each of two choices gets its turn
        if seen[item.function] % every:
            left_out.append(item)
        seen[item.function] += 1
    left_out += _other_cases([item for item in items if item not in left_out])
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _other_cases(items):
    """The cases that DEVICE_CASES leaves out: "first" is the first case of each test that is not slow."""
    first, seen = [], set()
    for item in items:
        if item.function not in seen and item.get_closest_marker("slow") is None:
            first.append(item)
            seen.add(item.function)
    choice = os.environ.get("DEVICE_CASES")
    return {"first": [item for item in items if item not in first], "others": first, None: []}[choice]
