"""per_example_global_norm_clip: the norm of each example, and the sum of the clipped ones in their order."""

import ml_dtypes
import numpy as np
import pytest
from arrays import (
    DTYPES,
    EXPONENTS,
    LAYOUTS,
    assert_same_bits,
    content,
    raises_unwritten,
    random_array,
    slices_of,
)
from hypothesis import given
from hypothesis import strategies as st
from oracle import as_reals, factor, norm_dtype, ordered_root, quotient, to_half_once

from numclip import global_norm, per_example_global_norm_clip

INF, NAN = float("inf"), float("nan")
SHAPES = [(5,), (), (4100,), (2, 3), (0, 4)]


def ordered(t_list, clip_norm):
    """The sums, number clipped and norms, example after example in float64, each sum rounded once."""
    examples = len(next(array for array in t_list if array is not None))
    norms, clipped = np.zeros(examples, norm_dtype(t_list)), 0
    totals = [None if array is None else np.zeros(as_reals(array[0]).size) for array in t_list]
    for b in range(examples):
        example = [None if array is None else np.array(array[b]) for array in t_list]
        root, unit = ordered_root(example)
        norms[b] = quotient(root, unit)
        by = factor(root, unit, norms[b], clip_norm)
        clipped += by != 1.0 and norms[b] > 0
        for i, array in enumerate(example):
            if array is not None:
                totals[i] += as_reals(array) * by
    results = [
        None if array is None else rounded(total, array) for total, array in zip(totals, t_list, strict=True)
    ]
    return results, clipped, norms


def rounded(total, array):
    kind = array.dtype.type
    with np.errstate(over="ignore"):
        if array.dtype.kind == "c":
            result = total.view(np.complex128).astype(kind)
        else:
            result = to_half_once(total, kind) if kind is ml_dtypes.bfloat16 else total.astype(kind)
    return result.reshape(array.shape[1:])


def assert_as_ordered(t_list, clip_norm):
    expected, number, norms = ordered(t_list, clip_norm)
    results, clipped, actual = per_example_global_norm_clip(t_list, clip_norm)
    assert type(results) is list
    for result, wanted in zip(results, expected, strict=True):
        if wanted is None:
            assert result is None
        else:
            assert_same_bits(result, wanted)
    assert type(clipped) is int
    assert clipped == number
    assert_same_bits(actual, norms)


@pytest.mark.parametrize("examples", [1, 3, 4, 13])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_bits_are_those_of_the_order(rng, dtype, examples):
    t_list = [random_array(rng, dtype, (examples, *shape)) for shape in SHAPES]
    t_list.insert(2, None)
    for clip_norm in (30.0, 37.0, 0.0, 1e9, INF):
        assert_as_ordered(t_list, clip_norm)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.sampled_from(DTYPES), st.sampled_from([0.0, 0.3, 1.0, 2.0]))
