"""The public functions: signature, documentation, and the way into the plan."""

import math
import warnings
from functools import cache
from typing import Any

import numpy as np

from numclip import _backend, _check, _threads
from numclip._names import LIST, Names


@cache
def plans() -> Any:
    """Return the module of the plan; the first call loads Numba, which `import numclip` does not."""
    with _threads.loading, _threads.uninterrupted():
        from numclip import _plan

    return _plan


@cache
def cuda_plans() -> Any:
    """Return the module of the plan for CUDA arrays."""
    # Importing numba-cuda 0.30 warns under NumPy 2.5, and must not fail where warnings are errors.
    # The filter stays: `catch_warnings` would also undo what other threads do to the filters meanwhile.
    warnings.filterwarnings(
        "ignore", "The 'generic' unit for NumPy timedelta is deprecated", DeprecationWarning, r"numba\.cuda\."
    )
    try:
        import numba_cuda  # noqa: F401 the target that Numba itself brings is an old one
    except ImportError:
        raise ImportError(
            'clipping CUDA arrays needs numba-cuda: pip install "numba-cuda[cu13]>=0.30" "numpy<2.5", or cu12'
            " for a driver of CUDA 12"
        ) from None
    from numclip import _cuda_plan

    return _cuda_plan


def clip(
    t_list: Any, out: Any, clip_norm: Any, use_norm: Any, names: Names = LIST, stream: Any = None
) -> tuple[list[Any], Any, Any]:
    """Check the norms, clip, and return (results, norm, factor); `out` is as for `_plan.arguments`."""
    # The usual list is known by its first array, without a call.
    usual = type(t_list) is list and t_list and type(t_list[0]) is np.ndarray
    if not usual and _backend.on_cuda(t_list):
        clipped: tuple[list[Any], Any, Any] = cuda_plans().clip(
            t_list, out, clip_norm, use_norm, names, stream
        )
        return clipped
    if stream is not None:
        raise TypeError("stream is for CUDA arrays, and the first array of t_list is none")
    limit = clip_norm if type(clip_norm) is float and clip_norm >= 0.0 else _check.clip_norm(clip_norm)
    if use_norm is None:
        done: tuple[list[Any], Any, float] = plans().clip(t_list, out, limit, names)
        return done
    given = _check.use_norm(use_norm)
    plan = plans().Plan(*plans().arguments(t_list, out), names)
    return plan.results, use_norm, plan.run(limit, given)[1]


def clip_by_global_norm(
    t_list: Any,
    clip_norm: Any,
    use_norm: Any = None,
    name: str | None = None,
    *,
    out: Any = None,
    stream: Any = None,
) -> tuple[list[Any], Any]:
    """Clip a list of arrays so that the norm of all of them together is at most `clip_norm`.

    Parameters
    ----------
    t_list : sequence of arrays
        The arrays, of any shapes; dtypes float16, bfloat16, float32, float64, complex64 and complex128, also
        mixed. An entry may also be None, which is passed over; a float or nested lists of floats; an
        `IndexedSlices`; a CSR, CSC, COO, BSR or DIA of ``scipy.sparse``, of which the stored elements count;
        or a CPU array of another library, by DLPack or ``__array__``, for which a NumPy array comes back.
    clip_norm : float
        The largest norm that is left as it is, at least 0. With CUDA arrays also a 0-d CUDA array.
    use_norm : float, optional
        A norm to use in place of the computed one, and returned as it is. With CUDA arrays also a 0-d CUDA
        array.
    name : str, optional
        Accepted for TensorFlow's signature; it has no effect.
    out : sequence of arrays, optional
        Receives the results: an array of the same shape and dtype for each of `t_list`, None for None.
        ``out=t_list`` clips in place. New arrays by default.
    stream : CUDA stream or handle, optional
        Where the work on CUDA arrays is enqueued: by default on the current stream of their library.

    Returns
    -------
    list_clipped : list
        An entry for each of `t_list`, of its dtype and shape; the entries of `out` if that is given.
    global_norm : numpy.float32 or numpy.float64
        The norm before clipping: a float64 if an array has 64 bits per real number, else a float32. With CUDA
        arrays a 0-d array on the device, of the library of the first array.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the entry, and nothing has been written.

    Notes
    -----
    With ``global_norm = sqrt(sum(abs(t)**2 for all elements t of all arrays))``::

        list_clipped[i] = t_list[i] * clip_norm / max(global_norm, clip_norm)

    Squares are formed and summed in float64, with 64-bit elements in twice that precision, in an order that
    does not depend on the machine or the number of threads. A norm that is at most `clip_norm` leaves every
    bit as it was; in place, nothing is written then. If the norm is infinite or NaN because an element is,
    every result is NaN.

    With CUDA arrays of CuPy, PyTorch or Numba, or others that have ``__cuda_array_interface__``, all is done
    on the device, and the host does not wait for it; the results have the same bits. A `clip_norm` on the
    device cannot be checked: where it is negative or NaN, every result is NaN.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013. The signature and the contract are those of ``tf.clip_by_global_norm``.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> grads = [np.array([3.0], np.float32), None, np.array([[4.0]], np.float32)]
    >>> clipped, norm = numclip.clip_by_global_norm(grads, 1.0)
    >>> norm
    np.float32(5.0)
    >>> clipped
    [array([0.6], dtype=float32), None, array([[0.8]], dtype=float32)]

    In place:

    >>> _, norm = numclip.clip_by_global_norm(grads, 1.0, out=grads)
    >>> grads[2]
    array([[0.8]], dtype=float32)
    """
    results, norm, _ = clip(t_list, ... if out is None else out, clip_norm, use_norm, stream=stream)
    return results, norm


