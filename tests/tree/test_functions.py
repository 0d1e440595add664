"""numclip.tree: the functions of lists over plain containers, nested at will."""

import copy
from collections import OrderedDict, deque

import numpy as np
import pytest
from arrays import (
    assert_result,
    assert_same_bits,
    assert_same_norm,
    content,
    ragged_lists,
    starts_with,
)
from hypothesis import given
from hypothesis import strategies as st
from oracle import ordered_clip
from processes import run_python
from trees import TREES, Frozen, Layer, Module, Pair, four, leaves_of, three

import numclip


@pytest.mark.parametrize("case", TREES)
def test_the_structure_comes_back(case):
    tree = TREES[case]()
    clipped, norm = numclip.tree.clip_by_global_norm(tree, 2.5)
    assert norm == 5
    assert type(clipped) is type(tree)
    assert clipped is not tree
    untouched = TREES[case]()
    for result, entry, before in zip(*map(leaves_of, (clipped, tree, untouched)), strict=True):
        assert (result is None) == (entry is None)
        if isinstance(entry, np.ndarray):
            assert_same_bits(result, entry / 2)
            assert_same_bits(entry, before)


def test_what_a_structure_is_made_of():
    tree = TREES["nested"]()
    clipped, _ = numclip.tree.clip_by_global_norm(tree, 2.5)
    assert list(clipped) == ["b", 0]
    pair, *empty = clipped["b"]
    assert type(pair) is Pair
    assert pair.bias is None
    assert empty == [{}, []]
    assert type(clipped[0]) is Layer
    assert clipped[0].weight[1] == ()
    assert clipped[0].bias == {"x": None}
    assert_same_bits(clipped[0].weight[0], four() / 2)


@given(st.data(), ragged_lists())
def test_it_is_the_clipping_of_the_list(data, t_list):
    cut = data.draw(st.integers(0, len(t_list)))
    tree = {"z": t_list[:cut], "a": {str(i): entry for i, entry in enumerate(t_list[cut:])}}
    expected, norm = ordered_clip(t_list, 0.7)
    clipped, actual = numclip.tree.clip_by_global_norm(tree, 0.7)
    assert_same_norm(actual, norm)
    assert list(clipped) == ["z", "a"]
    assert list(clipped["a"]) == list(tree["a"])
    assert_result([*clipped["z"], *clipped["a"].values()], expected, t_list)


def test_dicts_count_in_the_order_of_insertion(rng):
    arrays = [rng.standard_normal(1000) * 10.0**-i for i in range(8)]
    names = list("hcagbfed")
    _, norm = numclip.tree.clip_by_global_norm(dict(zip(names, arrays, strict=True)), 1.0)
    assert_same_norm(norm, numclip.clip_by_global_norm(arrays, 1.0)[1])


@pytest.mark.parametrize("case", TREES)
def test_in_place(case):
    tree = TREES[case]()
    leaves, before = leaves_of(tree), leaves_of(TREES[case]())
    clipped, norm = numclip.tree.clip_by_global_norm(tree, 2.5, out=tree)
    assert clipped is tree
    assert norm == 5
    for leaf, now, entry in zip(leaves, leaves_of(tree), before, strict=True):
        assert leaf is now
        if isinstance(entry, np.ndarray):
            assert_same_bits(leaf, entry / 2)


@pytest.mark.parametrize("case", TREES)
def test_out_receives_the_results(case):
    tree, out = TREES[case](), TREES[case]()
    before = [content(leaf) for leaf in leaves_of(tree) if isinstance(leaf, np.ndarray)]
    assert numclip.tree.clip_by_global_norm(tree, 2.5, out=out)[0] is out
    assert [content(leaf) for leaf in leaves_of(tree) if isinstance(leaf, np.ndarray)] == before
    for result, entry in zip(leaves_of(out), leaves_of(tree), strict=True):
        if isinstance(entry, np.ndarray):
            assert_same_bits(result, entry / 2)


def test_out_is_matched_by_key_and_may_be_of_another_class():
    tree = {"a": three(), "b": [four()]}
    out = OrderedDict(b=(np.empty_like(four()),), a=np.empty_like(three()))
    numclip.tree.clip_by_global_norm(tree, 2.5, out=out)
    assert_same_bits(out["a"], three() / 2)
    assert_same_bits(out["b"][0], four() / 2)


def test_a_defaultdict_keeps_its_factory():
    clipped, _ = numclip.tree.clip_by_global_norm(TREES["defaultdict"](), 1.0)
    assert clipped["new"] == []


def test_a_dataclass_is_copied_without_being_called():
    tree = Frozen(three())
    clipped, norm = numclip.tree.clip_by_global_norm([tree], 1.5)
    assert norm == 3
    assert_same_bits(clipped[0].weight, three() / 2)
    assert clipped[0].norm is None
    assert_same_bits(tree.weight, three())


def test_the_same_array_at_two_places_is_scaled_once():
    shared = four()
    tree = {"encoder": shared, "decoder": [shared], "bias": np.array([np.sqrt(68)], np.float32)}
    _, norm = numclip.tree.clip_by_global_norm(tree, 5.0, out=tree)
    np.testing.assert_allclose(norm, 10, rtol=1e-7)
    np.testing.assert_allclose(shared, 2, rtol=1e-7)


