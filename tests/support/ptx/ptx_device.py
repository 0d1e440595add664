"""A device that runs compiled kernels on the host; to be imported before numclip's CUDA side.

What the host code asks of Numba's CUDA API is answered here. A launch compiles the kernel to PTX, as for a
device, and a grid runs that. The memory of the device is the host's, where it has been given to the device.
"""

import os
from functools import cache
from types import SimpleNamespace

import numpy as np
import on_device
from numba import cuda, float64, int64
from numba.cuda import dispatcher
from ptx_code import Code
from ptx_grid import Memory, launch

from numclip._cuda import target
from numclip._cuda.simulator import driver as simulated

MEMORY = Memory()
# How kernels are compiled and run; tests may change these.
OPTIONS = SimpleNamespace(
    capability=tuple(map(int, os.environ.get("PTX_CAPABILITY", "9.0").split("."))),
    code={},
    run=lambda blocks: {},
    launched=lambda kernel, blocks, accesses: None,
)


on_device.place = MEMORY.give


class DeviceArray(on_device.DeviceArray):
    """An array in the memory of the device."""

    shape = property(lambda self: self.array.shape)


def device_array(shape, dtype, strides=None):
    # A device gives out memory that is aligned to 256 bytes, and full of whatever was there before.
    like = (
        np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides)
        if strides is not None
        else np.empty(shape, dtype)
    )
    size = like.nbytes
    memory = np.full(size + 256, 0xA5, np.uint8)
    start = -memory.ctypes.data % 256
    return DeviceArray(np.ndarray(shape, dtype, memory[start : start + size], strides=strides))


def allocate(words):
    memory = device_array(words, np.int64)
    return memory, memory.array.ctypes.data


@cache
def compiled(kernel, signature, capability, options):
    """Compile a kernel for a compute capability, as for a device."""
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    ptx, _ = cuda.compile(kernel.py_func, signature, cc=capability, device=False, abi="numba")
    return Code(ptx, **dict(options))


def start(kernel, blocks, threads, stream, *arguments):
    """Run a kernel."""
    assert all(type(argument) in (int, float) for argument in arguments)
    signature = tuple(float64 if type(argument) is float else int64 for argument in arguments)
    code = compiled(kernel, signature, OPTIONS.capability, tuple(OPTIONS.code.items()))
    accesses = launch(code, MEMORY, blocks, threads, arguments, **OPTIONS.run(blocks))
    OPTIONS.launched(kernel, blocks, accesses)


# The driver of the simulator has the memory of the host too; its launches and allocations are replaced.
target.driver = SimpleNamespace(**vars(simulated) | {"allocate": allocate, "launch": start})

from numclip._cuda import libraries  # noqa: E402

libraries.cuda = SimpleNamespace(device_array=device_array)
cuda.to_device = DeviceArray
