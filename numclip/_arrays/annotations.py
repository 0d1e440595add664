"""The types in the signatures of the public functions: narrow enough to find mistakes, and no narrower."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, SupportsFloat, TypeAlias, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from numclip._arrays.options import Nonfinite
from numclip._arrays.slices import IndexedSlices


class SupportsArray(Protocol):
    """An array, of any library that NumPy can read."""

    @property
    def __array__(self) -> Callable[..., Any]:
        """Return a NumPy array."""
        ...


class SupportsDLPack(Protocol):
    """An array of any library that exports DLPack."""

    @property
    def __dlpack__(self) -> Callable[..., Any]:
        """Return a capsule."""
        ...


class SupportsCUDA(Protocol):
    """An array in the memory of a CUDA device."""

    @property
    def __cuda_array_interface__(self) -> Any:
        """Return its address, shape and dtype."""
        ...


class SparseMatrix(Protocol):
    """A sparse array or matrix of SciPy."""

    @property
    def data(self) -> Any:
        """Return the stored elements."""
        ...

    @property
    def nnz(self) -> Any:
        """Return how many elements are stored."""
        ...


# A number or a 0-d array; not a str, and not a list.
Number: TypeAlias = SupportsFloat
Threshold: TypeAlias = SupportsFloat | Callable[[float], SupportsFloat]
Numbers: TypeAlias = Sequence[complex] | Sequence[Sequence[complex]] | Sequence[Sequence[Sequence[complex]]]
Reals: TypeAlias = SupportsFloat | Sequence[float] | Sequence[Sequence[float]]
Array: TypeAlias = SupportsArray | SupportsDLPack | SupportsCUDA
Entry: TypeAlias = Array | IndexedSlices | SparseMatrix | complex | Numbers | None

# The entries of lists whose norm is a float32, and of those whose norm is a float64.
Narrow = TypeVar("Narrow", bound=NDArray[np.float32 | np.float16 | np.complex64] | None)
Wide = TypeVar("Wide", bound=NDArray[np.float64 | np.complex128] | None)
Single = TypeVar("Single", bound=NDArray[Any] | IndexedSlices)
Norm = TypeVar("Norm")
Given = TypeVar("Given", bound=SupportsFloat)


class NormOptions(TypedDict, total=False):
    """The options of the functions that clip by a norm."""

    ord: float
    eps: float
    loss_scale: float
    nonfinite: Nonfinite


class ClipOptions(NormOptions, total=False):
    """Those of the functions that write the clipped arrays."""

    strict: bool
