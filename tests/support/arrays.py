"""Arrays of every dtype and memory layout, strategies for ragged lists of them, and shared assertions."""

import re
from contextlib import contextmanager

import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies as st
from oracle import as_reals, base_array, ordered_clip

from numclip import IndexedSlices, clip_by_global_norm, global_norm

DTYPES = [np.dtype(t) for t in ("f4", "f8", "f2", ml_dtypes.bfloat16, "c8", "c16")]
POISON = float("nan")  # fills the memory between the elements: a read of it shows in the results

# Around the lanes and chunks of the sum; two-dimensional layouts need at least one of these as a side.
SIZES = (1, 2, 31, 32, 33, 255, 1000, 4095, 4096, 4097, 8192 + 40)

# Decimal exponents of the smallest and the largest elements. A norm fits into a float64 whatever the list.
EXPONENTS = {"float16": (-7, 4), "bfloat16": (-39, 38), "float32": (-44, 38), "float64": (-320, 300)}
EXPONENTS |= {"complex64": EXPONENTS["float32"], "complex128": EXPONENTS["float64"]}


# --- layouts: from an array to one of the same shape, dtype and (but for `broadcast`) values ----------------


def in_c_order(a):
    return a.copy(order="C")


def in_fortran_order(a):
    return a.copy(order="F")


def with_axes_rotated(a):
    axes = [*range(1, a.ndim), 0][: a.ndim]
    return a.transpose(axes).copy(order="C").transpose(np.argsort(axes).astype(int))


def with_gaps(a):
    base = np.full([2 * side + 1 for side in a.shape], POISON, a.dtype)
    view = base[(*[slice(1, None, 2)] * a.ndim, ...)]
    view[...] = a
    return view


def cut_from_fortran_order(a):
    base = np.full([side + 2 for side in a.shape], POISON, a.dtype, order="F")
    view = base[(*[slice(1, -1)] * a.ndim, ...)]
    view[...] = a
    return view


def reversed_in_memory(a):
    back = (*[slice(None, None, -1)] * a.ndim, ...)
    return a[back].copy(order="C")[back]


def with_last_axis_reversed(a):
    back = (..., slice(None, None, -1)) if a.ndim else ...
    return a[back].copy(order="F")[back]


def misaligned(a):
    view = np.ndarray(a.shape, a.dtype, buffer=np.zeros(a.nbytes + 1, np.uint8), offset=1)
    view[...] = a
    return view


def misaligned_fortran(a):
    return misaligned(np.ascontiguousarray(a.T)).T if a.ndim > 1 else misaligned(a)


def field_of_records(a):
    records = np.zeros(a.shape, [("pad", np.uint8), ("x", a.dtype)])
    records["x"] = a
    return records["x"]


def byte_swapped(a):
    return a.astype(a.dtype.newbyteorder("S"))


def byte_swapped_fortran(a):
    return in_fortran_order(byte_swapped(a))


def byte_swapped_with_gaps(a):
    return with_gaps(byte_swapped(a))


def read_only(a):
    result = a.copy()
    result.flags.writeable = False
    return result


def broadcast(a):
    return np.broadcast_to(a[:1] if a.ndim and a.size else a, a.shape)


WRITABLE_LAYOUTS = [
    in_c_order,
    in_fortran_order,
    with_axes_rotated,
    with_gaps,
    cut_from_fortran_order,
    reversed_in_memory,
    with_last_axis_reversed,
    misaligned,
    misaligned_fortran,
    field_of_records,
    byte_swapped,
    byte_swapped_fortran,
    byte_swapped_with_gaps,
]
LAYOUTS = [*WRITABLE_LAYOUTS, read_only, broadcast]


# --- arrays -------------------------------------------------------------------------------------------------


