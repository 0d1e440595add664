"""The machine code of a kernel for a GPU: compiled once, and kept on disk where a directory can be written.

A kernel takes up to seconds to compile, and a call needs two. Numba's own cache does not support kernels that
a function makes.
"""

from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from numba import cuda

from numclip._core import cache
from numclip._cuda import INSTALL
from numclip._cuda.kernel import Kernel

# The packages that machine code depends on, beside the sources of numclip.
TOOLCHAIN = (
    *("numba", "numba-cuda", "cuda-bindings", "cuda-core", "nvidia-nvvm", "nvidia-nvjitlink"),
    *("nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12"),
)
PREFIX = "numclip.cuda."


def machine_code(kernel: Kernel, capability: tuple[int, int]) -> tuple[bytes, str]:
    """Return the machine code of a kernel for a compute capability, and the name of its entry."""
    path = _path(kernel, capability)
    saved = None if path is None else cache.read(path)
    if saved is not None:
        name, _, code = saved.partition(b"\0")
        return code, name.decode()
    code, entry = _compile(kernel, capability)
    if path is not None:
        with suppress(OSError):  # a full disk, or a directory that has gone: the compiled code works without
            cache.write(path, entry.encode() + b"\0" + code, PREFIX)
    return code, entry


def _path(kernel: Kernel, capability: tuple[int, int]) -> Path | None:
    """Return the file of the machine code; None if no directory can be written."""
    try:
        folder = cache.PackageCache(kernel.body.py_func).cache_path
        key = repr((kernel.name, kernel.types, capability, [_version(name) for name in TOOLCHAIN]))
        name = f"{PREFIX}{cache.package_stamp()}-{sha256(key.encode()).hexdigest()[:32]}.cubin"
        return Path(folder) / name
    except Exception:  # Numba finds no directory, or the package is not one of files
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _compile(kernel: Kernel, capability: tuple[int, int]) -> tuple[bytes, str]:
    from cuda.core import Linker, LinkerOptions, ObjectCode

    try:
        ptx, _ = cuda.compile(kernel.body.py_func, kernel.types, cc=capability, device=False, abi="numba")
        entry = ptx.partition(".entry ")[2].partition("(")[0].strip()
        options = LinkerOptions(arch=f"sm_{capability[0]}{capability[1]}")
        linked: Any = Linker(ObjectCode.from_ptx(ptx.encode()), options=options).link("cubin")
    except Exception as error:
        without_compilers = type(error).__name__ in (
            "NvvmSupportError",
            "DynamicLibNotFoundError",
            "NvvmError",
        )
        # numba-cuda 0.30 uses np.row_stack, which NumPy 2.5 no longer has.
        too_new_numpy = isinstance(error, AttributeError) and "module 'numpy' has no attribute" in str(error)
        if without_compilers or too_new_numpy:
            raise ImportError(f"numclip cannot compile for CUDA here: {INSTALL}") from error
        raise
    return bytes(linked.code), entry
