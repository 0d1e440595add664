"""The containers of the arrays, and the type of the results."""

from collections import UserList, deque, namedtuple
from collections.abc import Sequence

import numpy as np
import pytest
from arrays import assert_same_bits, assert_same_norm, both_functions, slices_of, starts_with, three_and_four

from numclip import clip_by_global_norm, global_norm

Pair = namedtuple("Pair", ["weight", "bias"])


class Lookup(Sequence):
    """A Sequence with the fewest methods."""

    def __init__(self, items):
        self.items = tuple(items)

    def __getitem__(self, index):
        return self.items[index]

    def __len__(self):
        return len(self.items)


SEQUENCES = [list, tuple, Pair._make, deque, UserList, Lookup]
NOT_SEQUENCES = [
    None,
    "34",
    b"34",
    3.0,
    np.array([3.0, 4.0]),
    (array for array in three_and_four()),
    map(np.asarray, [3.0, 4.0]),
    iter(three_and_four()),
    {3.0, 4.0},
    {"weight": 3.0}.values(),
    slices_of(np.array([3.0])),
]


def type_name(value):
    return type(value).__name__


@pytest.mark.parametrize("container", SEQUENCES, ids=lambda container: container.__name__)
def test_any_sequence_gives_a_list(container):
    clipped, norm = clip_by_global_norm(container(three_and_four()), 1.0)
    assert type(clipped) is list
    assert_same_bits(clipped[0], np.array([0.6, 0.0], np.float32))
    assert_same_bits(clipped[1], np.array([[0.8]], np.float32))
    assert_same_norm(norm, np.float32(5))
    assert_same_norm(global_norm(container(three_and_four())), np.float32(5))


@pytest.mark.parametrize("clip_norm", [1.0, 100.0])
def test_the_list_passed_is_neither_returned_nor_changed(clip_norm):
    t_list = three_and_four()
    entries = list(t_list)
    clipped, _ = clip_by_global_norm(t_list, clip_norm)
    assert clipped is not t_list
    assert all(now is then for now, then in zip(t_list, entries, strict=True))


@pytest.mark.parametrize("t_list", NOT_SEQUENCES, ids=type_name)
@both_functions
def test_anything_else_is_refused(function, t_list):
    message = f"t_list should be a sequence of arrays. Received {type(t_list)}"
    with pytest.raises(TypeError, match=starts_with(message)):
        function(t_list)


@both_functions
def test_a_dict_is_refused_with_the_way_to_pass_its_values(function):
    message = "t_list should be a sequence of arrays. Received <class 'dict'>"
    with pytest.raises(TypeError, match=starts_with(message)) as caught:
        function({"weight": np.ones(3)})
    assert "list(grads.values())" in str(caught.value)


@pytest.mark.parametrize("t_list", [three_and_four()[0], 3.0, np.float32(3)], ids=type_name)
@both_functions
def test_a_bare_array_is_refused_with_the_way_to_pass_it(function, t_list):
    with pytest.raises(TypeError, match=r"Wrap it, \[t\], or use clip_by_norm$"):
        function(t_list)


@pytest.mark.parametrize(
    "t_list", [iter(()), map(abs, ()), {}.values(), set(), (i for i in ())], ids=type_name
)
@both_functions
def test_what_can_be_made_a_list_is_refused_with_the_way_to_make_it(function, t_list):
    with pytest.raises(TypeError, match=r"Pass list\(\.\.\.\) of it$"):
        function(t_list)


@pytest.mark.parametrize("t_list", [[], [None], [None, None], ()], ids=str)
def test_lists_without_an_array_have_norm_zero(t_list):
    clipped, norm = clip_by_global_norm(t_list, 1.0)
    assert type(clipped) is list
    assert clipped == list(t_list)
    assert_same_norm(norm, np.float32(0))
    assert_same_norm(global_norm(t_list), np.float32(0))


def test_none_keeps_its_place_and_is_not_counted():
    weight, bias = three_and_four()
    clipped, norm = clip_by_global_norm([None, weight, None, bias], 1.0)
    assert clipped[0] is None
    assert clipped[2] is None
    assert_same_bits(clipped[1], np.array([0.6, 0.0], np.float32))
    assert_same_bits(clipped[3], np.array([[0.8]], np.float32))
    assert_same_norm(norm, np.float32(5))


def test_name_is_accepted_and_has_no_effect():
    clipped, norm = clip_by_global_norm(three_and_four(), 1.0, None, "clip")
    named, named_norm = clip_by_global_norm(t_list=three_and_four(), clip_norm=1.0, name="other")
    assert_same_norm(norm, named_norm)
    for one, other in zip(clipped, named, strict=True):
        assert_same_bits(one, other)


def test_out_is_keyword_only():
    with pytest.raises(TypeError):
        clip_by_global_norm(three_and_four(), 1.0, None, None, three_and_four())
