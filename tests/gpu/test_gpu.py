"""On a real GPU: the bits of the CPU, streams and graphs, and that the host never waits."""

import ml_dtypes
import numpy as np
import pytest
from arrays import assert_same_bits, ragged_list, random_array

import numclip

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
SIZES = [(3, 5), (), (0, 2), (4096,), (4097,), (255, 257), (1_000_003,)]
DTYPES = [np.dtype(t) for t in ("f4", "f8", "f2", BFLOAT16, "c8", "c16")]


def on_device(library, arrays):
    try:
        return [None if array is None else library.to_device(array) for array in arrays]
    except (TypeError, ValueError, NotImplementedError) as error:
        pytest.skip(f"the library has no such arrays: {error}")


def assert_as_on_the_cpu(library, t_list, clip_norm, use_norm=None):
    expected, norm = numclip.clip_by_global_norm(t_list, clip_norm, use_norm)
    grads = on_device(library, t_list)
    clipped, device_norm = numclip.clip_by_global_norm(grads, clip_norm, use_norm)
    numclip.clip_by_global_norm(grads, clip_norm, use_norm, out=grads)
    if use_norm is None:
        assert_same_bits(np.asarray(library.to_host(device_norm)), np.asarray(norm))
    for results in (clipped, grads):
        for actual, wanted in zip(results, expected, strict=True):
            if wanted is not None:
                assert_same_bits(library.to_host(actual), wanted)


@pytest.mark.parametrize("clip_norm", [0.3, 1e9], ids=["clipped", "not clipped"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(library, rng, dtype, clip_norm):
    assert_as_on_the_cpu(library, [random_array(rng, dtype, shape) for shape in SIZES], clip_norm)


@pytest.mark.parametrize("clip_norm", [0.3, 1e9], ids=["clipped", "not clipped"])
def test_all_dtypes_in_one_list(library, rng, clip_norm):
    dtypes = [dtype for dtype in DTYPES if dtype != BFLOAT16]
    assert_as_on_the_cpu(library, [None, *ragged_list(rng, dtypes), None], clip_norm)


@pytest.mark.parametrize("scale", [1e200, 1e-200, 5e-324, 1.7e308, np.inf, np.nan])
def test_squares_that_leave_the_range(library, rng, scale):
    for clip_norm in (1.0, 1e-310):
        assert_as_on_the_cpu(library, [np.full(5000, scale), random_array(rng, np.float32, (3,))], clip_norm)


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16], ids=str)
def test_every_pattern_of_a_half(torch, dtype):
    from libraries import OfTorch

    patterns = np.arange(2**16, dtype=np.uint16).view(dtype)
    for clip_norm, use_norm in ((1.0, 3.0), (1e-3, 0.7), (0.9999, 1.0), (1e-30, 1.0), (1.0, 0.5)):
        assert_as_on_the_cpu(OfTorch(), [patterns], clip_norm, use_norm)


def test_layouts(torch, rng):
    """Transposed, with gaps, and misaligned for vectors."""
    host_base = random_array(rng, np.float32, (300, 301))
    base = torch.from_numpy(host_base).cuda()
    views = [
        lambda a: a.T,
        lambda a: a[::2],
        lambda a: a[:, 1::3],
        lambda a: a.reshape(-1)[1:],
        lambda a: a.T[5:9],
        lambda a: a[7:8, 8:9].reshape(()),
    ]
    for view_of in views:
        view, host = view_of(base), view_of(host_base)  # with the strides of one another
        expected, norm = numclip.clip_by_global_norm([host], 0.5)
        [clipped], device_norm = numclip.clip_by_global_norm([view], 0.5)
        assert device_norm.item() == norm
        assert_same_bits(clipped.cpu().numpy(), expected[0])
        before = base.clone()
        numclip.clip_by_global_norm([view], 0.5, out=[view])
        assert_same_bits(view.cpu().numpy(), expected[0])
        view.fill_(0.0)  # nothing but the view has changed
        changed = (base != before).sum().item()
        base.copy_(before)
        view.fill_(0.0)
        assert changed == (base != before).sum().item()
        base.copy_(before)


def test_ten_thousand_arrays(torch, rng):
    from libraries import OfTorch

    t_list = [random_array(rng, np.float32, (int(n),)) for n in rng.integers(0, 300, 10_000)]
    assert_as_on_the_cpu(OfTorch(), t_list, 0.5)


@pytest.mark.long
@pytest.mark.parametrize("length", [2**31 + 5, 2**32 + 4097])
def test_more_elements_than_fit_into_32_bits(torch, length):
    """Ones: the norm is known, and every element shows that it was written."""
    if torch.cuda.mem_get_info()[0] < 2 * length + 2**30:
        pytest.skip("not enough memory")
    grads = [torch.ones(length, dtype=torch.float16, device="cuda"), torch.ones(3, device="cuda")]
    norm = numclip.global_norm(grads)
    assert norm.item() == np.float32(np.sqrt(length + 3.0))
    numclip.clip_by_global_norm(grads, norm / 2, out=grads)
    assert (grads[0] == 0.5).all()
    assert (grads[1] - 0.5).abs().max() < 1e-6


