"""Streams and graphs, and when the host or a stream waits."""

from contextlib import contextmanager

import numpy as np
from registry import check

import numclip

CYCLES = 400_000_000  # some tenths of a second


@contextmanager
def raises(error, message):
    text = f"no {error.__name__}"
    try:
        yield
    except error as raised:
        text = str(raised)
    assert message in text, text


def busy():
    import torch

    torch.cuda._sleep(CYCLES)


# --- the host does not wait ---------------------------------------------------------------------------------


def assert_returns_while_the_device_is_busy(calls):
    import torch

    for call in calls * 2:  # compiles, and allocates memory for uploads
        call()
    for call in calls:
        torch.cuda.synchronize()
        busy()
        call()
        event = torch.cuda.Event()
        event.record()
        assert not event.query()
    torch.cuda.synchronize()


@check()
def the_host_does_not_wait():
    import torch

    grads = [torch.randn(1000, device="cuda") for _ in range(50)]
    clip_norm = torch.tensor(0.5, device="cuda")
    calls = [
        lambda: numclip.global_norm(grads),
        lambda: numclip.clip_by_global_norm(grads, clip_norm, out=grads),
        lambda: numclip.clip_by_global_norm(grads, 0.5),
        lambda: numclip.clip_factor(grads, 0.5),
        lambda: numclip.tensor_norms(grads, ord=3),
        numclip.Clipper(grads, 1.0, ord=1),
    ]
    assert_returns_while_the_device_is_busy(calls)


@check(needs=("torch", "numba_cuda"))
def the_host_does_not_wait_with_arrays_of_numba():
    """Except for new arrays: Numba's allocation waits for the device."""
    from numba import cuda

    grads = [cuda.to_device(np.ones(1000, np.float32)) for _ in range(50)]
    calls = [
        lambda: numclip.global_norm(grads),
        lambda: numclip.clip_by_global_norm(grads, 0.5, out=grads),
        numclip.Clipper(grads, 1.0),
    ]
    assert_returns_while_the_device_is_busy(calls)


# --- streams ------------------------------------------------------------------------------------------------


@check()
def the_current_stream_is_used():
    import torch

    stream = torch.cuda.Stream()
    grads = [torch.ones(1000, device="cuda")]
    numclip.global_norm(grads)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        busy()
        grads[0].mul_(2.0)
        norm = numclip.global_norm(grads)
    on_stream = numclip.global_norm(grads, stream=stream)
    stream.synchronize()
    assert norm.item() == on_stream.item() == np.float32(np.sqrt(4000.0))


@check()
def a_stream_that_is_given_owns_what_it_fills():
    """The pool of the current stream could reuse the memory while the other stream is busy."""
    import torch

    stream = torch.cuda.Stream()
    grads = [torch.full((1 << 20,), 3.0, device="cuda") for _ in range(4)]
    wanted = numclip.clip_by_global_norm([grad.cpu().numpy() for grad in grads], 1.0)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        busy()
    clipped, norm = numclip.clip_by_global_norm(grads, 1.0, stream=stream)
    del grads  # while the stream has not even begun
    overwritten = [torch.full((1 << 20,), 7.0, device="cuda") for _ in range(8)]
    numbers = [torch.full((), 7.0, device="cuda") for _ in range(1000)]
    stream.synchronize()
    assert norm.item() == wanted[1]
    for actual, right in zip(clipped, wanted[0], strict=True):
        np.testing.assert_array_equal(actual.cpu().numpy(), right)
    assert len(overwritten) + len(numbers) == 1008


@check(needs=("torch", "cupy"))
def two_libraries_in_one_list():
    """The stream of each library may still fill its array at the call, and read it right after the call."""
    import cupy
    import torch

    tensor, array = torch.zeros(1 << 20, device="cuda"), cupy.zeros(1 << 20, cupy.float32)
    limit, cupy_stream = cupy.zeros((), cupy.float32), cupy.cuda.Stream(non_blocking=True)
    side = torch.cuda.Stream()
    for first_is_torch in (True, False):
        torch.cuda.synchronize()
        cupy.cuda.Device().synchronize()
        with torch.cuda.stream(side), cupy_stream:
            busy()
            tensor.fill_(3.0)
            with torch.cuda.stream(torch.cuda.ExternalStream(cupy_stream.ptr)):
                busy()
            array.fill(4.0)
            limit.fill(512.0)
            grads = [tensor, array] if first_is_torch else [array, tensor]
            norm = numclip.clip_by_global_norm(grads, limit, out=grads)[1]
            copies = tensor.clone(), array.copy()
        torch.cuda.synchronize()
        cupy_stream.synchronize()
        assert float(norm) == 5120.0
        assert float(copies[0].min()) == float(copies[0].max()) == np.float32(0.3)
        assert float(copies[1].min()) == float(copies[1].max()) == np.float32(0.4)


@check()
def calls_of_one_clipper_that_overlap():
    """Their own results are undefined, but later calls, alone, are correct."""
    import torch

    grads = [torch.ones(5_000_000, device="cuda") for _ in range(4)]
    clipper = numclip.Clipper(grads, float("inf"))
    wanted = numclip.global_norm(grads).item()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        clipper()
    sides = [torch.cuda.Stream() for _ in range(2)]
    torch.cuda.synchronize()
    for _ in range(200):
        with torch.cuda.stream(sides[0]):
            graph.replay()  # a replay waits for no stream
        with torch.cuda.stream(sides[1]):
            clipper()
    torch.cuda.synchronize()
    assert [clipper().item() for _ in range(20)] == [wanted] * 20


# --- graphs -------------------------------------------------------------------------------------------------


@check()
def a_clipper_in_a_graph_before_any_other_call():
    """A clipper loads its kernels and uploads its table when it is made."""
    import torch

    grads = [torch.ones(100, device="cuda"), torch.ones((30, 40), device="cuda", dtype=torch.bfloat16)]
    clipper = numclip.Clipper(grads, 1.0)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        norm = clipper()
    for value in (3.0, 5.0):
        for grad in grads:
            grad.fill_(value)
        graph.replay()
        assert norm.item() == np.float32(np.sqrt(1300.0 * value**2))
        assert abs(numclip.global_norm(grads).item() - 1.0) < 1e-2


@check()
def only_a_clipper_goes_into_a_graph():
    import torch

    grads = [torch.ones(100, device="cuda")]
    numclip.global_norm(grads)
    with raises(RuntimeError, "numclip.Clipper"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        numclip.global_norm(grads)
    torch.cuda.synchronize()
    assert numclip.global_norm(grads).item() == 10.0


# --- what is refused ----------------------------------------------------------------------------------------


@check()
def a_tensor_without_memory():
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.empty(10, device="cuda")
    with raises(TypeError, "has no memory of its own"):
        numclip.global_norm([fake])
    torch.cuda.synchronize()  # the context is alive


@check(needs=("jax",))
def arrays_of_jax_are_not_written():
    import jax

    array = jax.device_put(np.ones(3, np.float32), jax.devices("gpu")[0])
    with raises(ValueError, "out[0] is read-only"):
        numclip.clip_by_global_norm([array], 1.0, out=[array])
    transposed = jax.device_put(np.arange(6, dtype=np.float32).reshape(2, 3)).T
    assert float(numclip.global_norm([transposed]).copy_to_host()) == np.float32(np.sqrt(55.0))
