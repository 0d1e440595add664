"""The seam between the public functions and the backends: what a backend offers, and which one a list takes.

`numclip._cpu.backend` and `numclip._cuda.backend` are the two. Both are loaded when a list first needs them:
`import numclip` loads neither Numba nor a driver.
"""

import logging
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from numclip._arrays.devices import first_array, is_cuda
from numclip._arrays.labels import LIST, Labels
from numclip._arrays.options import DEFAULT, Options
from numclip._core import apart

logger = logging.getLogger("numclip")

Array = NDArray[Any]


class Plan(Protocol):
    """A list, checked and packed once, to be clipped again and again."""

    results: list[Any]

    def clip(self, clip_norm: Any, use_norm: Any = None, options: Options = DEFAULT) -> tuple[Any, Any]:
        """Clip the arrays as they are now, to norms that the backend has checked; return (norm, factor)."""
        ...

    def as_function(self, options: Options = DEFAULT) -> Callable[[Any], tuple[Any, Any]]:
        """Return `clip` as a function of a threshold, without a use_norm: the shortest way to clip."""
        ...

    def last_tensor_norms(self, loss_scale: float = 1.0, factor: Any = 1.0) -> list[Any]:
        """Return the norm that each array had in the last call, whose factor was `factor`."""
        ...

    def sums(self, prescale: float = 1.0) -> tuple[Array, Array, Array]:
        """Return three arrays: of each entry the sum of squares, its error, and whether the entry is 64-bit.

        They are on the host. The entries are read as they are now. An array has the same sum in every list.
        """
        ...

    def scale(self, factor: float, prefactor: float) -> None:
        """Write the clipped values of the arrays that `sums` read: elements times prefactor times factor."""
        ...


class Backend(Protocol):
    """The operations on arrays of one kind of memory.

    `output` is an `Output` (see `numclip._arrays.output`) or the caller's list of targets. Every argument is
    checked before anything is written.
    """

    def clip(
        self,
        t_list: Any,
        output: Any,
        clip_norm: Any,
        use_norm: Any = None,
        options: Options = DEFAULT,
        labels: Labels = LIST,
        stream: Any = None,
    ) -> tuple[list[Any], Any, Any]:
        """Clip once; return (results, norm, factor), the factor None where only the device knows it."""
        ...

    def factor(
        self,
        t_list: Any,
        clip_norm: Any,
        use_norm: Any = None,
        options: Options = DEFAULT,
        labels: Labels = LIST,
    ) -> tuple[Any, Any]:
        """Write nothing; return (factor, norm)."""
        ...

    def tensor_norms(self, t_list: Any, order: float, labels: Labels = LIST) -> list[Any]:
        """Return the norm of each array, None for None."""
        ...

    def plan(self, t_list: Any, output: Any, labels: Labels = LIST) -> Plan:
        """Check and pack a list for many calls."""
        ...

    def clip_norm(self, value: Any) -> Any:
        """Check a clip_norm; return it in the form that a plan takes."""
        ...

    def use_norm(self, value: Any) -> Any:
        """Check a use_norm; return it in the form that a plan takes."""
        ...

    def clip_along(self, t: Any, clip_norm: Any, axes: Any, out: Any) -> Any:
        """Clip the slices of an array along some axes, each by its own norm."""
        ...

    def clip_between(self, t: Any, low: Any, high: Any, out: Any) -> Any:
        """Clip the elements of an array to an interval."""
        ...

    def clip_adaptively(self, params: Any, grads: Any, clipping: Any, eps: Any, out: Any) -> list[Any]:
        """Clip each unit of the gradients to a share of the norm of the same unit of the parameters."""
        ...

    def clip_per_example(self, t_list: Any, clip_norm: Any, nonfinite: str) -> tuple[list[Any], int, Any]:
        """Return the sums of the clipped examples of a list, how many were clipped, and their norms."""
        ...

    def compile_ahead(self, typecodes: set[int]) -> None:
        """Compile the kernels that lists of these element types need."""
        ...


@cache
def cpu() -> Backend:
    """Return the backend for NumPy arrays, after loading Numba."""

    def load() -> Backend:
        from numclip._cpu.backend import BACKEND

        return BACKEND

    start = perf_counter()
    backend: Backend = apart.run("Numba", load)
    logger.info("loaded Numba in %.2f s", perf_counter() - start)
    return backend


@cache
def cuda() -> Backend:
    """Return the backend for CUDA arrays, after loading numba-cuda."""

    def load() -> Backend:
        from numclip._cuda.backend import BACKEND

        return BACKEND

    backend: Backend = apart.run("numba-cuda", load)
    return backend


def backend_of(t_list: Any) -> Backend:
    """Return the backend of a list: that of its first array."""
    # Fast path: a list that starts with a NumPy array belongs to the CPU.
    if type(t_list) is list and t_list and type(t_list[0]) is np.ndarray:
        return cpu()
    return cuda() if is_cuda(first_array(t_list)[1]) else cpu()
