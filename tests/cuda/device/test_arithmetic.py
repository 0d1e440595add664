"""Powers, roots and magnitudes against 50 digits: on the simulator, where they are Python."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from place import PTX

if PTX:
    pytest.skip("compiled for a device alone", allow_module_level=True)

from numclip._cuda.arithmetic import magnitude, power, root

ORDERS = [0.1, 0.5, 1.5, 3.0, 7.3, 30.0]


def ulps(actual, exact):
    """How far a float64 is from an exact number, in units of its last place."""
    return float(abs(Decimal(actual) - exact) / Decimal(math.ulp(float(exact))))


@pytest.fixture(autouse=True)
def _digits():
    with localcontext() as context:
        context.prec = 50
        yield


@pytest.mark.parametrize("order", ORDERS)
def test_powers_and_roots(rng, order):
    for value in (rng.random(150) ** rng.integers(1, 20, 150)).tolist():
        exact = Decimal(value) ** Decimal(order)
        if exact > Decimal("1e-290"):
            assert ulps(power(value, order), exact) < 1.0
    for value in (rng.random(150) * 10.0 ** rng.integers(-8, 12, 150)).tolist():
        exact = (Decimal(value).ln() / Decimal(order)).exp()
        if Decimal("1e-290") < exact < Decimal("1e300"):
            assert ulps(root(value, order), exact) < 1.0


@pytest.mark.parametrize("order", ORDERS)
def test_the_ends_of_the_range(order):
    for function in (power, root):
        assert function(0.0, order) == 0.0
        assert function(1.0, order) == 1.0
        assert function(math.inf, order) == math.inf
        assert math.isnan(function(math.nan, order))
    assert power(1e-200, 1e300) == 0.0
    assert root(1e10, 0.01) == math.inf
    assert root(1e-10, 0.01) == 0.0


def test_magnitudes(rng):
    numbers = rng.standard_normal((300, 2)) * 10.0 ** rng.integers(-150, 150, (300, 1))
    numbers[:, 1] *= 10.0 ** rng.integers(-12, 3, 300)
    for real, imaginary in numbers.tolist():
        exact = (Decimal(real) ** 2 + Decimal(imaginary) ** 2).sqrt()
        assert ulps(magnitude(real, imaginary), exact) <= 0.501
    assert magnitude(3e-320, 4e-320) == 5e-320
    assert magnitude(-1.2e308, 0.9e308) == 1.5e308
    for real, imaginary, wanted in (
        (0.0, -0.0, 0.0),
        (math.inf, math.nan, math.inf),
        (math.nan, -math.inf, math.inf),
        (math.nan, 1.0, math.nan),
    ):
        np.testing.assert_equal(magnitude(real, imaginary), wanted)
