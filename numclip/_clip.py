"""Lists: clip_by_global_norm, its norm and factor alone, and Clipper."""

import math
from collections.abc import Sequence
from typing import Any, Generic, Unpack, overload

import numpy as np

from numclip._arrays.annotations import (
    ClipOptions,
    Entry,
    Given,
    Narrow,
    Norm,
    NormOptions,
    Number,
    Threshold,
    Wide,
)
from numclip._arrays.errors import trim
from numclip._arrays.labels import LIST, Labels
from numclip._arrays.options import DEFAULT, Nonfinite, Options, options
from numclip._arrays.output import NEW, NONE
from numclip._backend import Plan, backend_of, cpu
from numclip._core.shortcuts import shortcuts
from numclip._monitor import GradientMonitor
from numclip._watched import WatchedPlan


@overload
def clip_by_global_norm(  # type: ignore[overload-overlap]
    t_list: Sequence[Narrow],
    clip_norm: Threshold,
    use_norm: Number | None = None,
    name: str | None = None,
    *,
    out: Sequence[Entry] | None = None,
    stream: Any = None,
    **options: Unpack[ClipOptions],
) -> tuple[list[Narrow], np.float32]: ...


@overload
def clip_by_global_norm(
    t_list: Sequence[Wide],
    clip_norm: Threshold,
    use_norm: Number | None = None,
    name: str | None = None,
    *,
    out: Sequence[Entry] | None = None,
    stream: Any = None,
    **options: Unpack[ClipOptions],
) -> tuple[list[Wide], np.float64]: ...


@overload
def clip_by_global_norm(
    t_list: Sequence[Entry],
    clip_norm: Threshold,
    use_norm: Number | None = None,
    name: str | None = None,
    *,
    out: Sequence[Entry] | None = None,
    stream: Any = None,
    **options: Unpack[ClipOptions],
) -> tuple[list[Any], Any]: ...


