"""Arrays of Numba, CuPy, PyTorch and JAX on a real device, made from NumPy's and read back."""

import numpy as np
from registry import Skipped

try:
    from ml_dtypes import bfloat16

    BFLOAT16 = np.dtype(bfloat16)
except ImportError:
    BFLOAT16 = None
DTYPES = [np.dtype(t) for t in ("f4", "f8", "f2", "c8", "c16")]
DTYPES += [] if BFLOAT16 is None else [BFLOAT16]


def to_device(library, array):
    """The array on the device."""
    try:
        return TO_DEVICE[library](array)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise Skipped(f"{library} has no such arrays: {error}") from None


def _to_numba(array):
    from numba import cuda

    return cuda.to_device(array)


def _to_cupy(array):
    import cupy

    return cupy.asarray(array)


def _to_torch(array):
    import torch

    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).cuda().view(torch.bfloat16)
    return torch.from_numpy(array).cuda()


def _to_jax(array):
    import jax

    if array.dtype.itemsize // (1 + (array.dtype.kind == "c")) == 8:
        raise Skipped("JAX has 64 bits only where it is told so")
    return jax.device_put(array, jax.devices("gpu")[0])


TO_DEVICE = {"numba": _to_numba, "cupy": _to_cupy, "torch": _to_torch, "jax": _to_jax}


def to_host(array):
    """The array as a NumPy array, after all work on it is done."""
    module = type(array).__module__.partition(".")[0]
    if module == "torch":
        import torch

        if array.dtype == torch.bfloat16:
            return array.view(torch.int16).cpu().numpy().view(BFLOAT16)
        return array.cpu().numpy()
    if module == "cupy":
        return array.get()
    return np.asarray(array.copy_to_host() if module == "numba" else array)


def normal(rng, dtype, shape):
    """Standard normal numbers of a dtype."""
    values = rng.standard_normal(shape)
    if dtype.kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return np.asarray(values, dtype)


def assert_same_bits(actual, wanted):
    """Assert equal dtype, shape and bits; all NaN are equal."""
    actual, wanted = np.asarray(actual), np.asarray(wanted)
    assert (actual.dtype, actual.shape) == (wanted.dtype, wanted.shape)
    size = wanted.dtype.itemsize // (1 + (wanted.dtype.kind == "c"))
    reals = wanted.dtype if wanted.dtype.kind != "c" else np.dtype(f"f{size}")
    left, right = (np.ascontiguousarray(array).reshape(-1).view(reals) for array in (actual, wanted))
    differs = left.view(f"u{size}") != right.view(f"u{size}")
    both_nan = np.isnan(left.astype(np.float64)) & np.isnan(right.astype(np.float64))
    count = int((differs & ~both_nan).sum())
    assert count == 0, f"{count} of {left.size} numbers differ"
