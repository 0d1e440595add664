"""adaptive_grad_clip: the formula of Brock et al. (2021) in higher precision, on every unit."""

import math
from fractions import Fraction

import numpy as np
import pytest
from arrays import (
    DTYPES,
    LAYOUTS,
    WRITABLE_LAYOUTS,
    assert_same_bits,
    content,
    raises_unwritten,
    random_array,
    read_only,
    slices_of,
)
from oracle import as_reals, exact_norm, ulp

import numclip

SHAPES = {
    "scalar": ((), ()),
    "bias": ((7,), (0,)),
    "row": ((1, 9), (0, 1)),
    "gain": ((1, 1, 1, 5), (0, 1, 2, 3)),
    "linear": ((6, 4), (0,)),
    "heads": ((5, 2, 3), (0,)),
    "convolution": ((3, 3, 2, 4), (0, 1, 2)),
    "volume": ((2, 2, 2, 3, 2), (0, 1, 2, 3)),
    "empty": ((0, 4), (0,)),
}


def units(shape, axes):
    """The index of each unit."""
    sides = [1 if axis in axes else side for axis, side in enumerate(shape)]
    for index in np.ndindex(*sides):
        yield tuple(slice(None) if axis in axes else i for axis, i in enumerate(index))


def by_the_formula(param, grad, axes, clipping, eps):
    """Yield for each unit its elements and their clipped values, as Fractions."""
    for index in units(grad.shape, axes):
        limit = Fraction(clipping) * max(exact_norm([param[index]]), Fraction(eps))
        norm = exact_norm([grad[index]])
        factor = min(Fraction(1), limit / norm) if norm else Fraction(1)
        yield index, [Fraction(x) * factor for x in as_reals(np.asarray(grad[index])).tolist()]


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_unit_follows_the_formula(rng, dtype, case):
    shape, axes = SHAPES[case]
    param, grad = random_array(rng, dtype, shape), random_array(rng, dtype, shape)
    for clipping, eps in ((0.3, 1e-3), (1.0, 0.8), (0.0, 1e-3), (1e9, 0.0)):
        [result] = numclip.adaptive_grad_clip([param], [grad], clipping, eps)
        assert result.dtype == dtype
        assert result.shape == shape
        for index, wanted in by_the_formula(param, grad, axes, clipping, eps):
            for y, exact in zip(as_reals(np.asarray(result[index])).tolist(), wanted, strict=True):
                assert abs(Fraction(y) - exact) <= 2 * ulp(exact, result.real.dtype)


def test_the_paper_s_figures():
    """A unit is unchanged up to the ratio, and clipped to it above; zero parameters count as eps."""
    params = [np.array([[3.0, 0.0], [4.0, 0.0]])]
    grads = [np.array([[0.6, 0.3], [0.8, 0.4]])]
    [result] = numclip.adaptive_grad_clip(params, grads, 0.2)
    assert result[:, 0].tolist() == [0.6, 0.8]
    np.testing.assert_allclose(result[:, 1], [0.6 * 2e-4, 0.8 * 2e-4], rtol=1e-15)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout(rng, layout):
    param, grad = random_array(rng, np.float32, (5, 7)), random_array(rng, np.float32, (5, 7))
    param, grad = layout(param), layout(grad)
    plain = [np.array(array, array.dtype.newbyteorder("="), order="C") for array in (param, grad)]
    [wanted] = numclip.adaptive_grad_clip(plain[:1], plain[1:], 0.3)
    before = content(param), content(grad)
    [result] = numclip.adaptive_grad_clip([param], [grad], 0.3)
    assert_same_bits(result, wanted)
    assert (content(param), content(grad)) == before


@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_in_place_and_into_others(rng, dtype, layout):
    params = [random_array(rng, dtype, shape) for shape in ((5, 7), (3,), (2, 2))]
    grads = [random_array(rng, dtype, (5, 7)), None, random_array(rng, dtype, (2, 2))]
    wanted = numclip.adaptive_grad_clip(params, grads, 0.1)
    assert wanted[1] is None
    taken = [None if grad is None else layout(grad) for grad in grads]
    out = [None if grad is None else layout(np.zeros_like(grad)) for grad in grads]
    for i, result in enumerate(numclip.adaptive_grad_clip(params, taken, 0.1, out=out)):
        assert result is out[i]
    numclip.adaptive_grad_clip(params, taken, 0.1, out=taken)
    for results in (out, taken):
        for actual, expected in zip(results, wanted, strict=True):
            if expected is not None:
                assert_same_bits(actual, expected)


