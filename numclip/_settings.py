"""Settings of the process: compiling before the first call, threads, memory that is kept for results."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import numpy as np

from numclip import _backend
from numclip._arrays.errors import brief, shortened
from numclip._arrays.pool import pool
from numclip._core.dtypes import BY_NAME
from numclip._cpu import threads as _threads

logger = logging.getLogger("numclip")


def warmup(
    dtypes: Iterable[Any] = ("float32",), *, device: Literal["cpu", "cuda"] = "cpu", verbose: bool = False
) -> None:
    """Compile what calls on lists of these dtypes need, so that the first of them is as fast as the others.

    Each dtype takes some seconds once on a machine. From then on, the machine code is loaded from the cache
    directory in milliseconds, by the first call as well. Where no such directory can be written, each process
    compiles for itself, at the time of this call. Of several processes that start at once, one compiles, and
    the others wait for the code that it saves.

    Parameters
    ----------
    dtypes : iterable of dtypes or their names
        Among those that `clip_by_global_norm` takes. A list of several of them needs no other code.
    device : {"cpu", "cuda"}, optional
        Where the arrays lie. For "cuda", the kernels of lists of one dtype, with an `ord` of 2, are compiled
        for the current GPU of this thread. A list of several dtypes needs a kernel of its own there.
    verbose : bool, optional
        Print to the standard error which code is compiled or loaded, with times. The logger ``numclip`` has
        the same at the level INFO in any case, also for a first call without `warmup`.

    Raises
    ------
    TypeError, ValueError
        If a dtype or the device is not one of those. Nothing has been compiled.
    ImportError, RuntimeError
        If there is no numba-cuda, or no GPU, for the device "cuda".

    Examples
    --------
    >>> import numclip
    >>> numclip.warmup(["float32"])
    """
    dtypes = (dtypes,) if isinstance(dtypes, str) else tuple(dtypes)
    names = [dtype if isinstance(dtype, str) else np.dtype(dtype).name for dtype in dtypes]
    for i, name in enumerate(names):
        if name not in BY_NAME:
            raise TypeError(f"dtypes[{i}] is {shortened(name)}, expected a floating or complex dtype")
    if device not in ("cpu", "cuda"):
        raise ValueError(f'device should be "cpu" or "cuda". Received {brief(device)}')
    with _printed_log() if verbose else nullcontext():
        logger.info("loading Numba, and compiling for %s: some seconds, once", ", ".join(names))
        backend = _backend.cpu() if device == "cpu" else _backend.cuda()
        backend.compile_ahead({BY_NAME[name].typecode for name in names})


@contextmanager
def _printed_log() -> Iterator[None]:
    """Print all records of the logger meanwhile."""
    printing, before = logging.StreamHandler(), (logger.level, logger.propagate)
    printing.setFormatter(logging.Formatter("numclip: %(message)s"))
    logger.addHandler(printing)
    if not logger.isEnabledFor(logging.INFO):
        # The program's own handlers would not get these records, and still do not.
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        level, logger.propagate = before
        logger.setLevel(level)
        logger.removeHandler(printing)


def set_num_threads(threads: int | None) -> None:
    """Set the largest number of threads of a call; None, the default, is every available core.

    Numba's own setting is not touched, and never exceeded.

    Parameters
    ----------
    threads : int or None
        At least 1. With 1, no call uses a second thread.

    Examples
    --------
    >>> import numclip
    >>> numclip.set_num_threads(1)
    >>> numclip.set_num_threads(None)
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int)):
        raise TypeError(f"threads should be an int or None. Received {brief(threads)}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads should be at least 1. Received {brief(threads)}")
    _threads.policy.limit = threads


def set_recycling(limit: int) -> None:
    """Set how much memory of results that are not referenced any more is kept for later results.

    No more is kept than the last calls have used, whatever the limit.

    Parameters
    ----------
    limit : int
        Bytes, at least 0; 2**30 by default. With 0, nothing is kept. Memory that was kept before is released.

    Raises
    ------
    TypeError, ValueError
        If the limit is not such a number.

    Examples
    --------
    >>> import numclip
    >>> numclip.set_recycling(0)
    >>> numclip.set_recycling(2**30)
    """
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit should be an int. Received {brief(limit)}")
    if limit < 0:
        raise ValueError(f"limit should be at least 0. Received {brief(limit)}")
    pool.set_limit(limit)
