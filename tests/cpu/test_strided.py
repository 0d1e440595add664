"""The shortcut for lists with strided arrays: the results of a plan, and the plan where it does not apply."""

import numpy as np
import pytest
from arrays import assert_same_bits, raises_unwritten, random_array

import numclip
from numclip._cpu import strided
from numclip._cpu.pack import GIVEN_TARGETS, NEW_TARGETS, NO_TARGETS

DTYPES = [np.float16, np.float32, np.float64, np.complex64]
VIEWS = {
    "every second column": lambda base: base[:, ::2],
    "columns of a slab": lambda base: base[:, 3:-3],
    "rows in reverse": lambda base: base[::-1],
    "columns, transposed": lambda base: base[:, ::2].T,
    "one axis": lambda base: base[:, 5],
    "three axes": lambda base: base.reshape(20, 2, -1)[:, :, ::3],
}
MOST = 4_000_000


@pytest.fixture(params=VIEWS.values(), ids=VIEWS)
def view(request):
    return request.param


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("limit", [0.5, 1e30])
def test_results_are_those_of_a_plan(rng, monkeypatch, view, dtype, limit):
    base, dense = random_array(rng, dtype, (40, 36)), random_array(rng, dtype, (7,))
    written, t_list = base.copy(), [view(base), dense, None]
    given, in_place = (
        [np.empty_like(view(base)), np.empty(7, dtype), None],
        [view(written), dense.copy(), None],
    )
    fresh, norm = numclip.clip_by_global_norm(t_list, limit)
    norms = [
        numclip.clip_by_global_norm(t_list, limit, out=given)[1],
        numclip.clip_by_global_norm(in_place, limit, out=in_place)[1],
        numclip.global_norm(t_list),
    ]
    monkeypatch.setattr(strided, "dense", lambda *arguments: None)
    expected, expected_norm = numclip.clip_by_global_norm(t_list, limit)
    assert {one.tobytes() for one in (norm, *norms)} == {expected_norm.tobytes()}
    for results in (fresh, given, in_place):
        assert_same_bits(results[0], expected[0])
        assert_same_bits(results[1], expected[1])
    assert fresh[0].strides == expected[0].strides
    assert not np.shares_memory(fresh[0], base)
    outside = np.ones(base.shape, bool)
    view(outside)[...] = False
    assert_same_bits(written[outside], base[outside])


def taken(sources, targets, mode):
    return strided.dense(sources, targets, mode, MOST) is not None


def test_plain_strided_arrays_take_the_shortcut(view):
    t = view(np.ones((40, 36), np.float32))
    assert taken([None, t], [None, t], NO_TARGETS)
    assert taken([t, None], [t, None], GIVEN_TARGETS)
    assert taken([t], [np.empty(t.shape, t.dtype)], GIVEN_TARGETS)
    is_in_c_order = np.empty_like(t).flags.c_contiguous
    assert taken([t], [np.empty_like(t)], NEW_TARGETS) == taken([t], [None], NEW_TARGETS) == is_in_c_order


def test_what_needs_a_closer_look_takes_none():
    base = np.ones((40, 36), np.float32)
    t = base[:, ::2]
    assert not taken([base], [base], NO_TARGETS)
    assert not taken([np.ones((3, 4, 5), np.float32).transpose(1, 0, 2)], [None], NO_TARGETS)
    assert not taken([t.astype(">f4")[::2]], [None], NO_TARGETS)
    assert not taken([np.ones((4, 4), np.int32)[::2]], [None], NO_TARGETS)
    assert not taken(
        [np.broadcast_to(base[0], (40, 36))], [np.broadcast_to(base[0], (40, 36))], GIVEN_TARGETS
    )
    assert not taken([t] * 9, [t] * 9, GIVEN_TARGETS)
    assert not taken([t], [base[:, 1::2]], GIVEN_TARGETS)  # their columns alternate
    assert not taken([t, base[:, 1::2]], [t, base[:, 1::2]], GIVEN_TARGETS)
    assert strided.dense([t], [None], NO_TARGETS, t.size - 1) is None


def test_columns_that_alternate_are_clipped_in_place(rng):
    base = random_array(rng, np.float32, (40, 36))
    even, odd = base[:, ::2], base[:, 1::2]
    expected, _ = numclip.clip_by_global_norm([even.copy(), odd.copy()], 0.5)
    numclip.clip_by_global_norm([even, odd], 0.5, out=[even, odd])
    assert_same_bits(even, expected[0])
    assert_same_bits(odd, expected[1])


def test_an_error_comes_before_anything_is_written():
    base = np.ones((6, 6), np.float32)
    t = base[:, ::2]
    t.flags.writeable = False
    with raises_unwritten(ValueError, "out[0] is read-only", base):
        numclip.clip_by_global_norm([t], 0.5, out=[t])
    with raises_unwritten(ValueError, "out[0] overlaps t_list[0] in memory", base):
        numclip.clip_by_global_norm([base[:, ::2]], 0.5, out=[base[:, 1:4]])
