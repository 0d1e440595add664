"""Numba's simulator made into a device that a plan can use; to be imported before numclip's CUDA side."""

import sys
from functools import partial

import simulated
from grid import launch
from numba import cuda
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from on_device import Event, interface_of

sys.modules["numclip._cuda.intrinsics"] = simulated

from numclip._cuda import driver, grid  # noqa: E402

FakeCUDAArray.__cuda_array_interface__ = property(lambda self: interface_of(self._ary) | {"stream": None})
cuda.external_stream = lambda handle: cuda.stream()
cuda.event = lambda timing=True: Event()
driver._configured = lambda kernel, blocks, threads, stream: partial(launch, kernel, blocks, threads)
driver.device_of = lambda address: 0
driver.is_capturing = lambda handle: False
driver.current_device = lambda: 0

# A warp: blocks as small as they can be.
grid.THREADS, grid.WARPS = 32, 1
grid.CREWS = 32 // grid.CREW
