"""The road of machine code for the usual list: the same results, or None with nothing written."""

import gc
import math
import sys
from collections import UserList
from fractions import Fraction
from types import BuiltinFunctionType

import numpy as np
import pytest
from arrays import DTYPES, content
from processes import run_python

import numclip
from numclip._arrays.pool import pool
from numclip._core.shortcuts import shortcuts, unusual
from numclip._cpu import abi, fastcall
from numclip._cpu.plain_list import EMPTY_TARGETS

pytestmark = pytest.mark.skipif(not abi.IS_AS_EXPECTED, reason="there is no such road here")


def arrays_of(dtype, rng):
    shapes = (3,), (), (5, 7), (0, 2), (4100,)
    arrays = [np.asarray(rng.standard_normal(shape) * 3, dtype) for shape in shapes]
    return [*arrays, None, np.asfortranarray(arrays[2])]


def copies(t_list):
    return [None if entry is None else entry.copy(order="K") for entry in t_list]


def bits(entries):
    return [None if entry is None else (entry.dtype, entry.shape, entry.tobytes("A")) for entry in entries]


def clip(t_list, clip_norm=1.0, use_norm=None, out=None, eps=0.0, loss_scale=1.0, **options):
    ord, nonfinite, stream = options.get("ord", 2), options.get("nonfinite", "nan"), options.get("stream")
    return shortcuts.clip(t_list, clip_norm, use_norm, out, ord, eps, loss_scale, nonfinite, stream)


def ready(dtype):
    """Compile the kernel for a dtype, and leave nothing in the pool."""
    numclip.global_norm([np.ones(3, dtype)])
    numclip.set_recycling(0)
    numclip.set_recycling(1 << 30)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "options",
    [{}, {"eps": 1e-6}, {"loss_scale": 3.0}, {"clip_norm": 1e9}, {"clip_norm": 2, "eps": 0}],
    ids=str,
)
def test_the_results_are_those_of_the_road_by_python(monkeypatch, rng, dtype, options):
    ready(dtype)
    t_list = arrays_of(dtype, rng)
    own, given = copies(t_list), copies(t_list)
    answers = [
        clip(t_list, **options),
        clip(t_list, out=given, **options),
        clip(own, out=own, **options),
    ]
    kept = copies(t_list)
    clipper = numclip.Clipper(kept, **{"clip_norm": 1.0, **options})
    answers.append((kept, clipper()))
    norm = shortcuts.norm(t_list, 2, options.get("loss_scale", 1.0), None)
    assert isinstance(clipper._clip.func, BuiltinFunctionType)
    for name in ("clip", "norm"):
        monkeypatch.setattr(shortcuts, name, unusual)
    monkeypatch.setattr(fastcall, "lists", lambda *arguments: None)
    expected, expected_norm = numclip.clip_by_global_norm(t_list, **{"clip_norm": 1.0, **options})
    for results, own_norm in answers:
        assert bits(results) == bits(expected)
        assert (type(own_norm), own_norm.tobytes()) == (type(norm), norm.tobytes())
    assert (type(norm), norm.tobytes()) == (type(expected_norm), expected_norm.tobytes())
    assert all(a is b for a, b in zip(answers[1][0], given, strict=True))
    assert all(a is b for a, b in zip(answers[2][0], own, strict=True))
    assert not any(
        np.shares_memory(a, b) for a, b in zip(answers[0][0], t_list, strict=True) if a is not None
    )


class List(list):
    pass


class Array(np.ndarray):
    pass


ONES = np.ones(5, np.float32)
READ_ONLY = np.ones(5, np.float32)
READ_ONLY.flags.writeable = False
UNUSUAL_LISTS = {
    "empty": [],
    "only None": [None],
    "a tuple": (ONES,),
    "a subclass of list": List([ONES]),
    "a sequence": UserList([ONES]),
    "an array": ONES,
    "a subclass of ndarray": [ONES.view(Array)],
    "two element types": [ONES, np.ones(3)],
    "integers": [np.ones(3, int)],
    "strides": [np.ones(9, np.float32)[::2]],
    "byte order": [np.ones(3, ">f4")],
    "misaligned": [np.ones(9, np.uint8)[1:].view(np.float32)],
    "numbers": [1.0, 2.0],
    "a scalar": [np.float32(1.0)],
}


