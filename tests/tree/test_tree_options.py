"""The options of the functions of lists, over trees: each reaches the list."""

import numpy as np
import pytest
from arrays import assert_result, raises_unwritten
from trees import TREES, four, leaves_of, three

import numclip

OPTIONS = {
    "ord": {"ord": 1},
    "eps": {"eps": 1.0},
    "loss_scale": {"loss_scale": 4.0},
    "nonfinite": {"nonfinite": "zero"},
    "all": {"ord": np.inf, "eps": 0.5, "loss_scale": 0.5, "nonfinite": "raise"},
}


def tree_and_list(value=4.0):
    tree = {"b": [three(), None], "a": (np.array([[value]], np.float32),)}
    return tree, leaves_of(tree)


@pytest.mark.parametrize("case", OPTIONS)
def test_they_are_those_of_the_list(case):
    tree, arrays = tree_and_list(np.inf if case == "nonfinite" else 4.0)
    options = OPTIONS[case]
    expected, norm = numclip.clip_by_global_norm(arrays, 1.0, **options)
    clipped, actual = numclip.tree.clip_by_global_norm(tree, 1.0, **options)
    assert actual == norm
    assert_result(leaves_of(clipped), expected, arrays)
    factor = numclip.clip_factor(arrays, 1.0, **options)
    assert numclip.tree.clip_factor(tree, 1.0, **options) == factor
    clipper = numclip.tree.Clipper(tree, 1.0, **options)
    assert (clipper(), clipper.factor) == (norm, factor[0])
    assert leaves_of(tree)[0] is arrays[0]
    np.testing.assert_array_equal(arrays[0], expected[0])
    np.testing.assert_array_equal(arrays[2], expected[2])


def test_the_norm_has_an_order_and_a_scale():
    tree, arrays = tree_and_list()
    for options in ({"ord": 1}, {"ord": 3}, {"loss_scale": 2.0}):
        assert numclip.tree.global_norm(tree, **options) == numclip.global_norm(arrays, **options)


def test_a_callable_threshold_sees_the_norm_of_the_tree():
    norms = []
    tree, _ = tree_and_list()
    clipper = numclip.tree.Clipper(tree, lambda norm: norms.append(norm) or norm / 2)
    assert clipper() == 5
    assert norms == [5.0]
    clipped, _ = numclip.tree.clip_by_global_norm(tree, lambda norm: norm / 2)
    assert (numclip.tree.global_norm(tree), numclip.tree.global_norm(clipped)) == (2.5, 1.25)


def test_a_non_finite_leaf_is_named_by_its_path():
    tree, arrays = tree_and_list(np.nan)
    with raises_unwritten(FloatingPointError, "", *arrays[::2]):
        numclip.tree.clip_by_global_norm(tree, 1.0, out=tree, nonfinite="raise")
    with pytest.raises(FloatingPointError, match=r"tree\['a'\]\[0\]"):
        numclip.tree.clip_by_global_norm(tree, 1.0, nonfinite="raise")


@pytest.mark.parametrize("case", [case for case in TREES if case != "array"])
def test_norms_are_a_tree(case):
    tree = TREES[case]()
    norms = numclip.tree.tensor_norms(tree)
    assert type(norms) is type(tree)
    assert leaves_of(norms) == numclip.tensor_norms(leaves_of(tree))
    clipper = numclip.tree.Clipper(tree, 2.5)
    clipper()
    assert leaves_of(clipper.tensor_norms()) == leaves_of(norms)


def test_norms_have_an_order_and_name_the_path():
    assert numclip.tree.tensor_norms([np.array([3.0, -4.0])], ord=1) == [7.0]
    assert numclip.tree.tensor_norms(four()) == 4
    with pytest.raises(TypeError, match=r"^tree\['a'\] has dtype int64"):
        numclip.tree.tensor_norms({"a": np.array([1])})
    with pytest.raises(RuntimeError, match="no call"):
        numclip.tree.Clipper({"a": three()}, 1.0).tensor_norms()
