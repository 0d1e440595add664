"""The bits of the CPU, for every library, dtype, layout and size."""

import numpy as np
from libraries import BFLOAT16, DTYPES, assert_same_bits, normal, to_device, to_host
from registry import Skipped, check

import numclip

SIZES = [(3, 5), (), (0, 2), (4096,), (4097,), (255, 257), (1_000_003,)]
LIBRARIES = ["numba", "cupy", "torch", "jax"]
CLIP_NORMS = [("clipped", 0.3), ("not clipped", 1e9)]


def assert_as_on_the_cpu(library, t_list, clip_norm, use_norm=None):
    expected, norm = numclip.clip_by_global_norm(t_list, clip_norm, use_norm)
    grads = [to_device(library, array) for array in t_list]
    clipped, device_norm = numclip.clip_by_global_norm(grads, clip_norm, use_norm)
    results = [clipped]
    if library != "jax":
        numclip.clip_by_global_norm(grads, clip_norm, use_norm, out=grads)
        results.append(grads)
    if use_norm is None:
        assert_same_bits(to_host(device_norm), norm)
    for arrays in results:
        for actual, wanted in zip(arrays, expected, strict=True):
            assert_same_bits(to_host(actual), wanted)


@check(LIBRARIES, [(str(dtype), dtype) for dtype in DTYPES], CLIP_NORMS)
def every_dtype(library, dtype, clip_norm):
    rng = np.random.default_rng(1)
    assert_as_on_the_cpu(library, [normal(rng, dtype, shape) for shape in SIZES], clip_norm)


@check(["numba", "cupy", "torch"], CLIP_NORMS)
def all_dtypes_in_one_list(library, clip_norm):
    rng = np.random.default_rng(2)
    dtypes = [dtype for dtype in DTYPES if dtype != BFLOAT16 or library == "torch"]
    shapes = [(33,), (), (2, 0), (70, 130)]
    assert_as_on_the_cpu(
        library, [normal(rng, dtype, shape) for dtype in dtypes for shape in shapes], clip_norm
    )


@check(["numba", "torch"], [1e200, 1e-200, 5e-324, 1.7e308, float("inf"), float("nan")])
def squares_that_leave_the_range(library, scale):
    small = np.ones(3, np.float32)
    for clip_norm in (1.0, 1e-310):
        assert_as_on_the_cpu(library, [np.full(5000, scale), small], clip_norm)


@check([(str(dtype), dtype) for dtype in DTYPES if dtype.itemsize == 2])
def every_pattern_of_a_half(dtype):
    patterns = np.arange(2**16, dtype=np.uint16).view(dtype)
    for clip_norm, use_norm in ((1.0, 3.0), (1e-3, 0.7), (0.9999, 1.0), (1e-30, 1.0), (1.0, 0.5)):
        assert_as_on_the_cpu("torch", [patterns], clip_norm, use_norm)


@check(["numba", "cupy", "torch"], [("1", 1), ("2", 2), ("inf", np.inf), ("3", 3), ("0.5", 0.5)])
def every_order(library, order):
    """Powers, and magnitudes of complex elements, are those of the device: some last places off."""
    rng = np.random.default_rng(8)
    host = [normal(rng, np.dtype(dtype), shape) for dtype in ("f4", "f8", "f2", "c8") for shape in SIZES]
    for t_list in (host, [array for array in host if array.dtype == np.float32]):
        same = order == 2 or (order in (1, np.inf) and t_list is not host)
        grads = [to_device(library, array) for array in t_list]
        wanted = [numclip.global_norm(t_list, ord=order), *numclip.tensor_norms(t_list, ord=order)]
        norms = [numclip.global_norm(grads, ord=order), *numclip.tensor_norms(grads, ord=order)]
        for norm, right in zip(map(to_host, norms), wanted, strict=True):
            if same:
                assert_same_bits(norm, right)
            else:
                assert norm.dtype == right.dtype
                assert abs(norm - right) <= 4 * np.spacing(right)


@check()
def the_norms_of_a_last_call():
    import torch

    host = [np.array([3.0, 4.0]), np.array([3e-200, 4e-200]), np.zeros(70_000)]
    grads = [torch.from_numpy(array).cuda() for array in host]
    clipper = numclip.Clipper(grads, 1.0)
    clipper()
    np.testing.assert_allclose([norm.item() for norm in clipper.tensor_norms()], [5.0, 5e-200, 0.0], 1e-14)


VIEWS = [
    ("transposed", lambda a: a.T),
    ("rows with gaps", lambda a: a[::2]),
    ("columns with gaps", lambda a: a[:, 1::3]),
    ("misaligned for vectors", lambda a: a.reshape(-1)[1:]),
    ("part of a transposed one", lambda a: a.T[5:9]),
    ("one element", lambda a: a[7:8, 8:9].reshape(())),
]