@pytest.mark.parametrize("t_list", UNUSUAL_LISTS.values(), ids=UNUSUAL_LISTS)
def test_an_unusual_list_is_left_to_python(t_list):
    ready(np.float32)
    assert clip(t_list) is None
    assert clip(t_list, out=t_list) is None
    assert shortcuts.norm(t_list, 2, 1.0, None) is None


UNUSUAL_OPTIONS = {
    "a bool": {"clip_norm": True},
    "a negative int": {"clip_norm": -1},
    "a huge int": {"clip_norm": 10**400},
    "a huge loss_scale": {"loss_scale": 10**400},
    "a NumPy scalar": {"clip_norm": np.float64(1.0)},
    "negative": {"clip_norm": -1.0},
    "NaN": {"clip_norm": math.nan},
    "a callable": {"clip_norm": lambda norm: 1.0},
    "use_norm": {"use_norm": 1.0},
    "ord": {"ord": 1},
    "a fraction": {"eps": Fraction(1, 2)},
    "eps": {"eps": -1e-6},
    "infinite eps": {"eps": math.inf},
    "loss_scale": {"loss_scale": 0.0},
    "nonfinite": {"nonfinite": "zero"},
    "stream": {"stream": 1},
    "out of another length": {"out": [ONES.copy()]},
    "no list": {"out": (ONES.copy(), ONES.copy())},
    "another shape": {"out": [ONES.copy(), np.ones(6, np.float32)]},
    "read-only": {"out": [ONES.copy(), READ_ONLY]},
    "None": {"out": [ONES.copy(), None]},
    "an overlap": {"out": [ONES] * 2},
}


@pytest.mark.parametrize("options", UNUSUAL_OPTIONS.values(), ids=UNUSUAL_OPTIONS)
def test_unusual_arguments_are_left_to_python_with_nothing_written(options):
    ready(np.float32)
    t_list = [np.full(5, 2.0, np.float32), np.full(5, 3.0, np.float32)]
    targets = options.get("out", [])
    before = [content(entry) for entry in targets]
    assert clip(t_list, **options) is None
    assert [content(entry) for entry in targets] == before


def test_results_that_the_pool_keeps_are_left_to_python():
    ready(np.float32)
    small, large = [ONES], [np.ones(100_000, np.float32)]
    assert clip(large) is None
    assert clip(small) is not None
    numclip.clip_by_global_norm(large, 1.0)
    assert pool._held[0]
    assert clip(small) is None
    assert clip(small, out=[ONES.copy()]) is not None


def test_references():
    ready(np.float32)
    t_list, target = [np.ones(50, np.float32), None], [np.ones(50, np.float32), None]
    bound, overlapping, clipper = 1.5, [ONES, ONES[1:], ONES[:-1]], numclip.Clipper(t_list, 1.0)
    watched = [
        t_list,
        target,
        t_list[0],
        target[0],
        bound,
        ONES,
        t_list[0].dtype,
        np.ndarray,
        list,
        float,
        "nan",
    ]

    def calls():
        for _ in range(1000):
            clip(t_list, bound)
            clip(t_list, bound, out=target)
            clip(t_list, bound, out=t_list)
            clip(overlapping, bound, out=overlapping)
            clip([*t_list, 1], bound)
            shortcuts.norm(t_list, 2, bound, None)
            fastcall.lists(t_list, target, 2, bound, 0.0, bound)
            fastcall.lists([3], [4], 0, bound, 0.0, bound)
            fastcall.lists(t_list, [None, None], EMPTY_TARGETS, bound, 0.0, bound)
            clipper(bound)

    calls()
    gc.collect()
    before = [sys.getrefcount(entry) for entry in watched], sys.getrefcount(None)
    calls()
    gc.collect()
    assert [sys.getrefcount(entry) for entry in watched] == before[0]
    assert abs(sys.getrefcount(None) - before[1]) < 100


