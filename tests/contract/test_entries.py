"""Valid entries: dtypes, layouts, scalars, slices, subclasses; and entries that are refused."""

import dataclasses

import numpy as np
import pytest
from arrays import (
    DTYPES,
    LAYOUTS,
    assert_as_the_oracle,
    assert_same_bits,
    assert_same_norm,
    both_functions,
    content,
    random_array,
    slices_of,
    starts_with,
)
from oracle import factor, ordered_root

from numclip import IndexedSlices, clip_by_global_norm, clip_factor, global_norm

SHAPES = [(), (1,), (33,), (5, 7), (3, 1, 4), (65, 70), (2, 3, 4, 5), (0,), (4, 0, 2)]
ONE = np.array([1.0], np.float32)


@pytest.mark.parametrize("clip_norm", [0.7, 1e6], ids=["clipped", "kept"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_dtype_in_every_layout(rng, layout, dtype, clip_norm):
    for shape in SHAPES:
        array = layout(random_array(rng, dtype, shape))
        before = content(array)
        assert_as_the_oracle([array, random_array(rng, dtype, (9,))], clip_norm)
        assert content(array) == before


@pytest.mark.parametrize("clip_norm", [0.7, 1e6], ids=["clipped", "kept"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_results_keep_byte_order_and_the_order_of_strides(rng, layout, dtype, clip_norm):
    for shape in SHAPES:
        array = layout(random_array(rng, dtype, shape))
        [result], _ = clip_by_global_norm([array], clip_norm)
        assert result.strides == np.empty_like(array).strides
        assert result.dtype == array.dtype
        assert result.flags.writeable
        assert result.flags.aligned


def test_an_empty_float64_array_makes_the_norm_float64():
    assert_same_norm(global_norm([np.array([3, 4], np.float32), np.empty(0)]), np.float64(5))


def test_a_complex_number_counts_its_absolute_value():
    clipped, norm = clip_by_global_norm([np.array([3 + 4j], np.complex64)], 1.0)
    assert_same_norm(norm, np.float32(5))
    assert_same_bits(clipped[0], np.array([np.float32(0.6) + 1j * np.float32(0.8)], np.complex64))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 4)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_zero_size_arrays_are_returned_as_they_are(dtype, shape):
    clipped, norm = clip_by_global_norm([np.empty(shape, dtype), np.array([3, 4], np.float32)], 1.0)
    assert norm == 5
    assert_same_bits(clipped[0], np.empty(shape, dtype))
    assert global_norm([np.empty(shape, dtype)]) == 0


# --- IndexedSlices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [1.0, 100.0], ids=["clipped", "kept"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_slices_come_back_with_the_same_indices(rng, dtype, clip_norm):
    values, indices, dense_shape = random_array(rng, dtype, (3, 4)), np.array([5, 0, 2]), (9, 4)
    before = content(values)
    t_list = [IndexedSlices(values, indices, dense_shape), random_array(rng, dtype, (6,))]
    assert_as_the_oracle(t_list, clip_norm)
    assert content(values) == before


def test_slices_do_not_need_a_dense_shape():
    indices = np.array([0, 7])
    clipped, _ = clip_by_global_norm([IndexedSlices(np.array([3.0, 4.0]), indices)], 2.5)
    assert_same_bits(clipped[0].values, np.array([1.5, 2.0]))
    assert clipped[0].indices is indices
    assert clipped[0].dense_shape is None


def test_repeated_indices_are_not_added_up():
    slices = IndexedSlices(np.array([3.0, 4.0], np.float32), np.array([1, 1]), (2,))
    assert_same_norm(global_norm([slices]), np.float32(5))


def test_slices_are_frozen():
    slices = slices_of(np.array([3.0, 4.0]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        slices.values = np.zeros(2)


# --- what is refused ----------------------------------------------------------------------------------------


@both_functions
def test_slices_of_other_dtypes_are_refused(function):
    message = "t_list[3].values has dtype int32, expected a floating or complex dtype"
    with pytest.raises(TypeError, match=starts_with(message)):
        function([ONE, None, ONE, slices_of(np.array([1, 2], np.int32))])


def test_the_first_bad_entry_is_named():
    with pytest.raises(TypeError, match=starts_with("t_list[1] has dtype int64")):
        global_norm([ONE, np.array([1]), np.array([True])])


def factor_in_order(array, clip_norm):
    root, unit = ordered_root([array])
    return factor(root, unit, np.float32(float(root)), clip_norm)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dense_arrays_are_summed_in_the_order_of_their_memory(rng, layout):
    """The factor shows the order: a float32 norm is rounded too much, and a float64 norm is exact."""
    told = 0
    for _ in range(8):
        array = layout(random_array(rng, np.float32, (65, 70)))
        expected = factor_in_order(array, 1e-3)
        assert clip_factor([array], 1e-3)[0] == expected
        others = [factor_in_order(array.copy(order=order), 1e-3) for order in "CF"]
        told += any(other != expected for other in others)
    assert told > 0