def global_norm(t_list: Any, *, stream: Any = None) -> Any:
    """Return the norm of all arrays of a list together.

    Parameters
    ----------
    t_list : sequence of arrays
        As for `clip_by_global_norm`.
    stream : CUDA stream or handle, optional
        As for `clip_by_global_norm`.

    Returns
    -------
    numpy.float32 or numpy.float64
        ``sqrt(sum(abs(t)**2 for all elements t of all arrays))``: a float64 if an array has 64 bits per real
        number, else a float32. 0 for a list without elements.

    Raises
    ------
    TypeError
        If the list or an entry is not of this form. The message names the entry.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> numclip.global_norm([np.array([3.0], np.float32), np.array([4.0], np.float32)])
    np.float32(5.0)

    A float32 square overflows here, the norm does not:

    >>> numclip.global_norm([np.array([3e30], np.float32), np.array([4e30], np.float32)])
    np.float32(5e+30)
    """
    if stream is None and not _backend.on_cuda(t_list):
        return plans().clip(t_list, None, math.inf)[1]
    return clip(t_list, None, math.inf, None, stream=stream)[1]


def clip_factor(t_list: Any, clip_norm: Any, use_norm: Any = None) -> tuple[float, Any]:
    """Return the factor by which `clip_by_global_norm` would multiply, and the norm; nothing is written.

    A trainer that multiplies its gradients anyway folds the factor into that, and saves the pass over them.

    Parameters
    ----------
    t_list : sequence of arrays
        As for `clip_by_global_norm`.
    clip_norm : float
        The largest norm that is left as it is, at least 0.
    use_norm : float, optional
        A norm to use in place of the computed one, and returned as it is.

    Returns
    -------
    factor : float
        ``clip_norm / max(global_norm, clip_norm)``: 1.0 where nothing is to be clipped, NaN where the norm is
        infinite or NaN because an element is. With CUDA arrays a 0-d float64 array on the device.
    global_norm : numpy.float32 or numpy.float64
        The norm, as from `clip_by_global_norm`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the entry.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> params = [np.zeros(2, np.float32), np.zeros(1, np.float32)]
    >>> grads = [np.array([3.0, 0.0], np.float32), np.array([4.0], np.float32)]
    >>> factor, norm = numclip.clip_factor(grads, 2.5)
    >>> factor, norm
    (0.5, np.float32(5.0))
    >>> for param, grad in zip(params, grads):
    ...     param -= 0.1 * factor * grad
    >>> params
    [array([-0.15,  0.  ], dtype=float32), array([-0.2], dtype=float32)]
    """
    if _backend.on_cuda(t_list):
        on_device: tuple[Any, Any] = cuda_plans().clip_factor(t_list, clip_norm, use_norm)
        return on_device
    _, norm, factor = clip(t_list, None, clip_norm, use_norm)
    return factor, norm
