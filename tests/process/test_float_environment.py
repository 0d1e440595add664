"""The same bits in any floating-point environment that another library has set for the thread.

Guards against what plain Numba does: its code computes in the current environment. A shared library
linked with -ffast-math flushes subnormal numbers to zero in the thread that loads it and in all that this one
starts later: https://github.com/llvm/llvm-project/issues/57589.
"""

import ctypes
import platform
import sys
import warnings

import ml_dtypes
import numpy as np
import pytest
from arrays import DTYPES, byte_swapped, ragged_list, slices_of, with_gaps
from float_environment import ROUNDING, X86, environment
from layers import LAYERS
from policy import share_every_list
from processes import run_python

import numclip

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not (X86 or platform.machine() in ("aarch64", "arm64")),
    reason="no way here to set the environment",
)

ENVIRONMENTS = [{"flush": True}, *({"rounding": mode} for mode in ROUNDING)]
each_environment = pytest.mark.parametrize("settings", ENVIRONMENTS, ids=lambda s: s.get("rounding", "flush"))

SUBNORMALS = {
    "float32": [1e-40, -3e-41, 2e-45],
    "float64": [5e-324, -1e-310, 1e-308],
    "float16": [6e-8, -1e-5, 3e-5],
    "bfloat16": [1e-40, -3e-39, 1e-38],
    "complex64": [1e-40 + 2e-45j],
    "complex128": [5e-324 + 1e-310j],
}


def lists(dtype):
    """Subnormals alone, and with numbers that make the results subnormal; all layouts that need buffers."""
    tiny = np.array(SUBNORMALS[dtype.name], dtype)
    normal = np.array([3.0, -0.1, 1 / 3] * 1500, dtype)
    halves = np.array([2.0**-14, 1.0009765625], dtype)
    yield [tiny]
    yield [normal, tiny, halves]
    yield [with_gaps(tiny), byte_swapped(tiny), slices_of(tiny.copy()), None]


def bits(entry):
    return None if entry is None else np.asarray(getattr(entry, "values", entry)).tobytes()


def outcome(t_list, bound):
    clipped, norm = numclip.clip_by_global_norm(t_list, bound)
    again, _ = numclip.clip_by_global_norm(t_list, bound, norm)
    return [type(norm), norm.tobytes(), *map(bits, clipped), *map(bits, again)]


BOUNDS = [1e-41, np.float32(1e-41), ml_dtypes.bfloat16(1e-40), 5e-324, 1e-320, 1e-7, 0.37]


@each_environment
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_bits_are_those_of_the_default(dtype, settings):
    every = list(lists(dtype))
    for t_list in every:
        for bound in BOUNDS:
            expected = outcome(t_list, bound)
            with environment(**settings):
                actual = outcome(t_list, bound)
            assert actual == expected


@each_environment
def test_the_bits_are_those_of_the_default_for_lists_of_all_dtypes(rng, settings):
    every = [*ragged_list(rng), *(np.array(SUBNORMALS[dtype.name], dtype) for dtype in DTYPES)]
    expected = outcome(every, 0.3)
    with environment(**settings):
        actual = outcome(every, 0.3)
    assert actual == expected


@each_environment
def test_a_factor_that_is_subnormal(settings):
    for t_list in ([np.ones(3)], [np.ones(3, np.float32), np.ones(2)]):
        expected = numclip.clip_factor(t_list, 1e-20, 1e300)[0], numclip.clip_factor(t_list, 1e-309)[0]
        assert all(0.0 < factor < 2.0**-1022 for factor in expected)
        with environment(**settings):
            actual = numclip.clip_factor(t_list, 1e-20, 1e300)[0], numclip.clip_factor(t_list, 1e-309)[0]
        assert [factor.hex() for factor in actual] == [factor.hex() for factor in expected]


@each_environment
def test_a_clipper_and_the_norm_alone(settings):
    tiny = np.array(SUBNORMALS["float32"], np.float32)
    expected = numclip.global_norm([tiny]).tobytes(), outcome([tiny], 1e-41)[2]
    clipper = numclip.Clipper([tiny], 1e-41)
    with environment(**settings):
        actual = numclip.global_norm([tiny]).tobytes(), (clipper(), tiny.tobytes())[1]
    assert actual == expected


