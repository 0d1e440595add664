import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from numclip import Clipper, IndexedSlices, clip_by_global_norm


def grads():
    return [np.array([3.0, 0.0], np.float32), None, np.array([[4.0]], np.float32)]


def test_it_clips_in_place_at_every_call():
    arrays = grads()
    clipper = Clipper(arrays, 1.0)
    for scale in (1.0, 2.0, 0.1):
        arrays[0][:] = np.float32(3 * scale), 0
        arrays[2][:] = np.float32(4 * scale)
        expected, expected_norm = clip_by_global_norm(arrays, 1.0)
        norm = clipper()
        assert norm == expected_norm
        assert_array_equal(arrays[0], expected[0])
        assert_array_equal(arrays[2], expected[2])
    assert clipper.results[1] is None


def test_a_norm_within_the_bound_writes_nothing():
    array = np.array([3.0, 4.0])
    clipper = Clipper([array], 10.0)
    array.flags.writeable = False  # the kernels ignore the flag: a write would show in the values
    assert clipper() == 5.0
    assert_array_equal(array, [3.0, 4.0])


def test_the_bound_and_the_norm_can_be_given_for_one_call():
    array = np.array([3.0, 4.0])
    clipper = Clipper([array], 100.0)
    assert clipper(clip_norm=2.5) == 5.0
    assert_array_equal(array, [1.5, 2.0])
    given = np.float64(200.0)
    assert clipper(use_norm=given) is given
    assert_array_equal(array, [0.75, 1.0])


def test_it_writes_into_out():
    arrays, targets = [np.array([3.0, 4.0])], [np.empty(2)]
    clipper = Clipper(arrays, 1.0, out=targets)
    clipper()
    assert_array_equal(arrays[0], [3.0, 4.0])
    assert_array_equal(targets[0], np.array([3.0, 4.0]) * 0.2)
    assert clipper.results[0] is targets[0]


@pytest.mark.parametrize("step", [2, -1])
def test_strided_views_are_read_and_written_at_every_call(step):
    whole = np.zeros((4, 6))
    view = whole[:, ::step]
    clipper = Clipper([view], 1.0)
    for value in (2.0, 3.0):
        view[...] = value
        expected = clip_by_global_norm([view.copy()], 1.0)[0][0]
        clipper()
        assert_array_equal(view, expected)


def test_slices_are_clipped_in_place():
    values = np.array([[3.0], [4.0]])
    norm = Clipper([IndexedSlices(values, np.array([1, 0]), (2, 1))], 1.0)()
    assert norm == 5.0
    assert_array_equal(values, np.array([[3.0], [4.0]]) * 0.2)


def test_it_keeps_the_arrays_alive():
    array = np.ones(10)
    alive = weakref.ref(array)
    clipper = Clipper([array], 1.0)
    del array
    gc.collect()
    assert alive() is not None
    assert clipper() == np.sqrt(10)
    del clipper
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_clipper_cannot_be_copied(duplicate):
    """A copy would hold addresses of arrays without references to them."""
    clipper = Clipper([np.array([3.0, 4.0])], 1.0)
    with pytest.raises(TypeError, match="cannot be copied"):
        duplicate(clipper)
    assert clipper() == 5.0
