"""Clipping each example of a batch, and the sums, as for differentially private training."""

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from numclip._arrays.annotations import Entry, Narrow, Number, Wide
from numclip._arrays.errors import brief, trim
from numclip._backend import backend_of


@overload
def per_example_global_norm_clip(  # type: ignore[overload-overlap]
    t_list: Sequence[Narrow], clip_norm: Number, *, nonfinite: Literal["raise", "zero"] = "raise"
) -> tuple[list[Narrow], int, NDArray[np.float32]]: ...


@overload
def per_example_global_norm_clip(
    t_list: Sequence[Wide], clip_norm: Number, *, nonfinite: Literal["raise", "zero"] = "raise"
) -> tuple[list[Wide], int, NDArray[np.float64]]: ...


@overload
def per_example_global_norm_clip(
    t_list: Sequence[Entry], clip_norm: Number, *, nonfinite: Literal["raise", "zero"] = "raise"
) -> tuple[list[Any], int, NDArray[Any]]: ...


def per_example_global_norm_clip(
    t_list: Any, clip_norm: Any, *, nonfinite: Literal["raise", "zero"] = "raise"
) -> tuple[list[Any], int, Any]:
    """Clip the gradients of each example by their own global norm, and add up the clipped examples.

    Parameters
    ----------
    t_list : sequence of arrays
        The gradients of a batch: the first axis of every array is that of the examples, of the same length in
        all; the others may be any. Dtypes float16, bfloat16, float32, float64, complex64 and complex128, also
        mixed. An entry may also be None, which is passed over.
    clip_norm : float
        The largest norm of an example that is left as it is, at least 0.
    nonfinite : {"raise", "zero"}, optional
        The effect of an example whose norm is infinite or NaN because an element is: "raise", a
        FloatingPointError names the first one and its entries; "zero", such an example counts as 0 in the
        sums, and its norm is returned as it is.

    Returns
    -------
    sums : list
        For each entry the sum of the clipped examples, of its dtype and of its shape without the first axis;
        None for None.
    clipped : int
        The number of examples that have been clipped.
    norms : numpy.ndarray
        The norm of each example before clipping, of shape (examples,): float64 if an array has 64 bits per
        real number, else float32.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the entry.
    FloatingPointError
        With ``nonfinite="raise"``, for an example whose norm is infinite or NaN.

    Notes
    -----
    With ``norms[b] = sqrt(sum(abs(t[b])**2 for all arrays t))``::

        sums[i] = sum(t_list[i][b] * clip_norm / max(norms[b], clip_norm) for all examples b)

    A norm has the bits of `global_norm` for the list of the arrays of that example in C order. Products are
    added in float64, in the order of the examples, and each sum is rounded once: the bits depend on neither
    the machine nor the number of threads. No clipped example is stored: an example is read for its norm, and
    read again from the cache for the sums.

    References
    ----------
    M. Abadi et al., "Deep Learning with Differential Privacy", CCS 2016. The name and the sums are those of
    ``optax.per_example_global_norm_clip``.

    Examples
    --------
    Two examples, of norms 5 and 1.25:

    >>> import numpy as np
    >>> import numclip
    >>> grads = [np.array([[3.0, 0.0], [0.75, 0.0]], np.float32), np.array([4.0, 1.0], np.float32)]
    >>> sums, clipped, norms = numclip.per_example_global_norm_clip(grads, 2.5)
    >>> sums
    [array([2.25, 0.  ], dtype=float32), array(3., dtype=float32)]
    >>> clipped, norms
    (1, array([5.  , 1.25], dtype=float32))
    """
    try:
        if nonfinite not in ("raise", "zero"):
            raise ValueError(f'nonfinite should be "raise" or "zero". Received {brief(nonfinite)}')
        return backend_of(t_list).clip_per_example(t_list, clip_norm, nonfinite)
    except Exception as error:
        trim(error)
        raise