@each_environment
@pytest.mark.parametrize("blocks", [2, 3])
def test_the_bits_are_those_of_the_default_in_each_thread(monkeypatch, rng, settings, blocks):
    tiny = (rng.standard_normal(50_000) * 1e-39).astype(np.float32)
    expected = outcome([tiny, tiny[:77]], 1e-39)
    share_every_list(blocks, monkeypatch.setattr)
    with environment(**settings):
        actual = outcome([tiny, tiny[:77]], 1e-39)
    assert actual == expected


LIMITS = [0.37, 1e-7, 5e-324, np.float32(1e-41), np.array([[1e-40], [2e-44], [1.0]], np.float32)]
INTERVALS = [(-limit, limit) for limit in LIMITS]


@each_environment
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_bits_are_those_of_the_default_where_numpy_computes(dtype, settings):
    tiny = np.resize(np.array(SUBNORMALS[dtype.name], dtype), (3, 20))
    slices = numclip.IndexedSlices(tiny, np.array([4, 0, 4]))

    def outcomes():
        results = [numclip.clip_by_norm(tiny, limit, axes=1) for limit in LIMITS]
        results.append(slices.coalesce().values)
        if dtype.kind != "c":
            results += [numclip.clip_by_value(tiny, *interval) for interval in INTERVALS]
        return [result.tobytes() for result in results]

    expected = outcomes()
    with environment(**settings):
        actual = outcomes()
    assert actual == expected


THREADS_STARTED_LATER = """
import numpy as np
import numclip
from numclip._cpu import tbb
from policy import share_every_list
from float_environment import environment

tiny = (np.arange(1, 40_000) * 2.0**-149).astype(np.float32)
expected, norm = numclip.clip_by_global_norm([tiny], 1e-40)
tbb.layer()
share_every_list(2)
with environment(flush=True):
    clipped, other = numclip.clip_by_global_norm([tiny], 1e-40)
assert clipped[0].tobytes() == expected[0].tobytes()
assert other.tobytes() == norm.tobytes()
"""


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_threads_that_inherit_the_environment(layer):
    run_python("-c", THREADS_STARTED_LATER, NUMBA_THREADING_LAYER=layer)


def test_flags_of_exceptions_are_left_as_they_were():
    libm = ctypes.CDLL("libm.dylib" if sys.platform == "darwin" else "libm.so.6")
    every, by_zero = (0x3D, 0x04) if X86 else (0x1F, 0x02)
    arrays = [np.array([1e-40, 1 / 3, 3e38], np.float32)]
    for flags in (0, by_zero):
        libm.feclearexcept(every)
        if flags:
            libm.feraiseexcept(flags)
        numclip.clip_by_global_norm(arrays, 0.1, out=arrays)
        assert libm.fetestexcept(every) == flags


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_warning_and_no_error_of_numpy(dtype):
    largest = np.finfo(dtype).max if dtype.name != "bfloat16" else ml_dtypes.finfo(dtype).max
    every = [*lists(dtype), [np.full(9, largest, dtype)], [np.zeros(3, dtype)], []]
    every += [[np.array([value, 1.0], dtype)] for value in (np.inf, np.nan)]
    every.append([np.full(9, largest, dtype), np.array(SUBNORMALS["float64"])])
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        for t_list in every:
            for bound in (0.0, 5e-324, 1.0, 1e300, np.inf):
                numclip.clip_by_global_norm(t_list, bound)
                numclip.clip_by_global_norm(t_list, bound, 2.0)
                for array in t_list[:1]:
                    numclip.clip_by_norm(array, bound, axes=0 if getattr(array, "ndim", 0) else ())
                    if dtype.kind != "c":
                        numclip.clip_by_value(array, -bound, bound)


WITHOUT_COMPILER = """
import numpy
import numclip
for call in range(2):
    try:
        numclip.global_norm([numpy.ones(3)])
    except RuntimeError as error:
        print(error)
"""


def test_without_the_compiler_the_first_call_says_so():
    # Plain Numba runs functions as Python then, which typed lists broke: github.com/numba/numba/issues/4905.
    lines = run_python("-c", WITHOUT_COMPILER, NUMBA_DISABLE_JIT="1").stdout.splitlines()
    assert lines == ["numclip is compiled by Numba and cannot run without: unset NUMBA_DISABLE_JIT"] * 2


def test_plain_numba_computes_in_the_environment_that_it_finds():
    numba = pytest.importorskip("numba")
    twice = numba.njit(lambda values: values[0] * 2.0)
    tiny = np.array([1e-310])
    assert twice(tiny) == 2e-310
    with environment(flush=True):
        flushed = twice(tiny)
    assert flushed == 0.0
