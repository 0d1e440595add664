"""clip_by_norm along axes: long slices, and many side by side, have the bits of a list of one array."""

import numpy as np
import pytest
from arrays import DTYPES, assert_same_bits, random_array

from numclip import clip_by_global_norm, clip_by_norm

SHAPES = [(4100, 70), (3, 8300, 9), (129, 8), (8, 129), (300, 7), (33, 1, 65)]


def each_alone(t, limit, axis):
    result = np.empty(t.shape, t.dtype)
    for index in np.ndindex(*(side for i, side in enumerate(t.shape) if i != axis)):
        place = (*index[:axis], slice(None), *index[axis:])
        [result[place]], _ = clip_by_global_norm([t[place].copy()], limit)
    return result


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_long_and_many_slices(rng, dtype, shape):
    t = random_array(rng, dtype, shape)
    for axis in range(t.ndim):
        if t.size // shape[axis] > 2000:
            continue
        for limit in (0.3, 30.0, 0.0):
            expected = each_alone(t, limit, axis)
            assert_same_bits(clip_by_norm(t, limit, axis), expected)
            assert_same_bits(clip_by_norm(t.T, limit, t.ndim - 1 - axis), expected.T)
            out = t.copy()
            assert clip_by_norm(out, limit, axes=(axis,), out=out) is out
            assert_same_bits(out, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("axis", [0, 1])
def test_slices_whose_squares_over_or_underflow_beside_others(rng, axis, dtype):
    t = random_array(rng, dtype, (70, 70))
    scales = np.ones(70)
    scales[[3, 40, 69]] = 1e-200, 1e200, 0.0
    t *= np.expand_dims(scales, axis)
    limits = np.expand_dims(np.where(scales == 1e-200, 1e-201, 0.5), axis)
    result = clip_by_norm(t, limits, axis)
    for i in range(70):
        [expected], _ = clip_by_global_norm([t.take(i, 1 - axis)], float(limits.flat[i]))
        assert_same_bits(result.take(i, 1 - axis), expected)


def test_a_slice_that_is_not_finite_leaves_those_beside_it(rng):
    t = random_array(rng, np.float32, (50, 20))
    t[7, 3], t[9, 5] = np.nan, np.inf
    result = clip_by_norm(t, 0.5, axes=0)
    assert np.isnan(result[:, [3, 5]]).all()
    others = [i for i in range(20) if i not in (3, 5)]
    assert_same_bits(result[:, others], clip_by_norm(t[:, others], 0.5, axes=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("spread", [0, 40, 900])
def test_decisions_side_by_side_are_those_of_single_lists(rng, spread, axis, dtype):
    """Eight at a time where nothing comes near the ends of the range, one by one elsewhere."""
    count = 8003
    spread = min(spread, 100) if dtype is np.float32 else spread
    t = np.ldexp(rng.standard_normal((count, 3)), rng.integers(-spread, spread + 1, (count, 1))).astype(dtype)
    norms = np.linalg.norm(t.astype(np.longdouble), axis=1)
    limits = np.ldexp(norms, rng.integers(-3, 3, count)).astype(dtype).astype(np.float64)
    limits[::5] = norms[::5].astype(dtype)  # at the norm itself
    limits[::97], limits[1::97] = 0.0, np.inf
    expected = [clip_by_global_norm([row.copy()], limit)[0][0] for row, limit in zip(t, limits, strict=True)]
    if axis == 0:
        result = clip_by_norm(np.ascontiguousarray(t.T), limits, axes=0).T
    else:
        result = clip_by_norm(t, limits[:, None], axes=1)
    assert_same_bits(result, np.array(expected))


def test_every_axis_of_a_small_array_whatever_its_sign(rng):
    t = random_array(rng, np.float32, (3, 4, 5))
    for axis in range(3):
        expected = each_alone(t, 0.3, axis)
        assert_same_bits(clip_by_norm(t, 0.3, axis), expected)
        assert_same_bits(clip_by_norm(t, 0.3, axis - 3), expected)