@pytest.mark.parametrize("fails_at", range(14))
@pytest.mark.parametrize("call", ["new", "given", "in place", "norm", "lists", "clipper"])
def test_no_memory(call, fails_at):
    testcapi = pytest.importorskip("_testcapi")
    ready(np.float32)
    t_list, given = [np.full(5, 2.0, np.float32), None], [np.zeros(5, np.float32), None]
    calls = {
        "new": (shortcuts.clip, (t_list, 1.0, None, None, 2, 0.0, 1.0, "nan", None)),
        "given": (shortcuts.clip, (t_list, 1.0, None, given, 2, 0.0, 1.0, "nan", None)),
        "in place": (shortcuts.clip, (t_list, 1.0, None, t_list, 2, 0.0, 1.0, "nan", None)),
        "norm": (shortcuts.norm, (t_list, 2, 1.0, None)),
        "lists": (fastcall.lists, (t_list, given, 2, 1.0, 0.0, 1.0)),
        "clipper": (numclip.Clipper(t_list, 1.0)._clip, (1.0,)),
    }
    function, arguments = calls[call]
    answer, failed = None, False
    testcapi.set_nomemory(fails_at, fails_at + 1)
    try:
        answer = function(*arguments)
    except MemoryError:
        failed = True
    finally:
        testcapi.remove_mem_hooks()
    # Only the norm is made when the work is done: each array is as it was, or clipped as a whole.
    assert not (failed and answer)
    assert t_list[1] is None
    assert (t_list[0] == t_list[0][0]).all()
    if call not in ("in place", "clipper"):
        assert t_list[0][0] == 2.0
    assert function(*arguments) is not None


def test_garbage_whose_end_changes_the_list():
    ready(np.float32)

    class Cycle:
        def __init__(self, t_list):
            self.own, self.t_list = self, t_list

        def __del__(self):
            self.t_list[:] = [np.full(3, 9.0, np.float32)]

    threshold = gc.get_threshold()
    try:
        for _ in range(200):
            t_list = [np.ones(4, np.float32) for _ in range(4)]
            gc.set_threshold(1, 1, 1)
            Cycle(t_list)
            results, norm = clip(t_list, 100.0)
            gc.set_threshold(*threshold)
            assert norm == np.linalg.norm(np.concatenate(results))
    finally:
        gc.set_threshold(*threshold)


DEBUG = """
import numpy as np, numclip
for dtype in (np.float32, np.float64, np.float16):
    t_list = [np.ones(3, dtype), None, np.ones((40, 50), dtype)]
    for i in range(2000):
        numclip.clip_by_global_norm(t_list, 1.0)
        numclip.clip_by_global_norm(t_list, 1.0, out=t_list)
        numclip.clip_by_global_norm(t_list, 1.0, out=[a if a is None else a.copy() for a in t_list])
        numclip.global_norm(t_list)
        numclip.clip_factor(t_list, 0.5)
print("done")
"""


def test_under_the_debug_allocator():
    assert run_python("-X", "dev", "-c", DEBUG, PYTHONMALLOC="debug").stdout == "done\n"


OTHER_LAYOUT = """
import numpy as np, numclip
from numclip._cpu import abi
abi.IS_AS_EXPECTED = False
t_list = [np.array([3.0], np.float32), np.array([4.0], np.float32)]
assert numclip.global_norm(t_list) == 5.0
[a, b], norm = numclip.clip_by_global_norm(t_list, 2.5)
assert (a, b, norm) == (1.5, 2.0, 5.0)
assert numclip.Clipper(t_list, 2.5)() == 5.0
from numclip._core.shortcuts import shortcuts, unusual
from numclip._cpu import fastcall
assert shortcuts.clip is shortcuts.norm is fastcall.lists is unusual
print("done")
"""


def test_without_the_layout_that_is_expected_python_does_it_all():
    assert run_python("-c", OTHER_LAYOUT).stdout == "done\n"