def random_array(rng, dtype, shape=(), exponents=(0, 0)):
    """Random elements of magnitudes 10**exponents, some of them zeros of either sign, in C order."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * (2 if dtype.kind == "c" else 1)
    reals = rng.uniform(-1, 1, size) * 10.0 ** rng.integers(*exponents, size, endpoint=True)
    reals[rng.random(size) < 0.02] *= 0.0
    flat = reals.view(np.complex128) if dtype.kind == "c" else reals
    return flat.astype(dtype).reshape(shape)


def three_and_four(dtype=np.float32):
    """A list whose norm is 5."""
    return [np.array([3.0, 0.0], dtype), np.array([[4.0]], dtype)]


def ragged_list(rng, dtypes=DTYPES, shapes=((3, 5), (), (4097,), (2, 3, 4), (0, 2), (7,))):
    """One array of every shape for every dtype."""
    return [random_array(rng, dtype, shape) for dtype in dtypes for shape in shapes]


def slices_of(values, rows=None):
    return IndexedSlices(values, np.arange(len(values)), (rows or len(values), *values.shape[1:]))


@st.composite
def arrays(draw, dtypes=DTYPES, layouts=LAYOUTS):
    dtype = draw(st.sampled_from(dtypes))
    low, high = EXPONENTS[dtype.name]
    exponent = draw(st.one_of(st.just(0), st.integers(low, high)))
    exponents = draw(st.sampled_from([(exponent, exponent), (min(exponent, 0), max(exponent, 0))]))
    small = st.lists(st.integers(0, 6), max_size=4).map(tuple)
    long = st.tuples(st.sampled_from(SIZES))
    matrix = st.tuples(st.sampled_from(SIZES), st.integers(1, 3))
    shape = draw(st.one_of(small, small, long, matrix))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return draw(st.sampled_from(layouts))(random_array(rng, dtype, shape, exponents))


@st.composite
def indexed_slices(draw, dtypes=DTYPES, layouts=LAYOUTS):
    return slices_of(draw(arrays(dtypes, layouts).filter(lambda a: a.ndim > 0)))


def ragged_lists(dtypes=DTYPES, layouts=LAYOUTS):
    """Lists of arrays, IndexedSlices and None."""
    array = arrays(dtypes, layouts)
    return st.lists(st.one_of(array, array, array, indexed_slices(dtypes, layouts), st.none()), max_size=6)


def clip_norms(norm):
    """Thresholds far from a norm, close to it, and at it."""
    near = float(norm) if np.isfinite(norm) else 1.0
    factors = [0.0, 1e-9, 0.01, 0.37, 1 - 1e-7, 1.0, 1 + 1e-7, 1.5]
    return st.sampled_from([near * by for by in factors] + [1.0, 1e300, float("inf")])


# --- assertions ---------------------------------------------------------------------------------------------


def norm_of(t_list):
    return global_norm(t_list)


def clipped_to_one(t_list):
    return clip_by_global_norm(t_list, 1.0)


both_functions = pytest.mark.parametrize("function", [norm_of, clipped_to_one], ids=["norm", "clip"])


def memory(entries):
    """The arrays of the entries, without the empty ones."""
    arrays = [getattr(entry, "values", entry) for entry in entries if entry is not None]
    return [array for array in arrays if array.size]


def content(entry):
    """The elements of an entry as bytes, None for None."""
    return None if entry is None else base_array(entry).tobytes()


def assert_same_bits(actual, expected):
    """Assert that dtype (except byte order), shape and bits are the expected ones; all NaN are equal."""
    assert type(actual) is np.ndarray
    assert actual.dtype.type is expected.dtype.type
    assert actual.shape == expected.shape
    actual, expected = as_reals(actual), as_reals(expected)
    np.testing.assert_array_equal(actual, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(actual[numbers]), np.signbit(expected[numbers]))


def assert_result(actual, expected, t_list):
    """Assert that a result is a plain list of the arrays of the oracle, in the containers of t_list."""
    assert type(actual) is list
    assert len(actual) == len(expected) == len(t_list)
    for result, wanted, entry in zip(actual, expected, t_list, strict=True):
        if wanted is None:
            assert result is None
        elif isinstance(entry, IndexedSlices):
            assert type(result) is IndexedSlices
            assert result.indices is entry.indices
            assert result.dense_shape is entry.dense_shape
            assert_same_bits(result.values, wanted)
        else:
            assert_same_bits(result, wanted)


def assert_same_norm(actual, expected):
    assert type(actual) is type(expected)
    assert actual == expected or (np.isnan(actual) and np.isnan(expected))


def assert_as_the_oracle(t_list, clip_norm):
    expected, norm = ordered_clip(t_list, clip_norm)
    clipped, actual = clip_by_global_norm(t_list, clip_norm)
    assert_result(clipped, expected, t_list)
    assert_same_norm(actual, norm)
    assert_same_norm(global_norm(t_list), norm)


def starts_with(message):
    return "^" + re.escape(message)


@contextmanager
def raises_unwritten(exception, message, *watched):
    """Assert that an error is raised, with this start of its message, and no watched array has changed."""
    before = [content(entry) for entry in watched]
    with pytest.raises(exception, match=starts_with(message)):
        yield
    assert [content(entry) for entry in watched] == before


def ramp(size=12, dtype=np.float32):
    return np.arange(1, size + 1, dtype=dtype)


def mixed_list(rng):
    slices = slices_of(random_array(rng, np.float64, (3, 2)))
    return [*ragged_list(rng), None, slices]


def empty_targets(t_list):
    targets = []
    for entry in t_list:
        if isinstance(entry, IndexedSlices):
            targets.append(IndexedSlices(np.empty_like(entry.values), entry.indices, entry.dense_shape))
        else:
            targets.append(None if entry is None else np.empty_like(entry))
    return targets
