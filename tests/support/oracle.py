"""The results that numclip should return, computed in two slow and readable ways.

``exact_*`` follow the formula in exact arithmetic. ``ordered_*`` follow the order of the sum that numclip
defines, and round each product once, so that results can be compared bit for bit. This module does not import
numclip.
"""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np

HALVES = (np.float16, ml_dtypes.bfloat16)
CHUNK, LANES = 4096, 32
ROOT_BITS = 200


def base_array(entry):
    """The array of an entry: the values of an IndexedSlices, the base array of a subclass."""
    return np.asarray(getattr(entry, "values", entry))


def native(array):
    """The same elements in C order and native byte order, as a fresh array."""
    return array.astype(array.dtype.type, order="C")


def as_reals(array):
    """The elements in C order as native float64, a complex one as its real and imaginary part."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        if array.dtype.kind == "c":
            return native(array).reshape(-1).astype(np.complex128).view(np.float64)
        return native(array).reshape(-1).astype(np.float64)


def is_wide(array):
    return array.dtype.type in (np.float64, np.complex128)


def norm_dtype(t_list):
    wide = any(is_wide(base_array(entry)) for entry in t_list if entry is not None)
    return np.float64 if wide else np.float32


def as_norm(norm64, t_list):
    with np.errstate(over="ignore"):
        return norm_dtype(t_list)(norm64)


# --- exact arithmetic ---------------------------------------------------------------------------------------


def exact_sum_of_squares(reals):
    """The sum of the squares of finite float64 values, as a Fraction.

    Every value is m * 2**(e - 53) with an integer m of 53 bits. The squares of the m are summed per exponent,
    cut into pieces of 32 bits so that no uint64 sum overflows, and put together as Python integers.
    """
    reals = reals[reals != 0]
    if reals.size == 0:
        return Fraction(0)
    if not np.isfinite(reals).all():
        raise ValueError("only a finite list has an exact norm")
    mantissas, exponents = np.frexp(np.abs(reals))
    order = np.argsort(exponents, kind="stable")
    integers = np.ldexp(mantissas[order], 53).astype(np.uint64)
    high, low = integers >> np.uint64(27), integers & np.uint64(2**27 - 1)
    used, starts = np.unique(exponents[order], return_index=True)
    bias, total = 1080, 0
    for product, shift in ((high * high, 54), (high * low, 28), (low * low, 0)):
        for piece, more in ((product >> np.uint64(32), 32), (product & np.uint64(2**32 - 1), 0)):
            for count, exponent in zip(np.add.reduceat(piece, starts).tolist(), used.tolist(), strict=True):
                total += count << (shift + more + 2 * (exponent + bias))
    return Fraction(total, 2 ** (2 * (53 + bias)))


def exact_root(square):
    """The square root of a Fraction, to about 200 bits."""
    if square == 0:
        return Fraction(0)
    shift = max(0, 2 * ROOT_BITS - square.numerator.bit_length() + square.denominator.bit_length())
    shift += shift % 2
    return Fraction(math.isqrt((square.numerator << shift) // square.denominator), 2 ** (shift // 2))


def exact_norm(t_list):
    """The global norm of a finite list, as a Fraction accurate to about 200 bits."""
    entries = [base_array(entry) for entry in t_list if entry is not None]
    return exact_root(sum((exact_sum_of_squares(as_reals(entry)) for entry in entries), Fraction(0)))


def exact_clipped(t_list, clip_norm, use_norm=None):
    """Per entry the list of its exactly clipped reals (Fractions, in C order), None for None.

    Nothing changes if the norm, rounded to the dtype in which it is returned, is at most clip_norm.
    """
    norm = exact_norm(t_list) if use_norm is None else Fraction(float(use_norm))
    returned = rounded(norm, norm_dtype(t_list)) if use_norm is None else float(use_norm)
    keep = returned <= clip_norm and clip_norm > 0
    scale = Fraction(1) if keep else Fraction(float(clip_norm)) / max(norm, Fraction(float(clip_norm)))
    return [
        None if entry is None else [Fraction(x) * scale for x in as_reals(base_array(entry)).tolist()]
        for entry in t_list
    ]


def ulp(exact, dtype):
    """The distance between adjacent numbers of `dtype` around an exact value."""
    info = ml_dtypes.finfo(dtype)
    smallest = Fraction(float(info.smallest_subnormal))
    if exact == 0:
        return smallest
    top, bottom = abs(exact).numerator, abs(exact).denominator
    exponent = top.bit_length() - bottom.bit_length()
    if abs(exact) < Fraction(2) ** exponent:
        exponent -= 1
    return max(Fraction(2) ** (exponent - info.nmant), smallest)


def rounded(exact, dtype):
    """An exact value rounded once, to nearest even, as a Python float; infinite beyond the range."""
    unit = ulp(exact, dtype)
    value = round(exact / unit) * unit
    if abs(value) > Fraction(float(ml_dtypes.finfo(dtype).max)):
        return math.inf if value > 0 else -math.inf
    return float(value)


def largest_error(actual, exact, dtype):
    """The largest distance of float64 values from exact ones, in ulps of `dtype`."""
    pairs = zip(as_reals(actual).tolist(), exact, strict=True)
    return max(float(abs(Fraction(value) - wanted) / ulp(wanted, dtype)) for value, wanted in pairs)


# --- the order of the sum -----------------------------------------------------------------------------------


def added(sums, errors, terms, term_errors):
    """Pairs of a sum and its error, added; the error of the addition is exact (Knuth's TwoSum)."""
    totals = sums + terms
    back = totals - sums
    lost = (sums - (totals - back)) + (terms - back)
    return totals, errors + (term_errors + lost)


def sum_in_order(values, errors):
    """Sum chunks of 4096 in 32 lanes, each of every 32nd value, and halve the lanes; until one is left.

    Returns the sum and its error, which starts from the errors of the values.
    """
    while True:
        rows = CHUNK // LANES
        chunks = np.zeros((2, max(1, -(-values.size // CHUNK)), rows, LANES))
        chunks.reshape(2, -1)[:, : values.size] = values, errors
        lanes = np.zeros((2, chunks.shape[1], LANES))
        for row in range(min(rows, -(-values.size // LANES))):
            lanes = np.array(added(*lanes, *chunks[:, :, row]))
        for half in (16, 8, 4, 2, 1):
            lanes = np.array(added(*lanes[:, :, :half], *lanes[:, :, half : 2 * half]))
        values, errors = lanes[:, :, 0]
        if values.size == 1:
            return values[0], errors[0]


def square_errors(reals, squares):
    """The rounding errors of squares, rounded once: by Dekker's product, at the range limits by Fractions."""
    high = reals * 134217729.0
    high = high - (high - reals)
    low = reals - high
    errors = ((high * high - squares) + 2 * high * low) + low * low
    magnitudes = np.abs(reals)
    for i in np.flatnonzero((reals != 0) & ((magnitudes < 2.0**-450) | (magnitudes > 2.0**450))):
        if np.isfinite(squares[i]):
            errors[i] = float(Fraction(reals[i]) ** 2 - Fraction(squares[i]))
    return errors


def reals_in_sum_order(array):
    """The reals, in memory order if the array is C-contiguous in some order of its axes, else in C order."""
    axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    in_memory_order = array.transpose(axes)
    return as_reals(in_memory_order if in_memory_order.flags.c_contiguous else array)


def ordered_sum(t_list, scale=1.0):
    """The sum of squares and its error, which is 0 without 64-bit entries."""
    wide = norm_dtype(t_list) is np.float64
    pairs = np.zeros((2, len(t_list)))
    for i, entry in enumerate(t_list):
        if entry is not None:
            reals = reals_in_sum_order(base_array(entry)) * scale
            squares = reals * reals
            errors = square_errors(reals, squares) if wide else np.zeros_like(squares)
            pairs[:, i] = sum_in_order(squares, errors)
    total, error = sum_in_order(*pairs)
    return total, error if wide else 0.0


def ordered_root(t_list):
    """Return (root, unit): the root, to two float64, of the sum of the elements times unit, squared.

    The norm is root / unit. The unit is 1 unless float64 squares overflow or underflow. A root that is not
    finite is a float.
    """
    with np.errstate(all="ignore"):
        (total, error), unit = ordered_sum(t_list), 1.0
        if norm_dtype(t_list) is np.float64 and not 1e-290 <= total < math.inf:
            unit = 2.0**600 if total < 1e-290 else 2.0**-600
            total, error = ordered_sum(t_list, unit)
    if total == 0 or not math.isfinite(total):
        return float(total), unit
    exponent = math.frexp(total)[1]
    scale = Fraction(2) ** (exponent + exponent % 2)
    square = float(Fraction(total) / scale)
    root = math.sqrt(square)
    rest = (float(Fraction(square) - Fraction(root) ** 2) + float(Fraction(error) / scale)) / (2 * root)
    return (Fraction(root) + Fraction(rest)) * Fraction(2) ** ((exponent + exponent % 2) // 2), unit


def quotient(root, unit):
    """root / unit in float64: the norm."""
    return (rounded(Fraction(root), np.float64) if math.isfinite(root) else root) / unit


def ordered_norm(t_list):
    """The norm as numclip returns it, bit for bit."""
    return as_norm(quotient(*ordered_root(t_list)), t_list)


# --- the factor and its one product -------------------------------------------------------------------------


def factor(root, unit, returned_norm, clip_norm):
    """The float64 by which every element is multiplied, rounded once; the norm is root / unit."""
    if not math.isfinite(root):
        return math.nan
    if clip_norm == 0:
        return 0.0
    norm = quotient(root, unit)
    if float(returned_norm) <= clip_norm or norm <= clip_norm:
        return 1.0
    exact = Fraction(clip_norm) * Fraction(unit) / Fraction(root)
    if exact < Fraction(2) ** -1022 or math.isinf(norm):
        raise ValueError("the factor is subnormal or the norm infinite: accuracy is promised there, not bits")
    return rounded(exact, np.float64)


def to_half_once(exact, half):
    """float64 to 16 bits in one rounding, by way of a float32 with a sticky last bit (round to odd)."""
    single = exact.astype(np.float32)
    back = single.astype(np.float64)
    bits = single.view(np.int32)
    bits -= np.abs(back) > np.abs(exact)
    bits |= back != exact
    return single.astype(half)


def scaled(array, by):
    """The elements times the factor, rounded as numclip defines, in C order and native byte order."""
    kind = array.dtype.type
    if by == 1:
        return native(array)
    with np.errstate(all="ignore"):
        reals = as_reals(array)
        if kind in HALVES:
            result = to_half_once(reals * by, kind)
        elif is_wide(array):
            result = reals * by
        else:
            result = (reals * by).astype(np.float32)
    return (result.view(kind) if array.dtype.kind == "c" else result).reshape(array.shape)


def ordered_clip(t_list, clip_norm, use_norm=None):
    """What clip_by_global_norm returns, bit for bit: (list of arrays and None, norm)."""
    root, unit = ordered_root(t_list) if use_norm is None else (float(use_norm), 1.0)
    returned = as_norm(quotient(root, unit), t_list) if use_norm is None else use_norm
    by = factor(root, unit, returned, float(clip_norm))
    return [None if entry is None else scaled(base_array(entry), by) for entry in t_list], returned