def clip_by_global_norm(
    t_list: Any,
    clip_norm: Any,
    use_norm: Any = None,
    name: str | None = None,
    *,
    out: Any = None,
    ord: float = 2,
    eps: float = 0.0,
    loss_scale: float = 1.0,
    nonfinite: Nonfinite = "nan",
    strict: bool = False,
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
    clip_norm : float or callable
        The largest norm that is left as it is, at least 0. A callable is called once, with the norm as a
        float, and returns the threshold for this call. With CUDA arrays also a 0-d CUDA array.
    use_norm : float, optional
        A norm to use in place of the computed one, and returned as it is. With CUDA arrays also a 0-d CUDA
        array.
    name : str, optional
        Accepted for TensorFlow's signature; it has no effect.
    out : sequence of arrays, optional
        Receives the results: an array of the same shape and dtype for each of `t_list`, None for None.
        ``out=t_list`` clips in place. New arrays by default.
    ord : float, optional
        The order of the norm: 1, 2, ``inf`` or any p > 0, NumPy's name for torch's ``norm_type``.
    eps : float, optional
        Added to the norm in the formula, not to the norm that is returned; finite and at least 0. torch, and
        most trainers written by hand, have 1e-6.
    loss_scale : float, optional
        The factor by which the loss was multiplied, as in mixed precision, or the number of micro-batches
        whose gradients were added up: norm and results are those of ``t / loss_scale``, in the same pass.
    nonfinite : {"nan", "raise", "zero"}, optional
        The effect of a norm that is infinite or NaN because an element is: "nan", every result is NaN, as in
        TensorFlow; "raise", a FloatingPointError names the entries, and nothing is written (on CUDA this
        waits for the device); "zero", every result is 0, for a step that is skipped.
    strict : bool, optional
        The exact norm of the results is at most `clip_norm`, as proofs of differential privacy need it: not
        above it by rounding, as it may be by default. Results are rounded towards zero, and less than a unit
        in their last place is lost. For the norm of order 2, without a `use_norm`, of arrays on the CPU.
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
    FloatingPointError
        With ``nonfinite="raise"``, for a norm that is infinite or NaN. Nothing has been written.

    Notes
    -----
    With ``global_norm = sum(abs(t / loss_scale)**ord for all elements t of all arrays)**(1 / ord)``::

        list_clipped[i] = t_list[i] / loss_scale * clip_norm / max(global_norm + eps, clip_norm)

    Squares are formed and summed in float64, with 64-bit elements in twice that precision, in an order that
    does not depend on the machine or the number of threads. A norm that is at most `clip_norm` leaves every
    bit as it was; in place, nothing is written then. If the norm is infinite or NaN because an element is,
    every result is NaN, also with `strict`.

    With CUDA arrays of CuPy, PyTorch or Numba, or others that have ``__cuda_array_interface__``, all work is
    done on the device, and the host does not wait for it; the results have the same bits. A `clip_norm` on
    the device cannot be checked: where it is negative or NaN, every result is NaN.

    A function that Numba compiles may call it too, with a tuple (also with None), a typed list or a list of
    float32, float64, complex64 or complex128 arrays, and with `use_norm`, `out`, `eps` and `loss_scale`. The
    results come in such a container, and have the same bits.

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
    if strict is False:
        answer: tuple[list[Any], Any] | None = shortcuts.clip(
            t_list, clip_norm, use_norm, out, ord, eps, loss_scale, nonfinite, stream
        )
        if answer is not None:
            return answer
    output = NEW if out is None else out
    try:
        default = ord == 2 and eps == 0.0 and loss_scale == 1.0 and nonfinite == "nan" and strict is False
        chosen = DEFAULT if default else options(ord, eps, loss_scale, nonfinite, strict)
        results, norm, _ = backend_of(t_list).clip(t_list, output, clip_norm, use_norm, chosen, LIST, stream)
    except Exception as error:
        trim(error)
        raise
    return results, norm


@overload
def global_norm(  # type: ignore[overload-overlap]
    t_list: Sequence[Narrow],
    *,
    ord: float = 2,
    loss_scale: float = 1.0,
    stream: Any = None,
) -> np.float32: ...


@overload
def global_norm(
    t_list: Sequence[Wide],
    *,
    ord: float = 2,
    loss_scale: float = 1.0,
    stream: Any = None,
) -> np.float64: ...


@overload
def global_norm(
    t_list: Sequence[Entry],
    *,
    ord: float = 2,
    loss_scale: float = 1.0,
    stream: Any = None,
) -> Any: ...


def global_norm(t_list: Any, *, ord: float = 2, loss_scale: float = 1.0, stream: Any = None) -> Any:
    """Return the norm of all arrays of a list together.

    Compiled functions may call it as they call `clip_by_global_norm`.

    Parameters
    ----------
    t_list : sequence of arrays
        As for `clip_by_global_norm`.
    ord, loss_scale : float, optional
        As for `clip_by_global_norm`.
    stream : CUDA stream or handle, optional
        As for `clip_by_global_norm`.

    Returns
    -------
    numpy.float32 or numpy.float64
        ``sum(abs(t / loss_scale)**ord for all elements t of all arrays)**(1 / ord)``: a float64 if an array
        has 64 bits per real number, else a float32. 0 for a list without elements.

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
    norm = shortcuts.norm(t_list, ord, loss_scale, stream)
    if norm is not None:
        return norm
    try:
        default = ord == 2 and loss_scale == 1.0
        chosen = DEFAULT if default else options(ord, 0.0, loss_scale, "nan")
        return backend_of(t_list).clip(t_list, NONE, math.inf, None, chosen, LIST, stream)[1]
    except Exception as error:
        trim(error)
        raise


def tensor_norms(t_list: Sequence[Entry], *, ord: float = 2) -> list[Any]:
    """Return the norm of each array of a list, in one pass.

    Parameters
    ----------
    t_list : sequence of arrays
        As for `clip_by_global_norm`.
    ord : float, optional
        As for `clip_by_global_norm`.

    Returns
    -------
    list of numpy.float32, numpy.float64 or None
        The `global_norm` of each entry alone; None for None. With CUDA arrays 0-d arrays on the device, of
        the library of the first array.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the entry.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> numclip.tensor_norms([np.array([3.0, 4.0], np.float32), None, np.array(2.0)])
    [np.float32(5.0), None, np.float64(2.0)]
    """
    try:
        return backend_of(t_list).tensor_norms(t_list, options(ord, 0.0, 1.0, "nan").order)
    except Exception as error:
        trim(error)
        raise


@overload
def clip_factor(  # type: ignore[overload-overlap]
    t_list: Sequence[Narrow],
    clip_norm: Threshold,
    use_norm: Number | None = None,
    **options: Unpack[NormOptions],
) -> tuple[float, np.float32]: ...


@overload
def clip_factor(
    t_list: Sequence[Wide],
    clip_norm: Threshold,
    use_norm: Number | None = None,
    **options: Unpack[NormOptions],
) -> tuple[float, np.float64]: ...


@overload
def clip_factor(
    t_list: Sequence[Entry],
    clip_norm: Threshold,
    use_norm: Number | None = None,
    **options: Unpack[NormOptions],
) -> tuple[Any, Any]: ...


def clip_factor(
    t_list: Any,
    clip_norm: Any,
    use_norm: Any = None,
    *,
    ord: float = 2,
    eps: float = 0.0,
    loss_scale: float = 1.0,
    nonfinite: Nonfinite = "nan",
) -> tuple[float, Any]:
    """Return the factor by which `clip_by_global_norm` would multiply, and the norm; nothing is written.

    A trainer that multiplies its gradients anyway can include the factor there, and saves a pass over them.
    Compiled functions may call it as they call `clip_by_global_norm`.

    Parameters
    ----------
    t_list : sequence of arrays
        As for `clip_by_global_norm`.
    clip_norm : float
        The largest norm that is left as it is, at least 0.
    use_norm : float, optional
        A norm to use in place of the computed one, and returned as it is.
    ord, eps, loss_scale, nonfinite : optional
        As for `clip_by_global_norm`.

    Returns
    -------
    factor : float
        ``clip_norm / max(global_norm + eps, clip_norm) / loss_scale``: 1.0 where nothing is to be clipped,
        NaN where the norm is infinite or NaN because an element is, 0.0 there with ``nonfinite="zero"``. With
        CUDA arrays a 0-d float64 array on the device.
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
    try:
        chosen = options(ord, eps, loss_scale, nonfinite)
        return backend_of(t_list).factor(t_list, clip_norm, use_norm, chosen)
    except Exception as error:
        trim(error)
        raise


class Clipper(Generic[Norm]):
    """Clip the same arrays again and again, checked and packed only once.

    Parameters
    ----------
    t_list : sequence of arrays
        The arrays, as for `clip_by_global_norm`. They are kept alive, and read anew at every call.
    clip_norm : float or callable
        The largest norm that is left as it is, as for `clip_by_global_norm`.
    out : sequence of arrays, optional
        Receives the results at every call, as for `clip_by_global_norm`. By default the arrays are clipped in
        place.
    ord, eps, loss_scale, nonfinite, strict : optional
        As for `clip_by_global_norm`.
    monitor : GradientMonitor, optional
        Records each call: the norm, the threshold, the norm of each array, which takes another pass over
        them. For arrays on the CPU.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form. The message names the entry.

    Notes
    -----
    The clipper holds the addresses of the arrays. An array is therefore not resized while a clipper holds it:
    ``array.resize`` raises, also with ``refcheck=False``. Rebinding an entry of the list that was passed has
    no effect on the clipper. It cannot be copied or pickled.

    Several threads may each call a clipper of their own. Two calls of one clipper at the same time clip the
    same arrays twice at once, as any two functions that write to one array do: take a lock around them.

    With CUDA arrays, kernels are loaded and the table of addresses is uploaded when the clipper is made. A
    call is launches alone, which a CUDA graph can capture: the clipper must live as long as the graph. A call
    on another stream than the one before waits for that one; a replay of a graph waits for nothing.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> grads = [np.zeros(2, np.float32), np.zeros((2, 3), np.float32)]
    >>> clipper = numclip.Clipper(grads, 1.0)
    >>> for step in range(2):
    ...     grads[0][:] = 3.0, 4.0  # the trainer fills the same arrays at each step
    ...     norm = clipper()
    >>> norm, grads[0]
    (np.float32(5.0), array([0.6, 0.8], dtype=float32))
    >>> clipper(clip_norm=0.5)
    np.float32(1.0)
    """

    __slots__ = ("_backend", "_clip", "_factor", "_limit", "_options", "_plan", "results")

    @overload
    def __init__(
        self: "Clipper[np.float32]",
        t_list: Sequence[Narrow],
        clip_norm: Threshold,
        out: Sequence[Entry] | None = None,
        *,
        monitor: GradientMonitor | None = None,
        **options: Unpack[ClipOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: "Clipper[np.float64]",
        t_list: Sequence[Wide],
        clip_norm: Threshold,
        out: Sequence[Entry] | None = None,
        *,
        monitor: GradientMonitor | None = None,
        **options: Unpack[ClipOptions],
    ) -> None: ...

    @overload
    def __init__(
        self: "Clipper[Any]",
        t_list: Sequence[Entry],
        clip_norm: Threshold,
        out: Sequence[Entry] | None = None,
        *,
        monitor: GradientMonitor | None = None,
        **options: Unpack[ClipOptions],
    ) -> None: ...

    def __init__(
        self,
        t_list: Any,
        clip_norm: Any,
        out: Any = None,
        *,
        ord: float = 2,
        eps: float = 0.0,
        loss_scale: float = 1.0,
        nonfinite: Nonfinite = "nan",
        strict: bool = False,
        monitor: GradientMonitor | None = None,
    ) -> None:
        try:
            chosen = options(ord, eps, loss_scale, nonfinite, strict)
            self._set_up(t_list, t_list if out is None else out, clip_norm, chosen, LIST, monitor)
        except Exception as error:
            trim(error)
            raise

    def _set_up(
        self,
        t_list: Any,
        output: Any,
        clip_norm: Any,
        chosen: Options,
        labels: Labels,
        monitor: GradientMonitor | None,
    ) -> None:
        self._options = chosen
        self._backend = backend_of(t_list)
        self._limit = self._backend.clip_norm(clip_norm)
        self._plan: Plan | WatchedPlan = self._backend.plan(t_list, output, labels)
        if monitor is not None:
            if self._backend is not cpu():
                raise TypeError("monitor is for arrays on the CPU. Pass the norms to monitor.record instead")
            self._plan = WatchedPlan(self._plan, monitor, labels)
        self._clip = self._plan.as_function(self._options)
        self._factor: Any = None
        self.results: Any = self._plan.results

    def __reduce__(self) -> Any:
        """Refuse to be copied or pickled: the copy would write to the arrays of this one."""
        raise TypeError("a Clipper holds the addresses of its arrays, and cannot be copied: make a new one")

    @overload
    def __call__(self, clip_norm: Threshold | None = None, use_norm: None = None) -> Norm: ...

    @overload
    def __call__(self, clip_norm: Threshold | None, use_norm: Given) -> Given: ...

    @overload
    def __call__(self, clip_norm: Threshold | None = None, *, use_norm: Given) -> Given: ...

    def __call__(self, clip_norm: Any = None, use_norm: Any = None) -> Any:
        """Clip the arrays as they are now, and return the norm that they had.

        Parameters
        ----------
        clip_norm : float, optional
            In place of the one that the clipper was made with, for this call.
        use_norm : float, optional
            A norm to use in place of the computed one, and returned as it is.

        Returns
        -------
        numpy.float32 or numpy.float64
            The norm before clipping, as from `clip_by_global_norm`.
        """
        try:
            limit = self._limit if clip_norm is None else self._backend.clip_norm(clip_norm)
            if use_norm is None and not callable(limit):
                norm, self._factor = self._clip(limit)
                return norm
            given = None if use_norm is None else self._backend.use_norm(use_norm)
            norm, self._factor = self._plan.clip(limit, given, self._options)
        except Exception as error:
            trim(error)
            raise
        return norm if use_norm is None else use_norm

    @property
    def factor(self) -> Any:
        """The factor of the last call: a float, with CUDA arrays a 0-d float64 array on the device."""
        if self._factor is None:
            raise RuntimeError("there has been no call yet: the factor is that of the last call")
        return self._factor

    def tensor_norms(self) -> Any:
        """Return the norm that each array had in the last call, None for None; no array is read again.

        Returns
        -------
        list of numpy.float32, numpy.float64 or None
            As from the function `tensor_norms`, of ``t / loss_scale``. NaN for an array whose sum of squares
            is outside of the range of float64, if the call has made zeros or NaN of it.

        Raises
        ------
        RuntimeError
            If there has been no call that computed the norm.
        """
        return self._plan.last_tensor_norms(self._options.loss_scale, self.factor)
