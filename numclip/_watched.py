"""A plan whose calls a monitor records, for a Clipper with a monitor."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from numclip._arrays.errors import brief
from numclip._arrays.labels import Labels, places
from numclip._arrays.options import DEFAULT, Options, threshold
from numclip._monitor import GradientMonitor


class WatchedPlan:
    """The parts of a plan that a Clipper calls."""

    def __init__(self, plan: Any, monitor: GradientMonitor, labels: Labels) -> None:
        if not isinstance(monitor, GradientMonitor):
            raise TypeError(f"monitor should be a GradientMonitor or None. Received {brief(monitor)}")
        count = len(plan.results)
        if monitor.names is None:
            monitor.names = places(labels, count)
        elif len(monitor.names) != count:
            raise ValueError(f"monitor has {len(monitor.names)} names, but there are {count} arrays")
        self._plan, self._monitor = plan, monitor
        self.results = plan.results
        self.last_tensor_norms = plan.last_tensor_norms

    def clip(self, clip_norm: Any, use_norm: Any = None, options: Options = DEFAULT) -> tuple[Any, Any]:
        """Clip, and record the step, even if it raises for a norm that is not finite."""
        used = math.nan if callable(clip_norm) else clip_norm

        def asked(norm: float) -> float:
            nonlocal used
            used = threshold(clip_norm, norm)
            return used

        # Computed before clipping: one NaN makes all arrays NaN, or 0, in place.
        norms = None
        if use_norm is None:
            norms = self._plan.tensor_norms(options.order, options.loss_scale)
        try:
            norm, factor = self._plan.clip(asked if callable(clip_norm) else clip_norm, use_norm, options)
        except FloatingPointError:
            self._monitor.record(math.nan, used, norms)
            raise
        self._monitor.record(norm, used, norms)
        return norm, factor

    def as_function(self, options: Options = DEFAULT) -> Callable[[Any], tuple[Any, Any]]:
        """Return `clip` with these options."""
        return partial(self.clip, options=options)
