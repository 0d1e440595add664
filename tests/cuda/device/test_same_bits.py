"""Norms and clipped values have the bits of the CPU backend, whatever the list."""

import ml_dtypes
import numpy as np
import oracle
import pytest
from arrays import (
    DTYPES,
    WRITABLE_LAYOUTS,
    assert_result,
    assert_same_bits,
    assert_same_norm,
    content,
    random_array,
    slices_of,
)
from on_device import on_device, to_host

import numclip
from numclip._cuda.simulator import intrinsics

BFLOAT16, INF, NAN = ml_dtypes.bfloat16, float("inf"), float("nan")
NATIVE_LAYOUTS = [layout for layout in WRITABLE_LAYOUTS if "swapped" not in layout.__name__]


def as_norm(norm):
    array = to_host(norm)
    assert array.shape == ()
    return array[()]


def assert_as_on_the_cpu(t_list, clip_norm, use_norm=None):
    """Compare results in new arrays and in place; no other memory may change."""
    expected, norm = numclip.clip_by_global_norm(t_list, clip_norm, use_norm)
    before = [content(entry) for entry in t_list]
    clipped, device_norm = numclip.clip_by_global_norm([*map(on_device, t_list)], clip_norm, use_norm)
    arrays = [getattr(entry, "values", entry) for entry in expected]
    assert_result([*map(to_host, clipped)], arrays, t_list)
    assert [content(entry) for entry in t_list] == before
    if use_norm is None:
        assert_same_norm(as_norm(device_norm), norm)
    grads = [*map(on_device, t_list)]
    same, _ = numclip.clip_by_global_norm(grads, clip_norm, use_norm, out=grads)
    assert same == grads
    assert_result([*map(to_host, grads)], arrays, t_list)


@pytest.mark.parametrize("clip_norm", [0.3, 1e9], ids=["clipped", "not clipped"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(rng, dtype, clip_norm):
    shapes = [(3, 5), (), (0, 2), (700,), (2, 3, 4), (35,)]
    assert_as_on_the_cpu([random_array(rng, dtype, shape) for shape in shapes], clip_norm)


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=str)
def test_more_than_one_chunk(rng, dtype):
    assert_as_on_the_cpu([random_array(rng, dtype, (4096 + 301,)), random_array(rng, dtype, (31,))], 0.5)


@pytest.mark.parametrize("clip_norm", [0.3, 1e9], ids=["clipped", "not clipped"])
def test_all_dtypes_in_one_list(rng, clip_norm):
    t_list = [random_array(rng, dtype, shape) for dtype in DTYPES for shape in ((33,), (), (2, 0))]
    t_list[3:3] = [None, slices_of(random_array(rng, np.float32, (4, 3))), None]
    assert_as_on_the_cpu(t_list, clip_norm)


@pytest.mark.parametrize("layout", NATIVE_LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, BFLOAT16, np.complex128], ids=str)
def test_every_layout(rng, dtype, layout):
    assert_as_on_the_cpu([layout(random_array(rng, dtype, shape)) for shape in ((5, 3, 2), (), (65,))], 0.3)


@pytest.mark.parametrize("layout", NATIVE_LAYOUTS)
@pytest.mark.parametrize("clip_norm", [0.3, 1e9], ids=["clipped", "not clipped"])
def test_targets_of_other_layouts(rng, layout, clip_norm):
    t_list = [random_array(rng, dtype, (5, 6)) for dtype in (np.float32, np.float64)]
    targets = [layout(np.zeros_like(array)) for array in t_list]
    expected, _ = numclip.clip_by_global_norm(t_list, clip_norm)
    out = [*map(on_device, targets)]
    clipped, _ = numclip.clip_by_global_norm([*map(on_device, t_list)], clip_norm, out=out)
    assert clipped == out
    for target, wanted in zip(targets, expected, strict=True):
        assert_same_bits(target, wanted)


def test_a_read_only_and_a_broadcast_source(rng):
    column = random_array(rng, np.float32, (4, 1))
    column.flags.writeable = False
    t_list = [column, np.broadcast_to(column, (4, 3))]
    expected, norm = numclip.clip_by_global_norm(t_list, 0.1)
    clipped, device_norm = numclip.clip_by_global_norm([*map(on_device, t_list)], 0.1)
    assert_result([*map(to_host, clipped)], expected, t_list)
    assert_same_norm(as_norm(device_norm), norm)


SCALES = [
    (np.float64, 1e200),
    (np.float64, 1e-200),
    (np.float64, 5e-324),
    (np.float64, 1.7e308),
    (np.complex128, 1e300),
    (np.float32, 3e38),
    (np.float32, 1e-45),
    (BFLOAT16, 1e38),
    (np.float16, 6e-8),
]


@pytest.mark.parametrize(("dtype", "scale"), SCALES)
def test_squares_that_leave_the_range_of_the_dtype(rng, dtype, scale):
    t_list = [np.full(40, scale, dtype), random_array(rng, np.float16, (3,)), None]
    assert_as_on_the_cpu(t_list[:1], scale)
    assert_as_on_the_cpu(t_list, scale)


@pytest.mark.parametrize("clip_norm", [0.0, 1e-320, 1e-300, INF])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, BFLOAT16], ids=str)
def test_clip_norms_of_all_sizes(rng, dtype, clip_norm):
    assert_as_on_the_cpu([random_array(rng, dtype, (50,), (3, 4))], clip_norm)
    assert_as_on_the_cpu([np.zeros(3, dtype)], clip_norm)


def test_rounding_ties_of_the_halves(rng):
    """All bit patterns near a few ties, times a factor with many bits."""
    for dtype in (np.float16, BFLOAT16):
        bits = (rng.integers(0, 2**16, 600)).astype(np.uint16).view(dtype)
        finite = bits[np.isfinite(bits.astype(np.float32))]
        assert_as_on_the_cpu([finite], 1.0 / 3.0, 0.7)
        assert_as_on_the_cpu([finite], 1e-3, 1.0)


@pytest.mark.parametrize("in_place", [True, False])
def test_what_is_not_clipped_is_copied_bit_for_bit(monkeypatch, in_place):
    """With the payload of a NaN, which arithmetic would change; in place, nothing is written."""
    array = np.array([0x7F812345, 0x3F800000, 0xFFC54321, 0x00000001] * 9, np.uint32)
    before = array.copy()
    grads = [on_device(array.view(np.float32))]
    stores, write = [], intrinsics.write
    monkeypatch.setattr(
        intrinsics, "write", lambda address, *rest: (stores.append(address), write(address, *rest))
    )
    out = grads if in_place else None
    (result,), _ = numclip.clip_by_global_norm(grads, 1.0, 0.5, out=out)
    assert to_host(result).tobytes() == before.tobytes()
    inside = range(array.ctypes.data, array.ctypes.data + array.nbytes)
    assert not any(address in inside for address in stores)


def test_all_levels_of_the_sum_of_an_array(rng, short_chunks):
    t_list = [random_array(rng, np.float32, (32 * 32 * 3 + 5,)), random_array(rng, np.float32, (40,))]
    norm = numclip.global_norm([*map(on_device, t_list)])
    assert_same_norm(as_norm(norm), oracle.ordered_norm(t_list))


def test_all_levels_of_the_sum_of_the_list(rng, short_chunks):
    t_list = [random_array(rng, np.float64, (2,)) for _ in range(70)]
    norm = numclip.global_norm([*map(on_device, t_list)])
    assert_same_norm(as_norm(norm), oracle.ordered_norm(t_list))