@pytest.mark.parametrize("tree", [{}, [], (), None, {"a": None}, [[], {}]], ids=repr)
def test_trees_without_an_array(tree):
    clipped, norm = numclip.tree.clip_by_global_norm(tree, 1.0)
    assert clipped == tree
    assert_same_norm(norm, np.float32(0))
    assert numclip.tree.clip_by_global_norm(tree, 1.0, out=tree)[0] is tree


def test_floats_are_leaves_and_lists_are_not():
    clipped, norm = numclip.tree.clip_by_global_norm({"a": [3.0, 0.0], "b": 4.0}, 2.5)
    assert norm == 5
    assert type(clipped["a"]) is list
    assert_same_bits(clipped["a"][0], np.array(1.5))


def test_a_given_norm_is_used_and_returned():
    use_norm = np.float32(10)
    clipped, norm = numclip.tree.clip_by_global_norm({"a": four()}, 5.0, use_norm, "name")
    assert norm is use_norm
    assert_same_bits(clipped["a"], four() / 2)


def test_the_norm_alone():
    tree = TREES["nested"]()
    assert_same_norm(numclip.tree.global_norm(tree), np.float32(5))
    assert_same_norm(numclip.tree.global_norm({}), np.float32(0))
    with pytest.raises(TypeError, match=starts_with("tree['b'] has dtype int64")):
        numclip.tree.global_norm({"a": three(), "b": np.array([1])})


def test_the_factor_alone():
    tree = TREES["nested"]()
    assert numclip.tree.clip_factor(tree, 2.5) == (0.5, np.float32(5))
    assert numclip.tree.clip_factor(tree, 2.5, 10.0) == (0.25, 10.0)
    with pytest.raises(TypeError, match=starts_with("tree['b'] has dtype int64")):
        numclip.tree.clip_factor({"a": three(), "b": np.array([1])}, 1.0)


# --- Clipper ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in TREES if case != "sparse"])
def test_a_clipper_clips_at_each_step(case):
    tree = TREES[case]()
    clipper = numclip.tree.Clipper(tree, 2.5)
    assert clipper.results is tree
    for _ in range(2):
        for leaf, fresh in zip(leaves_of(tree), leaves_of(TREES[case]()), strict=True):
            if isinstance(leaf, np.ndarray):
                leaf[...] = fresh
            elif leaf is not None:
                leaf.values[...] = fresh.values
        assert clipper() == 5
        assert numclip.tree.global_norm(tree) == 2.5
    assert clipper(1.25) == 2.5
    assert clipper(use_norm=5.0) == 5


def test_a_clipper_into_other_arrays():
    tree = {"a": three(), "b": [four()]}
    out = OrderedDict(b=(np.empty_like(four()),), a=np.empty_like(three()))
    clipper = numclip.tree.Clipper(tree, 2.5, out)
    assert clipper.results is out
    assert clipper() == 5
    assert_same_bits(out["b"][0], four() / 2)
    assert_same_bits(tree["a"], three())


def test_a_clipper_names_the_path():
    with pytest.raises(TypeError, match=starts_with("tree['b'][0] has dtype int64")):
        numclip.tree.Clipper({"a": three(), "b": [np.array([1])]}, 1.0)
    with pytest.raises(ValueError, match=starts_with("out['b'] has shape (2,), tree['b'] has shape (1, 1)")):
        numclip.tree.Clipper({"a": three(), "b": four()}, 1.0, {"a": three(), "b": three()})
    with pytest.raises(ValueError, match="clip_norm should be non-negative"):
        numclip.tree.Clipper({}, -1.0)


def test_a_clipper_cannot_be_copied():
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.copy(numclip.tree.Clipper({"a": three()}, 1.0))


# --- optree -------------------------------------------------------------------------------------------------


def test_registered_classes_are_containers():
    tree = {"module": Module([three(), None], "dense"), "bias": four()}
    clipped, norm = numclip.tree.clip_by_global_norm(tree, 2.5)
    assert norm == 5
    assert type(clipped["module"]) is Module
    assert clipped["module"].name == "dense"
    assert_same_bits(clipped["module"].weight[0], three() / 2)
    assert numclip.tree.clip_by_global_norm(tree, 2.5, out=tree)[0] is tree
    assert_same_bits(tree["module"].weight[0], three() / 2)
    with pytest.raises(TypeError, match=starts_with("tree['module'].weight[1] has dtype int64")):
        numclip.tree.clip_by_global_norm({"module": Module([three(), np.array([1])], "dense")}, 1.0)


def test_so_is_a_deque():
    clipped, _ = numclip.tree.clip_by_global_norm(deque([three(), four()], maxlen=3), 2.5)
    assert type(clipped) is deque
    assert clipped.maxlen == 3
    assert_same_bits(clipped[1], four() / 2)


WITHOUT_OPTREE = """
import sys
sys.modules["optree"] = None
from collections import namedtuple
from dataclasses import dataclass
import numpy as np, numclip
@dataclass
class Layer:
    weight: object
Pair = namedtuple("Pair", "a b")
tree = {"layer": Layer([np.array([3.0])]), "pair": (Pair(np.array([4.0]), None),)}
print(numclip.tree.clip_by_global_norm(tree, 2.5))
"""


def test_plain_containers_work_without_it():
    child = run_python("-c", WITHOUT_OPTREE)
    expected = (
        "({'layer': Layer(weight=[array([1.5])]), 'pair': (Pair(a=array([2.]), b=None),)}, np.float64(5.0))"
    )
    assert child.stdout.strip() == expected
