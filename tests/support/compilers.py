"""The requirements of tests of CUDA without a device: numba-cuda, and its compilers."""

import sys

import pytest


def skip_without_numba_cuda():
    """Skip a test, or a module, where numba-cuda is not installed."""
    exists = sys.version_info < (3, 15)
    why = 'pip install "numba-cuda>=0.30"' if exists else "no release for Python 3.15 yet"
    pytest.importorskip("numba_cuda", reason=f"no numba-cuda: {why}")


def skip_without_compilers():
    """Skip a test, or a module, where CUDA kernels cannot be compiled."""
    skip_without_numba_cuda()
    nvrtc = pytest.importorskip(
        "cuda.bindings.nvrtc", reason='no compilers for CUDA: pip install "numba-cuda[cu13]>=0.30"'
    )
    from numba import cuda

    try:
        cuda.compile(lambda: None, (), cc=(9, 0))
        nvrtc.nvrtcVersion()
    except AttributeError as error:
        if "module 'numpy' has no attribute" not in str(error):
            raise
        reason = 'numba-cuda does not compile under this NumPy: pip install "numpy<2.5"'
        pytest.skip(reason, allow_module_level=True)
    except Exception as error:
        if type(error).__name__ not in ("DynamicLibNotFoundError", "NvvmSupportError"):
            raise
        pytest.skip('no compilers for CUDA: pip install "numba-cuda[cu13]>=0.30"', allow_module_level=True)
