"""Entries that only lists for the CPU may hold: scalars, nested lists, subclasses; and refused objects."""

import re
from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from arrays import (
    DTYPES,
    assert_as_the_oracle,
    assert_same_bits,
    assert_same_norm,
    both_functions,
    ragged_list,
    raises_unwritten,
    ramp,
    random_array,
    read_only,
    slices_of,
    starts_with,
    three_and_four,
)
from oracle import ordered_clip

from numclip import Clipper, IndexedSlices, clip_by_global_norm, clip_factor, global_norm

FLOAT32 = np.float32
ONE = np.array([1.0], np.float32)


@pytest.mark.parametrize("clip_norm", [0.7, 1e6], ids=["clipped", "kept"])
def test_all_dtypes_in_one_list(rng, clip_norm):
    t_list = ragged_list(rng)
    t_list[4:4] = [None, slices_of(random_array(rng, np.float32, (4, 3))), 0.25]
    assert_as_the_oracle(t_list, clip_norm)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_norm_is_float64_only_if_an_entry_is_that_wide(dtype):
    wide = dtype in (np.float64, np.complex128)
    expected = (np.float64 if wide else np.float32)(5)
    assert_same_norm(global_norm([np.array([3, 4], dtype)]), expected)
    assert_same_norm(global_norm([np.array([3], dtype), np.array([4], np.float16)]), expected)
    assert_same_norm(global_norm([np.array([3], dtype), 4.0]), np.float64(5))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_0d_arrays_and_numpy_scalars_give_0d_arrays(dtype):
    for three, four in [(np.array(3, dtype), np.array(4, dtype)), (dtype.type(3), dtype.type(4))]:
        clipped, norm = clip_by_global_norm([three, four], 2.5)
        assert norm == 5
        assert_same_bits(clipped[0], np.array(1.5, dtype))
        assert_same_bits(clipped[1], np.array(2, dtype))


def test_python_floats_and_complex_numbers_give_0d_arrays():
    clipped, norm = clip_by_global_norm([3.0, 4j], 2.5)
    assert_same_norm(norm, np.float64(5))
    assert_same_bits(clipped[0], np.array(1.5))
    assert_same_bits(clipped[1], np.array(2j))


def test_nested_lists_of_floats_give_arrays():
    clipped, norm = clip_by_global_norm([[[3.0, 0.0], [0.0, 0.0]], [4.0], []], 2.5)
    assert_same_norm(norm, np.float64(5))
    assert_same_bits(clipped[0], np.array([[1.5, 0.0], [0.0, 0.0]]))
    assert_same_bits(clipped[1], np.array([2.0]))
    assert_same_bits(clipped[2], np.empty(0))


class Refuser(np.ndarray):
    """An array subclass that refuses to take part in a computation."""

    def __array_ufunc__(self, *args, **kwargs):
        raise AssertionError("the ufunc of the subclass was called")

    def __array_function__(self, *args, **kwargs):
        raise AssertionError("the array function of the subclass was called")

    def __getitem__(self, key):
        raise AssertionError("the indexing of the subclass was called")


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
NO_ARRAYS = [object(), {1.0}, {"weight": ONE}, "abc", b"abc", Fraction(1, 2), Decimal(1), range, iter([1.0])]
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


@both_functions
@pytest.mark.parametrize(("entry", "dtype"), REFUSED, ids=[f"{type(e).__name__} {d}" for e, d in REFUSED])
def test_other_dtypes_are_refused_by_index_and_dtype(function, entry, dtype):
    message = f"t_list[3] has dtype {dtype}, expected a floating or complex dtype"
    with pytest.raises(TypeError, match=starts_with(message)):
        function([ONE, None, ONE, entry, ONE])


@both_functions
@pytest.mark.parametrize("entry", NO_ARRAYS, ids=lambda entry: type(entry).__name__)
def test_what_is_no_array_is_refused_by_its_class(function, entry):
    with pytest.raises(TypeError, match=starts_with(f"t_list[1] is a {type(entry)}, expected an array")):
        function([ONE, entry])


@both_functions
@pytest.mark.parametrize("entry", NOT_OF_NUMBERS, ids=str)
def test_nested_lists_of_anything_but_numbers_are_refused_with_the_way_to_pass_them(function, entry):
    message = starts_with(f"t_list[1] is a {type(entry)} that holds <class ")
    with pytest.raises(TypeError, match=message) as caught:
        function([ONE, entry])
    assert "numclip.tree" in str(caught.value)


@both_functions
@pytest.mark.parametrize("dtype", LONG)
def test_long_doubles_are_refused_by_name(function, dtype):
    message = f"t_list[1] has dtype {np.dtype(dtype)}: {np.dtype(dtype)} (np.{np.dtype(dtype).type.__name__})"
    with pytest.raises(TypeError, match=starts_with(f"{message} is not supported")):
        function([ONE, np.ones(2, dtype)])


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


@both_functions
@pytest.mark.parametrize("entry", MASKED, ids=["mask", "no mask", "0-d", "masked", "int"])
def test_masked_arrays_are_refused(function, entry):
    with pytest.raises(TypeError, match=starts_with("t_list[3] is a masked array")):
        function([ONE, None, ONE, entry])


