"""Checks of the installed copy against exact results, which Python's integers give, in seconds."""

import math
import traceback
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from numclip._arrays.slices import IndexedSlices
from numclip._clip import Clipper, clip_by_global_norm, clip_factor, global_norm
from numclip._cpu import tbb
from numclip._cpu.threads import policy
from numclip._settings import set_num_threads

Check = Callable[[], None]


def run() -> int:
    """Run all checks, printing a line for each; return how many have failed."""
    failures = 0
    for name, check in checks():
        try:
            check()
        except Exception:  # of any kind: the other checks still run
            failures += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}")
        else:
            print(f"ok      {name}")
    print(f"{failures} failed" if failures else "all passed")
    return failures


def checks() -> Iterator[tuple[str, Check]]:
    """Yield the checks, each with what it shows."""
    for dtype in (np.float32, np.float64, np.float16, np.complex64, np.complex128):
        yield f"3, 4, 5 in {np.dtype(dtype).name}", partial(_three_four_five, dtype)
    yield "norms are the exact ones, rounded", _exact_norms
    yield "results of float32 are the exact ones, rounded", _exact_results
    yield "the bits are those of every other machine", _same_bits
    yield "no square overflows or underflows", _extremes
    yield "subnormal numbers count", _subnormals
    yield "what is not finite makes every result NaN", _not_finite
    yield "a norm within the bound leaves every bit", _within_the_bound
    yield "in place, into given arrays, None, IndexedSlices, strided arrays", _containers
    yield "a Clipper gives what one call gives", _clipper
    yield f"several threads give the bits of one ({tbb.layer() or 'no TBB'})", _threads_agree


def numbers(count: int, seed: int = 1) -> Any:
    """Return float64 numbers between -1 and 1 with 24 bits, from integer arithmetic alone."""
    state, values = seed, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append(((state >> 39) - 2**24) / 2**24)
    return np.array(values)


def expect(condition: Any) -> None:
    """Fail where a condition does not hold: `assert` is gone under ``python -O``."""
    if not condition:
        raise AssertionError


def _three_four_five(dtype: Any) -> None:
    clipped, norm = clip_by_global_norm([np.array([3.0], dtype), np.array([[4.0]], dtype)], 2.5)
    expect(norm == 5.0)
    expect([array.dtype for array in clipped] == [np.dtype(dtype)] * 2)
    expect([array.shape for array in clipped] == [(1,), (1, 1)])
    expect([array.item() for array in clipped] == [1.5, 2.0])


def _exact_norms() -> None:
    for seed in range(20):
        values = numbers(1 + 7 * seed, seed)
        for array in (values, values.astype(np.float32)):
            total = sum(Fraction(float(value)) ** 2 for value in array)
            # The root has 90 bits and more: rounding it twice gives the same result here.
            root = math.isqrt(int(total * 4**120))
            expect(global_norm([array]) == array.dtype.type(root / 2**120))


def _exact_results() -> None:
    values = numbers(5000).astype(np.float32)
    clipped, _ = clip_by_global_norm([values], 0.37)
    total = sum(int(float(value) * 2**24) ** 2 for value in values)
    norm = Fraction(math.isqrt(total * 4**100), 2**124)
    for value, result in zip(values[::50].tolist(), clipped[0][::50].tolist(), strict=True):
        exact = Fraction(value) * Fraction(0.37) / norm
        below, above = (float(np.nextafter(np.float32(result), np.float32(end))) for end in (-2, 2))
        expect(Fraction(below) + Fraction(result) < 2 * exact < Fraction(result) + Fraction(above))


def _same_bits() -> None:
    # The factor of float32 arrays shows the last bits of their sum, which rounding removes from the norm.
    values = numbers(20_000).astype(np.float32)
    arrays = [values[:5], values[5:4101], values[4101:4102], values[4102:]]
    expect(clip_factor(arrays, 1.0)[0].hex() == SAME_BITS)


SAME_BITS = "0x1.929bf9a0a4bc5p-7"


def _extremes() -> None:
    expect(math.isclose(global_norm([np.array([3e200, 4e200])]), 5e200, rel_tol=4e-16))
    expect(math.isclose(global_norm([np.array([3e-200, 4e-200])]), 5e-200, rel_tol=4e-16))
    expect(global_norm([np.array([3e30, 4e30], np.float32)]) == np.float32(5e30))
    expect(global_norm([np.full(4, 60000, np.float16)]) == 120000)


def _subnormals() -> None:
    tiny = np.array([3, 4], np.uint32).view(np.float32)
    clipped, norm = clip_by_global_norm([tiny], 2.0**-149)
    expect(norm.view(np.uint32) == 5)
    expect(clipped[0].view(np.uint32).tolist() == [1, 1])
    expect(global_norm([np.array([3, 4], np.uint64).view(np.float64)]).view(np.uint64) == 5)
    expect(global_norm([np.array([3, 4], np.uint16).view(np.float16)]) == 5 * 2.0**-24)


def _not_finite() -> None:
    for value in (math.inf, math.nan):
        clipped, norm = clip_by_global_norm([np.ones(3), np.array([value])], 1.0)
        expect(not np.isfinite(norm))
        expect(all(np.isnan(array).all() for array in clipped))


def _within_the_bound() -> None:
    values = numbers(3000).astype(np.float32)
    norm = global_norm([values])
    for bound in (norm, 2 * norm, math.inf):
        clipped, _ = clip_by_global_norm([values], bound)
        expect(clipped[0].tobytes() == values.tobytes())


def _containers() -> None:
    values = numbers(2000).astype(np.float32)
    expected, norm = clip_by_global_norm([values], 0.5)
    for source in (values.copy(), np.repeat(values, 2)[::2], values.astype(values.dtype.newbyteorder())):
        out = np.empty_like(source)
        expect(clip_by_global_norm([None, source], 0.5, out=[None, out])[1] == norm)
        expect((out == expected[0]).all())
        clip_by_global_norm([source], 0.5, out=[source])
        expect((source == expected[0]).all())
    rows = IndexedSlices(values.reshape(20, 100), np.arange(20), (50, 100))
    [clipped], _ = clip_by_global_norm([rows], 0.5)
    expect((clipped.values.reshape(-1) == expected[0]).all())


def _clipper() -> None:
    arrays = [numbers(size, size).astype(np.float32) for size in (1, 100, 5000)]
    expected, norm = clip_by_global_norm(arrays, 0.5)
    expect(Clipper(arrays, 0.5)() == norm)
    expect(all((array == wanted).all() for array, wanted in zip(arrays, expected, strict=True)))


def _threads_agree() -> None:
    array = np.resize(numbers(10_007).astype(np.float32), policy.serial_elements + 4099)
    several, norm = clip_by_global_norm([array], 0.5)
    limit = policy.limit
    set_num_threads(1)
    try:
        one, other = clip_by_global_norm([array], 0.5)
    finally:
        set_num_threads(limit)
    expect(norm == other)
    expect((one[0] == several[0]).all())
