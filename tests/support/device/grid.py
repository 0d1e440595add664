"""A grid of threads on the host that runs much faster than the simulator's, and always in one order.

The simulator has a thread of the host for each of the device: it polls those of a block, which all want the
interpreter's lock, and it looks at the source of the caller at every shared array. Here they are greenlets:
each runs up to the next barrier, and then its neighbour does.
"""

import random
import sys
from contextlib import contextmanager

import numpy as np
from greenlet import getcurrent, greenlet
from numba.cuda.simulator import kernel as simulator
from numba.cuda.simulator.kernelapi import Dim3, FakeCUDAModule, FakeCUDAShared
from numba.cuda.simulator.kernelapi import numpy_support as dtypes


class Thread(greenlet):
    """A thread of a block."""

    def __init__(self, work, number, block):
        super().__init__(work)
        self.threadIdx, self.blockIdx = Dim3(number, 0, 0), Dim3(block, 0, 0)


def syncthreads():
    getcurrent().parent.switch()


def run_block(work, block, size):
    """Run `work` in so many threads, up to a barrier in all of them, and on to the next."""
    team = [Thread(work, number, block) for number in range(size)]
    while team:
        for thread in team:
            thread.switch()
        team = [thread for thread in team if not thread.dead]


class Device(FakeCUDAModule):
    """What a thread sees as `cuda`."""

    threadIdx = property(lambda self: getcurrent().threadIdx)
    blockIdx = property(lambda self: getcurrent().blockIdx)

    def syncthreads(self):
        syncthreads()


@contextmanager
def _seen_as_cuda(device):
    """Put it into all modules with kernels."""
    cuda = sys.modules["numba"].cuda
    homes = [home for name, home in sys.modules.items() if name.startswith("numclip._cuda.")]
    homes = [home.__dict__ for home in homes if getattr(home, "cuda", None) is cuda]
    for home in homes:
        home["cuda"] = device
    try:
        with simulator._push_kernel_context(device):
            yield
    finally:
        for home in homes:
            home["cuda"] = cuda


def launch(kernel, blocks, size, *arguments):
    """Run a kernel, block after block, in an order that nothing may depend on."""
    with _seen_as_cuda(Device(Dim3(blocks, 1, 1), Dim3(size, 1, 1), 0)):
        for block in random.Random(blocks).sample(range(blocks), blocks):
            run_block(lambda: kernel.fn(*arguments), block, size)


_call = simulator.FakeCUDAKernel.__call__


def _call_device_function(self, *arguments):
    return self.fn(*arguments) if self._device else _call(self, *arguments)


def _shared_array(self, shape, dtype):
    frame = sys._getframe(1)
    key = frame.f_code, frame.f_lineno, getcurrent().blockIdx.x
    if key not in self._allocations:
        self._allocations[key] = np.empty(shape, dtypes.as_dtype(dtype))
    return self._allocations[key]


simulator.FakeCUDAKernel.__call__ = _call_device_function
FakeCUDAShared.array = _shared_array
