"""The options of the functions that clip by a norm: ord, eps, loss_scale, nonfinite, a callable clip_norm."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from arrays import DTYPES, content, raises_unwritten, random_array
from hypothesis import given
from hypothesis import strategies as st

import numclip

ORDERS = [0.5, 1, 1.5, 2, 3, 4, math.inf]


def magnitudes(t_list):
    """The absolute values of all elements as Decimals, complex ones to 60 digits."""
    every = []
    for array in t_list:
        wide = np.asarray(array).astype(np.complex128 if array.dtype.kind == "c" else np.float64).ravel()
        if array.dtype.kind == "c":
            every += [(Decimal(z.real) ** 2 + Decimal(z.imag) ** 2).sqrt() for z in wide.tolist()]
        else:
            every += [abs(Decimal(x)) for x in wide.tolist()]
    return every


def exact_norm(t_list, order, loss_scale=1.0):
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -(10**6), 10**6
        every = magnitudes(t_list)
        if order == math.inf:
            norm = max(every, default=Decimal(0))
        else:
            total = sum((x ** Decimal(order) for x in every), Decimal(0))
            norm = total ** (1 / Decimal(order)) if total else total
        return Fraction(norm / Decimal(loss_scale))


def ulps(actual, exact):
    """The error of a number against an exact one, in units of the last place of its type."""
    exact_rounded = type(actual)(float(exact))
    return float(abs(Fraction(float(actual)) - exact) / Fraction(float(np.spacing(exact_rounded))))


def a_list(rng, dtype, exponents=(0, 0)):
    return [random_array(rng, dtype, shape, exponents) for shape in ((3, 5), (), (700,), (0, 2))]


# --- ord ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norms_of_every_order(rng, dtype, order):
    t_list = a_list(rng, dtype)
    norm = numclip.global_norm(t_list, ord=order)
    assert type(norm) is type(numclip.global_norm(t_list))
    assert ulps(norm, exact_norm(t_list, order)) <= (1.0 if order in (1, 2, math.inf) else 4.0)
    clipped, same = numclip.clip_by_global_norm(t_list, 0.25, ord=order)
    assert same == norm
    if np.dtype(dtype).itemsize >= 4:
        assert math.isclose(numclip.global_norm(clipped, ord=order), 0.25, rel_tol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("value", [1e300, 1e-200, 1e-310])
def test_no_power_overflows_or_underflows(order, value):
    t_list = [np.array([value, -value]), np.zeros(3)]
    assert ulps(numclip.global_norm(t_list, ord=order), exact_norm(t_list, order)) <= 4.0


def test_an_array_of_many_chunks_has_the_same_norms_in_any_layout(rng):
    array = random_array(rng, np.float32, (9000,))
    for order in ORDERS:
        wanted = numclip.global_norm([array], ord=order)
        assert numclip.global_norm([np.repeat(array, 2)[::2]], ord=order) == wanted
        assert ulps(wanted, exact_norm([array], order)) <= 4.0


@pytest.mark.parametrize("order", [1, 3, math.inf])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_the_norm_of_every_order(order, value):
    for t_list in ([np.array([1.0, value, 2.0])], [np.ones(5000, np.float32), np.array([value], np.float16)]):
        norm = numclip.global_norm(t_list, ord=order)
        assert math.isnan(norm) if math.isnan(value) else norm == math.inf


@pytest.mark.parametrize(
    ("order", "error"),
    [(0, ValueError), (-1, ValueError), (math.nan, ValueError), (True, TypeError), ("2", TypeError)],
)
def test_what_is_no_order(order, error):
    with pytest.raises(error, match=r"^ord should be"):
        numclip.global_norm([np.ones(3)], ord=order)


# --- eps and loss_scale -------------------------------------------------------------------------------------


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1e-6, 0.1, 1e-12]),
    st.sampled_from([1.0, 65536.0, 3.0, 0.1]),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([1, 2, math.inf]),
)
def test_results_are_those_of_the_formula(seed, eps, loss_scale, dtype, order):
    rng = np.random.default_rng(seed)
    t_list = [random_array(rng, dtype, (size,)) for size in (7, 40)]
    clip_norm = float(rng.uniform(0.01, 2.0)) * float(exact_norm(t_list, order, loss_scale))
    clipped, norm = numclip.clip_by_global_norm(t_list, clip_norm, ord=order, eps=eps, loss_scale=loss_scale)
    exact = exact_norm(t_list, order, loss_scale)
    assert ulps(norm, exact) <= 1.0
    margin = exact + Fraction(eps)
    if abs(margin - Fraction(clip_norm)) < margin / 10**6:
        return
    factor = Fraction(clip_norm) / margin if margin > Fraction(clip_norm) else Fraction(1)
    factor /= Fraction(loss_scale)
    if factor == 1:
        assert [content(array) for array in clipped] == [content(array) for array in t_list]
        return
    most = 0.51 if dtype is np.float32 else 2.0 if order == 1 else 1.5
    for array, result in zip(t_list, clipped, strict=True):
        for x, y in zip(array.tolist(), result, strict=True):
            if x != 0.0 and abs(float(Fraction(x) * factor)) > 1e-37:
                assert ulps(y, Fraction(x) * factor) <= most


def test_nothing_is_clipped_where_the_norm_and_eps_are_at_most_clip_norm():
    t_list = [np.array([3.0, 4.0], np.float32)]
    clipped, norm = numclip.clip_by_global_norm(t_list, 5.1, eps=0.1)
    assert norm == 5.0
    assert content(clipped[0]) == content(t_list[0])
    clipped, norm = numclip.clip_by_global_norm(t_list, 5.0, eps=1e-3)
    assert norm == 5.0
    assert (clipped[0] < t_list[0]).all()


def test_a_loss_scale_is_divided_out_in_the_same_pass():
    scaled = [np.array([3.0, 4.0], np.float32) * np.float32(1024)]
    clipped, norm = numclip.clip_by_global_norm(scaled, 10.0, loss_scale=1024)
    assert norm == 5.0
    assert clipped[0].tolist() == [3.0, 4.0]
    assert numclip.global_norm(scaled, loss_scale=1024.0) == 5.0
    assert numclip.clip_factor(scaled, 2.5, loss_scale=1024.0) == (0.5 / 1024, 5.0)
    clipped, norm = numclip.clip_by_global_norm(scaled, 2.5, 10.0, loss_scale=1024.0)
    assert norm == 10.0
    assert clipped[0].tolist() == [0.75, 1.0]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        *(("eps", value, ValueError) for value in (-1e-6, math.nan, math.inf)),
        *(("loss_scale", value, ValueError) for value in (0.0, -1.0, math.nan, math.inf)),
        ("eps", None, TypeError),
        ("loss_scale", "1", TypeError),
        ("nonfinite", "ignore", ValueError),
        ("nonfinite", None, ValueError),
    ],
)
def test_wrong_options_raise_before_anything_is_written(name, value, error):
    grads = [np.array([3.0, 4.0])]
    with raises_unwritten(error, f"{name} should be", *grads):
        numclip.clip_by_global_norm(grads, 1.0, out=grads, **{name: value})


# --- nonfinite ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [1.0, math.inf])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_norm_that_is_not_finite(dtype, value, clip_norm):
    grads = [np.ones(5, dtype), None, np.array([[1.0, value], [value, 2.0]]).astype(dtype)]
    label = f"t_list[2] has {'2 NaN and 0' if math.isnan(value) else '0 NaN and 2'} infinite elements"
    with raises_unwritten(FloatingPointError, label, *grads):
        numclip.clip_by_global_norm(grads, clip_norm, out=grads, nonfinite="raise")
    clipped, norm = numclip.clip_by_global_norm(grads, clip_norm, nonfinite="zero")
    assert not math.isfinite(norm)
    assert [None if array is None else not array.any() for array in clipped] == [True, None, True]
    clipped, _ = numclip.clip_by_global_norm(grads, clip_norm)
    assert np.isnan(clipped[0].astype(np.complex128)).all()
    assert numclip.clip_factor(grads, clip_norm, nonfinite="zero")[0] == 0.0
    clipper = numclip.Clipper(grads, clip_norm, nonfinite="zero")
    clipper()
    assert not grads[0].any()
    assert clipper.factor == 0.0


def test_a_finite_list_is_clipped_by_every_policy():
    for nonfinite in ("raise", "zero", "nan"):
        clipped, norm = numclip.clip_by_global_norm([np.array([3.0, 4.0])], 2.5, nonfinite=nonfinite)
        assert norm == 5.0
        assert clipped[0].tolist() == [1.5, 2.0]


def test_a_norm_that_is_given_is_refused_too():
    with pytest.raises(FloatingPointError, match=r"^use_norm is inf$"):
        numclip.clip_by_global_norm([np.ones(3)], 1.0, math.inf, nonfinite="raise")


def test_many_entries_that_are_not_finite_make_a_short_message():
    with pytest.raises(FloatingPointError, match=r"; and 995 more entries$") as caught:
        numclip.clip_by_global_norm([np.array([math.nan])] * 1000, 1.0, nonfinite="raise")
    assert len(str(caught.value)) <= 500


# --- a callable clip_norm -----------------------------------------------------------------------------------


@pytest.mark.parametrize("t_list", [[np.array([3.0, 4.0])], [np.array([3.0], np.float32), np.array([4.0])]])
def test_a_callable_is_asked_once_with_the_norm(t_list):
    asked = []

    def half(norm):
        asked.append(norm)
        return norm / 2

    clipped, norm = numclip.clip_by_global_norm(t_list, half)
    assert asked == [5.0]
    assert type(asked[0]) is float
    assert norm == 5.0
    assert [x for array in clipped for x in array.tolist()] == [1.5, 2.0]
    clipper = numclip.Clipper(t_list, half)
    assert (clipper(), clipper.factor, clipper()) == (5.0, 0.5, 2.5)
    assert numclip.clip_factor(t_list, lambda norm: 1.0, 4.0) == (0.25, 4.0)


def test_what_a_callable_returns_is_checked():
    grads = [np.array([3.0, 4.0])]
    with raises_unwritten(ValueError, "clip_norm should be non-negative", *grads):
        numclip.clip_by_global_norm(grads, lambda norm: -norm, out=grads)
    with raises_unwritten(TypeError, "clip_norm should be a real number", *grads):
        numclip.clip_by_global_norm(grads, lambda norm: "1", out=grads)


# --- the norm of each tensor --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3, math.inf])
def test_the_norm_of_each_tensor_is_that_of_the_tensor_alone(rng, order):
    t_list = [random_array(rng, dtype, (size,)) for dtype in DTYPES for size in (1, 5000, 0)]
    t_list += [None, np.array([3e-200, 4e-200]), np.array([3e200, 4e200]), np.array([math.inf])]
    norms = numclip.tensor_norms(t_list, ord=order)
    assert [type(norm) for norm in norms] == [
        type(None) if array is None else type(numclip.global_norm([array])) for array in t_list
    ]
    for norm, array in zip(norms, t_list, strict=True):
        if array is not None:
            np.testing.assert_array_equal(norm, numclip.global_norm([array], ord=order))


@pytest.mark.parametrize("order", [1, 2, 3, math.inf])
@pytest.mark.parametrize("dtypes", [[np.float32], [np.float64], [np.float32, np.float64, np.complex64]])
def test_a_clipper_knows_the_norms_of_its_last_call(rng, dtypes, order):
    grads = [random_array(rng, dtype, (size,)) for dtype in dtypes for size in (3, 4097)]
    if np.float64 in dtypes:
        grads += [np.array([3e-200, 4e-200]), np.zeros(2)]
    wanted = numclip.tensor_norms(grads, ord=order)
    factor, _ = numclip.clip_factor(grads, 0.5, ord=order)
    clipper = numclip.Clipper(grads, 0.5, ord=order)
    clipper()
    assert clipper.factor == factor
    for norm, expected in zip(clipper.tensor_norms(), wanted, strict=True):
        assert type(norm) is type(expected)
        assert math.isclose(norm, expected, rel_tol=1e-14)


@pytest.mark.parametrize("dtypes", [[np.float64], [np.float32, np.float64]])
def test_what_was_made_zeros_has_the_norm_nan_if_it_would_be_measured_again(dtypes):
    """The sum of its squares is outside of the range of float64."""
    grads = [np.array([1.0, 2.0], dtype) for dtype in dtypes] + [np.array([3e-200, 4e-200])]
    clipper = numclip.Clipper(grads, 0.0)
    clipper()
    *known, lost = clipper.tensor_norms()
    assert known == numclip.tensor_norms([np.array([1.0, 2.0], dtype) for dtype in dtypes])
    assert math.isnan(lost)


def test_before_its_first_call_a_clipper_knows_nothing():
    clipper = numclip.Clipper([np.ones(3)], 1.0)
    with pytest.raises(RuntimeError, match="there has been no call yet"):
        _ = clipper.factor
    with pytest.raises(RuntimeError, match="there has been no call yet"):
        clipper.tensor_norms()
