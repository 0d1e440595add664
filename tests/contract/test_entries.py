"""What an entry may be: dtypes, layouts, scalars, slices, subclasses; and what it may not be."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from arrays import (
    DTYPES,
    LAYOUTS,
    assert_result,
    assert_same_bits,
    assert_same_norm,
    both_functions,
    content,
    ragged_list,
    random_array,
    slices_of,
    starts_with,
)
from oracle import factor, ordered_clip, ordered_root

from numclip import IndexedSlices, clip_by_global_norm, clip_factor, global_norm

SHAPES = [(), (1,), (33,), (5, 7), (3, 1, 4), (65, 70), (2, 3, 4, 5), (0,), (4, 0, 2)]
ONE = np.array([1.0], np.float32)


def assert_as_the_oracle(t_list, clip_norm):
    expected, norm = ordered_clip(t_list, clip_norm)
    clipped, actual = clip_by_global_norm(t_list, clip_norm)
    assert_result(clipped, expected, t_list)
    assert_same_norm(actual, norm)
    assert_same_norm(global_norm(t_list), norm)


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


@pytest.mark.cpu
@pytest.mark.parametrize("clip_norm", [0.7, 1e6], ids=["clipped", "kept"])
def test_all_dtypes_in_one_list(rng, clip_norm):
    t_list = ragged_list(rng)
    t_list[4:4] = [None, slices_of(random_array(rng, np.float32, (4, 3))), 0.25]
    assert_as_the_oracle(t_list, clip_norm)


@pytest.mark.cpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_norm_is_float64_only_if_an_entry_is_that_wide(dtype):
    wide = dtype in (np.float64, np.complex128)
    expected = (np.float64 if wide else np.float32)(5)
    assert_same_norm(global_norm([np.array([3, 4], dtype)]), expected)
    assert_same_norm(global_norm([np.array([3], dtype), np.array([4], np.float16)]), expected)
    assert_same_norm(global_norm([np.array([3], dtype), 4.0]), np.float64(5))


def test_an_empty_float64_array_makes_the_norm_float64():
    assert_same_norm(global_norm([np.array([3, 4], np.float32), np.empty(0)]), np.float64(5))


def test_a_complex_number_counts_its_absolute_value():
    clipped, norm = clip_by_global_norm([np.array([3 + 4j], np.complex64)], 1.0)
    assert_same_norm(norm, np.float32(5))
    assert_same_bits(clipped[0], np.array([np.float32(0.6) + 1j * np.float32(0.8)], np.complex64))


@pytest.mark.cpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_0d_arrays_and_numpy_scalars_give_0d_arrays(dtype):
    for three, four in [(np.array(3, dtype), np.array(4, dtype)), (dtype.type(3), dtype.type(4))]:
        clipped, norm = clip_by_global_norm([three, four], 2.5)
        assert norm == 5
        assert_same_bits(clipped[0], np.array(1.5, dtype))
        assert_same_bits(clipped[1], np.array(2, dtype))


@pytest.mark.cpu
def test_python_floats_and_complex_numbers_give_0d_arrays():
    clipped, norm = clip_by_global_norm([3.0, 4j], 2.5)
    assert_same_norm(norm, np.float64(5))
    assert_same_bits(clipped[0], np.array(1.5))
    assert_same_bits(clipped[1], np.array(2j))


@pytest.mark.cpu
def test_nested_lists_of_floats_give_arrays():
    clipped, norm = clip_by_global_norm([[[3.0, 0.0], [0.0, 0.0]], [4.0], []], 2.5)
    assert_same_norm(norm, np.float64(5))
    assert_same_bits(clipped[0], np.array([[1.5, 0.0], [0.0, 0.0]]))
    assert_same_bits(clipped[1], np.array([2.0]))
    assert_same_bits(clipped[2], np.empty(0))


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


# --- subclasses ---------------------------------------------------------------------------------------------


class Refuser(np.ndarray):
    """An array that will not be computed with as itself."""

    def __array_ufunc__(self, *args, **kwargs):
        raise AssertionError("the ufunc of the subclass was called")

    def __array_function__(self, *args, **kwargs):
        raise AssertionError("the array function of the subclass was called")

    def __getitem__(self, key):
        raise AssertionError("the indexing of the subclass was called")


@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("clip_norm", [0.5, 100.0], ids=["clipped", "kept"])
@pytest.mark.parametrize("subclass", [np.matrix, np.recarray, Refuser, np.memmap])
def test_other_subclasses_are_handled_as_their_base_array(rng, tmp_path, subclass, clip_norm):
    base = random_array(rng, np.float32, (5, 3))
    if subclass is np.memmap:
        array = np.memmap(tmp_path / "array", np.float32, "w+", shape=base.shape)
        array[...] = base
    else:
        array = base.view(subclass)
    assert_as_the_oracle([array, array.T], clip_norm)


# --- what is refused ----------------------------------------------------------------------------------------

REFUSED = [
    (np.array([1, 2], np.int32), "int32"),
    (np.arange(0, dtype=np.uint8), "uint8"),
    (7, "int64"),
    ([1, 2], "int64"),
    (True, "bool"),
    (np.array([True]), "bool"),
    (np.array([1.0, None]), "object"),
    (np.array(["abc"]), "<U3"),
    (np.array(["2026-01-01"], "datetime64[s]"), "datetime64[s]"),
    (np.array([1], "timedelta64[s]"), "timedelta64[s]"),
    (np.zeros(2, [("x", np.float32)]), "[('x', '<f4')]"),
    (np.ones(2, ml_dtypes.float8_e4m3fn), "float8_e4m3fn"),
]
NO_ARRAYS = [
    object(),
    {1.0, 2.0},
    {"weight": ONE},
    "abc",
    b"abc",
    Fraction(1, 2),
    Decimal(1),
    range,
    iter([1.0]),
]
NOT_OF_NUMBERS = [
    [ONE, ONE],
    (ONE, ONE),
    ("weight", ONE),
    [{"weight": ONE}],
    [[1.0], [ONE]],
    [None],
    [["a"]],
    [b"a"],
]
LONG = [np.longdouble, np.clongdouble] if np.dtype(np.longdouble) != np.float64 else []


@pytest.mark.cpu
@both_functions
@pytest.mark.parametrize(("entry", "dtype"), REFUSED, ids=[f"{type(e).__name__} {d}" for e, d in REFUSED])
def test_other_dtypes_are_refused_by_index_and_dtype(function, entry, dtype):
    message = f"t_list[3] has dtype {dtype}, expected a floating or complex dtype"
    with pytest.raises(TypeError, match=starts_with(message)):
        function([ONE, None, ONE, entry, ONE])


@pytest.mark.cpu
@both_functions
@pytest.mark.parametrize("entry", NO_ARRAYS, ids=lambda entry: type(entry).__name__)
def test_what_is_no_array_is_refused_by_its_class(function, entry):
    with pytest.raises(TypeError, match=starts_with(f"t_list[1] is a {type(entry)}, expected an array")):
        function([ONE, entry])


@pytest.mark.cpu
@both_functions
@pytest.mark.parametrize("entry", NOT_OF_NUMBERS, ids=str)
def test_nested_lists_of_anything_but_numbers_are_refused_with_the_way_to_pass_them(function, entry):
    with pytest.raises(
        TypeError, match=starts_with(f"t_list[1] is a {type(entry)} that holds <class ")
    ) as caught:
        function([ONE, entry])
    assert "numclip.tree" in str(caught.value)


@pytest.mark.cpu
@both_functions
@pytest.mark.parametrize("dtype", LONG)
def test_long_doubles_are_refused_by_name(function, dtype):
    message = f"t_list[1] has dtype {np.dtype(dtype)}: {np.dtype(dtype)} (np.{np.dtype(dtype).type.__name__})"
    with pytest.raises(TypeError, match=starts_with(f"{message} is not supported")):
        function([ONE, np.ones(2, dtype)])


@both_functions
def test_slices_of_other_dtypes_are_refused(function):
    message = "t_list[3].values has dtype int32, expected a floating or complex dtype"
    with pytest.raises(TypeError, match=starts_with(message)):
        function([ONE, None, ONE, slices_of(np.array([1, 2], np.int32))])


@pytest.mark.cpu
@both_functions
def test_a_ragged_nested_list_is_refused_by_index(function):
    with pytest.raises((TypeError, ValueError), match=starts_with("t_list[1]")):
        function([ONE, [[1.0], [2.0, 3.0]]])


MASKED = [
    np.ma.masked_array([1.0, 2.0], mask=[False, True]),
    np.ma.masked_array(np.ones((2, 2), np.float32)),
    np.ma.masked_array(1.0),
    np.ma.masked,
    np.ma.masked_array(np.ones(2, int), mask=True),
]


@pytest.mark.cpu
@both_functions
@pytest.mark.parametrize("entry", MASKED, ids=["mask", "no mask", "0-d", "masked", "int"])
def test_masked_arrays_are_refused(function, entry):
    with pytest.raises(TypeError, match=starts_with("t_list[3] is a masked array")):
        function([ONE, None, ONE, entry])


@pytest.mark.cpu
@both_functions
def test_slices_of_masked_arrays_are_refused(function):
    with pytest.raises(TypeError, match=starts_with("t_list[0].values is a masked array")):
        function([IndexedSlices(MASKED[0], np.array([0, 1]))])


def test_the_first_bad_entry_is_named():
    with pytest.raises(TypeError, match=starts_with("t_list[1] has dtype int64")):
        global_norm([ONE, np.array([1]), np.array([True])])


def factor_in_order(array, clip_norm):
    root, unit = ordered_root([array])
    return factor(root, unit, np.float32(float(root)), clip_norm)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dense_arrays_are_summed_in_the_order_of_their_memory(rng, layout):
    """A norm of float32 is rounded too much to tell, and that of float64 is exact: the factor can tell."""
    told = 0
    for _ in range(8):
        array = layout(random_array(rng, np.float32, (65, 70)))
        expected = factor_in_order(array, 1e-3)
        assert clip_factor([array], 1e-3)[0] == expected
        others = [factor_in_order(array.copy(order=order), 1e-3) for order in "CF"]
        told += any(other != expected for other in others)
    assert told > 0
