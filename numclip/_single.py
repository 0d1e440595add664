"""One array: clipped by its own norm, or by those of its slices, or to an interval."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from numclip._arrays import checks
from numclip._arrays.annotations import Entry, Reals, Single
from numclip._arrays.devices import array_of
from numclip._arrays.errors import trim
from numclip._arrays.labels import ARRAY
from numclip._arrays.output import NEW
from numclip._backend import backend_of


@overload
def clip_by_norm(
    t: Single,
    clip_norm: Reals,
    axes: int | Sequence[int] | None = None,
    name: str | None = None,
    *,
    out: Entry = None,
) -> Single: ...


@overload
def clip_by_norm(
    t: Entry,
    clip_norm: Reals,
    axes: int | Sequence[int] | None = None,
    name: str | None = None,
    *,
    out: Entry = None,
) -> Any: ...


def clip_by_norm(
    t: Any, clip_norm: Any, axes: Any = None, name: str | None = None, *, out: Any = None
) -> Any:
    """Clip an array so that its norm, or that of each slice along `axes`, is at most `clip_norm`.

    Parameters
    ----------
    t : array
        Of any shape; of dtype float16, bfloat16, float32, float64, complex64 or complex128. An
        `IndexedSlices` and a sparse array of SciPy are clipped in their values.
    clip_norm : float or array
        The largest norm that is left as it is, at least 0. An array broadcasts to the shape of the norms:
        that of `t` with the sides along `axes`, or all of them, set to 1.
    axes : int or sequence of ints, optional
        The axes over which a norm is taken: with ``axes=1`` each row of a matrix is clipped by itself. By
        default one norm is taken of all elements. An empty sequence clips each element by its absolute value.
    name : str, optional
        Accepted for TensorFlow's signature; it has no effect.
    out : array, optional
        Receives the result: an array of the same shape and dtype as `t`. ``out=t`` clips in place. A new
        array by default.

    Returns
    -------
    array
        Of the shape and dtype of `t`; `out` if that is given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. Nothing has been written then.

    Notes
    -----
    With ``norm = sqrt(sum(abs(t)**2))``, along `axes`, each result is::

        t * clip_norm / max(norm, clip_norm)

    Sums and products are those of `clip_by_global_norm` for a list of one array. An element that is infinite
    or NaN makes all results NaN that share its norm.

    References
    ----------
    The signature and the contract are those of ``tf.clip_by_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> t = np.array([[3.0, 4.0], [0.6, 0.8]], np.float32)
    >>> numclip.clip_by_norm(t[0], 1.0)
    array([0.6, 0.8], dtype=float32)
    >>> numclip.clip_by_norm(t, 2.5, axes=1)
    array([[1.5, 2. ],
           [0.6, 0.8]], dtype=float32)
    >>> numclip.clip_by_norm(t, [[2.5], [0.5]], axes=1)
    array([[1.5, 2. ],
           [0.3, 0.4]], dtype=float32)
    """
    try:
        if t is None:
            raise TypeError("t should be an array. Received None")
        if axes is not None:
            return backend_of([t]).clip_along(t, clip_norm, axes, out)
        if axes is None and isinstance(clip_norm, np.ndarray | list):
            clip_norm = checks.single(clip_norm, "clip_norm", np.ndim(array_of(t)))
        output = NEW if out is None else [out]
        [result], _, _ = backend_of([t]).clip([t], output, clip_norm, labels=ARRAY)
    except Exception as error:
        trim(error)
        raise
    return result


@overload
def clip_by_value(
    t: Single,
    clip_value_min: Reals | None,
    clip_value_max: Reals | None,
    name: str | None = None,
    *,
    out: Entry = None,
) -> Single: ...


@overload
def clip_by_value(
    t: Entry,
    clip_value_min: Reals | None,
    clip_value_max: Reals | None,
    name: str | None = None,
    *,
    out: Entry = None,
) -> Any: ...


def clip_by_value(
    t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None, *, out: Any = None
) -> Any:
    """Clip an array so that every element lies between two bounds.

    Parameters
    ----------
    t : array
        Of any shape; of dtype float16, bfloat16, float32 or float64, or of integers of 8 to 64 bits. An
        `IndexedSlices` and a sparse array of SciPy are clipped in their values.
    clip_value_min, clip_value_max : float or array or None
        The bounds, which may be infinite; arrays broadcast to the shape of `t`. None means no bound on that
        side; at least one of the two is needed.
    name : str, optional
        Accepted for TensorFlow's signature; it has no effect.
    out : array, optional
        Receives the result: an array of the same shape and dtype as `t`. ``out=t`` clips in place. A new
        array by default.

    Returns
    -------
    array
        Of the shape and dtype of `t`; `out` if that is given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form, a bound is NaN, or the integer dtype of `t` cannot represent a
        bound. Nothing has been written then.

    Notes
    -----
    Each result is::

        max(min(t, clip_value_max), clip_value_min)

    so that where the bounds cross it is `clip_value_min`. The bounds are rounded to the dtype of `t` if that
    is a floating one. NaN stays NaN. A zero may take the sign of a bound that is zero.

    References
    ----------
    The signature and the contract are those of ``tf.clip_by_value``.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> t = np.array([[-10.0, -1.0, 0.0], [0.5, 2.0, 10.0]], np.float32)
    >>> numclip.clip_by_value(t, -1.0, 1.0)
    array([[-1. , -1. ,  0. ],
           [ 0.5,  1. ,  1. ]], dtype=float32)
    >>> numclip.clip_by_value(t, 0.0, [[1.0], [5.0]], out=t)
    array([[0. , 0. , 0. ],
           [0.5, 2. , 5. ]], dtype=float32)
    """
    try:
        if t is None:
            raise TypeError("t should be an array. Received None")
        return backend_of([t]).clip_between(t, clip_value_min, clip_value_max, out)
    except Exception as error:
        trim(error)
        raise
