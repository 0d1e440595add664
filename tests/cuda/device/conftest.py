"""CUDA arrays on Numba's simulator, or on compiled kernels that run on the host: see test_devices.py."""

import pytest
from place import DEVICE, PTX

if not DEVICE:
    collect_ignore_glob = ["*"]
elif not PTX:
    collect_ignore = ["test_grids.py", "test_driver.py"]


@pytest.fixture
def short_chunks(monkeypatch):
    """Chunks of 32, and runs of 32 chunks: all levels of the sum in a list small enough to simulate."""
    if PTX:
        pytest.skip("kernels are compiled for chunks of 4096")
    from numclip._cuda.pack import table_of

    monkeypatch.setattr("numclip._core.contract.CHUNK", 32)
    monkeypatch.setattr("oracle.CHUNK", 32)
    table_of.cache_clear()
    yield
    table_of.cache_clear()
