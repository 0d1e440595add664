"""The exact sum against exact arithmetic; the compiled one has the same words."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numclip._core import accumulator, fixed_point

finite = st.floats(allow_nan=False, allow_infinity=False)


def added(numbers):
    words = fixed_point.zeros()
    for number in numbers:
        fixed_point.add(words, number)
    return words


def value(words):
    limbs = words[: fixed_point.LIMBS].tolist()
    total = sum(limb << fixed_point.LIMB_BITS * i for i, limb in enumerate(limbs))
    return total * Fraction(2) ** fixed_point.LOWEST


@given(st.lists(finite, max_size=20))
def test_the_sum_is_exact(numbers):
    words = added(numbers)
    assert value(words) == sum(map(Fraction, numbers))
    fixed_point.carry(words)
    assert value(words) == sum(map(Fraction, numbers))
    assert ((words[: fixed_point.LIMBS - 1] >= 0) & (words[: fixed_point.LIMBS - 1] < 2**32)).all()


@given(st.lists(finite, max_size=20), st.randoms())
def test_carried_words_are_the_same_in_every_order_and_partition(numbers, random):
    words = added(numbers)
    fixed_point.carry(words)
    random.shuffle(numbers)
    cut = random.randint(0, len(numbers))
    parts = [added(numbers[:cut]), added(numbers[cut:])]
    for part in parts:
        fixed_point.carry(part)
    total = parts[0] + parts[1]
    fixed_point.carry(total)
    np.testing.assert_array_equal(total, words)


@given(st.lists(st.floats(0, 1e300), max_size=20))
def test_the_pair_is_good_to_105_bits(numbers):
    words = added(numbers)
    fixed_point.carry(words)
    exact = sum(map(Fraction, numbers))
    total, error = fixed_point.pair_of(words)
    assert total == float(exact)
    # Near the smallest float64, the error is rounded to a multiple of it.
    assert abs(Fraction(total) + Fraction(error) - exact) <= max(exact / 2**105, Fraction(2) ** -1074)


@pytest.mark.parametrize("number", [5e-324, 2.0**-1022, 1.0, 2.0**1023, 1.7976931348623157e308])
def test_the_ends_of_the_range_leave_room(number):
    words = added([number] * 2000)
    assert value(words) == 2000 * Fraction(number)


def test_a_sum_beyond_float64_asks_for_a_prescale():
    words = added([1e308, 1e308])
    norm, _, _, needed = accumulator.decide()(words, 1.0, True, 1.0)
    assert (norm, needed) == (math.inf, 2.0**-600)


@pytest.mark.parametrize(
    ("numbers", "expected"), [([1.0, math.inf], math.inf), ([math.inf, math.nan, 1.0], math.nan), ([], 0.0)]
)
def test_what_is_not_finite_is_counted(numbers, expected):
    np.testing.assert_equal(fixed_point.pair_of(added(numbers)), (expected, 0.0))


def test_the_sums_of_two_billion_limbs_fit():
    full = np.full(fixed_point.WORDS, 2**32 - 1)
    assert (full.astype(object) * 2**31 < 2**63).all()


@given(st.lists(st.tuples(st.floats(0, math.inf), finite, st.booleans()), max_size=20))
def test_the_compiled_sum_has_the_same_words(entries):
    sums, errors = np.array([entry[:2] for entry in entries]).reshape(-1, 2).T.copy()
    counted = np.array([entry[2] for entry in entries], np.bool_)
    words = fixed_point.zeros()
    accumulator.accumulate()(words, sums, errors, counted)
    pairs = [(total, error) for total, error, counts in entries if counts]
    numbers = itertools.chain.from_iterable(pair if math.isfinite(pair[0]) else pair[:1] for pair in pairs)
    expected = added(numbers)
    fixed_point.carry(expected)
    np.testing.assert_array_equal(words, expected)
