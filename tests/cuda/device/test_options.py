"""The options eps, loss_scale and nonfinite, and a callable threshold: as on the CPU."""

import numpy as np
import pytest
from arrays import DTYPES, assert_same_bits, assert_same_norm, random_array, three_and_four
from on_device import on_device, to_host

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


@pytest.mark.parametrize("order", [1, np.inf, 3])
def test_other_orders_are_refused(order):
    with pytest.raises(TypeError, match=r"ord is .*: arrays on a device have the norm of order 2 alone"):
        numclip.clip_by_global_norm([*map(on_device, three_and_four())], 1.0, ord=order)
