"""The same bits for every number of threads, every threading layer and every processor."""

from pathlib import Path

import numpy as np
import pytest
from oracle import ordered_norm
from processes import run_python

import numclip
from numclip import _threads

SCRIPT = Path(__file__).parent / "digest.py"


def digest(blocks, **settings):
    return run_python(SCRIPT, blocks, **settings).stdout.split()


@pytest.fixture(scope="module")
def serial():
    return digest("serial")


@pytest.mark.parametrize(("layer", "blocks"), [("tbb", 2), ("omp", 2), ("workqueue", 2), ("workqueue", 7)])
def test_threads_give_the_bits_of_one(serial, layer, blocks):
    [bits, running] = digest(str(blocks), NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=str(blocks))
    assert running == layer
    assert [bits] == serial


# Each compiles everything once more.
@pytest.mark.parametrize("processor", ["generic", pytest.param("haswell", marks=pytest.mark.long)])
def test_other_processors_give_the_bits_of_this_one(serial, processor):
    assert digest("serial", NUMBA_CPU_NAME=processor) == serial


def test_one_block_of_the_parallel_kernels_gives_the_same_bits(monkeypatch):
    rng = np.random.default_rng(5)
    arrays = [rng.standard_normal(size).astype(np.float32) for size in (3, 5000, 4096 * 3 + 17)]
    expected, norm = numclip.clip_by_global_norm(arrays, 1.0)
    for blocks in (1, 2, 3, 100):
        monkeypatch.setattr(_threads, "blocks", lambda elements, blocks=blocks: blocks)
        clipped, other = numclip.clip_by_global_norm(arrays, 1.0)
        assert norm == other
        assert all((a == b).all() for a, b in zip(expected, clipped, strict=True))


@pytest.mark.parametrize("size", [4096 * 33 + 5, 4096 * 4096 + 4097])
def test_an_array_of_many_chunks_is_summed_in_the_order_that_is_defined(size):
    values = np.random.default_rng(6).standard_normal(size, dtype=np.float32)
    assert numclip.global_norm([values, values[:100]]) == ordered_norm([values, values[:100]])


def test_more_arrays_than_a_chunk_are_summed_in_the_order_that_is_defined():
    values = np.random.default_rng(7).standard_normal((5000, 3))
    assert numclip.global_norm(list(values)) == ordered_norm(list(values))
