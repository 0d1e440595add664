"""Tests that run on a device that is simulated or compiled for, in a process that is told so at its start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# What holds for arrays of either kind; these tests run on both.
SHARED = [
    *("accuracy", "aliases", "clip_factor", "clip_norm", "clipper", "containers", "entries", "misfits"),
    *("nonfinite", "output", "use_norm"),
]


def run_device_tests(cases, **environment):
    """Run tests of CUDA arrays, and those for arrays of either kind; return how many passed.

    `cases` is ``"first"`` for a sample, one case of each test that is not slow, or ``"others"`` for the rest.
    """
    shared = [TESTS / f"test_{name}.py" for name in SHARED]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS / "cuda", *shared],
        env=os.environ | environment | {"DEVICE_CASES": cases},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return int(re.search(r"(\d+) passed", result.stdout)[1])


def skip_without_numba_cuda():
    """Skip a test, or a module, where numba-cuda is not installed."""
    exists = sys.version_info < (3, 15)
    why = "pip install 'numba-cuda>=0.30'" if exists else "no release for Python 3.15 yet"
    pytest.importorskip("numba_cuda", reason=f"no numba-cuda: {why}")


def skip_without_compilers():
    """Skip a module where CUDA kernels cannot be compiled; no driver is needed for that."""
    skip_without_numba_cuda()
    from cuda.bindings import nvrtc
    from numba import cuda

    try:
        cuda.compile(lambda: None, (), cc=(9, 0))
        nvrtc.nvrtcVersion()
    except AttributeError as error:
        if "module 'numpy' has no attribute" not in str(error):
            raise
        pytest.skip(
            "numba-cuda does not compile under this NumPy: pip install 'numpy<2.5'", allow_module_level=True
        )
    except Exception as error:
        if type(error).__name__ not in ("DynamicLibNotFoundError", "NvvmSupportError"):
            raise
        pytest.skip("no compilers for CUDA: pip install 'numba-cuda[cu13]>=0.30'", allow_module_level=True)
