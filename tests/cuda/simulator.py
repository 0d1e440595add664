"""Numba's simulator made into a device that a plan can use; to be imported before numclip's CUDA side."""

import sys
from functools import partial

import simulated
from grid import launch
from numba import cuda
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

sys.modules["numclip._cuda_intrinsics"] = simulated

from numclip import _cuda_chunks, _cuda_driver  # noqa: E402


def interface(self):
    """What a device array has, and the simulator's lacks."""
    array = self._ary
    return {
        "version": 3,
        "shape": array.shape,
        "strides": None if array.flags.c_contiguous else array.strides,
        "data": (array.ctypes.data if array.size else 0, not array.flags.writeable),
        "typestr": array.dtype.str,
        "stream": None,
    }


FakeCUDAArray.__cuda_array_interface__ = property(interface)
cuda.external_stream = lambda handle: cuda.stream()
cuda.event = lambda timing=True: Event()


class Event:
    """Everything is done at once, so every event has come to pass."""

    def record(self, stream=0):
        pass

    def wait(self, stream=0):
        pass

    def query(self):
        return True


_cuda_driver._configured = lambda kernel, blocks, threads, stream: partial(launch, kernel, blocks, threads)
_cuda_driver.device_of = lambda address: 0
_cuda_driver.is_capturing = lambda handle: False
_cuda_driver.current_device = lambda: 0

# A warp: blocks as small as they can be.
_cuda_chunks.THREADS, _cuda_chunks.WARPS = 32, 1
_cuda_chunks.CREWS = 32 // _cuda_chunks.CREW
