"""Adaptive gradient clipping: each unit of the gradients by the norm of its parameters."""

from collections.abc import Sequence
from typing import TypeVar

from numclip._arrays.annotations import Entry, Number
from numclip._arrays.errors import trim
from numclip._backend import backend_of

Gradient = TypeVar("Gradient", bound=Entry)


def adaptive_grad_clip(
    params: Sequence[Entry],
    grads: Sequence[Gradient],
    clipping: Number,
    eps: Number = 1e-3,
    *,
    out: Sequence[Entry] | None = None,
) -> list[Gradient]:
    """Clip each unit of the gradients to a share of the norm that the same unit of the parameters has.

    A unit is the part of an array that belongs to one output of a layer: a column of a linear layer's matrix
    of shape (inputs, outputs), a filter of a convolution's kernel of shape (height, width, inputs, outputs).

    Parameters
    ----------
    params : sequence of arrays
        The parameters, of up to 5 axes; dtypes float16, bfloat16, float32, float64, complex64 and complex128.
    grads : sequence of arrays
        The gradients, of the same shapes; their dtypes may be others. None where there is no gradient.
    clipping : float
        The largest share of its parameters' norm that a unit of a gradient may have, at least 0: 0.01 for
        batches of 4096 in the paper.
    eps : float, optional
        A lower bound of the norm of a unit's parameters in the formula, at least 0, so that parameters that
        are still zero can change.
    out : sequence of arrays, optional
        Receives the results: an array of the same shape and dtype for each of `grads`, None for None.
        ``out=grads`` clips in place. New arrays by default.

    Returns
    -------
    list
        An entry for each of `grads`, of its dtype and shape; the entries of `out` if that is given.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the entry, and nothing has been written.
    FloatingPointError
        If a parameter has a norm that is infinite or NaN. Nothing has been written.

    Notes
    -----
    For each unit G of a gradient and W of its parameters, with Frobenius norms::

        G * min(1, clipping * max(norm(W), eps) / norm(G))

    The norm of a unit is taken over all axes of arrays that have at most one axis longer than 1, as biases
    and gains; over axis 0 of those of 2 and 3 axes; and over all axes but the last of those of 4 and 5. A
    norm overflows or underflows only where its value does. A unit of a gradient with an element that is
    infinite or NaN is NaN in the results.

    References
    ----------
    A. Brock, S. De, S. L. Smith and K. Simonyan, "High-performance large-scale image recognition without
    normalization", ICML 2021. The units are those of ``optax.adaptive_grad_clip``. The paper leaves the last
    layer unclipped: pass None for its gradients.

    Examples
    --------
    Two units, whose parameters have norms 5 and 10:

    >>> import numpy as np
    >>> import numclip
    >>> params = [np.array([[3.0, 6.0], [4.0, 8.0]], np.float32)]
    >>> grads = [np.array([[0.3, 0.3], [0.4, 0.4]], np.float32)]
    >>> numclip.adaptive_grad_clip(params, grads, 0.05)
    [array([[0.15, 0.3 ],
           [0.2 , 0.4 ]], dtype=float32)]
    """
    try:
        return backend_of(grads).clip_adaptively(params, grads, clipping, eps, out)
    except Exception as error:
        trim(error)
        raise
