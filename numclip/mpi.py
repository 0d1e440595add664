"""Lists distributed over the ranks of an MPI communicator: one norm of all, the same bits on each rank.

Each rank holds some arrays of a model, whole. The sum of squares of an array is taken in numclip's one
order. The sums of all arrays are added exactly, as fixed-point numbers of 32-bit limbs, so that it does not
matter which rank adds which array, nor when: one ``Allreduce`` adds 75 integers, 600 bytes, and each rank
rounds the same exact sum. The norm, and what is clipped by it, has the same bits for every number of ranks,
also one, and for every way to share the arrays among them.

On 10,000 ranks, a reduction by recursive doubling takes 14 rounds. With 600 bytes, each is bound by latency,
like the reduction of one float. Limbs are carried before the reduction, so that they have room for 2**31
ranks.

Needs mpi4py and an MPI: ``pip install "mpi4py>=4.1" "mpich>=4.3"`` brings both.
"""

import math
from collections.abc import Callable, Iterable
from functools import cache
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numclip._arrays import checks
from numclip._arrays.output import NEW, NONE
from numclip._backend import Plan, backend_of
from numclip._core import apart, fixed_point
from numclip._core.scalars import as_float32

Words = NDArray[np.int64]

# After the words of the sum: the number of ranks with 64-bit elements, with a use_norm, and with an error;
# and the sum of the ranks with an error, which is the rank itself if there is one.
_WIDE, _GIVEN, _FAILED, _FAILED_RANKS = range(fixed_point.WORDS, fixed_point.WORDS + 4)
_WORDS = fixed_point.WORDS + 4


def clip_by_global_norm(
    t_list: Any,
    clip_norm: Any,
    comm: Any,
    use_norm: Any = None,
    *,
    out: Any = None,
    replicated: Iterable[int] | None = None,
) -> tuple[list[Any], Any]:
    """Clip the arrays of all ranks so that the norm of all of them together is at most `clip_norm`.

    A collective call: every rank of `comm` makes it, each with its own arrays.

    Parameters
    ----------
    t_list : sequence of arrays
        The arrays of this rank, as for `numclip.clip_by_global_norm`; it may be empty.
    clip_norm : float
        The largest norm that is left as it is, at least 0, the same on every rank.
    comm : mpi4py.MPI.Intracomm
        The communicator of the ranks that share the arrays.
    use_norm : float, optional
        A norm to use in place of the computed one, and returned as it is; on every rank, or on none.
    out : sequence of arrays, optional
        Receives the results, as for `numclip.clip_by_global_norm`. ``out=t_list`` clips in place.
    replicated : iterable of int, optional
        Indices of entries that other ranks hold too, such as tied weights or the parameters of data-parallel
        ranks. Rank 0 counts such an entry in the norm, other ranks do not; all clip it. If rank 0 does not
        hold an array, all ranks that hold a copy list it, except the one that counts it.

    Returns
    -------
    list_clipped : list
        An entry for each of `t_list`, of its dtype and shape; the entries of `out` if that is given.
    global_norm : numpy.float32 or numpy.float64
        The norm before clipping, the same bits on every rank: a float64 if an array of any rank has 64 bits
        per real number, else a float32.

    Raises
    ------
    TypeError, ValueError, IndexError
        If an argument of this rank is not of this form. Nothing has been written, on any rank.
    RuntimeError
        If that happened on another rank.

    Notes
    -----
    The list of all arrays has the same norm and results from `numclip.clip_by_global_norm`, but for the last
    bits: there the sums of the arrays are rounded when they are added, and the norm depends on their order.
    With 32 bits and fewer, both norms are within 2**-50 of the exact one before they are rounded to float32.
    In a list of both 32 and 64 bits, the float64 norm here is off by up to some units in its last place: the
    sum of an array of 32 bits does not carry its error, as no rank knows the dtypes of the others.

    Where the sum of squares of 64-bit elements leaves the range of float64, or is 0, the sums are taken and
    added twice.

    Examples
    --------
    On two ranks, by ``mpiexec -n 2 python``:

    >>> import numpy as np
    >>> from mpi4py import MPI
    >>> import numclip.mpi
    >>> comm = MPI.COMM_WORLD
    >>> shard = [np.array([3.0 if comm.rank == 0 else 4.0], np.float32)]
    >>> clipped, norm = numclip.mpi.clip_by_global_norm(shard, 2.5, comm)
    >>> norm
    np.float32(5.0)
    >>> clipped if comm.rank == 0 else [np.array([1.5], np.float32)]
    [array([1.5], dtype=float32)]
    """
    return _clip(t_list, NEW if out is None else out, clip_norm, comm, use_norm, replicated)


