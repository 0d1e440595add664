"""The same bits for every number of threads, every threading layer and every processor."""

from pathlib import Path

import numpy as np
import oracle
import pytest
from layers import needs_openmp
from oracle import ordered_norm, ordered_root
from policy import share_every_list
from processes import run_python

import numclip

SCRIPT = Path(__file__).parents[1] / "bits.py"


def digests(*blocks, **settings):
    """Return the digests of all roads, and the threading layer."""
    *lines, layer = run_python(SCRIPT, "settings", *blocks, **settings).stdout.splitlines()
    assert len(lines) == 7
    return lines, layer.removeprefix("threading layer: ")


@pytest.fixture(scope="module")
def serial():
    return digests()[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "blocks"),
    [("tbb", 2), pytest.param("omp", 2, marks=needs_openmp), ("workqueue", 2), ("workqueue", 7)],
)
def test_threads_give_the_bits_of_one(serial, layer, blocks):
    settings = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": str(blocks)}
    assert digests(blocks, **settings) == (serial, layer)


# Each compiles everything once more.
@pytest.mark.slow
@pytest.mark.parametrize("processor", ["generic", pytest.param("haswell", marks=pytest.mark.long)])
def test_other_processors_give_the_bits_of_this_one(serial, processor):
    assert digests(NUMBA_CPU_NAME=processor)[0] == serial


ALONG_AXES = """
import hashlib
import numpy as np
import numclip
digest = hashlib.sha256()
for dtype in (np.float16, np.float32, np.float64):
    t = np.random.default_rng(7).standard_normal((203, 77)).astype(dtype)
    for axis in (0, 1):
        digest.update(numclip.clip_by_norm(t, 5.0, axis).tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_another_processor_gives_the_bits_of_this_one_along_axes():
    """Without fused multiply-add, which the decisions for eight slices at a time are made with."""
    generic = run_python("-c", ALONG_AXES, NUMBA_CPU_NAME="generic").stdout
    assert generic == run_python("-c", ALONG_AXES).stdout != ""


def test_one_block_of_the_parallel_kernels_gives_the_same_bits(monkeypatch):
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal(size).astype(np.float32) for size in (3, 5000, 4096 * 3 + 17)]
    expected, norm = numclip.clip_by_global_norm(arrays, 1.0)
    for blocks in (1, 2, 3, 100):
        share_every_list(blocks, monkeypatch.setattr)
        clipped, other = numclip.clip_by_global_norm(arrays, 1.0)
        assert norm == other
        assert all((a == b).all() for a, b in zip(expected, clipped, strict=True))


def assert_summed_in_order(arrays):
    """The factor of float32 arrays shows the last bits of the sum, which rounding removes from the norm."""
    factor, norm = numclip.clip_factor(arrays, 1e-3)
    root, unit = ordered_root(arrays)
    assert norm == ordered_norm(arrays)
    assert factor == oracle.factor(root, unit, norm, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [4096 * 33 + 5, 4096 * 4096 + 4097])
def test_an_array_of_many_chunks_is_summed_in_the_order_that_is_defined(size):
    values = np.random.default_rng(6).standard_normal(size, dtype=np.float32)
    assert_summed_in_order([values, values[:100]])


def test_more_arrays_than_a_chunk_are_summed_in_the_order_that_is_defined():
    assert_summed_in_order(list(np.random.default_rng(7).standard_normal((5000, 3), dtype=np.float32)))
