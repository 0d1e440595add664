"""Clipping by global norm: numclip against its peers, over workloads, targets and states of the BLAS.

Two effects would make such a comparison wrong:

- *In place there is nothing left to clip the second time*, and every further round would time the norm only.
  So each round gets a threshold 0.05 % below the last one. That costs nothing, works for every peer and every
  size, and leaves the arrays in the cache as far as freshly computed gradients would be there. Copying the
  originals back before each round would take longer than clipping, and load a second set of arrays into the
  cache. After 1000 rounds the values have shrunk to 0.6 of the originals, far above the subnormal numbers.
- *A clip call comes right after a matrix product*, while the threads of the BLAS still spin and hold the
  cores. A benchmark that only repeats the clip call does not show that, so every case is timed a second time
  with a product before each round, outside the timing.

The peers of a case run one after the other on copies of the same arrays, with the same number of threads: as
`make bench` sets it for BLAS and Numba, all cores by default; the results record it. The limit of the machine
is timed in turns with numclip, because on a shared host it changes: two cores of a virtual machine read 48
GB/s in one second and 92 in the next.
"""

import importlib.util
from functools import partial
from itertools import accumulate, repeat
from statistics import median
from time import perf_counter, sleep

import numpy as np
import pytest

import numclip
from benchmarks import idioms
from benchmarks.limit import limit
from benchmarks.workloads import TOTALS, WORKLOADS, gradients

LONG = 1_000_000  # parameters; `make bench-quick` stays below
LOWERED = 0.9995  # threshold of a round / threshold of the round before
WARMUPS, MIN_ROUNDS, MAX_ROUNDS = 3, 10, 1000
SPINNING = 0.3  # seconds after which the threads of a BLAS that computed the norm of a long list are asleep

# PEERS[target][name](grads, out) prepares a peer for these arrays, untimed, and returns the function of
# clip_norm that is timed. A further peer is a further entry.
PEERS = {
    "in place": {
        "numclip": lambda grads, _: partial(numclip.clip_by_global_norm, grads, out=grads),
        "numpy": lambda grads, _: partial(idioms.clip_into, grads, out=grads),
        "numpy naive": lambda grads, _: partial(idioms.naive_clip_in_place, grads),
    },
    "into buffers": {
        "numclip": lambda grads, out: partial(numclip.clip_by_global_norm, grads, out=out),
        "numpy": lambda grads, out: partial(idioms.clip_into, grads, out=out),
        "numpy naive": lambda grads, out: partial(idioms.naive_clip_into, grads, out=out),
    },
    "fresh": {
        "numclip": lambda grads, _: partial(numclip.clip_by_global_norm, grads),
        "numpy": lambda grads, _: partial(idioms.clip, grads),
        "numpy naive": lambda grads, _: partial(idioms.naive_clip, grads),
    },
    "norm": {
        "numclip": lambda grads, _: lambda _: numclip.global_norm(grads),
        "numpy": lambda grads, _: lambda _: idioms.global_norm(grads),
        "numpy naive": lambda grads, _: lambda _: idioms.naive_global_norm(grads),
    },
}


# Peers that write to the arrays they are given, which is checked; the others use arrays of their own.
WRITERS = {"numclip", "Clipper", "numpy", "numpy naive", "torch", "torch, one by one"}


def _clipper(grads, out):
    clipper = numclip.Clipper(grads, 1.0, out=out)
    return lambda clip_norm: clipper(clip_norm=clip_norm)


PEERS["in place"]["Clipper"] = lambda grads, _: _clipper(grads, grads)
PEERS["into buffers"]["Clipper"] = _clipper
for target in ("in place", "into buffers", "fresh"):
    PEERS[target]["limit"] = limit(in_place=target == "in place")

# `make bench` runs where the frameworks are installed, `make bench-quick` where they may not be.
if all(importlib.util.find_spec(name) for name in ("torch", "tensorflow", "optax")):
    from benchmarks import frameworks

    for target, peers in frameworks.PEERS.items():
        PEERS[target] |= peers


def _label(target, clipped):
    return "norm only" if target == "norm" else f"{target}, {'clipped' if clipped else 'not clipped'}"


CASES = [
    pytest.param(target, clipped, peer, id=f"{_label(target, clipped)}-{peer}")
    for target, peers in PEERS.items()
    for clipped in ((True, False) if target != "norm" else (False,))
    for peer in peers
]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.long] * (TOTALS[workload][1] > LONG))
        for name, workload in WORKLOADS.items()
    ],
)
def workload(request):
    """Name of a workload and its gradients, which must not be written."""
    name = request.param
    grads = gradients(WORKLOADS[name])
    for grad in grads:
        grad.flags.writeable = False
    return name, grads


@pytest.fixture(params=["alone", "after a matmul"])
def prelude(request):
    """Untimed, just before each round: nothing, or a matrix product that leaves the BLAS threads spinning."""
    if request.param == "alone":
        return request.param, lambda: None
    a = np.random.default_rng(0).standard_normal((600, 600), dtype=np.float32)
    return request.param, lambda: a @ a


@pytest.mark.parametrize(("target", "clipped", "peer"), CASES)
def test_clip(benchmark, workload, prelude, target, clipped, peer):
    name, original = workload
    when, before_round = prelude
    norm = idioms.global_norm(original)
    last, turns = None, []

    def prepare(peer):
        grads = [grad.copy() for grad in original]
        out = [grad.copy() for grad in original] if target == "into buffers" else None
        return PEERS[target][peer](grads, out), {"in place": grads, "into buffers": out}.get(target)

    call, written = prepare(peer)
    numclip_in_turn = prepare("numclip")[0] if peer == "limit" else None

    lowered = accumulate(repeat(LOWERED), float.__mul__, initial=norm / 2)
    clip_norms = lowered if clipped else repeat(2 * norm)

    def setup():
        nonlocal last
        last = next(clip_norms)
        before_round()
        if numclip_in_turn:
            start = perf_counter()
            numclip_in_turn(last)
            turns.append(perf_counter() - start)
            before_round()
        return (last,), {}

    case = _label(target, clipped)
    benchmark.group = f"{name}, {case}, {when}"
    arrays, parameters = TOTALS[WORKLOADS[name]]
    benchmark.extra_info |= {"case": case, "arrays": arrays, "parameters": parameters}
    rounds = _rounds(call, setup, benchmark)
    if when == "alone" and parameters > LONG:
        sleep(SPINNING)
    benchmark.pedantic(call, setup=setup, rounds=rounds, warmup_rounds=WARMUPS)
    if turns:
        benchmark.extra_info["numclip in turn"] = median(turns[-rounds:])

    if written is not None and peer in WRITERS:
        assert idioms.global_norm(written) == pytest.approx(min(norm, last), rel=1e-4)


def _rounds(call, setup, benchmark):
    """Return the number of rounds that fit, with their preludes, into --benchmark-max-time, within bounds."""
    (clip_norm,), _ = setup()
    call(clip_norm)  # compiles, if the peer is compiled
    start = perf_counter()
    (clip_norm,), _ = setup()
    call(clip_norm)
    return min(max(int(benchmark._max_time / (perf_counter() - start)), MIN_ROUNDS), MAX_ROUNDS)
