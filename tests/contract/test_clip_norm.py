"""The threshold: its values and its types."""

import ml_dtypes
import numpy as np
import pytest
from arrays import (
    DTYPES,
    assert_result,
    assert_same_bits,
    ragged_list,
    raises_unwritten,
    random_array,
    starts_with,
    three_and_four,
)
from oracle import as_reals, ordered_clip

from numclip import clip_by_global_norm

BFLOAT16, INF = ml_dtypes.bfloat16, float("inf")


@pytest.mark.parametrize("clip_norm", [1e-30, 0.3, 1.0, 17.0])
def test_above_the_threshold_everything_is_clipped(rng, clip_norm):
    t_list = ragged_list(rng)
    expected, norm = ordered_clip(t_list, clip_norm)
    assert norm > clip_norm
    assert_result(clip_by_global_norm(t_list, clip_norm)[0], expected, t_list)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("clip_norm", [5, 5.000001, 1e38, 1e300, INF])
def test_within_the_threshold_not_one_bit_changes(dtype, clip_norm):
    t_list = [*three_and_four(dtype), np.array([-0.0, 1e-7], dtype) * 0]
    for result, entry in zip(clip_by_global_norm(t_list, clip_norm)[0], t_list, strict=True):
        assert_same_bits(result, entry)


def test_every_threshold_at_the_norm_leaves_the_list(rng):
    """TensorFlow's clip * (1 / clip) is not 1 for one in eight of these thresholds."""
    for clip_norm in rng.uniform(0.1, 10, 200).astype(np.float32):
        entry = np.array([clip_norm], np.float32)
        [result], norm = clip_by_global_norm([entry], clip_norm)
        assert norm == clip_norm
        assert_same_bits(result, entry)


def test_the_norm_is_compared_as_it_is_returned():
    """In float64 the norm is just above 1, in float32 it is 1."""
    t_list = [np.array([1.0, 1e-5], np.float32)]
    clipped, norm = clip_by_global_norm(t_list, 1.0)
    assert norm == 1
    assert np.linalg.norm(t_list[0].astype(np.float64)) > 1
    assert_same_bits(clipped[0], t_list[0])


def test_no_element_grows_where_the_returned_norm_was_rounded_up():
    entry = np.array([1 - 2.0**-24, 2.0**-11.9], np.float32)
    clip_norm = 1 - 2.0**-30  # above the norm in float64, below the norm in float32
    assert np.linalg.norm(entry.astype(np.float64)) < clip_norm
    [result], norm = clip_by_global_norm([entry], clip_norm)
    assert norm == 1
    assert_same_bits(result, entry)


@pytest.mark.parametrize("zero", [0, 0.0, -0.0, np.float32(0), np.array(0)], ids=repr)
def test_zero_gives_zeros(rng, zero):
    t_list = [*ragged_list(rng), None, np.array([1e300]), np.array([5e-324])]
    clipped, norm = clip_by_global_norm(t_list, zero)
    assert norm > 0
    for result, entry in zip(clipped, t_list, strict=True):
        assert (result is None) == (entry is None)
        assert entry is None or not as_reals(result).any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("clip_norm", [0, 1.0, INF])
def test_zeros_stay_zeros(dtype, clip_norm):
    clipped, norm = clip_by_global_norm([np.zeros(3, dtype), np.zeros((), dtype)], clip_norm)
    assert norm == 0
    assert not as_reals(clipped[0]).any()
    assert not as_reals(clipped[1]).any()


@pytest.mark.parametrize(
    ("entry", "clip_norm", "expected"),
    [
        (np.array([2e38, 2e38], np.float32), 1e38, np.float32(1e38 / np.sqrt(2))),
        (np.array([6e4, 6e4], np.float16), 7e4, np.float16(7e4 / np.sqrt(2))),
        (np.array([1e300, 1e300]), 1e300, 1e300 / np.sqrt(2)),
    ],
    ids=["float32", "float16", "float64"],
)
def test_large_thresholds_do_not_overflow(entry, clip_norm, expected):
    clipped, _ = clip_by_global_norm([entry], clip_norm)
    tolerance = 2 * np.finfo(entry.dtype).eps
    np.testing.assert_allclose(clipped[0].astype(np.float64), np.float64(expected), rtol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, BFLOAT16], ids=lambda t: t.__name__)