def test_neither_overflow_nor_underflow():
    params = [np.array([[3e200, 3e-200], [4e200, 4e-200]])]
    grads = [np.array([[3e201, 3e-201], [4e201, 4e-201]])]
    [result] = numclip.adaptive_grad_clip(params, grads, 0.01, 0.0)
    np.testing.assert_allclose(result, [[3e198, 3e-202], [4e198, 4e-202]], rtol=1e-14)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite(bad):
    params, grads = [np.ones((2, 2))], [np.array([[bad, 3.0], [1.0, 4.0]])]
    [result] = numclip.adaptive_grad_clip(params, grads, 10.0)
    assert np.isnan(result[:, 0]).all()
    assert result[:, 1].tolist() == [3.0, 4.0]
    with raises_unwritten(FloatingPointError, "params[0] has NaN or infinite elements", *params):
        numclip.adaptive_grad_clip(grads, params, 1e-9, out=params)


def test_no_arrays():
    assert numclip.adaptive_grad_clip([], [], 0.01) == []


ROWS = np.full((2, 2), 3.0, np.float32)
BAD = {
    "clipping": (([ROWS], [ROWS], -0.1), {}, ValueError, "clipping should be finite and non-negative"),
    "clipping NaN": (([ROWS], [ROWS], math.nan), {}, ValueError, "clipping should be finite"),
    "eps": (([ROWS], [ROWS], 0.1, math.inf), {}, ValueError, "eps should be finite and non-negative"),
    "str": (([ROWS], [ROWS], "0.1"), {}, TypeError, "clipping should be a real number"),
    "count": (([ROWS, ROWS], [ROWS], 0.1), {}, ValueError, "params has 2 entries, grads has 1"),
    "array": ((ROWS, [ROWS], 0.1), {}, TypeError, "params should be a sequence of arrays"),
    "shape": (
        ([ROWS[0]], [ROWS], 0.1),
        {},
        ValueError,
        "params[0] has shape (2,), grads[0] has shape (2, 2)",
    ),
    "slices": (([ROWS], [slices_of(ROWS[:1])], 0.1), {}, ValueError, "params[0] has shape (2, 2), grads[0]"),
    "integers": (([ROWS], [ROWS.astype(int)], 0.1), {}, TypeError, "grads[0] has dtype int64"),
    "axes": (
        ([np.ones((2,) * 6)], [np.ones((2,) * 6)], 0.1),
        {},
        ValueError,
        "params[0] has 6 axes: units are known for arrays of up to 5",
    ),
    "out count": (([ROWS], [ROWS], 0.1), {"out": []}, ValueError, "out has 0 entries, grads has 1"),
    "out dtype": (([ROWS], [ROWS], 0.1), {"out": [np.ones((2, 2))]}, TypeError, "out[0] has dtype float64"),
    "out read-only": (([ROWS], [ROWS], 0.1), {"out": [read_only(ROWS)]}, ValueError, "out[0] is read-only"),
    "out None": (([ROWS], [ROWS], 0.1), {"out": [None]}, TypeError, "out[0] should be an array"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case):
    arguments, options, error, message = BAD[case]
    with raises_unwritten(error, message, ROWS):
        numclip.adaptive_grad_clip(*arguments, **options)


def test_nothing_is_written_where_a_later_entry_is_wrong():
    grads = [ROWS.copy(), ROWS.copy()]
    with raises_unwritten(ValueError, "params[1] has shape", *grads):
        numclip.adaptive_grad_clip([ROWS, ROWS[:1]], grads, 0.1, out=grads)
    with raises_unwritten(ValueError, "out[0] and out[1] overlap in memory", *grads):
        numclip.adaptive_grad_clip([ROWS, ROWS[:1]], [ROWS, ROWS[:1]], 0.1, out=[grads[0], grads[0][:1]])
