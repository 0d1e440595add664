"""The quick products in float32 give the bits of the road by float64, for every bit pattern there is."""

import numba
import numpy as np
import pytest

from numclip._core.contract import LANES
from numclip._core.dtypes import BFLOAT16, FLOAT16, FLOAT32, REALS
from numclip._cpu.blocks import view
from numclip._cpu.products import LARGEST_FACTOR, SMALLEST_FACTOR
from numclip._cpu.scaling import MOST_DOUBTS, scale, scale_twice
from numclip._cpu.typecodes import typecode_type

BLOCK, SHIFTED = 1 << 22, 5  # patterns that are compared at once; elements that results are off by
PIECE = MOST_DOUBTS * LANES
# Powers of two and their neighbours, float32 numbers and the middles between them, the ends of the range.
FACTORS = [
    *(0.5, 0.75, 1 - 2.0**-53, 1 - 2.0**-24, 1 - 2.0**-25, 1 - 2.0**-30),
    *(0.5 + 2.0**-53, 0.5 + 2.0**-25, 0.75 + 2.0**-50, 0.75 - 2.0**-45, 1 / 3, 0.1, 1e-20),
    *(float(np.float32(0.3)), float(np.float32(0.3)) + 2.0**-52, float(np.float32(0.7)) + 2.0**-26, 0.7),
    *(SMALLEST_FACTOR, SMALLEST_FACTOR * 1.7, SMALLEST_FACTOR / 2, 1.5, 3e10, LARGEST_FACTOR),
]


def _fill_and_compare(source, quick, by_float64, first, typecode, factor):
    """Count the patterns from `first` on for which the two roads differ."""
    for i in range(source.size):
        source[i] = first + i
    # In pieces so small that doubts do not end the quick road.
    for k in range(0, source.size, PIECE):
        begin = k * source.itemsize
        read = view(source.ctypes.data + begin, PIECE, typecode)
        scale(read, view(quick.ctypes.data + begin, PIECE, typecode), factor, 1.0, True)
        scale_twice(read, view(by_float64.ctypes.data + begin, PIECE, typecode), factor, 1.0, False)
    differ = 0
    for i in range(source.size):
        differ += quick[i] != by_float64[i]
    return differ


def comparison(typecode):
    """The comparison, compiled for a typecode, and its arrays; the results do not begin at a cache line."""
    bits = np.dtype(f"uint{8 * REALS[typecode].item_size}")
    array = numba.types.Array(numba.from_dtype(bits), 1, "C")
    signature = (array, array, array, numba.int64, typecode_type(typecode), numba.float64)
    code = numba.njit(error_model="numpy")(_fill_and_compare).compile(signature)
    size = min(BLOCK, 1 << 8 * bits.itemsize)
    source, by_float64 = np.empty((2, size), bits)
    quick = np.empty(size + SHIFTED, bits)[SHIFTED:]
    return lambda first, factor: code(source, quick, by_float64, first, typecode, factor)


@pytest.fixture(scope="module")
def differing_singles():
    return comparison(FLOAT32)


@pytest.mark.parametrize("typecode", [FLOAT16, BFLOAT16])
def test_all_halves(typecode, rng):
    differing = comparison(typecode)
    for factor in [*FACTORS, *rng.random(200), *2.0 ** rng.uniform(-90, 0, 200)]:
        assert differing(0, factor) == 0, factor.hex()


def test_singles(differing_singles, rng):
    # Subnormal and tiny numbers, some around 1, infinities and NaN, of both signs.
    for factor in [*FACTORS, *rng.random(4)]:
        for first in (0, 0x0B000000, 0x3F800000, 0x7F7FFFFF, 0x80000000, 0xFFC00000):
            assert differing_singles(first, float(factor)) == 0, factor.hex()


@pytest.mark.long
@pytest.mark.parametrize("factor", [*FACTORS[::3], "random"])
def test_all_singles(differing_singles, factor, figures):
    factor = np.random.default_rng().random() if factor == "random" else factor
    differ = sum(differing_singles(first, factor) for first in range(0, 1 << 32, BLOCK))
    assert differ == 0, factor.hex()
    figures("products", 1 << 32, "float32 bit patterns, times factors, with the bits of the road by float64")
