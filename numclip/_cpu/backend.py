"""The backend for NumPy arrays; see `numclip._backend.Backend`."""

from typing import Any

import numpy as np

from numclip._arrays import checks
from numclip._arrays.labels import LIST, Labels
from numclip._arrays.options import DEFAULT, Options, check_clip_norm
from numclip._arrays.output import NONE
from numclip._core.dtypes import BY_NAME, FLOAT32, FLOAT64
from numclip._cpu import abi, adaptive, axes, fastcall, kernels, per_example, strided, threads, values
from numclip._cpu.plan import Plan, arguments, is_fused


def _first_typecode(entries: list[Any]) -> int:
    """Return the typecode of the first plain array: a first guess, so that no other kernel is compiled."""
    names = (entry.dtype.name for entry in entries if type(entry) is np.ndarray)
    return next((BY_NAME[name].typecode for name in names if name in BY_NAME), FLOAT32)


class CPU:
    """Lists of NumPy arrays, clipped by kernels that Numba compiles for the host."""

    _is_ready = False

    def _enable(self, typecode: int) -> None:
        """Let the compiled road take lists of this typecode; compiles its kernel the first time."""
        fastcall.enable(typecode)
        self._is_ready = True

    def clip(
        self,
        t_list: Any,
        output: Any,
        clip_norm: Any,
        use_norm: Any = None,
        options: Options = DEFAULT,
        labels: Labels = LIST,
        stream: Any = None,
    ) -> tuple[list[Any], Any, float]:
        """Clip once; return (results, norm, factor)."""
        if stream is not None:
            raise TypeError("stream is for CUDA arrays, and the first array of t_list is none")
        limit = clip_norm if type(clip_norm) is float and clip_norm >= 0.0 else check_clip_norm(clip_norm)
        given = None if use_norm is None else checks.use_norm(use_norm)
        sources, targets, mode = arguments(t_list, output)
        fused = options is DEFAULT or is_fused(options)
        if given is None and fused and type(limit) is float and abi.IS_AS_EXPECTED:
            # Shortcut: a list of plain arrays of one typecode is packed and clipped by one call.
            if not self._is_ready:
                self._enable(_first_typecode(sources))
            numbers = limit, options.eps, options.loss_scale
            answer = fastcall.lists(sources, targets, mode, *numbers)
            if answer is not None:
                return targets, *answer
            dense = strided.dense(sources, targets, mode, threads.policy.serial_elements)
            if dense is not None:
                answer = fastcall.lists(*dense[:3], *numbers)
                if answer is not None:
                    dense.store(answer[1])
                    return targets, *answer
        plan = Plan(sources, targets, mode, labels)
        if plan.typecode:
            self._enable(plan.typecode)
        norm, factor = plan.clip(limit, given, options)
        return plan.results, norm if given is None else use_norm, factor

    def factor(
        self,
        t_list: Any,
        clip_norm: Any,
        use_norm: Any = None,
        options: Options = DEFAULT,
        labels: Labels = LIST,
    ) -> tuple[float, Any]:
        """Write nothing; return (factor, norm)."""
        _, norm, factor = self.clip(t_list, NONE, clip_norm, use_norm, options, labels)
        return factor, norm

    def tensor_norms(self, t_list: Any, order: float, labels: Labels = LIST) -> list[Any]:
        """Return the norm of each array, None for None."""
        return Plan(*arguments(t_list, NONE), labels).tensor_norms(order)

    def plan(self, t_list: Any, output: Any, labels: Labels = LIST) -> Plan:
        """Check and pack a list for many calls."""
        return Plan(*arguments(t_list, output), labels, kept=True)

    clip_norm = staticmethod(check_clip_norm)
    use_norm = staticmethod(checks.use_norm)
    clip_along = staticmethod(axes.clip_along)
    clip_between = staticmethod(values.clip_between)
    clip_adaptively = staticmethod(adaptive.clip_adaptively)
    clip_per_example = staticmethod(per_example.clip_per_example)

    def compile_ahead(self, typecodes: set[int]) -> None:
        """Compile every kernel for these typecodes; for several threads only if they may be started."""
        twins = (False, True)[: 1 + threads.policy.may_start()]
        for typecode in sorted(typecodes):
            self._enable(typecode)
            for parallel in twins:
                for compensated in {typecode == FLOAT64, FLOAT64 in typecodes}:
                    kernels.sum_squares(typecode, compensated, parallel=parallel)
                kernels.scale(typecode, parallel=parallel)
        for compensated in {FLOAT64 in typecodes, typecodes == {FLOAT64}}:
            kernels.norm_of_sums(compensated)
        fastcall.compile_ahead()
        kernels.pack_list()
        kernels.decide()


BACKEND = CPU()
