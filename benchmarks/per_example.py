"""Per-example clipping against NumPy and optax, in turns in one run: ``python -m benchmarks.per_example``.

optax runs compiled by ``jax.jit``, on arrays that are JAX's already, and is left out where it is not
installed. Each library takes the threads that it takes by itself. A turn lasts a while, as the threads of
NumPy's products and of JAX go on spinning for some time. The medians of all turns are printed, in
microseconds.
"""

import importlib.util
import platform
from math import prod
from statistics import median
from time import perf_counter

import numpy as np

import numclip
from benchmarks import workloads

TURNS, SECONDS = 3, 0.25  # of each contestant in a row
CLIP_NORM = 1.0

BATCHES = (
    ("RL MLP", workloads.rl_mlp, 64),
    ("char-RNN", workloads.char_rnn, 32),
    ("LeNet-5", workloads.lenet5, 16),
    ("LeNet-5", workloads.lenet5, 256),
    ("perceptron", lambda: {"w1": (784, 1024), "b1": (1024,), "w2": (1024, 256), "w3": (256, 10)}, 32),
)


def numpy_clip(grads):
    flat = [grad.reshape(len(grad), -1) for grad in grads]
    norms = np.sqrt(sum(np.einsum("ij,ij->i", rows, rows) for rows in flat))
    factors = CLIP_NORM / np.maximum(norms, CLIP_NORM)
    return [np.tensordot(factors, grad, 1) for grad in grads], int((norms > CLIP_NORM).sum()), norms


def numpy_by_hand(grads):
    squares = sum((grad**2).reshape(len(grad), -1).sum(1) for grad in grads)
    factors = CLIP_NORM / np.maximum(np.sqrt(squares), CLIP_NORM)
    return [(grad.T * factors).T.sum(0) for grad in grads]


def contestants(grads):
    calls = {
        "numclip": lambda: numclip.per_example_global_norm_clip(grads, CLIP_NORM),
        "NumPy": lambda: numpy_clip(grads),
        "clipped copies": lambda: numpy_by_hand(grads),
    }
    if importlib.util.find_spec("optax"):
        import jax
        import optax

        compiled = jax.jit(optax.per_example_global_norm_clip)
        arrays = [jax.numpy.asarray(grad) for grad in grads]
        calls["optax"] = lambda: jax.block_until_ready(compiled(arrays, CLIP_NORM))
    return calls


def measure(calls):
    figures = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            call()
            end = perf_counter() + SECONDS
            while not figures[name] or perf_counter() < end:
                begin = perf_counter()
                call()
                figures[name].append(1e6 * (perf_counter() - begin))
    return {name: median(values) for name, values in figures.items()}


def main():
    rng = np.random.default_rng(0)
    print(f"numclip {numclip.__version__}, NumPy {np.__version__}, Python {platform.python_version()}\n")
    print("| gradients | examples | numclip | NumPy | clipped copies | optax |\n|---|---|---|---|---|---|")
    for dtype in (np.float32, np.float64):
        for name, shapes, examples in BATCHES:
            sides = shapes().values()
            grads = [rng.standard_normal((examples, *side)).astype(dtype) for side in sides]
            calls = contestants(grads)
            if dtype is np.float64:
                calls.pop("optax", None)  # without its switch for the whole program, JAX computes in float32
            times = measure(calls)
            columns = [
                f"{times[who]:,.0f}" if who in times else ""
                for who in ("numclip", "NumPy", "clipped copies", "optax")
            ]
            parameters = sum(map(prod, sides))
            print(
                f"| {name}, {parameters:,} {np.dtype(dtype)} | {examples} |",
                " | ".join(columns),
                "|",
                flush=True,
            )


if __name__ == "__main__":
    main()
