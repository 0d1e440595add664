"""The side roads against NumPy and torch, in turns in one run: ``python -m benchmarks.side_roads``.

Values between bounds, norms along axes, strided arrays, calls from compiled code, and gradients of torch on
the CPU, by one thread. A round times numclip and the peer directly one after the other; the medians of the
rounds are printed. Each call writes to new or other arrays, so that every round has the same work; only
gradients of torch are clipped in place, as its own function does, to a threshold that is lowered every round,
and compiled code clips nothing: the calls themselves are timed.
"""

import importlib.util
import platform
from itertools import accumulate, repeat
from statistics import median
from time import perf_counter

import numba
import numpy as np

import numclip

SECONDS = 0.5  # for each row
LIMIT = 0.5


def numpy_clip_along(t, axis):
    norm = np.sqrt(np.sum(t * t, axis=axis, keepdims=True))
    return t * (LIMIT / np.maximum(norm, LIMIT))


def values(rng):
    for dtype in ("float32", "float64", "float16", "int32"):
        low, high = (-20, 30) if dtype == "int32" else (-0.5, 0.5)
        for size in (100, 1_000, 10_000, 100_000, 1_000_000):
            t = (rng.standard_normal(size) * (50 if dtype == "int32" else 1)).astype(dtype)
            out = np.empty_like(t)
            yield (
                f"clip_by_value(out=), {dtype}, {size:,}",
                "np.clip",
                lambda t=t, out=out, low=low, high=high: numclip.clip_by_value(t, low, high, out=out),
                lambda t=t, out=out, low=low, high=high: np.clip(t, low, high, out=out),
            )


def slices(rng):
    for dtype in ("float32", "float64"):
        for shape in ((64, 100), (100_000, 8), (50_000, 64), (256, 100_000)):
            t = rng.standard_normal(shape).astype(dtype)
            for axis in (0, 1):
                yield (
                    f"clip_by_norm(axes={axis}), {dtype}, {shape[0]:,} x {shape[1]:,}",
                    "two lines",
                    lambda t=t, axis=axis: numclip.clip_by_norm(t, LIMIT, axes=axis),
                    lambda t=t, axis=axis: numpy_clip_along(t, axis),
                )


def strided(rng):
    for name, view in (
        ("every second column", lambda base: base[:, ::2]),
        ("columns of a slab", lambda base: base[:, 10:-10]),
        ("every second row", lambda base: base[::2]),
    ):
        for side in (100, 1000):
            t = view(rng.standard_normal((side, side)).astype(np.float32))
            out, buffer = np.empty_like(t), np.empty_like(t)

            def copy_and_clip(t=t, buffer=buffer):
                np.copyto(buffer, t)
                numclip.clip_by_global_norm([buffer], LIMIT, out=[buffer])

            yield (
                f"clip_by_global_norm(out=), {name}, {side:,} x {side:,}",
                "a copy, clipped",
                lambda t=t, out=out: numclip.clip_by_global_norm([t], LIMIT, out=[out]),
                copy_and_clip,
            )

            # In place, there is something to clip in every round: the threshold is lowered.
            norm = float(numclip.global_norm([t]))
            limits = [accumulate(repeat(0.9999), lambda a, b: a * b, initial=norm) for _ in range(2)]
            own, others = view(np.array(t.base)), view(np.array(t.base))

            def clip_in_place(own=own, limits=limits[0]):
                numclip.clip_by_global_norm([own], next(limits), out=[own])

            def copy_clip_and_copy(others=others, buffer=buffer, limits=limits[1]):
                np.copyto(buffer, others)
                numclip.clip_by_global_norm([buffer], next(limits), out=[buffer])
                np.copyto(others, buffer)

            yield (
                f"in place, {name}, {side:,} x {side:,}",
                "copies, clipped",
                clip_in_place,
                copy_clip_and_copy,
            )


@numba.njit
def clip_many_times(arrays, times):
    for _ in range(times):
        numclip.clip_by_global_norm(arrays, np.inf, out=arrays)


def compiled(rng):
    for dtype in ("float32", "float64"):
        arrays = [rng.standard_normal(100).astype(dtype) for _ in range(5)]
        clipper = numclip.Clipper(arrays, np.inf)
        yield (
            f"1,000 calls from compiled code, {dtype}, 5 of 100",
            "a Clipper",
            lambda arrays=tuple(arrays): clip_many_times(arrays, 1000),
            lambda clipper=clipper: [clipper() for _ in range(1000)],
        )


def tensors(rng):
    import torch

    torch.set_num_threads(1)
    for count in (4, 50, 200):
        for size in (64, 10_000):
            gradients = [rng.standard_normal(size).astype(np.float32) for _ in range(count)]
            ours, theirs = ([torch.nn.Parameter(torch.zeros(size)) for _ in range(count)] for _ in range(2))
            for parameters in (ours, theirs):
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = torch.tensor(gradient)
            norm = float(numclip.global_norm(gradients))
            limits = [
                accumulate(repeat(0.9999), lambda limit, by: limit * by, initial=norm) for _ in range(2)
            ]

            def clip(parameters=ours, limits=limits[0]):
                grads = [parameter.grad for parameter in parameters]
                numclip.clip_by_global_norm(grads, next(limits), out=grads)

            def clip_by_torch(parameters=theirs, limits=limits[1]):
                torch.nn.utils.clip_grad_norm_(parameters, next(limits))

            yield f"gradients of torch in place, {count} of {size:,}", "clip_grad_norm_", clip, clip_by_torch


def timed(call, calls):
    begin = perf_counter()
    for _ in range(calls):
        call()
    return (perf_counter() - begin) / calls


def measure(ours, theirs):
    """Return the medians in microseconds, measured in turns."""
    for call in (ours, theirs):
        call()
    calls = max(1, int(1e-3 / max(timed(ours, 1), timed(theirs, 1))))
    figures, end = [], perf_counter() + SECONDS
    while perf_counter() < end or len(figures) < 5:
        figures.append((timed(ours, calls), timed(theirs, calls)))
    return tuple(1e6 * median(column) for column in zip(*figures, strict=True))


def main():
    rng = np.random.default_rng(0)
    numclip.set_num_threads(1)
    roads = [values, slices, strided, compiled]
    if importlib.util.find_spec("torch"):
        roads.append(tensors)
    print(f"numclip {numclip.__version__}, NumPy {np.__version__}, Python {platform.python_version()}\n")
    print("| road | numclip [us] | peer [us] | ratio | peer |\n|---|---|---|---|---|")
    for road in roads:
        for name, peer, ours, theirs in road(rng):
            own, other = measure(ours, theirs)
            print(f"| {name} | {own:,.1f} | {other:,.1f} | {own / other:.2f} | {peer} |", flush=True)


if __name__ == "__main__":
    main()