def test_an_array_of_many_runs(torch, rng):
    """More than 4096 chunks in one array: the sums of sums have levels of their own."""
    host = rng.standard_normal(40_000_000, dtype=np.float32)
    from libraries import OfTorch

    assert_as_on_the_cpu(OfTorch(), [host, host[:5]], 1.0)


# --- the same bits every time -------------------------------------------------------------------------------


@pytest.mark.parametrize("arrays", [3, 161, 2000])
def test_repeats_have_the_same_bits(torch, rng, arrays):
    grads = [torch.randn(int(n), device="cuda") for n in rng.integers(1, 30_000, arrays)]
    norms = torch.stack([numclip.global_norm(grads) for _ in range(200)])
    assert (norms == norms[0]).all()


@pytest.mark.long
def test_a_hundred_thousand_repeats_on_two_streams(torch, rng):
    """The last block of a launch adds up what the others wrote: a race would show as another norm."""
    streams = [torch.cuda.Stream() for _ in range(2)]
    lists = [
        [torch.randn(int(n), device="cuda") for n in rng.integers(1, 200_000, count)] for count in (5, 300)
    ]
    clippers = [numclip.Clipper(grads, float("inf")) for grads in lists]
    torch.cuda.synchronize()
    wanted = [numclip.global_norm(grads) for grads in lists]
    wrong = [torch.zeros((), device="cuda", dtype=torch.int64) for _ in lists]
    torch.cuda.synchronize()
    for _ in range(50_000):
        for stream, clipper, norm, count in zip(streams, clippers, wanted, wrong, strict=True):
            with torch.cuda.stream(stream):
                count.add_(clipper() != norm)
    torch.cuda.synchronize()
    assert [count.item() for count in wrong] == [0, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_clipper_again_and_again(torch, rng, dtype):
    """Each call leaves the counters of its blocks as it has found them; one array has several runs."""
    sizes = [5, 0, 4096, 70_000, 40_000_000, 1, 300_001]
    grads = [torch.randn(size, device="cuda", dtype=getattr(torch, dtype)) for size in sizes]
    wanted = numclip.global_norm([grad.cpu().numpy() for grad in grads])
    clipper = numclip.Clipper(grads, float("inf"))
    assert [clipper().item() for _ in range(50)] == [wanted] * 50


# --- streams, graphs and the host ---------------------------------------------------------------------------


def test_the_host_does_not_wait(torch):
    """A call returns while the stream is still busy with something else."""
    grads = [torch.randn(1000, device="cuda") for _ in range(50)]
    clip_norm = torch.tensor(0.5, device="cuda")
    clipper = numclip.Clipper(grads, 1.0)
    calls = [
        lambda: numclip.global_norm(grads),
        lambda: numclip.clip_by_global_norm(grads, clip_norm, out=grads),
        lambda: numclip.clip_by_global_norm(grads, 0.5),
        clipper,
    ]
    for call in calls * 2:  # compiled, and with enough pinned memory for two uploads
        call()
    for call in calls:
        torch.cuda.synchronize()
        torch.cuda._sleep(2_000_000_000)  # cycles: about a second
        call()
        event = torch.cuda.Event()
        event.record()
        assert not event.query()
    torch.cuda.synchronize()


def test_the_current_stream_is_used(torch):
    stream = torch.cuda.Stream()
    grads = [torch.ones(1000, device="cuda")]
    numclip.global_norm(grads)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)
        grads[0].mul_(2.0)
        norm = numclip.global_norm(grads)
    on_stream = numclip.global_norm(grads, stream=stream)
    stream.synchronize()
    assert norm.item() == on_stream.item() == np.float32(np.sqrt(4000.0))


def test_a_clipper_in_a_graph(torch):
    grads = [torch.ones(100, device="cuda"), torch.ones((30, 40), device="cuda", dtype=torch.bfloat16)]
    clipper = numclip.Clipper(grads, 1.0)
    clipper()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        norm = clipper()
    for value in (3.0, 5.0):
        for grad in grads:
            grad.fill_(value)
        graph.replay()
        assert norm.item() == np.float32(np.sqrt(1300.0 * value**2))
        assert abs(numclip.global_norm(grads).item() - 1.0) < 1e-2


def test_only_a_clipper_goes_into_a_graph(torch):
    grads = [torch.ones(100, device="cuda")]
    numclip.global_norm(grads)
    with pytest.raises(RuntimeError, match=r"numclip\.Clipper"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        numclip.global_norm(grads)
    assert numclip.global_norm(grads).item() == 10.0


def test_torch_agrees(torch):
    grads = [torch.randn(n, device="cuda", dtype=torch.float64) for n in (10, 5000, 100_000)]
    parameters = [torch.nn.Parameter(torch.zeros_like(grad)) for grad in grads]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad.clone()
    wanted = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    clipped, norm = numclip.clip_by_global_norm(grads, 1.0)
    torch.testing.assert_close(norm, wanted, rtol=1e-12, atol=0)
    for actual, parameter in zip(clipped, parameters, strict=True):
        torch.testing.assert_close(actual, parameter.grad, rtol=1e-5, atol=0)
