"""What is wrong with an argument is named: its type while the caller is compiled, its value when it runs."""

import re

import numpy as np
import pytest
from compiled import clip, clip_given, clip_in_place, clip_to, norm_of
from numba import njit
from numba.core.errors import TypingError
from numba.typed import List

import numclip

ONE = np.array([3.0, 4.0])
READ_ONLY = np.array([3.0, 4.0])
READ_ONLY.flags.writeable = False


@njit
def clip_to_a_list(t_list):
    return numclip.clip_by_global_norm(t_list, 1.0, out=[t_list[0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clip((ONE, np.ones(2, np.int32)), 1.0), "t_list[1] has dtype int32"),
        (lambda: norm_of((ONE, 3.0)), "t_list[1] is float64, expected an array"),
        (lambda: norm_of(ONE), "t_list should be a tuple, a typed list or a list of arrays"),
        (lambda: norm_of(List([np.ones(2, np.int64)])), "an entry of t_list has dtype int64"),
        (lambda: clip((ONE,), None), "clip_norm should be a real number in compiled code. Received none"),
        (lambda: clip((ONE,), True), "clip_norm should be a real number in compiled code. Received bool"),
        (lambda: clip((ONE,), ONE), "clip_norm should be a real number in compiled code. Received array"),
        (lambda: clip_given((ONE,), 1.0, "5"), "use_norm should be a real number in compiled code"),
        (lambda: clip_to((ONE,), 1.0, (ONE, ONE)), "out has 2 entries, t_list has 1"),
        (lambda: clip_to((ONE,), 1.0, List([ONE])), "out should be a container like t_list. Received List"),
        (lambda: clip_to_a_list(List([ONE])), "out should be a container like t_list. Received list"),
        (lambda: clip_to((ONE,), 1.0, (np.ones(2, np.float32),)), "out[0] has dtype float32"),
        (lambda: clip_to((ONE,), 1.0, (np.ones((2, 1)),)), "out[0] has 2 axes, t_list[0] has 1"),
        (lambda: clip_to((ONE, None), 1.0, (ONE, ONE)), "out[1] is array(float64, 1d, C), t_list[1] is none"),
        (lambda: clip_to((ONE, ONE), 1.0, (ONE, None)), "out[1] is none, t_list[1] is array(float64, 1d, C)"),
        (lambda: clip_in_place((ONE, READ_ONLY), 1.0), "out[1] is read-only"),
    ],
)
def test_a_type_is_refused_by_name(call, message):
    with pytest.raises(TypingError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda array: clip_in_place((array,), -1.0), "clip_norm should be non-negative"),
        (lambda array: clip_in_place((array,), np.nan), "clip_norm should not be NaN"),
        (lambda array: clip_given((array,), 1.0, -1.0), "use_norm should be non-negative"),
        (lambda array: clip_to((array,), 1.0, (np.empty(3),)), "an entry of out has another shape"),
        (
            lambda array: clip_to(List([array]), 1.0, List([array, array])),
            "out has another length than t_list",
        ),
        (lambda array: clip_in_place((array, array[1:]), 1.0), "an entry of out overlaps another entry"),
        (lambda array: clip_in_place(List([array, array[:1]]), 1.0), "an entry of out overlaps another"),
    ],
)
def test_a_value_raises_and_nothing_is_written(call, message):
    array = np.array([0.3, 0.4])
    with pytest.raises(ValueError, match=re.escape(message)):
        call(array)
    np.testing.assert_array_equal(array, [0.3, 0.4])


def test_read_only_arrays_are_clipped_to_new_ones():
    (clipped,), norm = clip((READ_ONLY,), 1.0)
    assert norm == 5.0
    np.testing.assert_array_equal(clipped, numclip.clip_by_global_norm([READ_ONLY], 1.0)[0][0])


def test_numbers_of_every_kind():
    for one in (1, np.float32(1.0), np.uint8(1)):
        (clipped,), norm = clip((ONE,), one)
        assert norm == 5.0
        np.testing.assert_array_equal(clipped, numclip.clip_by_global_norm([ONE], 1.0)[0][0])


@njit
def clip_with_options(t_list, clip_norm, eps, loss_scale):
    return numclip.clip_by_global_norm(t_list, clip_norm, eps=eps, loss_scale=loss_scale)


def test_options():
    (clipped,), norm = clip_with_options((ONE,), 1.0, 1e-6, 4.0)
    [expected], wanted = numclip.clip_by_global_norm([ONE], 1.0, eps=1e-6, loss_scale=4.0)
    assert norm == wanted
    np.testing.assert_array_equal(clipped, expected)
    for eps, scale, name in ((-1.0, 1.0, "eps"), (0.0, 0.0, "loss_scale")):
        with pytest.raises(ValueError, match=f"^.*{name} should be finite"):
            clip_with_options((ONE,), 1.0, eps, scale)


@njit
def clip_by_ord(t_list):
    return numclip.clip_by_global_norm(t_list, 1.0, ord=1)


@njit
def clip_by_zeros(t_list):
    return numclip.clip_by_global_norm(t_list, 1.0, nonfinite="zero")


@njit
def clip_strictly(t_list):
    return numclip.clip_by_global_norm(t_list, 1.0, strict=True)


@njit
def norm_on_stream(t_list):
    return numclip.global_norm(t_list, stream=0)


@njit
def factor_of_scaled(t_list):
    return numclip.clip_factor(t_list, 1.0, 5.0, loss_scale=2.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (clip_by_ord, "ord is not for compiled code: leave it out, or call numclip from Python"),
        (clip_by_zeros, "nonfinite is not for compiled code: leave it out, or call numclip from Python"),
        (clip_strictly, "strict is not for compiled code: leave it out, or call numclip from Python"),
        (norm_on_stream, "stream is not for compiled code: leave it out, or call numclip from Python"),
        (factor_of_scaled, "use_norm and loss_scale together are not for compiled code"),
    ],
    ids=["ord", "nonfinite", "strict", "stream", "loss_scale"],
)
def test_other_options_are_refused_by_name(call, message):
    with pytest.raises(TypingError, match=re.escape(message)):
        call((ONE,))