def test_examples_of_any_magnitude(seed, dtype, by):
    rng = np.random.default_rng(seed)
    low, high = EXPONENTS[dtype.name]
    t_list = [random_array(rng, dtype, (5, size), (low // 2, high // 2)) for size in rng.integers(1, 40, 2)]
    assert_as_ordered(t_list, by * float(global_norm([array[0] for array in t_list])))


def test_lists_of_several_element_types(rng):
    for dtypes in (DTYPES, [np.float32, np.float16], [np.float16, ml_dtypes.bfloat16]):
        assert_as_ordered([random_array(rng, dtype, (6, 9)) for dtype in dtypes], 2.5)


def test_more_examples_than_a_block_holds(rng, monkeypatch):
    t_list = [random_array(rng, np.float32, (50, size)) for size in (70, 3)]
    wanted, number, norms = per_example_global_norm_clip(t_list, 4.8)
    monkeypatch.setattr("numclip._cpu.per_example.BLOCK", 1000)
    results, clipped, actual = per_example_global_norm_clip(t_list, 4.8)
    assert (clipped, 0 < number < 50) == (number, True)
    assert_same_bits(actual, norms)
    for result, expected in zip(results, wanted, strict=True):
        assert_same_bits(result, expected)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_layout(rng, dtype, layout):
    t = layout(random_array(rng, dtype, (4, 3, 5)))
    before = content(t)
    [wanted], number, norms = per_example_global_norm_clip(
        [np.array(t, t.dtype.newbyteorder("="), order="C")], 1.9
    )
    [result], clipped, actual = per_example_global_norm_clip([t], 1.9)
    assert_same_bits(result, wanted)
    assert_same_bits(actual, norms)
    assert clipped == number
    assert content(t) == before


def test_neither_overflow_nor_underflow():
    t = np.array([[3e200, 4e200], [3e-200, 4e-200], [0, 0], [3e-320, 4e-320]])
    [result], clipped, norms = per_example_global_norm_clip([t], 1e-201)
    np.testing.assert_allclose(norms, [5e200, 5e-200, 0, 5e-320], rtol=1e-3)
    np.testing.assert_allclose(result, [1.2e-201, 1.6e-201], rtol=1e-14)
    assert clipped == 2
    [result], _, _ = per_example_global_norm_clip([t[:1]], 1e-120)  # a factor below float64's range
    np.testing.assert_allclose(result, [6e-121, 8e-121], rtol=1e-14)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_example_that_is_not_finite_is_refused_or_counts_as_zero(rng, dtype, bad):
    t_list = [random_array(rng, dtype, (6, 40)), random_array(rng, dtype, (6, 2, 3))]
    others = [array[[0, 1, 3, 4]] for array in t_list]
    wanted, number, _ = per_example_global_norm_clip(others, 1.0)
    t_list[1][2, 1, 0] = t_list[0][5, 30] = bad
    label = f"in example 2 t_list[1] has {'1 NaN and 0' if np.isnan(bad) else '0 NaN and 1'} infinite"
    with raises_unwritten(FloatingPointError, label, *t_list):
        per_example_global_norm_clip(t_list, 1.0)
    results, clipped, norms = per_example_global_norm_clip(t_list, 1.0, nonfinite="zero")
    for result, expected in zip(results, wanted, strict=True):
        assert_same_bits(result, expected)
    assert clipped == number
    assert np.isfinite(norms).tolist() == [True, True, False, True, True, False]


def test_batches_without_examples_and_examples_without_elements():
    for t_list in ([np.zeros((0, 3), np.float32)], [np.zeros((0, 3))]):
        results, clipped, norms = per_example_global_norm_clip(t_list, 1.0)
        assert_same_bits(results[0], np.zeros(3, t_list[0].dtype))
        assert clipped == 0
        assert_same_bits(norms, np.zeros(0, t_list[0].dtype))
    results, clipped, norms = per_example_global_norm_clip([np.zeros((2, 0)), None], 1.0)
    assert_same_bits(results[0], np.zeros(0))
    assert results[1] is None
    assert_same_bits(norms, np.zeros(2))
    assert per_example_global_norm_clip([], 1.0)[:2] == ([], 0)


def test_numbers_and_arrays_of_others():
    results, clipped, norms = per_example_global_norm_clip(([3.0, 0.5], [[4.0], [0.0]]), 2.5)
    assert [result.tolist() for result in results] == [2.0, [2.0]]
    assert (clipped, norms.tolist()) == (1, [5.0, 0.5])


ROWS = np.ones((4, 2), np.float32)
BAD = {
    "no sequence": ((ROWS, 1.0), TypeError, "t_list should be a sequence of arrays"),
    "0-d": (
        ([ROWS, np.float32(1)], 1.0),
        ValueError,
        "t_list[1] is 0-d, expected an axis of examples in front",
    ),
    "examples": (
        ([None, ROWS, ROWS[:3]], 1.0),
        ValueError,
        "t_list[2] has 3 examples, t_list[1] has 4",
    ),
    "integers": (([ROWS.astype(int)], 1.0), TypeError, "t_list[0] has dtype int64, expected a floating"),
    "slices": (([slices_of(ROWS)], 1.0), TypeError, "t_list[0] is a <class 'numclip"),
    "negative": (([ROWS], -1.0), ValueError, "clip_norm should be non-negative. Received -1.0"),
    "callable": (([ROWS], lambda norm: norm), TypeError, "clip_norm should be a real number"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case):
    arguments, error, message = BAD[case]
    with raises_unwritten(error, message, ROWS):
        per_example_global_norm_clip(*arguments)


def test_a_policy_that_would_let_nan_through_is_refused():
    with raises_unwritten(ValueError, 'nonfinite should be "raise" or "zero". Received \'nan\'', ROWS):
        per_example_global_norm_clip([ROWS], 1.0, nonfinite="nan")


def test_many_entries_that_are_not_finite_make_a_short_message():
    with pytest.raises(FloatingPointError, match=r"; and 995 more entries$") as caught:
        per_example_global_norm_clip([np.full((2, 3), NAN)] * 1000, 1.0)
    assert len(str(caught.value)) <= 500
