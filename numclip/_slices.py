"""Sparse gradients of embedding tables."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False, slots=True)
class IndexedSlices:
    """Rows of a larger array: the gradient of an embedding look-up.

    ``values[k]`` belongs to row ``indices[k]`` of an array of shape ``dense_shape``. Everything else in that
    array is zero. The same contract as TensorFlow's ``tf.IndexedSlices``.

    Parameters
    ----------
    values : array, shape (k, ...)
        The rows.
    indices : array of integers, shape (k,)
        The row number of each.
    dense_shape : sequence of int, optional
        The shape of the larger array.

    Notes
    -----
    Clipping counts ``values`` as they stand, as TensorFlow does: rows of the same number are not added up
    first.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> rows = numclip.IndexedSlices(np.array([[3.0], [4.0]], np.float32), np.array([7, 2]), (10, 1))
    >>> [clipped], norm = numclip.clip_by_global_norm([rows], 1.0)
    >>> clipped.values
    array([[0.6],
           [0.8]], dtype=float32)
    >>> clipped.indices is rows.indices
    True
    """

    values: Any
    indices: Any
    dense_shape: Any = None
