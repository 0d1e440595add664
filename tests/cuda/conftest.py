"""These tests run on Numba's simulator, which takes a process of its own: see tests/test_cuda.py."""

import os

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    import simulator  # noqa: F401
else:
    collect_ignore_glob = ["*"]


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "ignore::RuntimeWarning")  # a device does not warn of overflow