@both_functions
def test_slices_of_masked_arrays_are_refused(function):
    with pytest.raises(TypeError, match=starts_with("t_list[0].values is a masked array")):
        function([IndexedSlices(MASKED[0], np.array([0, 1]))])


def test_entries_of_every_kind():
    t_list = [3.0, None, slices_of(read_only(np.array([4.0])))]
    assert clip_factor(t_list, 2.5) == (0.5, 5.0)


BAD_TARGETS = {
    "shape": (np.ones(2, FLOAT32), ValueError, "out[1] has shape (2,), t_list[1] has shape (3,)"),
    "more axes": (np.ones((3, 1), FLOAT32), ValueError, "out[1] has shape (3, 1), t_list[1] has shape (3,)"),
    "dtype": (np.ones(3), TypeError, "out[1] has dtype float64, t_list[1] has dtype float32"),
    "byte order": (np.ones(3, np.dtype(FLOAT32).newbyteorder("S")), TypeError, "out[1] has dtype "),
    "int": (np.ones(3, int), TypeError, "out[1] has dtype int64, t_list[1] has dtype float32"),
    "read-only": (read_only(np.ones(3, FLOAT32)), ValueError, "out[1] is read-only"),
    "broadcast": (np.broadcast_to(FLOAT32(1), 3), ValueError, "out[1] is read-only"),
    "float": (1.0, TypeError, "out[1] should be an array, received <class 'float'>"),
    "scalar": (FLOAT32(1), TypeError, "out[1] should be an array, received <class 'numpy.float32'>"),
    "list": ([1.0, 2.0, 3.0], TypeError, "out[1] should be an array, received <class 'list'>"),
    "None": (None, TypeError, "out[1] should be an array, received <class 'NoneType'>"),
    "slices": (slices_of(np.ones(3, FLOAT32)), TypeError, "out[1] should be an array, received <class "),
    "masked": (np.ma.masked_array(np.ones(3, FLOAT32)), TypeError, "out[1] "),
}


@pytest.mark.parametrize("clip_norm", [1.0, 1e6], ids=["clipped", "kept"])
@pytest.mark.parametrize("case", BAD_TARGETS)
def test_a_target_that_does_not_fit_is_refused_before_anything_is_written(case, clip_norm):
    target, exception, message = BAD_TARGETS[case]
    first, last = ramp(5000), ramp(2)
    watched = [first, last, *([target] if isinstance(target, np.ndarray) else [])]
    with raises_unwritten(exception, message, *watched):
        clip_by_global_norm([first, ramp(3), last], clip_norm, out=[first, target, last])


@pytest.mark.parametrize("scalar", [3.0, FLOAT32(3), [3.0, 4.0]], ids=["float", "NumPy scalar", "list"])
def test_what_cannot_be_written_cannot_be_clipped_in_place(scalar):
    t_list = [ramp(3), scalar]
    message = f"out[1] should be an array, received {type(scalar)}"
    with raises_unwritten(TypeError, message, t_list[0]):
        clip_by_global_norm(t_list, 1.0, out=t_list)


@pytest.mark.parametrize("clip_norm", [0.0, 1.0, 1e6], ids=str)
@pytest.mark.parametrize("bad", [np.ones(2, int), "abc", np.ma.masked_array([1.0]), object()], ids=type)
def test_a_bad_entry_at_the_end_leaves_the_others_unwritten(bad, clip_norm):
    t_list = [ramp(5000), ramp(3, np.float64), bad]
    with raises_unwritten(TypeError, "t_list[2] ", *t_list[:2]):
        clip_by_global_norm(t_list, clip_norm, out=t_list)


def test_scalars_and_nested_lists_may_have_targets():
    out = [np.empty(()), np.empty(2)]
    clip_by_global_norm([3.0, [4.0, 0.0]], 2.5, out=out)
    assert_same_bits(out[0], np.array(1.5))
    assert_same_bits(out[1], np.array([2.0, 0.0]))


def test_a_subclass_can_be_written():
    target = ramp(2).view(np.recarray)
    clipped, _ = clip_by_global_norm([target], 1.0, out=[target])
    assert clipped[0] is target
    assert_same_bits(np.asarray(target), ordered_clip([ramp(2)], 1.0)[0][0])


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match=re.escape("clip_norm should be non-negative. Received -1.0")):
        Clipper(three_and_four(), -1.0)
    with pytest.raises(TypeError, match=re.escape("t_list[0] has dtype int64")):
        Clipper([np.arange(3)], 1.0)
    with pytest.raises(
        TypeError, match=re.escape("out[0] should be an array, received <class 'numpy.float32'>")
    ):
        Clipper([np.float32(1)], 1.0)
    with pytest.raises(ValueError, match=re.escape("out[0] is read-only")):
        Clipper([read_only(np.ones(3))], 1.0)
    with pytest.raises(ValueError, match="clip_norm should not be NaN"):
        Clipper(three_and_four(), 1.0)(clip_norm=float("nan"))
