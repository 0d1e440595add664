"""Compiling ahead of the first call."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from numclip._core.dtypes import BY_NAME
from numclip._cpu import threads


def warmup(dtypes: Iterable[Any] = ("float32",)) -> None:
    """Compile what calls on lists of these dtypes need, so that the first of them is as fast as the others.

    Each dtype takes some seconds once on a machine. From then on, the machine code is loaded from Numba's
    cache directory in milliseconds, by the first call as well. Where no such directory can be written, each
    process compiles for itself, and this says when.

    Parameters
    ----------
    dtypes : iterable of dtypes or their names
        Among those that `clip_by_global_norm` takes. Arrays of several dtypes in one list need nothing else.

    Raises
    ------
    TypeError
        If a dtype is not one of those. Nothing has been compiled.

    Examples
    --------
    >>> import numclip
    >>> numclip.warmup(["float32"])
    """
    dtypes = (dtypes,) if isinstance(dtypes, str) else tuple(dtypes)
    names = [dtype if isinstance(dtype, str) else np.dtype(dtype).name for dtype in dtypes]
    for i, name in enumerate(names):
        if name not in BY_NAME:
            raise TypeError(f"dtypes[{i}] is {name}, expected a floating or complex dtype")
    from numclip._cpu import compiled  # loads Numba

    compiled.compile_ahead({BY_NAME[name].typecode for name in names}, parallel=threads.may_start())
