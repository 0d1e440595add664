"""Sparse matrices of SciPy, which is looked up and never imported."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays.errors import brief_shape, shortened
from numclip._arrays.modules import loaded

Array = NDArray[Any]

# The arrays beside the data that say where the elements lie.
_STRUCTURE = {
    "csr": ("indptr", "indices"),
    "csc": ("indptr", "indices"),
    "bsr": ("indptr", "indices"),
    "coo": ("coords",),
    "dia": ("offsets",),
}


def is_sparse(entry: Any) -> bool:
    """Tell whether an entry is a sparse array or matrix of SciPy."""
    scipy_sparse = loaded("scipy.sparse", "issparse")
    return scipy_sparse is not None and bool(scipy_sparse.issparse(entry))


def data(matrix: Any, name: str) -> Array:
    """Return the memory of the stored elements."""
    if matrix.format not in _STRUCTURE:
        raise TypeError(f"{name} is a {shortened(type(matrix).__name__)}, expected CSR, CSC, COO, BSR or DIA")
    stored: Array = matrix.data
    # CSR, CSC and BSR may have room for more elements than they hold.
    return stored[: matrix.indptr[-1]] if "indptr" in _STRUCTURE[matrix.format] else stored


def check_structure(target: Any, matrix: Any, name: str, source_name: str) -> None:
    """Raise unless a target is of the same class and has its elements at the same places."""
    if type(target) is not type(matrix):
        raise TypeError(f"{name} should be a {shortened(type(matrix).__name__)}, as {source_name} is")
    if target.shape != matrix.shape:
        raise ValueError(
            f"{name} has shape {brief_shape(target.shape)}, {source_name} has shape {matrix.shape}"
        )
    if target is not matrix:
        for attribute in _STRUCTURE[matrix.format]:
            places, expected = getattr(target, attribute), getattr(matrix, attribute)
            if not np.array_equal(places, expected):
                raise ValueError(f"{name}.{attribute} differs from {source_name}.{attribute}")
