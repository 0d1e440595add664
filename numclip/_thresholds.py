"""Thresholds that follow the norms of the training so far: AutoClip and ZClip, callables for `clip_norm`."""

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from typing import Any

from numclip._arrays import checks
from numclip._arrays.errors import brief


class AutoClip:
    """A percentile of the norms so far, as a `clip_norm`.

    Parameters
    ----------
    percentile : float, optional
        Between 0 and 100. The paper uses 10: nine of ten steps are clipped.
    history : int, optional
        The number of last norms that count, at least 1. By default all norms, as in the paper: 32 bytes each.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.

    Notes
    -----
    The threshold of step t is ``numpy.percentile(norms[:t + 1], percentile)``, with the norm of the step
    itself, so that the first step is not clipped.

    A norm that is 0, infinite or NaN is not counted. Its threshold is the percentile of the other norms, or
    infinity if there are none.

    Each call counts the next norm. Every network needs an object of its own, which may be copied and pickled.

    References
    ----------
    P. Seetharaman, G. Wichern, B. Pardo and J. Le Roux, "AutoClip: Adaptive gradient clipping for source
    separation networks", MLSP 2020.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> clip_norm = numclip.AutoClip(percentile=50)
    >>> for size in (1.0, 3.0, 100.0):
    ...     [clipped], norm = numclip.clip_by_global_norm([np.array([size])], clip_norm)
    ...     print(norm, clipped)
    1.0 [1.]
    3.0 [2.]
    100.0 [3.]
    """

    def __init__(self, percentile: float = 10.0, history: int | None = None) -> None:
        self.percentile = checks.real(percentile, "percentile")
        if not 0.0 <= self.percentile <= 100.0:
            raise ValueError(f"percentile should be between 0 and 100. Received {self.percentile}")
        self.history = None if history is None else _count(history, "history")
        self._recent: deque[float] = deque()
        self._ascending: list[float] = []

    def __call__(self, norm: float) -> float:
        """Count a norm, and return the threshold of its step."""
        norm = float(norm)
        if _is_sample(norm):
            self._add(norm)
        if not self._ascending:
            return math.inf
        place = (len(self._ascending) - 1) * (self.percentile / 100.0)
        lower = self._ascending[int(place)]
        upper = self._ascending[min(int(place) + 1, len(self._ascending) - 1)]
        return lower + (upper - lower) * (place - int(place))

    def _add(self, norm: float) -> None:
        if self.history is not None:
            if len(self._recent) == self.history:
                del self._ascending[bisect_left(self._ascending, self._recent.popleft())]
            self._recent.append(norm)
        insort(self._ascending, norm)

    def state_dict(self) -> dict[str, Any]:
        """Return the norms that count, as ``{"norms": list of float}``, for a checkpoint."""
        return {"norms": list(self._ascending if self.history is None else self._recent)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` has returned; the last `history` of its norms count."""
        [norms] = _values(state_dict, "norms")
        if not isinstance(norms, list) or not all(isinstance(n, float) and _is_sample(n) for n in norms):
            raise ValueError(f"norms should be a list of positive, finite floats. Received {brief(norms)}")
        taken = norms if self.history is None else norms[-self.history :]
        self._recent = deque() if self.history is None else deque(taken)
        self._ascending = sorted(taken)


class ZClip:
    """A limit in standard deviations above the mean of the norms so far, as a `clip_norm`.

    Parameters
    ----------
    alpha : float, optional
        The weight of the past in the exponential moving averages, above 0 and below 1.
    z_thresh : float, optional
        The z-score above which a norm is a spike, positive and finite.
    warmup_steps : int, optional
        The number of norms for the first mean and deviation, at least 1. For these steps the threshold is
        `max_norm`.
    max_norm : float, optional
        A threshold that is never exceeded.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this form.

    Notes
    -----
    The threshold of a norm with the z-score ``z = (norm - mean) / std`` is::

        mean + z_thresh * std               if z <= z_thresh: nothing is clipped
        mean + z_thresh**2 / z * std        otherwise: the larger the spike, the lower its threshold

    Then, with ``taken = min(norm, threshold)``::

        mean = alpha * mean + (1 - alpha) * taken
        std = sqrt(alpha * std**2 + (1 - alpha) * (taken - mean)**2)

    These are the rules of the published implementation for its options "zscore" and "adaptive_scaling", with
    its ``eps`` at 0: thresholds scale with the gradients.

    Norms that rise permanently, by many deviations at once, are clipped permanently: each of these steps
    makes the deviation smaller. If that is to be expected, as at the start of another phase of the training,
    use a new object.

    A norm that is 0, infinite or NaN is not counted, also not among the first ones. The threshold of an
    infinite norm is the mean.

    Each call counts the next norm. Every network needs an object of its own, which may be copied and pickled.

    References
    ----------
    A. Kumar, L. Owen, N. R. Chowdhury and F. Güra, "ZClip: Adaptive spike mitigation for LLM pre-training",
    arXiv:2504.02507, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> import numclip
    >>> clip_norm = numclip.ZClip(warmup_steps=3)
    >>> for size in (0.9, 1.0, 1.1, 1.0, 50.0):
    ...     [clipped], norm = numclip.clip_by_global_norm([np.array([size])], clip_norm)
    >>> norm, clipped.round(3)
    (np.float64(50.0), array([1.001]))
    """

    def __init__(
        self,
        alpha: float = 0.97,
        z_thresh: float = 2.5,
        *,
        warmup_steps: int = 25,
        max_norm: float = math.inf,
    ) -> None:
        self.alpha = checks.real(alpha, "alpha")
        if not 0.0 < self.alpha < 1.0:
            raise ValueError(f"alpha should be between 0 and 1, without either. Received {self.alpha}")
        self.z_thresh = checks.real(z_thresh, "z_thresh")
        if not 0.0 < self.z_thresh < math.inf:
            raise ValueError(f"z_thresh should be positive and finite. Received {self.z_thresh}")
        self.warmup_steps = _count(warmup_steps, "warmup_steps")
        self.max_norm = _max_norm(max_norm)
        self._counted, self._mean, self._std = 0, 0.0, 0.0

    def __call__(self, norm: float) -> float:
        """Count a norm, and return the threshold of its step."""
        norm = float(norm)
        threshold = math.inf if self._counted < self.warmup_steps else self._threshold(norm)
        if _is_sample(norm):
            self._add(min(norm, threshold))
        return min(threshold, self.max_norm)

    def _threshold(self, norm: float) -> float:
        limit = self._mean + self.z_thresh * self._std
        if not norm > limit:  # NaN has no z-score
            return limit
        inverse_z = self._std / (norm - self._mean)
        return self._mean + self.z_thresh * (self.z_thresh * inverse_z) * self._std

    def _add(self, norm: float) -> None:
        # Deviations are combined by hypot: the square of a norm of 1e200 would be infinite, and stay so.
        if self._counted < self.warmup_steps:
            self._counted += 1
            past = (self._counted - 1) / self._counted
            off = norm - self._mean
            self._mean += off / self._counted
            self._std = math.hypot(math.sqrt(past) * self._std, math.sqrt(past / self._counted) * off)
        else:
            self._mean = self.alpha * self._mean + (1.0 - self.alpha) * norm
            off = norm - self._mean
            self._std = math.hypot(math.sqrt(self.alpha) * self._std, math.sqrt(1.0 - self.alpha) * off)

    def state_dict(self) -> dict[str, Any]:
        """Return ``{"counted": int, "mean": float, "std": float}``, for a checkpoint."""
        return {"counted": self._counted, "mean": self._mean, "std": self._std}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` has returned."""
        counted, mean, std = _values(state_dict, "counted", "mean", "std")
        if type(counted) is not int or counted < 0:
            raise ValueError(f"counted should be an int of at least 0. Received {brief(counted)}")
        for name, value in (("mean", mean), ("std", std)):
            if not isinstance(value, float) or not 0.0 <= value < math.inf:
                raise ValueError(f"{name} should be a finite float of at least 0. Received {brief(value)}")
        self._counted, self._mean, self._std = counted, mean, std


def _is_sample(norm: float) -> bool:
    """Tell whether a norm is counted; norms of 0 would make the threshold 0 for ever."""
    return 0.0 < norm < math.inf


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} should be an int. Received {brief(value)}")
    if value < 1:
        raise ValueError(f"{name} should be at least 1. Received {brief(value)}")
    return value


def _max_norm(value: Any) -> float:
    number = checks.real(value, "max_norm")
    if not number >= 0.0:
        raise ValueError(f"max_norm should be at least 0. Received {number}")
    return number


def _values(state_dict: Any, *names: str) -> list[Any]:
    """Return the values of a state, which must have exactly these names."""
    if not isinstance(state_dict, Mapping) or {*state_dict} != {*names}:
        wanted = ", ".join(map(repr, names))
        raise ValueError(f"state_dict should be a dict of {wanted}. Received {brief(state_dict)}")
    return [state_dict[name] for name in names]
