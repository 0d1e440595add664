"""The backend for CUDA arrays; see `numclip._backend.Backend`."""

from typing import Any

from numclip._arrays.labels import LIST, Labels
from numclip._arrays.output import NEW, NONE
from numclip._cuda import plan as plans


def _out(t_list: Any, output: Any) -> Any:
    return None if output is NONE else ... if output is NEW else output


class Plan(plans.Plan):
    """A list, packed once."""

    def clip(self, clip_norm: Any, use_norm: Any = None) -> tuple[Any, Any]:
        """Clip."""
        return self.run(clip_norm, use_norm)

    def as_function(self) -> Any:
        """Return `clip`."""
        return self.run

    def sums(self, prescale: float = 1.0) -> Any:
        """Refuse: no rank of MPI is left waiting, as this raises on all."""
        raise TypeError("t_list has CUDA arrays: numclip.mpi takes arrays on the CPU")

    def scale(self, factor: float, prefactor: float) -> None:
        """Do nothing: there were no sums."""


class CUDA:
    """Lists of CUDA arrays."""

    def clip(
        self,
        t_list: Any,
        output: Any,
        clip_norm: Any,
        use_norm: Any = None,
        labels: Labels = LIST,
        stream: Any = None,
    ) -> tuple[list[Any], Any, None]:
        """Clip once; return (results, norm, None)."""
        return plans.clip(t_list, _out(t_list, output), clip_norm, use_norm, labels, stream)

    def factor(self, t_list: Any, clip_norm: Any, use_norm: Any = None) -> tuple[Any, Any]:
        """Write nothing; return (factor, norm)."""
        return plans.clip_factor(t_list, clip_norm, use_norm)

    def plan(self, t_list: Any, output: Any) -> Plan:
        """Check and pack a list for many calls."""
        return Plan(t_list, _out(t_list, output), keep=True)

    clip_norm = staticmethod(plans.clip_norm)
    use_norm = staticmethod(plans.use_norm)

    def clip_along(self, t: Any, clip_norm: Any, axes: Any, out: Any) -> Any:
        """Refuse."""
        raise TypeError("t is a CUDA array: clip_by_norm along axes is for the CPU")

    def compile_ahead(self, typecodes: set[int]) -> None:
        """Compile nothing yet."""


BACKEND = CUDA()
