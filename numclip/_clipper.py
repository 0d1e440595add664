"""Clipping the same arrays at every step of a training loop."""

from typing import Any

from numclip import _backend
from numclip._api import cuda_plans, plans
from numclip._arrays import checks
from numclip._arrays.memory import guards


class Clipper:
    """Clip the same arrays again and again, checked and packed only once.

    Parameters
    ----------
    t_list : sequence of arrays
        The arrays, as for `clip_by_global_norm`. They are kept alive, and read anew at every call.
    clip_norm : float
        The largest norm that is left as it is, at least 0.
    out : sequence of arrays, optional
        Receives the results at every call, as for `clip_by_global_norm`. By default the arrays are clipped in
        place.

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

    With CUDA arrays, the table of addresses is uploaded once, and a call is launches alone: after the first
    one it can be captured in a CUDA graph. Calls on different streams need clippers of their own.

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

    __slots__ = ("_clip", "_guards", "_limit", "_numbers", "_plan", "results")

    def __init__(self, t_list: Any, clip_norm: Any, out: Any = None) -> None:
        out = t_list if out is None else out
        on_cuda = _backend.on_cuda(t_list)
        self._numbers: Any = cuda_plans() if on_cuda else checks
        self._limit = self._numbers.clip_norm(clip_norm)
        if on_cuda:
            self._plan = cuda_plans().Plan(t_list, out, keep=True)
            self._clip: Any = self._plan.run
            self._guards = []
        else:
            self._plan = plans().Plan(*plans().arguments(t_list, out))
            self._clip = self._plan.step()
            self._guards = guards(self._plan.arrays())
        self.results: list[Any] = self._plan.results

    def __reduce__(self) -> Any:
        """Refuse to be copied or pickled: the copy would write to the arrays of this one."""
        raise TypeError("a Clipper holds the addresses of its arrays, and cannot be copied: make a new one")

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
        limit = self._limit if clip_norm is None else self._numbers.clip_norm(clip_norm)
        if use_norm is not None:
            self._plan.run(limit, self._numbers.use_norm(use_norm))
            return use_norm
        return self._clip(limit)[0]
