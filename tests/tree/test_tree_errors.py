"""Errors of the functions of trees, which name the path to the leaf."""

import numpy as np
import pytest
from arrays import both_functions, raises_unwritten, read_only, slices_of
from trees import Layer, Pair, four, leaves_of, three

import numclip

LEAVES = {
    "int": (np.array([1], np.int32), TypeError, " has dtype int32, expected a floating or complex dtype"),
    "str": ("abc", TypeError, " is no array and no container. Received <class 'str'>"),
    "masked": (np.ma.masked_array([1.0]), TypeError, " is a masked array"),
    "slices": (
        slices_of(np.array([1])),
        TypeError,
        ".values has dtype int64, expected a floating or complex",
    ),
}


@pytest.mark.parametrize("case", LEAVES)
def test_an_error_names_the_path(case):
    leaf, error, message = LEAVES[case]
    first = three()
    for tree, path in [
        ({"layer1": [leaf]}, "tree['layer1'][0]"),
        ([{"a": first}, Pair(first, leaf)], "tree[1].bias"),
        (Layer(first, {3: (leaf,)}), "tree.bias[3][0]"),
        (leaf, "tree"),
    ]:
        with raises_unwritten(error, path + message, first):
            numclip.tree.clip_by_global_norm(tree, 1.0)


TREE = {"a": [three(), four()], "b": None}


TARGETS = {
    "shape": (
        {"a": [four(), four()], "b": None},
        ValueError,
        "out['a'][0] has shape (1, 1), tree['a'][0] has shape",
    ),
    "dtype": (
        {"a": [three(), four(np.float64)], "b": None},
        TypeError,
        "out['a'][1] has dtype float64, tree['a'][1] has dtype float32",
    ),
    "read-only": ({"a": [three(), read_only(four())], "b": None}, ValueError, "out['a'][1] is read-only"),
    "float": (
        {"a": [three(), 4.0], "b": None},
        TypeError,
        "out['a'][1] should be an array, received <class 'float'",
    ),
    "not None": (
        {"a": [three(), four()], "b": four()},
        TypeError,
        "out['b'] should be None, as tree['b'] is None",
    ),
    "deeper": (
        {"a": [three(), [four()]], "b": None},
        TypeError,
        "out['a'][1] should be an array, received <class",
    ),
    "no container": (
        {"a": three(), "b": None},
        TypeError,
        "out['a'] should be a container like tree['a']. Received <class 'numpy.ndarray'>",
    ),
    "None": (
        {"a": None, "b": None},
        TypeError,
        "out['a'] should be a container like tree['a']. Received <class 'No",
    ),
    "missing key": ({"a": [three(), four()]}, ValueError, "out has ['a'], tree has ['a'] ['b']"),
    "more": (
        {"a": [three(), four(), four()], "b": None},
        ValueError,
        "out['a'] has [0] [1] [2], tree['a'] has [0] [1]",
    ),
    "empty": ({}, ValueError, "out has no entries, tree has ['a'] ['b']"),
    "list": ([three(), four()], ValueError, "out has [0] [1], tree has ['a'] ['b']"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_a_target_that_does_not_fit_is_refused(case):
    out, error, message = TARGETS[case]
    watched = [leaf for leaf in leaves_of([TREE, out]) if isinstance(leaf, np.ndarray)]
    with raises_unwritten(error, message, *watched):
        numclip.tree.clip_by_global_norm(TREE, 1.0, out=out)


def test_overlaps_name_both_paths():
    base = np.arange(1.0, 9.0)
    tree = {"a": base[:5], "b": [base[4:]]}
    with raises_unwritten(ValueError, "out['a'] and out['b'][0] overlap in memory", base):
        numclip.tree.clip_by_global_norm(tree, 1.0, out=tree)


@pytest.mark.parametrize("arguments", [(-1.0,), (float("nan"),), (1.0, -1.0)], ids=str)
def test_bad_norms_are_refused(arguments):
    with raises_unwritten(ValueError, "", TREE["a"][0]):
        numclip.tree.clip_by_global_norm(TREE, *arguments, out=TREE)


@both_functions
def test_the_functions_of_lists_name_it(function):
    with pytest.raises(TypeError, match=r"numclip\.tree\.clip_by_global_norm"):
        function({"a": three()})


@pytest.mark.parametrize("name", ["clip_by_global_norm", "clip_factor", "Clipper"])
def test_an_error_ends_at_the_public_function(name):
    with pytest.raises(TypeError) as caught:
        getattr(numclip.tree, name)({"a": [three(), "abc"]}, 1.0)
    assert len(caught.traceback) == 2
