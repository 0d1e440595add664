"""strict=True: the exact norm of what is returned is at most clip_norm, and less than an ulp is lost."""

import math
from fractions import Fraction

import numpy as np
import pytest
from arrays import (
    DTYPES,
    EXPONENTS,
    WRITABLE_LAYOUTS,
    assert_same_bits,
    assert_same_norm,
    content,
    ragged_list,
    raises_unwritten,
    random_array,
    three_and_four,
)
from oracle import as_reals, exact_norm, exact_sum_of_squares, ulp
from policy import share_every_list

import numclip

INF, NAN = float("inf"), float("nan")
NEAR = (1e-9, 0.01, 0.37, 0.5, 1 - 1e-7, 1 - 1e-16, 1.0, 1 + 1e-7)


def square_of(entries):
    """The exact sum of squares of all entries, in integers: quicker for few elements than the oracle's."""
    fractions, exponents = np.frexp(
        np.concatenate([as_reals(entry) for entry in entries if entry is not None])
    )
    integers, exponents = np.ldexp(fractions, 53).astype(int).tolist(), exponents.tolist()
    total = sum(i * i << 2 * (e + 1100) for i, e in zip(integers, exponents, strict=True))
    return Fraction(total, 1 << 2 * (1100 + 53))


def random_case(rng, dtypes=DTYPES):
    """A list of one dtype and of any magnitude, and a threshold below its norm, close to it, or at it."""
    dtype = dtypes[rng.integers(len(dtypes))]
    low, high = EXPONENTS[dtype.name]
    exponent = int(rng.choice([0, rng.integers(low, high)]))
    t_list = [random_array(rng, dtype, (size,), (exponent, exponent)) for size in rng.integers(0, 14, 2)]
    by = rng.choice(NEAR) if rng.random() < 0.5 else rng.uniform(0, 1)
    return t_list, float(numclip.global_norm([array.astype(np.complex128) for array in t_list])) * by


def count_cases(rng, cases, figures):
    """Clip random lists; none ends above its threshold."""
    loose = above = 0
    for _ in range(cases):
        t_list, clip_norm = random_case(rng)
        clipped, _ = numclip.clip_by_global_norm(t_list, clip_norm, strict=True)
        square = square_of(clipped)
        assert square <= Fraction(clip_norm) ** 2, (t_list, clip_norm)
        below = Fraction(clip_norm) - ulp(Fraction(clip_norm), t_list[0].real.dtype)
        loose += square_of(t_list) > Fraction(clip_norm) ** 2 and below > 0 and square < below**2
        above += square_of(numclip.clip_by_global_norm(t_list, clip_norm)[0]) > Fraction(clip_norm) ** 2
    figures("strict", cases, "lists clipped, none above clip_norm")
    figures("strict", loose, "of them below by more than an ulp of their elements' type")
    figures("strict", above, "of them above by default")
    assert cases / 10 < above < cases


def test_the_sum_of_squares_is_that_of_the_oracle(rng):
    array = random_array(rng, np.float64, (50,), (-320, 300))
    assert square_of([array[:7], array[7:]]) == exact_sum_of_squares(array)


def test_no_norm_is_above_the_threshold(rng, figures):
    count_cases(rng, 2000, figures)


@pytest.mark.long
def test_no_norm_of_a_million_is_above_the_threshold(rng, figures):
    count_cases(rng, 1_000_000, figures)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_less_than_an_ulp_of_each_result_is_lost(rng, dtype):
    for _ in range(60):
        t_list, clip_norm = random_case(rng, [dtype])
        if not clip_norm:
            continue
        clipped, _ = numclip.clip_by_global_norm(t_list, clip_norm, strict=True)
        factor = min(Fraction(1), Fraction(clip_norm) / exact_norm(t_list))
        for array, result in zip(t_list, clipped, strict=True):
            for x, y in zip(as_reals(array).tolist(), as_reals(result).tolist(), strict=True):
                exact = abs(Fraction(x)) * factor
                assert math.copysign(1.0, y) == math.copysign(1.0, x)
                assert (
                    Fraction(-1, 10**6) <= (exact - abs(Fraction(y))) / ulp(exact, array.real.dtype) <= 1.0001
                )


