"""Norms of orders other than 2: sums of absolute values, their maximum, and sums of powers.

A complex array is replaced by its magnitudes, computed in float64.
"""

import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numba import prange, types
from numpy.typing import NDArray

from numclip._core.contract import CHUNK, LENGTH, SOURCE, TYPECODE
from numclip._core.environment import default_environment
from numclip._core.fpenv import default_fpenv
from numclip._core.jit import helper, kernel
from numclip._cpu.blocks import (
    bounds,
    chunks_of,
    largest_of_block,
    sum_block_of_absolutes,
    typed_list,
    view,
)
from numclip._cpu.kernels import gather_block, total_of
from numclip._cpu.simd import WIDTH, absolute, multiply
from numclip._cpu.simd_memory import load, load_masked, store
from numclip._cpu.typecodes import compensation, number, typecode_type

Array = NDArray[Any]

_INT, _FLOAT = types.int64, types.float64
_ROWS = types.Array(types.int64, 2, "C")
_SUMS = types.Array(types.float64, 1, "C")


@kernel(
    lambda typecode, compensated: (
        *(_ROWS, typecode_type(typecode), _INT, compensation(compensated)),
        *(_SUMS, _SUMS),
    ),
    parallel=True,
)
def sum_absolutes(rows: Any, typecode: Any, blocks: int, compensated: Any, sums: Any, errors: Any) -> None:
    """Set sums[i] to the sum of absolute values of row i, and errors[i] to its error."""
    items, chunks = typed_list(rows, typecode)
    chunk_sums, chunk_errors = np.empty(chunks), np.empty(chunks)
    for block in prange(blocks):
        start, stop = bounds(block, blocks, chunks)
        sum_block_of_absolutes(items, typecode, start, stop, 1.0, compensated, chunk_sums, chunk_errors)
    gather_block(items, chunk_sums, chunk_errors, compensated, sums, errors, 0)


@kernel(lambda typecode: (_ROWS, typecode_type(typecode), _INT, _SUMS), parallel=True)
def largest(rows: Any, typecode: Any, blocks: int, maxima: Any) -> None:
    """Set maxima[i] to the largest absolute value of row i, NaN if it has one, 0 if it is empty."""
    items, chunks = typed_list(rows, typecode)
    chunk_maxima, unused = np.empty(chunks), np.empty(chunks)
    for block in prange(blocks):
        start, stop = bounds(block, blocks, chunks)
        largest_of_block(items, typecode, start, stop, 1.0, None, chunk_maxima, unused)
    for item in range(len(items)):
        _, _, length, first, row = items[item]
        maxima[row] = 0.0
        for chunk in range(first, first + chunks_of(length)):
            if not maxima[row] >= chunk_maxima[chunk]:
                maxima[row] = chunk_maxima[chunk]
                if maxima[row] != maxima[row]:
                    break


@default_fpenv
@helper
def _sum_powers(values: Any, scratch: Any, prescale: float, power: float) -> float:
    """Return the sum of abs(prescale * element)**power over an array, by Neumaier's summation."""
    total, rest = 0.0, 0.0
    for begin in range(0, values.size, CHUNK):
        end = min(begin + CHUNK, values.size)
        whole = begin + (end - begin) // WIDTH * WIDTH
        for i in range(begin, whole, WIDTH):
            store(scratch, i - begin, multiply(absolute(load(values, i)), prescale))
        if whole < end:
            lanes = load_masked(values, whole, end - whole)
            store(scratch, whole - begin, multiply(absolute(lanes), prescale))
        for i in range(end - begin):
            term = scratch[i] ** power
            both = total + term
            rest += (total - both) + term if total >= term else (term - both) + total
            total = both
    return total + rest


@kernel(lambda typecode: (_ROWS, typecode_type(typecode), _SUMS, _FLOAT, _SUMS))
def sum_powers(rows: Any, typecode: Any, prescales: Any, power: float, sums: Any) -> None:
    """Set sums[i] to the sum of abs(prescales[i] * element)**power over row i."""
    scratch = np.empty(CHUNK + WIDTH)
    for i in range(len(rows)):
        if rows[i, TYPECODE] == number(typecode):
            sums[i] = _sum_powers(
                view(rows[i, SOURCE], rows[i, LENGTH], typecode), scratch, prescales[i], power
            )


def magnitudes(arrays: list[Any]) -> list[Any]:
    """Return the arrays, complex ones as their absolute values."""
    with default_environment(), np.errstate(all="ignore"):
        return [
            np.abs(array.astype(np.complex128))
            if isinstance(array, np.ndarray) and array.dtype.kind == "c"
            else array
            for array in arrays
        ]


def root(total: float, order: float) -> float:
    """Return total ** (1 / order), rounded once: in float64, the exponent 1 / order would be rounded too."""
    if total == 0.0 or not math.isfinite(total):
        return total
    with localcontext() as context:
        context.prec = 30
        return float(Decimal(total) ** (1 / Decimal(order)))


class Measure:
    """The sums of a packed list for a norm of an order other than 2, computed once."""

    def __init__(
        self, rows: Array, typecodes: list[int], order: float, *, compensated: bool, blocks: int
    ) -> None:
        self._rows, self._typecodes, self._order = rows, typecodes, order
        self._compensated, self._blocks = compensated, blocks
        self._sums, self._errors = np.zeros((2, len(rows)))
        self._powers_of_rows: list[float] | None = None
        if order == 1.0:
            for typecode in typecodes:
                kernel = sum_absolutes(typecode, compensated, parallel=blocks > 1)
                kernel(rows, typecode, blocks, self._flag, self._sums, self._errors)
            return
        for typecode in typecodes:
            largest(typecode, parallel=blocks > 1)(rows, typecode, blocks, self._sums)
        if order != math.inf:
            self._powers_of_rows = self._norms_by_powers()

    @property
    def _flag(self) -> bool | None:
        return True if self._compensated else None

    def of_list(self) -> tuple[float, float]:
        """Return (norm_hi, norm_lo)."""
        if self._order == 1.0:
            total, error = total_of(self._compensated)(self._sums, self._errors, self._flag)
            return total, error if math.isfinite(total) else 0.0
        maximum = float(np.max(self._sums, initial=0.0))
        if self._powers_of_rows is None or maximum == 0.0 or not math.isfinite(maximum):
            return maximum, 0.0
        exponent = math.frexp(max(self._powers_of_rows))[1]
        with default_environment():
            scaled = [math.ldexp(norm, -exponent) ** self._order for norm in self._powers_of_rows]
        return math.ldexp(root(math.fsum(scaled), self._order), exponent), 0.0

    def of_rows(self) -> list[float]:
        """Return the norm of each row."""
        if self._powers_of_rows is not None:
            return self._powers_of_rows
        sums = np.where(np.isfinite(self._sums), self._sums + self._errors, self._sums)
        return [float(value) for value in sums]

    def _norms_by_powers(self) -> list[float]:
        maxima = self._sums
        exponents = np.maximum(np.frexp(np.where(np.isfinite(maxima), maxima, 0.0))[1], -1023)
        prescales = np.ldexp(1.0, -exponents)
        # Elements times the prescale of their row are less than 1: no power overflows, and a power that
        # underflows is too small to change the sum.
        sums = np.zeros(len(self._rows))
        for typecode in self._typecodes:
            sum_powers(typecode)(self._rows, typecode, prescales, self._order, sums)
        triples = zip(sums.tolist(), exponents.tolist(), maxima.tolist(), strict=True)
        return [
            math.ldexp(root(total, self._order), exponent) if math.isfinite(maximum) else maximum
            for total, exponent, maximum in triples
        ]
