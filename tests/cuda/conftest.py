"""These tests run on Numba's simulator or on compiled kernels, each in a process: see device_tests.py."""

import os
import sys
from pathlib import Path

import pytest

PTX = "PTX_CAPABILITY" in os.environ
if PTX or os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    SUPPORT = Path(__file__).parents[1] / "support"
    sys.path[:0] = [str(SUPPORT / "device"), str(SUPPORT / "ptx")]
    from backend import take_over

    def pytest_collection_modifyitems(items):
        take_over(items)

    if not PTX:
        collect_ignore = ["test_grids.py"]
else:
    collect_ignore_glob = ["*"]


@pytest.fixture
def short_chunks(monkeypatch):
    """Chunks of 32, and runs of 32 chunks: all levels of the sum from a list that the simulator can take."""
    if PTX:
        pytest.skip("kernels are compiled for chunks of 4096")
    from numclip._cuda.pack import table_of

    monkeypatch.setattr("numclip._core.contract.CHUNK", 32)
    monkeypatch.setattr("oracle.CHUNK", 32)
    table_of.cache_clear()
    yield
    table_of.cache_clear()


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "ignore::RuntimeWarning")  # a device does not warn of overflow