@pytest.mark.parametrize("exponent", [-290, -300, -308, -315, -322])
def test_results_among_the_subnormal_numbers_lose_no_more(rng, exponent):
    for scale in (0, 300, -20):
        t_list = [random_array(rng, np.float64, (21,), (exponent + scale, exponent + scale + 3))]
        if not exact_norm(t_list):
            continue
        clip_norm = float(exact_norm(t_list)) * 0.7 * 10.0 ** -max(scale, 0)
        [result], _ = numclip.clip_by_global_norm(t_list, clip_norm, strict=True)
        assert square_of([result]) <= Fraction(clip_norm) ** 2
        factor = Fraction(clip_norm) / exact_norm(t_list)
        for x, y in zip(t_list[0].tolist(), result.tolist(), strict=True):
            exact = abs(Fraction(x)) * factor
            assert 0 <= exact - abs(Fraction(y)) <= ulp(exact, np.float64) * Fraction(1.0001)


@pytest.mark.parametrize("clip_norm", [1.0, 1e-3])
def test_a_list_of_every_dtype(rng, clip_norm):
    t_list = [*ragged_list(rng), None]
    clipped, norm = numclip.clip_by_global_norm(t_list, clip_norm, strict=True)
    assert square_of(clipped) <= Fraction(clip_norm) ** 2
    assert clipped[-1] is None
    assert_same_norm(norm, numclip.global_norm(t_list))


# --- a norm at the threshold --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_norm_at_the_threshold_changes_no_bit(dtype):
    t_list = three_and_four(dtype)
    clipped, norm = numclip.clip_by_global_norm(t_list, 5.0, strict=True)
    assert [*map(content, clipped)] == [*map(content, t_list)]
    for array in t_list:
        array.flags.writeable = False
    assert norm == numclip.clip_by_global_norm([array.copy() for array in t_list], 5.0, strict=True)[1] == 5.0


def test_a_norm_that_only_float32_rounds_to_the_threshold_is_clipped():
    t_list = [np.array([1.0, 2.0**-13], np.float32)]
    assert numclip.global_norm(t_list) == 1.0
    assert square_of(t_list) > 1
    clipped, norm = numclip.clip_by_global_norm(t_list, 1.0, strict=True)
    assert square_of(clipped) <= 1
    assert norm == 1.0
    clipper = numclip.Clipper(t_list, 1.0, strict=True)
    assert clipper() == 1.0
    assert clipper.factor < 1.0
    assert_same_bits(t_list[0], clipped[0])
    assert clipper() <= 1.0
    assert clipper.factor == 1.0
    assert_same_bits(t_list[0], clipped[0])


@pytest.mark.parametrize("clip_norm", [0.0, INF])
def test_the_ends_of_the_thresholds(clip_norm):
    t_list = three_and_four()
    clipped, _ = numclip.clip_by_global_norm(t_list, clip_norm, strict=True)
    wanted, _ = numclip.clip_by_global_norm(t_list, clip_norm)
    assert [*map(content, clipped)] == [*map(content, wanted)]


# --- the other options, and where results go ----------------------------------------------------------------


