"""The usual clipping in NumPy: the fastest idiom known, and the obvious one. For real arrays.

The fastest: ``np.vdot`` per array is one pass in BLAS without a temporary, and ``np.multiply(out=)``
allocates nothing. The obvious one follows the formula, with a temporary of squares per array, and multiplies
even by 1.

The norm is a Python float in both: a NumPy float64 would turn float32 arrays into float64 ones.
"""

from math import sqrt

import numpy as np


def global_norm(grads):
    """Square root of the sum of ``np.vdot``; K order, because the default would copy Fortran arrays."""
    norm_squared = 0.0
    for grad in grads:
        flat = grad.ravel(order="K")
        norm_squared += np.vdot(flat, flat)
    return sqrt(norm_squared)


def clip_into(grads, clip_norm, out):
    """Clip into existing arrays; in place where ``out is grads``."""
    norm = global_norm(grads)
    if norm > clip_norm:
        factor = clip_norm / norm
        for grad, target in zip(grads, out, strict=True):
            np.multiply(grad, factor, out=target)
    elif out is not grads:
        for grad, target in zip(grads, out, strict=True):
            np.copyto(target, grad)
    return out, norm


def clip(grads, clip_norm):
    """Clip into new arrays."""
    norm = global_norm(grads)
    if norm > clip_norm:
        factor = clip_norm / norm
        return [grad * factor for grad in grads], norm
    return [grad.copy() for grad in grads], norm


def naive_global_norm(grads):
    """Square root of the sum of squares, as the formula reads."""
    return float(np.sqrt(sum(np.sum(grad**2) for grad in grads)))


def naive_clip_in_place(grads, clip_norm):
    """Multiply every array in place by the factor of the formula."""
    norm = naive_global_norm(grads)
    factor = clip_norm / max(norm, clip_norm)
    for i in range(len(grads)):
        grads[i] *= factor
    return grads, norm


def naive_clip_into(grads, clip_norm, out):
    """Assign the products to existing arrays."""
    norm = naive_global_norm(grads)
    factor = clip_norm / max(norm, clip_norm)
    for grad, target in zip(grads, out, strict=True):
        target[...] = grad * factor
    return out, norm


def naive_clip(grads, clip_norm):
    """Clip into new arrays by the formula."""
    norm = naive_global_norm(grads)
    factor = clip_norm / max(norm, clip_norm)
    return [grad * factor for grad in grads], norm
