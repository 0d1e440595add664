"""Tests that run on a device that is simulated or compiled for, in a process that is told so at its start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def run_device_tests(**environment):
    """Run the tests of CUDA arrays, and those for arrays of either kind, and return pytest's summary."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS / "cuda", TESTS / "contract"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return re.search(r"\d+ passed.*", result.stdout).group()


def skip_without_compilers():
    """Skip a module where CUDA kernels cannot be compiled; no driver is needed for that."""
    pytest.importorskip("numba_cuda", reason="pip install 'numclip[test]'")
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="pip install 'numclip[cuda13]'")
    from numba import cuda

    try:
        nvrtc.nvrtcVersion()
        cuda.compile(lambda: None, (), cc=(9, 0))
    except Exception as error:
        if type(error).__name__ not in ("DynamicLibNotFoundError", "NvvmSupportError"):
            raise
        pytest.skip("no compiler for CUDA: pip install 'numclip[cuda13]'", allow_module_level=True)
