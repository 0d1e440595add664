"""A grid of threads on the host that runs much faster than the simulator's, and always in one order.

The simulator polls all threads of a block, which all want the interpreter's lock, and it looks at the source
of the caller at every shared array. Here one thread runs at a time: at a barrier it hands over to the next
one, and when its turn comes again, all others have reached that barrier or ended.
"""

import random
import sys
import threading
from contextlib import contextmanager

import numpy as np
from numba.cuda.simulator import kernel as simulator
from numba.cuda.simulator.kernelapi import Dim3, FakeCUDAModule, FakeCUDAShared
from numba.cuda.simulator.kernelapi import numpy_support as dtypes


def _taken():
    """A lock that is taken: whoever waits for it goes on when another thread releases it."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Thread(threading.Thread):
    """A thread of a block; it is kept for all blocks that are to come."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.threadIdx, self.blockIdx = Dim3(number, 0, 0), None
        self.turn = _taken()
        self.work, self.next, self.ended, self.error = None, None, None, None
        self.start()

    def run(self):
        while True:
            self.turn.acquire()
            try:
                self.work()
            except BaseException as error:
                self.error = error
            self.ended(self)

    def syncthreads(self):
        if self.next is not self:
            self.next.turn.release()
            self.turn.acquire()


_threads = []


def run_block(work, block, size):
    """Run `work` in so many threads; the first error is raised when all have ended."""
    _threads.extend(Thread(number) for number in range(len(_threads), size))
    team, finished = _threads[:size], _taken()

    def ended(thread):
        if thread.next is thread:
            finished.release()
            return
        before = next(other for other in team if other.next is thread)
        before.next, after, thread.next = thread.next, thread.next, None
        after.turn.release()

    for i, thread in enumerate(team):
        thread.blockIdx, thread.work, thread.ended, thread.error = Dim3(block, 0, 0), work, ended, None
        thread.next = team[(i + 1) % size]
    team[0].turn.release()
    finished.acquire()
    for thread in team:
        if thread.error is not None:
            raise thread.error


@contextmanager
def _device_module(module):
    """Put what a thread sees as `cuda` into all modules with kernels."""
    cuda = sys.modules["numba"].cuda
    homes = [home for name, home in sys.modules.items() if name.startswith("numclip._cuda_")]
    homes = [home.__dict__ for home in homes if getattr(home, "cuda", None) is cuda]
    for home in homes:
        home["cuda"] = module
    try:
        with simulator._push_kernel_context(module):
            yield
    finally:
        for home in homes:
            home["cuda"] = cuda


def launch(kernel, blocks, size, *arguments):
    """Run a kernel, block after block, in an order that nothing may depend on."""
    with _device_module(FakeCUDAModule(Dim3(blocks, 1, 1), Dim3(size, 1, 1), 0)):
        for block in random.Random(blocks).sample(range(blocks), blocks):
            run_block(lambda: kernel.fn(*arguments), block, size)


_call = simulator.FakeCUDAKernel.__call__


def _call_device_function(self, *arguments):
    return self.fn(*arguments) if self._device else _call(self, *arguments)


def _shared_array(self, shape, dtype):
    frame = sys._getframe(1)
    key = frame.f_code, frame.f_lineno, threading.current_thread().blockIdx.x
    if key not in self._allocations:
        self._allocations[key] = np.empty(shape, dtypes.as_dtype(dtype))
    return self._allocations[key]


simulator.FakeCUDAKernel.__call__ = _call_device_function
FakeCUDAShared.array = _shared_array
