"""How many threads a call uses: decided for each call, so that it is fast right after a matrix product.

After a product, the threads of the BLAS spin on all cores for a while. A thread of numclip that shares a core
with one of them is preempted in the middle of its work, and the whole call waits for it. So: one thread up to
4 million elements; up to 64 million, as many threads as have a megabyte each and a core that no other thread
of this process occupies; beyond that, as many as there are cores. The measurements behind these numbers are
in benchmarks/notes.md. The results have the same bits for every number of threads.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from numclip._core import process
from numclip._core.interpreters import is_subinterpreter
from numclip._cpu import census, tbb
from numclip._cpu.cores import available_cores


class Policy:
    """The thresholds, and the decision; `limit` is the caller's, None for every available core."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self._most = np.array([4_000_000])  # compiled code reads it
        self.most_at = int(self._most.ctypes.data)
        self.contested_elements = 64_000_000
        self.elements_per_thread = 1 << 18
        self._workers: set[str] = set()

    @property
    def serial_elements(self) -> int:
        """The most elements of a list that one thread handles in any case."""
        return int(self._most[0])

    @serial_elements.setter
    def serial_elements(self, elements: int) -> None:
        self._most[0] = elements

    def may_start(self) -> bool:
        """Tell whether a second thread may be started for any list, however large."""
        return self.most_serial() < sys.maxsize and available_cores() > 1

    def most_serial(self) -> int:
        """Return the number of elements up to which one thread handles a list."""
        if self.limit == 1 or process.is_forked() or is_subinterpreter() or not tbb.is_used():
            return sys.maxsize
        return self.serial_elements

    def blocks(self, elements: int) -> int:
        """Return the number of threads, each with a block of its own, for a list of this many elements."""
        if elements <= self.serial_elements or elements <= self.most_serial():
            return 1
        cores = available_cores()
        if elements < self.contested_elements:
            cores -= census.running_threads(self._workers, unknown=cores)
        cores = min(cores, elements // self.elements_per_thread)
        if self.limit is not None:
            cores = min(cores, self.limit)
        return 1 if cores <= 1 else min(cores, self._numba_threads())

    @contextmanager
    def noting_workers(self) -> Iterator[None]:
        """Record the threads that are started meanwhile as those of TBB for numclip."""
        before = census.thread_ids()
        yield
        self._workers.update(census.thread_ids() - before)

    def _numba_threads(self) -> int:
        """Return how many threads Numba may use, after starting them."""
        import numba

        if not tbb.is_running():
            with self.noting_workers():
                tbb.start()
        return int(numba.get_num_threads())


policy = Policy()
