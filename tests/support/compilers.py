"""The compilers of CUDA kernels, which need no driver."""

import pytest


def skip_without_compilers():
    """Skip the module or the test where CUDA kernels cannot be compiled."""
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
