"""Plain lists by one call of machine code, from Python's objects to Python's objects.

Right after a matrix product each Python frame and each tuple of arguments costs a microsecond or more: the
caches hold neither. The functions here are called as built-in functions are (``METH_FASTCALL``): addresses of
objects come in, a new reference goes out, and nothing lies between the public function and its kernel.

Each returns None, with nothing written, for what is not plain: a list of several element types, an entry that
is no plain dense array, targets that overlap, a number that is no float or int, a list for several threads.
Python then does it, with all checks and messages. Where `abi` does not find the objects of Python and NumPy
as expected, there are no such functions, and all calls take that road.

What keeps this safe:

- References are counted by Python's own functions; every object made here is given to the caller or released.
- The lists are copied first. A collection of garbage, which runs code of others, can only happen while
  lists and tuples are made: all are made before the first entry is looked at. From then on the
  GIL is held, except while a large list is summed and scaled, whose arrays the copies keep alive.
- Nothing here raises by way of Numba. Memory comes from Python's allocator; where there is none, the caller
  gets a MemoryError, and nothing has been written by then but in the case of the norm itself, a scalar of 24
  bytes.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from numclip._core.emit import emitter
from numclip._core.jit import callback, helper
from numclip._core.shortcuts import shortcuts, unusual
from numclip._cpu import abi, kernels, plain_list
from numclip._cpu.abi import DATA, TYPE
from numclip._cpu.blocks import floats_at, integers_at
from numclip._cpu.builtin import builtin
from numclip._cpu.pack import GIVEN_TARGETS, NO_TARGETS
from numclip._cpu.plain_list import (
    CLIP_LIST,
    EMPTY_TARGETS,
    FAILED,
    FLOAT,
    HELD,
    INT,
    KERNELS,
    LIST,
    NAN,
    NONE,
    SIZE,
    TWO,
)
from numclip._cpu.pyobjects import (
    acquire,
    as_list,
    call_at,
    clear_error,
    copy_list,
    float_value,
    int_as_float,
    int_value,
    new_float,
    new_list,
    new_slot,
    new_tuple,
    py_list_size,
    read_word,
    release,
    set_tuple_item,
)

emits = emitter(intrinsic)

_INT, _FLOAT = types.intp, types.float64

# What the function of a packed list is bound to: addresses, and the number of rows.
(ROWS, COUNT, KERNEL, DTYPE, SCALAR, KEPT) = range(6)


# --- what the functions have in common ----------------------------------------------------------------------


@emits(
    lambda function, table, sources, targets, mode, clip_norm, eps, loss_scale, factor: _INT(
        *[_INT] * 5, *[_FLOAT] * 3, _INT
    )
)
def _call_clip_list(
    emit: Any,
    function: Any,
    table: Any,
    sources: Any,
    targets: Any,
    mode: Any,
    clip_norm: Any,
    eps: Any,
    loss_scale: Any,
    factor: Any,
) -> Any:
    """Call `plain_list.clip_list`, which is compiled once for all the functions that need it."""
    arguments = table, sources, targets, mode, clip_norm, eps, loss_scale, factor
    return call_at(emit, function, ir.IntType(64), *arguments)


@helper
def _bound_to(own: int, size: int) -> Any:
    """Return the integers that a function is bound to: the array that is its `self`."""
    return integers_at(read_word(own + DATA), 1, size)[0]


@helper
def _is_list(table: Any, entry: int) -> bool:
    return read_word(entry + TYPE) == table[LIST]


@helper
def _number(table: Any, entry: int) -> float:
    """Return the value of a float or an int; of another object, or of an int that is too large, none >= 0."""
    kind = read_word(entry + TYPE)
    if kind == table[FLOAT]:
        return float_value(entry)
    if kind != table[INT]:
        return math.nan
    value = int_as_float(entry)
    if value < 0.0:
        clear_error()
    return value


@helper
def _answer(table: Any, reference: int) -> int:
    """Return what Python gets for a reference, for `FAILED`, or for 0: None."""
    if reference == 0:
        acquire(table[NONE])
        return table[NONE]
    return reference if reference != FAILED else 0


@helper
def _pair(first: int, second: int, both: int) -> int:
    """Give two references to a new tuple."""
    set_tuple_item(both, 0, first)
    set_tuple_item(both, 1, second)
    return both


# --- what Python calls --------------------------------------------------------------------------------------


@callback(lambda: (_INT, _INT, _INT))
def _clip(own: int, arguments: int, size: int) -> int:
    """(t_list, clip_norm, use_norm, out, ord, eps, loss_scale, nonfinite, stream) -> (results, norm)."""
    table, given = _bound_to(own, SIZE), integers_at(arguments, 1, 9)[0]
    t_list, out, none = given[0], given[3], table[NONE]
    if not (
        _is_list(table, t_list)
        and (out == none or _is_list(table, out))
        and (given[2] == none and given[4] == table[TWO] and given[7] == table[NAN] and given[8] == none)
    ):
        return _answer(table, 0)
    clip_norm, eps, loss_scale = _number(table, given[1]), _number(table, given[5]), _number(table, given[6])
    if not (clip_norm >= 0.0 and 0.0 <= eps < math.inf and 0.0 < loss_scale < math.inf):
        return _answer(table, 0)
    if out == none and read_word(table[HELD]) != 0:
        return _answer(table, 0)  # the pool counts the calls that make results
    mode = EMPTY_TARGETS if out == none else GIVEN_TARGETS
    sources, results, both, norm = copy_list(t_list), 0, 0, FAILED
    if sources != 0 and out == none:
        results = new_list(py_list_size(as_list(sources)))
    elif sources != 0 and out == t_list:
        acquire(sources)
        results = sources
    elif sources != 0:
        results = copy_list(out)
    if results != 0:
        both = new_tuple(2)
    if both != 0:
        address = read_word(own + DATA)
        norm = _call_clip_list(
            *(table[CLIP_LIST], address, sources, results, mode),
            *(clip_norm, eps, loss_scale, new_slot()),
        )
    release(sources)
    if norm not in (0, FAILED):
        return _pair(results, norm, both)
    release(results)
    release(both)
    return _answer(table, norm)


@callback(lambda: (_INT, _INT, _INT))
def _norm(own: int, arguments: int, size: int) -> int:
    """(t_list, ord, loss_scale, stream) -> norm."""
    table, given = _bound_to(own, SIZE), integers_at(arguments, 1, 4)[0]
    if not (_is_list(table, given[0]) and given[1] == table[TWO] and given[3] == table[NONE]):
        return _answer(table, 0)
    loss_scale = _number(table, given[2])
    if not 0.0 < loss_scale < math.inf:
        return _answer(table, 0)
    sources, norm = copy_list(given[0]), FAILED
    if sources != 0:
        address = read_word(own + DATA)
        norm = _call_clip_list(
            *(table[CLIP_LIST], address, sources, sources, NO_TARGETS),
            *(math.inf, 0.0, loss_scale, new_slot()),
        )
    release(sources)
    return _answer(table, norm)


@helper
def _with_factor(norm: int, factor: int, both: int) -> int:
    """Return (norm, factor) for a reference to a norm, or what there is in place of that."""
    if norm in (0, FAILED):
        release(both)
        return norm
    number = new_float(floats_at(factor, 1)[0])
    if number == 0:
        release(norm)
        release(both)
        return FAILED
    return _pair(norm, number, both)


@callback(lambda: (_INT, _INT, _INT))
def _lists(own: int, arguments: int, size: int) -> int:
    """(sources, targets, mode, clip_norm, eps, loss_scale) -> (norm, factor), of lists made for this call."""
    table, given = _bound_to(own, SIZE), integers_at(arguments, 1, 6)[0]
    both, factor = new_tuple(2), new_slot()
    if both == 0:
        return 0
    norm = _call_clip_list(
        *(table[CLIP_LIST], read_word(own + DATA), given[0], given[1], int_value(given[2])),
        *(float_value(given[3]), float_value(given[4]), float_value(given[5]), factor),
    )
    return _answer(table, _with_factor(norm, factor, both))


@callback(lambda: (_INT, _INT, _INT))
def _rows(own: int, arguments: int, size: int) -> int:
    """(eps, loss_scale, clip_norm) -> (norm, factor), of a packed list."""
    table, given = _bound_to(own, 6), integers_at(arguments, 1, 3)[0]
    both, factor = new_tuple(2), new_slot()
    if both == 0:
        return 0
    norm = plain_list.clip_rows(
        *(table[KERNEL], table[SCALAR], table[DTYPE], table[ROWS], table[COUNT], table[KEPT]),
        *(float_value(given[2]), float_value(given[0]), float_value(given[1]), factor),
    )
    return _answer(table, _with_factor(norm, factor, both))


# --- their objects ------------------------------------------------------------------------------------------

lists: Callable[..., Any] = unusual


def enable(typecode: int) -> None:
    """Let lists of this typecode be taken; compiles what that needs the first time."""
    global lists
    if not abi.IS_AS_EXPECTED or plain_list.TABLE[KERNELS + typecode] != 0:
        return
    # The kernel last: while it is missing no list is plain, and a call that is interrupted can come back.
    kernel, plain_list.TABLE[CLIP_LIST] = kernels.clip_rows(typecode), plain_list.clip_list()
    if lists is unusual:
        shortcuts.clip, shortcuts.norm, lists = (
            builtin(entry(), plain_list.TABLE) for entry in (_clip, _norm, _lists)
        )
    plain_list.TABLE[KERNELS + typecode] = kernel


def compile_ahead() -> None:
    """Compile what `rows` needs beside the kernel of a typecode."""
    if abi.IS_AS_EXPECTED:
        _rows()


def rows(packed: NDArray[np.int64], typecode: int, kept: int) -> Callable[[float, float, float], Any]:
    """Return what clips a packed list of one typecode: f(eps, loss_scale, clip_norm) -> (norm, factor)."""
    scalar, dtype = abi.scalar_addresses(typecode)
    own = packed.ctypes.data, len(packed), kernels.clip_rows(typecode), dtype, scalar, kept
    return builtin(_rows(), np.array(own, np.int64))