def global_norm(t_list: Any, comm: Any, *, replicated: Iterable[int] | None = None) -> Any:
    """Return the norm of the arrays of all ranks together.

    A collective call: every rank of `comm` makes it, each with its own arrays.

    Parameters
    ----------
    t_list, comm, replicated
        As for `clip_by_global_norm`.

    Returns
    -------
    numpy.float32 or numpy.float64
        The norm, the same bits on every rank. 0 where no rank has an element.

    Raises
    ------
    TypeError, IndexError
        If an argument of this rank is not of this form.
    RuntimeError
        If that happened on another rank.

    Examples
    --------
    On two ranks, by ``mpiexec -n 2 python``:

    >>> import numpy as np
    >>> from mpi4py import MPI
    >>> import numclip.mpi
    >>> comm = MPI.COMM_WORLD
    >>> weights, own = np.array([2.0]), np.array([3.0 if comm.rank == 0 else 6.0])
    >>> numclip.mpi.global_norm([weights, own], comm, replicated=[0])
    np.float64(7.0)
    """
    return _clip(t_list, NONE, math.inf, comm, None, replicated)[1]


def _clip(
    t_list: Any, output: Any, clip_norm: Any, comm: Any, use_norm: Any, replicated: Iterable[int] | None
) -> tuple[list[Any], Any]:
    if not hasattr(comm, "Allreduce"):
        raise TypeError(f"comm should be a communicator of mpi4py. Received {type(comm)}")
    shard = _Shard(t_list, output, clip_norm, use_norm, replicated, comm.rank)
    words = _reduce(comm, shard.check_and_sum)
    if use_norm is not None:
        shard.plan.clip(shard.limit, shard.given)
        return shard.plan.results, use_norm
    wide, limit, decide = bool(words[_WIDE]), shard.limit, shard.decide
    norm, factor, prefactor, prescale = decide(words, 1.0, wide, limit)
    if wide and prescale != 1.0:
        words = _reduce(comm, lambda words: shard.sum(words, prescale))
        norm, factor, prefactor, _ = decide(words, prescale, wide, limit)
    if output is not NONE:
        shard.plan.scale(factor, prefactor)
    return shard.plan.results, (np.float64 if wide else as_float32)(norm)


def _reduce(comm: Any, add: Callable[[Words], None]) -> Words:
    """Return the sum over all ranks of the words that each adds; raise on every rank if one raises."""
    words, total = np.zeros((2, _WORDS), np.int64)
    failure = None
    try:
        add(words)
    except Exception as error:  # the other ranks wait for this one
        failure = error
        words[:] = 0
        words[_FAILED], words[_FAILED_RANKS] = 1, comm.rank
    comm.Allreduce(words, total)
    if failure is not None:
        raise failure
    failed, given = total[_FAILED], total[_GIVEN]
    if failed:
        who = f"rank {total[_FAILED_RANKS]}" if failed == 1 else f"{failed} ranks"
        raise RuntimeError(f"an argument was refused on {who} of {comm.size}, where the error says why")
    if given and given != comm.size:
        raise ValueError(f"use_norm should be given on every rank or on none, not on {given} of {comm.size}")
    return total


@cache
def _compiled() -> tuple[Callable[..., None], Callable[..., tuple[float, float, float, float]]]:
    def load() -> Any:
        from numclip._core import accumulator

        return accumulator

    accumulator = apart.run("the accumulator", load)
    return accumulator.accumulate(), accumulator.decide()


class _Shard:
    """The call of this rank."""

    def __init__(
        self, t_list: Any, output: Any, clip_norm: Any, use_norm: Any, replicated: Any, rank: int
    ) -> None:
        self._arguments = t_list, output, clip_norm, use_norm, replicated
        self._rank = rank

    def check_and_sum(self, words: Words) -> None:
        """Check the arguments, and add the sums of squares to the words."""
        t_list, output, clip_norm, use_norm, replicated = self._arguments
        backend = backend_of(t_list)
        self.limit = checks.clip_norm(clip_norm)
        self.given = None if use_norm is None else checks.use_norm(use_norm)
        self.plan: Plan = backend.plan(t_list, output)
        self._counted = np.ones(len(self.plan.results), np.bool_)
        for i in () if replicated is None else replicated:
            if not 0 <= index(i) < len(self._counted):
                raise IndexError(f"replicated has {i}, t_list has {len(self._counted)} entries")
            self._counted[i] = self._rank == 0
        self._accumulate, self.decide = _compiled()
        words[_GIVEN] = use_norm is not None
        if use_norm is None:
            self.sum(words, 1.0)

    def sum(self, words: Words, prescale: float) -> None:
        """Add the sums of squares, of elements multiplied by `prescale`."""
        sums, errors, wide = self.plan.sums(prescale)
        words[_WIDE] = (wide & self._counted).any()
        self._accumulate(words, sums, errors, self._counted)
