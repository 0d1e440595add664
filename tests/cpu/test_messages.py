"""Every error is short, quick to make, and shows no frame inside numclip."""

import time
import traceback

import numpy as np
import pytest
from arrays import slices_of

import numclip

ONE = np.ones(3, np.float32)
LONG_NAME = type("L" * 100_000, (), {})
MANY = [ONE] * 100_000
MANY_FIELDS = np.zeros(1, [(f"field{i}", np.float32) for i in range(10_000)])
MANY_AXES = np.ones((1,) * 60, np.float32)


class Raises:
    """An array that explains at length why it cannot be read."""

    def __array__(self, dtype=None, copy=None):
        raise ValueError("x" * 10**7)


class RaisesSilently:
    """An array whose error cannot even be shown."""

    def __array__(self, dtype=None, copy=None):
        class Silent(Exception):
            def __str__(self):
                raise RuntimeError

        raise Silent


LONG = {
    "list of arrays": MANY,
    "nested list": [MANY, MANY],
    "str": "x" * 10**7,
    "bytes": b"x" * 10**7,
    "str of escapes": "\U0010ffff" * 10**6,
    "int": 10**400_000,
    "tuple of ints": (10**400_000,) * 3,
    "dict": dict.fromkeys(range(10**5)),
    "class": LONG_NAME(),
    "list of class": [LONG_NAME()] * 6,
    "fields": MANY_FIELDS,
    "axes": MANY_AXES.astype(int),
    "strings": np.array(["x" * 10**5]),
    "long message": Raises(),
    "no message": RaisesSilently(),
}
FUNCTIONS = {
    "t_list": lambda value: numclip.clip_by_global_norm(value, "1"),
    "entry": lambda value: numclip.clip_by_global_norm([value, "end"], 1.0),
    "values": lambda value: numclip.global_norm([slices_of(ONE), numclip.IndexedSlices(value, ONE), "end"]),
    "clip_norm": lambda value: numclip.clip_by_global_norm([ONE], value),
    "use_norm": lambda value: numclip.clip_by_global_norm([ONE], 1.0, value),
    "target": lambda value: numclip.clip_by_global_norm([ONE], 1.0, out=[value]),
    "out": lambda value: numclip.clip_by_global_norm([ONE], 1.0, out=value),
    "target of many axes": lambda value: numclip.clip_by_global_norm([MANY_AXES], 1.0, out=[value]),
    "axes": lambda value: numclip.clip_by_norm(ONE, 1.0, axes=value),
    "limits": lambda value: numclip.clip_by_norm(ONE, value, axes=0),
    "t": lambda value: numclip.clip_by_norm(value, "1"),
    "t of clip_by_value": lambda value: numclip.clip_by_value(value, "0", "1"),
    "bound": lambda value: numclip.clip_by_value(ONE, value, 1.0),
    "Clipper": lambda value: numclip.Clipper(value, "1"),
    "clipper": lambda value: numclip.Clipper([ONE], 1.0)(value),
    "indices": lambda value: numclip.IndexedSlices(ONE, value, "9").coalesce(),
    "dense_shape": lambda value: numclip.IndexedSlices(ONE, np.arange(3), value).coalesce(),
    "threads": numclip.set_num_threads,
    "limit": numclip.set_recycling,
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("value", LONG)
def test_a_message_is_short_whatever_the_argument(value, function):
    numclip.clip_by_norm(ONE, 1.0)  # compiles, before the time is taken
    begin = time.perf_counter()
    if (function, value) in {("threads", "int"), ("limit", "int")}:
        value, function = -LONG[value], FUNCTIONS[function]
    else:
        value, function = LONG[value], FUNCTIONS[function]
    with pytest.raises((TypeError, ValueError)) as caught:
        function(value)
    assert len(str(caught.value)) <= 500
    assert time.perf_counter() - begin < 5.0


BROKEN = {
    "dtype": lambda: numclip.clip_by_global_norm([ONE, np.ones(3, int)], 1.0),
    "dtype of global_norm": lambda: numclip.global_norm([np.ones(3, int)]),
    "dtype of clip_factor": lambda: numclip.clip_factor([np.ones(3, int)], 1.0),
    "dtype of Clipper": lambda: numclip.Clipper([np.ones(3, int)], 1.0),
    "clip_norm": lambda: numclip.clip_by_global_norm([ONE], -1.0),
    "shape": lambda: numclip.clip_by_global_norm([ONE], 1.0, out=[np.ones(4, np.float32)]),
    "overlap": lambda: numclip.clip_by_norm(ONE[:2], 1.0, out=ONE[1:]),
    "axes": lambda: numclip.clip_by_norm(ONE, 1.0, axes=3),
    "no axes": lambda: numclip.clip_by_norm(ONE, 1.0, axes="0"),
    "dtype of clip_by_norm": lambda: numclip.clip_by_norm(np.ones(3, int), 1.0),
    "dtype of clip_by_value": lambda: numclip.clip_by_value(np.ones(3, bool), 0, 1),
    "bound": lambda: numclip.clip_by_value(ONE, float("nan"), 1),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_traceback_ends_in_the_public_function(case):
    with pytest.raises((TypeError, ValueError)) as caught:
        BROKEN[case]()
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert [frame.name for frame in frames[:2]] == [
        "test_a_traceback_ends_in_the_public_function",
        "<lambda>",
    ]
    assert len(frames) == 3
    assert frames[2].filename.startswith(numclip.__path__[0])


def test_a_clipper_that_is_called_shows_itself_alone():
    clipper = numclip.Clipper([ONE.copy()], 1.0)
    with pytest.raises(ValueError, match="clip_norm") as caught:
        clipper(clip_norm=-1.0)
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][1:] == ["__call__"]


def test_an_error_that_is_no_argument_s_keeps_its_frames(monkeypatch):
    monkeypatch.setattr("numclip._arrays.checks.sequence", lambda value, name: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        numclip.global_norm((ONE,))
    assert len(traceback.extract_tb(caught.value.__traceback__)) > 3


def test_the_cause_of_an_error_is_kept():
    with pytest.raises(TypeError) as caught:
        numclip.global_norm([Raises()])
    assert type(caught.value.__cause__) is ValueError
