"""The backend for CUDA arrays, as `numclip._backend` describes it: results and norms stay on the device."""

from typing import Any

from numclip._arrays.labels import LIST, Labels
from numclip._arrays.options import DEFAULT, Options
from numclip._arrays.output import NONE
from numclip._cuda import numbers
from numclip._cuda.launches import load_kernels
from numclip._cuda.plan import Plan
from numclip._cuda.target import driver


class CUDA:
    """Clip lists of arrays on one CUDA device; the host does not wait for it."""

    def clip(
        self,
        t_list: Any,
        output: Any,
        clip_norm: Any,
        use_norm: Any = None,
        options: Options = DEFAULT,
        labels: Labels = LIST,
        stream: Any = None,
    ) -> tuple[list[Any], Any, None]:
        """Clip once; return (results, norm, None): only the device knows the factor."""
        limit, given = self._numbers(clip_norm, use_norm)
        plan = Plan(t_list, output, labels, stream)
        norm, factor = plan.clip(limit, given, options)
        return plan.results, norm if use_norm is None else use_norm, factor

    def factor(
        self,
        t_list: Any,
        clip_norm: Any,
        use_norm: Any = None,
        options: Options = DEFAULT,
        labels: Labels = LIST,
    ) -> tuple[Any, Any]:
        """Write nothing; return (factor, norm), the factor as a 0-d float64 array."""
        limit, given = self._numbers(clip_norm, use_norm)
        factor, norm = Plan(t_list, NONE, labels).factor(limit, given, options)
        return factor, norm if use_norm is None else use_norm

    def tensor_norms(self, t_list: Any, order: float, labels: Labels = LIST) -> list[Any]:
        """Return the norm of each array as a 0-d array on the device, None for None."""
        driver.require()
        return Plan(t_list, NONE, labels).tensor_norms(order)

    def plan(self, t_list: Any, output: Any, labels: Labels = LIST) -> Plan:
        """Check and pack a list for many calls."""
        driver.require()
        return Plan(t_list, output, labels, keep=True)

    def clip_norm(self, value: Any) -> Any:
        """Return a clip_norm as a plan takes it: a float, or a 0-d array on the device."""
        return numbers.clip_norm(value)

    def use_norm(self, value: Any) -> Any:
        """Return a use_norm as a plan takes it: a float, or a 0-d array on the device."""
        return numbers.use_norm(value)

    def clip_along(self, t: Any, clip_norm: Any, axes: Any, out: Any) -> Any:
        """Raise: slices along axes are clipped on the CPU alone."""
        raise TypeError(f"t is a CUDA array ({type(t)}), expected one on the CPU with axes")

    def clip_between(self, t: Any, low: Any, high: Any, out: Any) -> Any:
        """Raise: elements are clipped to an interval on the CPU alone."""
        raise TypeError("t is a CUDA array: clip_by_value is for the CPU")

    def clip_adaptively(self, params: Any, grads: Any, clipping: Any, eps: Any, out: Any) -> list[Any]:
        """Raise: units are clipped on the CPU alone."""
        raise TypeError("adaptive_grad_clip is for arrays on the CPU")

    def clip_per_example(self, t_list: Any, clip_norm: Any, nonfinite: str) -> tuple[list[Any], int, Any]:
        """Raise: examples are clipped on the CPU alone."""
        raise TypeError("per_example_global_norm_clip is for arrays on the CPU")

    def compile_ahead(self, typecodes: set[int]) -> None:
        """Compile, for this thread's device, the kernels of lists of one of these element types each."""
        driver.require()
        with driver.on_device(driver.current_device() or 0):
            for typecode in sorted(typecodes):
                load_kernels((typecode,))

    def _numbers(self, clip_norm: Any, use_norm: Any) -> tuple[Any, Any]:
        driver.require()
        return numbers.clip_norm(clip_norm), None if use_norm is None else numbers.use_norm(use_norm)


BACKEND = CUDA()
