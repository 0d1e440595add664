"""Numba's simulator made into a device that a plan can use; to be imported before numclip's CUDA side."""

import sys
from functools import partial

import simulated
from grid import launch
from numba import cuda
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from on_device import Event, interface_of

sys.modules["numclip._cuda_intrinsics"] = simulated

from numclip import _cuda_chunks, _cuda_driver  # noqa: E402

FakeCUDAArray.__cuda_array_interface__ = property(lambda self: interface_of(self._ary) | {"stream": None})
cuda.external_stream = lambda handle: cuda.stream()
cuda.event = lambda timing=True: Event()
_cuda_driver._configured = lambda kernel, blocks, threads, stream: partial(launch, kernel, blocks, threads)
_cuda_driver.device_of = lambda address: 0
_cuda_driver.is_capturing = lambda handle: False
_cuda_driver.current_device = lambda: 0

# A warp: blocks as small as they can be.
_cuda_chunks.THREADS, _cuda_chunks.WARPS = 32, 1
_cuda_chunks.CREWS = 32 // _cuda_chunks.CREW