@pytest.mark.parametrize("eps", [0.0, 1e-6, 0.3])
@pytest.mark.parametrize("loss_scale", [1.0, 1024.0, 3.0, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
def test_a_margin_and_a_loss_scale(rng, dtype, loss_scale, eps):
    for by in NEAR:
        t_list = [random_array(rng, dtype, (size,)) for size in (5, 40)]
        norm = exact_norm(t_list) / Fraction(loss_scale)
        clip_norm = by * float(norm)
        clipped, _ = numclip.clip_by_global_norm(
            t_list, clip_norm, eps=eps, loss_scale=loss_scale, strict=True
        )
        assert square_of(clipped) <= Fraction(clip_norm) ** 2
        factor = min(Fraction(1), Fraction(clip_norm) / (norm + Fraction(eps))) / Fraction(loss_scale)
        for array, result in zip(t_list, clipped, strict=True):
            for x, y in zip(array.tolist(), result.tolist(), strict=True):
                lost = abs(Fraction(x)) * factor - abs(Fraction(y))
                assert lost <= ulp(Fraction(x) * factor, dtype) * Fraction(1.0001)


def test_a_threshold_less_eps_is_met_exactly():
    t_list = three_and_four(np.float64)
    clipped, _ = numclip.clip_by_global_norm(t_list, 5.5, eps=0.5, strict=True)
    assert [*map(content, clipped)] == [*map(content, t_list)]
    clipped, _ = numclip.clip_by_global_norm(t_list, 0.25, eps=0.5, strict=True)
    assert square_of(clipped) <= Fraction(1, 16)


@pytest.mark.parametrize("layout", WRITABLE_LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_in_place_and_by_a_clipper(rng, dtype, layout):
    arrays = [random_array(rng, dtype, (5, 7)), random_array(rng, dtype, (3,))]
    wanted, norm = numclip.clip_by_global_norm(arrays, 0.7, strict=True)
    t_list = [layout(array) for array in arrays]
    numclip.clip_by_global_norm(t_list, 0.7, out=t_list, strict=True)
    clipper = numclip.Clipper([*map(layout, arrays)], 0.7, strict=True)
    assert_same_norm(clipper(), norm)
    for results in (t_list, clipper.results):
        for actual, expected in zip(results, wanted, strict=True):
            assert_same_bits(actual, expected)


def test_an_array_that_is_twice_in_the_list():
    array = np.array([3.0, 4.0], np.float32)
    numclip.clip_by_global_norm([array, array], 1.0, out=[array, array], strict=True)
    assert square_of([array, array]) <= 1
    assert math.isclose(numclip.global_norm([array, array]), 1.0, rel_tol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_same_bits_for_any_number_of_threads(rng, dtype, monkeypatch):
    t_list = [random_array(rng, dtype, (size,)) for size in (4097, 3, 0, 9000)]
    wanted, norm = numclip.clip_by_global_norm(t_list, 0.7, strict=True)
    share_every_list(3, monkeypatch.setattr)
    clipped, actual = numclip.clip_by_global_norm(t_list, 0.7, strict=True)
    assert_same_norm(actual, norm)
    for result, expected in zip(clipped, wanted, strict=True):
        assert_same_bits(result, expected)


def test_a_callable_threshold_and_a_tree():
    tree = {"a": [np.array([1.0, 1.0])], "b": None}
    clipped, norm = numclip.tree.clip_by_global_norm(tree, lambda norm: norm / 3, strict=True)
    assert square_of(clipped["a"]) <= Fraction(float(norm) / 3) ** 2
    clipper = numclip.tree.Clipper(tree, 0.1, strict=True)
    assert clipper() == norm
    assert square_of(tree["a"]) <= Fraction(0.1) ** 2


@pytest.mark.parametrize("value", [INF, NAN])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_norm_that_is_not_finite(dtype, value):
    t_list = [np.array([1.0, value]).astype(dtype)]
    assert np.isnan(as_reals(numclip.clip_by_global_norm(t_list, 1.0, strict=True)[0][0])).all()
    assert not numclip.clip_by_global_norm(t_list, 1.0, strict=True, nonfinite="zero")[0][0].any()
    with raises_unwritten(FloatingPointError, "t_list[0] has", *t_list):
        numclip.clip_by_global_norm(t_list, 1.0, out=t_list, strict=True, nonfinite="raise")


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((1.0,), {"strict": "yes"}, TypeError, "strict should be a bool. Received 'yes'"),
        ((1.0,), {"strict": None}, TypeError, "strict should be a bool. Received None"),
        (
            (1.0,),
            {"strict": True, "ord": 1},
            ValueError,
            "strict is for the norm of order 2. Received ord 1.0",
        ),
        ((1.0, 7.0), {"strict": True}, ValueError, "strict clips by the norm of the arrays themselves"),
    ],
)
def test_what_is_refused(arguments, options, error, message):
    grads = three_and_four()
    with raises_unwritten(error, message, *grads):
        numclip.clip_by_global_norm(grads, *arguments, out=grads, **options)


def test_a_strict_clipper_takes_no_norm():
    grads = three_and_four()
    clipper = numclip.Clipper(grads, 1.0, strict=True)
    with raises_unwritten(ValueError, "strict clips by the norm of the arrays themselves", *grads):
        clipper(use_norm=7.0)