@pytest.mark.parametrize("clip_norm", [1e39, 1e300, INF])
def test_a_norm_beyond_float32_is_within_a_threshold_beyond_it(dtype, clip_norm):
    """The norm is 6e38, returned as a float32 infinity: no element may change."""
    entry = np.full(4, 3e38, dtype)
    [result], norm = clip_by_global_norm([entry], clip_norm)
    assert norm == INF
    assert_same_bits(result, entry)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint16])
def test_numpy_scalars_and_0d_arrays_count_as_their_value(kind):
    expected, _ = clip_by_global_norm(three_and_four(), 2.0)
    for clip_norm in (kind(2), np.array(2, kind), np.array(2, kind).astype(np.dtype(kind).newbyteorder("S"))):
        clipped, _ = clip_by_global_norm(three_and_four(), clip_norm)
        for result, wanted in zip(clipped, expected, strict=True):
            assert_same_bits(result, wanted)


@pytest.mark.parametrize("clip_norm", [2, 2.0, BFLOAT16(2), np.array(2, BFLOAT16)], ids=type)
def test_python_numbers_and_bfloat16_count_as_their_value(clip_norm):
    clipped, _ = clip_by_global_norm(three_and_four(np.float64), clip_norm)
    assert_same_bits(clipped[0], np.array([3 * (2 / 5), 0]))


def test_a_float32_threshold_is_not_taken_for_its_decimal_digits(rng):
    t_list = [random_array(rng, np.float64, (20,))]
    expected, _ = ordered_clip(t_list, float(np.float32(0.1)))
    assert_result(clip_by_global_norm(t_list, np.float32(0.1))[0], expected, t_list)


NOT_NUMBERS = [
    None,
    "1.0",
    1j,
    True,
    np.True_,
    np.array(True),
    np.complex64(1),
    np.array(1j),
    np.array("1.0"),
    np.array(None),
    np.array([1.0]),
    np.ones((1, 1)),
    np.array([1.0, 2.0]),
    np.empty(0),
    [1.0],
    (1.0,),
    {1.0},
]


@pytest.mark.parametrize("clip_norm", NOT_NUMBERS, ids=repr)
def test_what_is_not_a_real_number_is_refused(clip_norm):
    t_list = three_and_four()
    with raises_unwritten(TypeError, "clip_norm should be a real number or 0-d array. Received ", *t_list):
        clip_by_global_norm(t_list, clip_norm, out=t_list)


def test_none_is_refused_with_the_way_to_switch_clipping_off():
    with pytest.raises(TypeError, match=r'Received None\. To switch clipping off, pass float\("inf"\)$'):
        clip_by_global_norm(three_and_four(), None)


@pytest.mark.parametrize("clip_norm", [-1, -1e-300, -INF, np.float32(-1), np.array(-1), -5e-324], ids=repr)
def test_negative_thresholds_are_refused(clip_norm):
    t_list = three_and_four()
    with raises_unwritten(ValueError, "clip_norm should be non-negative. Received ", *t_list):
        clip_by_global_norm(t_list, clip_norm, out=t_list)


def test_a_negative_threshold_is_shown():
    with pytest.raises(ValueError, match=starts_with("clip_norm should be non-negative. Received -1.0")):
        clip_by_global_norm(three_and_four(), -1.0)


@pytest.mark.parametrize("clip_norm", [float("nan"), np.float16("nan"), np.array(np.nan)], ids=repr)
def test_a_threshold_of_nan_is_refused(clip_norm):
    t_list = three_and_four()
    with raises_unwritten(ValueError, "clip_norm should not be NaN", *t_list):
        clip_by_global_norm(t_list, clip_norm, out=t_list)


@pytest.mark.parametrize("t_list", [[], [None], [np.empty(0)]], ids=["empty", "None", "zero-size"])
@pytest.mark.parametrize(
    ("clip_norm", "exception"), [(-1, ValueError), (np.nan, ValueError), ("1", TypeError)]
)
def test_a_bad_threshold_is_refused_even_where_nothing_is_clipped(t_list, clip_norm, exception):
    with pytest.raises(exception, match=starts_with("clip_norm should ")):
        clip_by_global_norm(t_list, clip_norm)
