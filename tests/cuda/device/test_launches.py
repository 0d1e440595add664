"""The launches of a call, the results that blocks pass to each other, and uploads."""

from types import SimpleNamespace

import numpy as np
import oracle
import pytest
from arrays import DTYPES, assert_same_norm, random_array
from on_device import on_device, to_host

import numclip
from numclip._core.dtypes import FLOAT32, FLOAT64
from numclip._cuda import machine_code, pack
from numclip._cuda.decision import use_given
from numclip._cuda.table import (
    COLUMNS,
    DIRECTORY,
    DIRECTORY_SHIFT,
    FIRST_CHUNK,
    FIRST_RUN,
    HEADER,
    LARGE,
    LARGE_COUNT,
    REALS,
    RUN_TICKETS,
)
from numclip._cuda.target import driver
from numclip._cuda.workspace import Workspace


@pytest.fixture
def launches(monkeypatch):
    """The names of the kernels that are launched."""
    names, launch = [], driver.launch

    def record(kernel, *arguments):
        names.append(kernel.body.py_func.__name__)
        launch(kernel, *arguments)

    monkeypatch.setattr(driver, "launch", record)
    return names


def on_devices(*arrays):
    return [*map(on_device, arrays)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_call_is_two_launches(launches, rng, dtype):
    """Three with 64-bit elements; the device itself decides on a second pass."""
    sums = ["sum_and_decide"] * (2 if np.dtype(dtype) in (np.float64, np.complex128) else 1)
    for scale in (1.0, 1e-200 if dtype == np.float64 else 1e-3):
        grads = on_devices((random_array(rng, dtype, (40,)) * scale).astype(dtype), np.zeros(0, dtype))
        clipper = numclip.Clipper(grads, scale)
        for limit, given in ((None, None), (np.array(scale), None), (None, 2.0), (None, np.array(2.0))):
            launches.clear()
            clipper(*(on_device(n) if isinstance(n, np.ndarray) else n for n in (limit, given)))
            assert launches == [*(sums if given is None else ["use_given_norm"]), "scale_chunks"]


def test_what_writes_nothing_is_one_launch(launches):
    grads = on_devices(np.ones(3, np.float32))
    numclip.global_norm(grads)
    numclip.clip_factor(grads, 1.0)
    assert launches == ["sum_and_decide"] * 2


SIZES = {
    "one chunk each": (31, 32, 1, 0, 7) * 3,
    "runs within a block": (33, 70, 64, 65),
    "runs over blocks": (40, 32 * 9 + 1, 5, 32 * 30, 32 * 7),
    "several runs": (3, 32 * 32 * 2 + 33, 32 * 32 + 1, 32 * 32, 9),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1.0), (np.float64, 1.0), (np.float64, 1e-200)])
def test_whoever_is_last_sums_what_the_others_left(rng, short_chunks, sizes, dtype, scale):
    """Repeatedly: each call resets its counters."""
    t_list = [(random_array(rng, dtype, (size,)) * scale).astype(dtype) for size in sizes]
    grads = on_devices(*t_list)
    clipper = numclip.Clipper(grads, np.inf)
    for _ in range(2):
        assert_same_norm(to_host(clipper())[()], oracle.ordered_norm(t_list))
    expected = oracle.ordered_norm(t_list)
    factor, norm = numclip.clip_factor(grads, float(expected) / 3)
    assert_same_norm(to_host(norm)[()], expected)
    assert to_host(factor)[()] == oracle.factor(*oracle.ordered_root(t_list), expected, float(expected) / 3)


def columns(table):
    return table.words[HEADER : HEADER + COLUMNS * (table.count + 1)].reshape(COLUMNS, -1)


