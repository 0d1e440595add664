"""Sparse gradients of embedding tables."""

from dataclasses import dataclass
from typing import Any

from numclip._arrays.errors import trim


@dataclass(frozen=True, eq=False, slots=True)
class IndexedSlices:
    """Rows of a larger array: the gradient of an embedding look-up.

    ``values[k]`` belongs to row ``indices[k]`` of an array of shape ``dense_shape``. Everything else in that
    array is zero. The contract is that of TensorFlow's ``tf.IndexedSlices``.

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
    The norm is that of ``values`` as they stand, as in TensorFlow: rows of the same number are not added up
    first. `coalesce` does that. The arguments are checked when they are used.

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

    def coalesce(self) -> "IndexedSlices":
        """Return the same gradient with each row number once, in ascending order.

        Rows of the same number are added up in float64, and the sums rounded once to the dtype of `values`.
        The norm of the result is the norm of the larger array.

        Returns
        -------
        IndexedSlices
            New `values` and `indices` of the same dtypes, and the same `dense_shape`.

        Raises
        ------
        TypeError
            If `values` are not floating or complex, or `indices` or `dense_shape` not integers.
        ValueError
            If `indices` is not of shape (k,), has a negative element or one out of range for `dense_shape`,
            or if `dense_shape` does not fit `values`.

        Examples
        --------
        >>> import numpy as np
        >>> import numclip
        >>> values = np.array([[1.0], [4.0], [2.0]], np.float32)
        >>> rows = numclip.IndexedSlices(values, np.array([7, 2, 7]), (10, 1))
        >>> rows.coalesce().indices
        array([2, 7])
        >>> rows.coalesce().values
        array([[4.],
               [3.]], dtype=float32)
        >>> numclip.global_norm([rows.coalesce()])
        np.float32(5.0)
        """
        from numclip._arrays.coalesce import coalesce  # here, as it imports this module

        try:
            values, indices = coalesce(self.values, self.indices, self.dense_shape)
        except Exception as error:
            trim(error)
            raise
        return IndexedSlices(values, indices, self.dense_shape)


def is_slices(entry: Any) -> bool:
    """Tell whether an entry is an IndexedSlices, of numclip or of TensorFlow: known by its name."""
    kind = type(entry)
    if kind.__name__ != "IndexedSlices":
        return isinstance(entry, IndexedSlices)
    return kind is IndexedSlices or kind.__module__.partition(".")[0] == "tensorflow"
