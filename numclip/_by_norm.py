"""Clipping one array by its own norm: of all its elements, or of each slice along some axes."""

from typing import Any

from numclip._api import clip, plans
from numclip._arrays.names import ARRAY


def clip_by_norm(
    t: Any, clip_norm: Any, axes: Any = None, name: str | None = None, *, out: Any = None
) -> Any:
    """Clip an array so that its norm is at most `clip_norm`.

    Parameters
    ----------
    t : array
        Of any shape; of dtype float16, bfloat16, float32, float64, complex64 or complex128. An
        `IndexedSlices` and a sparse array of SciPy are clipped in their values.
    clip_norm : float or array
        The largest norm that is left as it is, at least 0. With `axes` also an array that broadcasts to the
        shape of the norms, which is that of `t` with the sides along `axes` set to 1.
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

    Sums and products are those of `clip_by_global_norm`, of which this is the case of one array. An element
    that is infinite or NaN makes all results of its norm NaN.

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
    if t is None:
        raise TypeError("t should be an array. Received None")
    if axes is not None:
        plans()  # loads Numba, undisturbed
        from numclip._cpu.axes import clip_along

        return clip_along(t, clip_norm, axes, out)
    [result], _, _ = clip([t], ... if out is None else [out], clip_norm, None, ARRAY)
    return result