def test_the_table_of_ten_thousand_arrays_and_of_very_long_ones():
    lengths = [1, 0, 4096, 4097, 2**32 + 5, 2**36] + [10] * 9994
    table = pack.Table(tuple((16, 16, length, FLOAT32, 1) for length in lengths))
    chunks = [-(-length // 4096) for length in lengths]
    runs = [-(-n // 4096) if n > 1 else 0 for n in chunks]
    assert columns(table)[FIRST_CHUNK].tolist() == [0, *np.cumsum(chunks)]
    assert columns(table)[FIRST_RUN].tolist() == [0, *np.cumsum(runs)]
    assert table.words[LARGE_COUNT] == 2
    assert columns(table)[LARGE, :2].tolist() == [4, 5]
    assert table.chunks == sum(chunks)
    assert table.size == table.words.size + 2 * (sum(runs) + sum(chunks)) + len(lengths)
    shift, place = table.words[DIRECTORY_SHIFT], table.words[DIRECTORY] // 8
    directory = table.words[place : table.words[RUN_TICKETS] // 8]
    assert pack.LONGEST_DIRECTORY // 2 <= directory.size <= pack.LONGEST_DIRECTORY + 1
    first = columns(table)[FIRST_CHUNK]
    for i, row in enumerate(directory[:-1].tolist()):
        assert first[row] <= i << shift < first[row + 1]
    assert directory[-1] == len(lengths) - 1
    wide = pack.Table(((16, 16, 5, FLOAT64, 1), (16, 16, 6, FLOAT32, 2)))
    assert (wide.has_float64, table.has_float64) == (True, False)
    assert (wide.has_complex, table.has_complex) == (True, False)
    assert columns(wide)[REALS, :2].tolist() == [1, 2]


@pytest.fixture
def uploads(monkeypatch):
    tables, upload = [], Workspace._upload

    def record(self, words):
        tables.append(words.size)
        upload(self, words)

    monkeypatch.setattr(Workspace, "_upload", record)
    return tables


def test_a_table_is_uploaded_again_when_the_arrays_lie_elsewhere(uploads, rng):
    t_list = [random_array(rng, np.float64, (40,)) for _ in range(3)]
    grads, others = on_devices(*t_list), on_devices(*(array.copy() for array in t_list[:2]))
    for arrays, count in (
        (grads, 1),
        (grads, 1),
        (others, 2),
        (grads, 2),
        (grads[::-1], 3),
        (grads[::-1], 3),
    ):
        norm = numclip.global_norm(arrays)
        assert len(uploads) == count
        assert_same_norm(to_host(norm)[()], numclip.global_norm([array.array for array in arrays]))


def test_strided_arrays_are_looked_at_anew(uploads, rng):
    array = random_array(rng, np.float32, (6, 8))
    for view in (array[:, ::2], array[:, 1::2], array[::2, :4]):
        norm = numclip.global_norm(on_devices(view))
        assert_same_norm(to_host(norm)[()], numclip.global_norm([view.copy()]))
    assert len(uploads) == 3


def test_a_warmup_loads_what_calls_need(monkeypatch):
    loaded, load = [], driver.load

    def record(kernel):
        loaded.append(kernel)
        return load(kernel)

    monkeypatch.setattr(driver, "load", record)
    numclip.warmup(["float16", "complex128"], device="cuda")
    assert {kernel.body.py_func.__name__ for kernel in loaded} == {
        *("sum_and_decide", "use_given_norm", "scale_chunks")
    }
    launched, launch = [], driver.launch

    def record_launch(kernel, *arguments):
        launched.append(kernel)
        launch(kernel, *arguments)

    monkeypatch.setattr(driver, "launch", record_launch)
    for dtype in (np.float16, np.complex128):
        grads = on_devices(np.ones(3, dtype))
        numclip.clip_by_global_norm(grads, 1.0)
        numclip.clip_by_global_norm(grads, 1.0, 2.0, out=grads)
    assert set(launched) == set(loaded)
    loaded.clear()
    numclip.Clipper(grads, 1.0, ord=1)
    assert loaded  # before a call, which may be captured in a graph


def test_a_numpy_that_numba_cuda_does_not_know_is_named(monkeypatch):
    def compile_kernel(*_, **options):
        raise AttributeError("module 'numpy' has no attribute 'row_stack'")

    monkeypatch.setattr(machine_code, "cuda", SimpleNamespace(compile=compile_kernel))
    with pytest.raises(ImportError, match=r'cannot compile for CUDA here: pip install .* "numpy<2\.5"'):
        machine_code._compile(use_given(None, None), (9, 0))