@check(VIEWS, [0.5, 1e9])
def layouts(view_of, clip_norm):
    import torch

    host_base = normal(np.random.default_rng(3), np.dtype(np.float32), (300, 301))
    base = torch.from_numpy(host_base).cuda()
    view, host = view_of(base), view_of(host_base)  # with the same strides
    expected, norm = numclip.clip_by_global_norm([host], clip_norm)
    [clipped], device_norm = numclip.clip_by_global_norm([view], clip_norm)
    assert device_norm.item() == norm
    assert_same_bits(to_host(clipped), expected[0])
    before = base.clone()
    numclip.clip_by_global_norm([view], clip_norm, out=[view])
    assert_same_bits(to_host(view), expected[0])
    view.fill_(0.0)  # only the view has changed
    view_of(before).fill_(0.0)
    assert torch.equal(base, before)


@check()
def ten_thousand_arrays():
    rng = np.random.default_rng(4)
    sizes = rng.integers(0, 300, 10_000)
    assert_as_on_the_cpu("torch", [rng.standard_normal(int(n), dtype=np.float32) for n in sizes], 0.5)


@check()
def an_array_of_many_runs():
    """More than 4096 chunks in one array: the sums of sums have levels of their own."""
    host = np.random.default_rng(5).standard_normal(40_000_000, dtype=np.float32)
    assert_as_on_the_cpu("torch", [host, host[:5]], 1.0)


@check([("float16 2**31 + 5", 2**31 + 5), ("float16 2**32 + 4097", 2**32 + 4097)], is_long=True)
def more_elements_than_fit_into_32_bits(length):
    """All elements are 1: the norm is known, and every element shows that it was written."""
    import torch

    if torch.cuda.mem_get_info()[0] < 2 * length + 2**30:
        raise Skipped("not enough memory")
    grads = [torch.ones(length, dtype=torch.float16, device="cuda"), torch.ones(3, device="cuda")]
    norm = numclip.global_norm(grads)
    assert norm.item() == np.float32(np.sqrt(length + 3.0))
    numclip.clip_by_global_norm(grads, norm / 2, out=grads)
    assert (grads[0] == 0.5).all()
    assert (grads[1] - 0.5).abs().max() < 1e-6


# --- the same bits every time -------------------------------------------------------------------------------


@check([3, 161, 2000])
def repeats_have_the_same_bits(arrays):
    import torch

    sizes = np.random.default_rng(6).integers(1, 30_000, arrays)
    grads = [torch.randn(int(n), device="cuda") for n in sizes]
    norms = torch.stack([numclip.global_norm(grads) for _ in range(200)])
    assert (norms == norms[0]).all()


@check(["float32", "float64"])
def a_clipper_again_and_again(dtype):
    """Each call resets the counters of its blocks; one array has several runs."""
    import torch

    sizes = [5, 0, 4096, 70_000, 40_000_000, 1, 300_001]
    grads = [torch.randn(size, device="cuda", dtype=getattr(torch, dtype)) for size in sizes]
    wanted = numclip.global_norm([grad.cpu().numpy() for grad in grads])
    clipper = numclip.Clipper(grads, float("inf"))
    assert [clipper().item() for _ in range(50)] == [wanted] * 50


@check(is_long=True)
def a_hundred_thousand_repeats_on_two_streams():
    """The last block of a launch adds up what the others wrote: a race would show as another norm."""
    import torch

    rng = np.random.default_rng(7)
    streams = [torch.cuda.Stream() for _ in range(2)]
    lists = [[torch.randn(int(n), device="cuda") for n in rng.integers(1, 200_000, k)] for k in (5, 300)]
    clippers = [numclip.Clipper(grads, float("inf")) for grads in lists]
    wanted = [numclip.global_norm(grads) for grads in lists]
    wrong = [torch.zeros((), device="cuda", dtype=torch.int64) for _ in lists]
    torch.cuda.synchronize()
    for _ in range(50_000):
        for stream, clipper, norm, count in zip(streams, clippers, wanted, wrong, strict=True):
            with torch.cuda.stream(stream):
                count.add_(clipper() != norm)
    torch.cuda.synchronize()
    assert [count.item() for count in wrong] == [0, 0]


@check()
def torch_agrees():
    import torch

    grads = [torch.randn(n, device="cuda", dtype=torch.float64) for n in (10, 5000, 100_000)]
    parameters = [torch.nn.Parameter(torch.zeros_like(grad)) for grad in grads]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad.clone()
    wanted = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    clipped, norm = numclip.clip_by_global_norm(grads, 1.0)
    torch.testing.assert_close(norm, wanted, rtol=1e-12, atol=0)
    for actual, parameter in zip(clipped, parameters, strict=True):
        torch.testing.assert_close(actual, parameter.grad, rtol=1e-5, atol=0)
