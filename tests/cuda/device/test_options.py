"""The options eps, loss_scale and nonfinite, and a callable threshold: as on the CPU."""

import sys
from fractions import Fraction

import numpy as np
import pytest
from arrays import (
    DTYPES,
    assert_same_bits,
    assert_same_norm,
    raises_unwritten,
    random_array,
    three_and_four,
)
from fake_libraries import FakeCuPy, FakeTorch
from on_device import on_device, to_host
from place import PTX

import numclip

OPTIONS = [
    {"eps": 1e-6},
    {"eps": 0.5, "loss_scale": 1024.0},
    {"loss_scale": 3.0},
    {"loss_scale": 3.0, "nonfinite": "zero"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_margins_and_scales(rng, dtype, options):
    host = [random_array(rng, dtype, (40,)), random_array(rng, dtype, (3, 5))]
    for numbers in ((0.25,), (1e9,), (0.25, 7.3)):
        expected, wanted = numclip.clip_by_global_norm(host, *numbers, **options)
        clipped, norm = numclip.clip_by_global_norm([*map(on_device, host)], *numbers, **options)
        if len(numbers) == 1:
            assert_same_norm(to_host(norm)[()], wanted)
        for actual, right in zip(clipped, expected, strict=True):
            assert_same_bits(to_host(actual), right)
        factor, _ = numclip.clip_factor([*map(on_device, host)], *numbers, **options)
        assert to_host(factor)[()] == numclip.clip_factor(host, *numbers, **options)[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16], ids=str)
def test_a_step_that_is_skipped_and_one_that_raises(dtype, value):
    host = [np.ones(3, dtype), np.array([1.0, value], dtype)]
    grads = [*map(on_device, host)]
    clipped, norm = numclip.clip_by_global_norm(grads, 1.0, nonfinite="zero")
    assert not np.isfinite(to_host(norm)[()])
    for array in clipped:
        assert not to_host(array).any()
    before = [array.copy() for array in host]
    with pytest.raises(FloatingPointError, match=r"NaN or infinite elements: t_list\[1\]$"):
        numclip.clip_by_global_norm(grads, 1.0, out=grads, nonfinite="raise")
    with pytest.raises(FloatingPointError, match="use_norm is inf"):
        numclip.clip_by_global_norm(grads[:1], 1.0, np.inf, out=grads[:1], nonfinite="raise")
    for array, old in zip(host, before, strict=True):
        np.testing.assert_array_equal(array, old)
    numclip.clip_by_global_norm(grads[:1], 1.0, out=grads[:1], nonfinite="raise")


def test_a_callable_threshold():
    """The callable is called once, with the norm; it may itself clip on the same stream."""
    host = three_and_four()
    grads, asked = [*map(on_device, host)], []

    def half(norm):
        asked.append(norm)
        numclip.global_norm([on_device(np.ones(7, np.float32))])
        return norm / 2

    clipped, norm = numclip.clip_by_global_norm(grads, half)
    assert (asked, to_host(norm)[()]) == ([5.0], 5.0)
    assert_same_bits(to_host(clipped[1]), np.array([[2.0]], np.float32))
    clipper = numclip.Clipper(grads, half, eps=1.0)
    clipper()
    assert asked == [5.0, 5.0]
    assert to_host(clipper.factor)[()] == 2.5 / 6.0


def test_a_threshold_that_adapts():
    clip_norm = numclip.AutoClip(percentile=50)
    clipper = numclip.Clipper([on_device(np.ones(4, np.float32))], clip_norm)
    clipper()
    assert clip_norm.state_dict() == {"norms": [2.0]}


def test_a_monitor_is_given_the_norms_by_the_caller():
    grads, monitor = [on_device(np.ones(4, np.float32))], numclip.GradientMonitor()
    with pytest.raises(
        TypeError, match=r"^monitor is for arrays on the CPU\. Pass the norms to monitor\.rec"
    ):
        numclip.Clipper(grads, 1.0, monitor=monitor)
    _, norm = numclip.clip_by_global_norm(grads, 1.0)
    monitor.record(to_host(norm), 1.0)
    assert monitor.summary()["largest"] == 2.0


def test_a_clipper_knows_its_options_and_its_factor():
    host = three_and_four()
    clipper = numclip.Clipper([*map(on_device, host)], 1.0, loss_scale=2.0)
    assert to_host(clipper())[()] == 2.5
    assert to_host(clipper.factor)[()] == 0.2
    assert_same_bits(host[1], np.array([[0.8]], np.float32))


# --- other orders of the norm -------------------------------------------------------------------------------


def lists_of_each_kind(rng):
    sizes = (40, 3, 0, 4200 if PTX else 70)
    for dtypes in ([np.float32], [np.float64], [np.complex64], DTYPES):
        t_list = [random_array(rng, dtype, (size,)) for dtype in dtypes for size in sizes[: 8 // len(dtypes)]]
        yield [*t_list, None]


def assert_near(actual, wanted, ulps):
    """Equal, or within so many units of the last place of the type."""
    assert type(actual) is type(wanted)
    assert abs(actual - wanted) <= ulps * np.spacing(wanted)


@pytest.mark.parametrize("order", [1, 2, np.inf, 3, 0.5])
def test_norms_of_every_order(rng, order):
    """Those of 1, 2 and inf have the bits of the CPU, if no magnitude of a complex element is rounded."""
    for host in lists_of_each_kind(rng):
        paired = any(array is not None and array.dtype.kind == "c" for array in host)
        ulps = 4 if order in (3, 0.5) or (paired and order != 2) else 0
        grads = [*map(on_device, host)]
        expected, wanted = numclip.clip_by_global_norm(host, 0.25, ord=order)
        clipped, norm = numclip.clip_by_global_norm(grads, 0.25, ord=order)
        assert_near(to_host(norm)[()], wanted, ulps)
        assert_near(to_host(numclip.global_norm(grads, ord=order))[()], wanted, ulps)
        for actual, right in zip(clipped, expected, strict=True):
            if ulps == 0 or right is None:
                assert to_host(actual) is right or to_host(actual).tobytes() == right.tobytes()
            else:
                np.testing.assert_allclose(to_host(actual).astype(complex), right.astype(complex), 1e-2)
        norms = numclip.tensor_norms(grads, ord=order)
        for array, right in zip(norms, numclip.tensor_norms(host, ord=order), strict=True):
            assert (array is None) is (right is None)
            if right is not None:
                assert array.shape == ()
                assert_near(to_host(array)[()], right, ulps)


@pytest.mark.parametrize("order", [1, 2, np.inf, 3, 0.5, 30])
@pytest.mark.parametrize("value", [1e300, 1e-200, 5e-324])
def test_no_power_overflows_or_underflows(order, value):
    """Nor in the norm of an array that is small beside the others of its list."""
    host = [np.array([value, -value]), np.zeros(3), np.array([2.5])]
    root = 2.0 ** (1.0 / order) if order != np.inf else 1.0
    wanted = float(Fraction(value) * Fraction(root))
    norms = [to_host(norm)[()] for norm in numclip.tensor_norms([*map(on_device, host)], ord=order)]
    np.testing.assert_allclose(norms[0], wanted, 1e-15, 5e-324)
    np.testing.assert_allclose(norms[1:], [0.0, 2.5], 1e-15)
    np.testing.assert_allclose(
        to_host(numclip.global_norm([*map(on_device, host[:2])], ord=order))[()], wanted, 1e-15, 5e-324
    )


@pytest.mark.parametrize("order", [1, 2, 3, np.inf])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_the_norm_of_every_order(order, value):
    for host in ([np.ones(3), np.array([1.0, value])], [np.array([value], np.float16), np.ones(3, "f4")]):
        grads = [*map(on_device, host)]
        np.testing.assert_equal(float(to_host(numclip.global_norm(grads, ord=order))), value)
        norms = [float(to_host(norm)) for norm in numclip.tensor_norms(grads, ord=order)]
        np.testing.assert_equal(norms, [float(norm) for norm in numclip.tensor_norms(host, ord=order)])
        bad = next(i for i, array in enumerate(host) if not np.isfinite(array).all())
        with raises_unwritten(FloatingPointError, f"NaN or infinite elements: t_list[{bad}]", *host):
            numclip.clip_by_global_norm(grads, 1.0, out=grads, ord=order, nonfinite="raise")


def test_lists_that_share_memory_with_another_order():
    """The sums of an array without elements are 0 whatever the order of the call before."""
    grads = [*map(on_device, [np.array([3.0, -4.0], np.float32), np.empty(0, np.float32)])]
    for order, wanted in ((2, 5.0), (1, 7.0), (3, np.float32(91.0 ** (1 / 3))), (np.inf, 4.0)) * 2:
        assert to_host(numclip.global_norm(grads, ord=order))[()] == wanted
        assert [to_host(norm)[()] for norm in numclip.tensor_norms(grads, ord=order)] == [wanted, 0.0]


@pytest.mark.parametrize("order", [1, 2, 3, np.inf])
@pytest.mark.parametrize("dtypes", [[np.float32], [np.float32, np.float64, np.complex64]])
def test_a_clipper_knows_the_norms_of_its_last_call(rng, dtypes, order):
    host = [random_array(rng, dtype, (size,)) for dtype in dtypes for size in (3, 4097 if PTX else 37)]
    if np.float64 in dtypes:
        host += [np.array([3e-200, 4e-200]), np.zeros(2)]
    wanted = numclip.tensor_norms(host, ord=order)
    clipper = numclip.Clipper([*map(on_device, host)], 0.5, ord=order, loss_scale=2.0)
    with pytest.raises(RuntimeError, match="there has been no call yet"):
        clipper.tensor_norms()
    clipper()
    for norm, expected in zip(clipper.tensor_norms(), wanted, strict=True):
        assert type(to_host(norm)[()]) is type(expected)
        np.testing.assert_allclose(to_host(norm)[()], expected / 2, 1e-14 if expected.itemsize == 8 else 1e-6)


def test_a_given_norm_leaves_nothing_to_know_of_the_arrays():
    clipper = numclip.Clipper([*map(on_device, three_and_four())], 0.5)
    clipper(use_norm=1.0)
    with pytest.raises(RuntimeError, match="no call has computed a norm yet"):
        clipper.tensor_norms()


def test_the_norms_of_arrays_of_a_library_are_its_arrays(monkeypatch):
    for library in (FakeTorch(), FakeCuPy()):
        monkeypatch.setitem(sys.modules, library.__name__, library)
        grads = [*map(library.array_type, [*three_and_four(), np.array([2.5])])]
        norms = numclip.tensor_norms([*grads, None])
        assert norms.pop() is None
        assert {type(norm) for norm in norms} == {library.array_type}
        assert set(library.allocated) == {library.current}
        assert [norm.array.tolist() for norm in norms] == [3.0, 4.0, 2.5]
        assert [norm.array.dtype for norm in norms] == [np.float32, np.float32, np.float64]


def test_strict_is_for_the_cpu():
    grads = [on_device(np.ones(3, np.float32))]
    with pytest.raises(TypeError, match=r"^strict is for arrays on the CPU$"):
        numclip.clip_by_global_norm(grads, 1.0, strict=True)


def test_examples_and_units_are_for_the_cpu():
    grads = [on_device(np.ones((2, 3), np.float32))]
    with pytest.raises(TypeError, match=r"^per_example_global_norm_clip is for arrays on the CPU$"):
        numclip.per_example_global_norm_clip(grads, 1.0)
    with pytest.raises(TypeError, match=r"^adaptive_grad_clip is for arrays on the CPU$"):
        numclip.adaptive_grad_clip(grads, grads, 0.1)
    with pytest.raises(TypeError, match=r"^t_list\[1\] is a CUDA array"):
        numclip.per_example_global_norm_clip([np.ones((2, 3), np.float32), *grads], 1.0)
