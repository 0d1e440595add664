"""Objects that lie or raise, and any others in a list: an exception or a correct result, never a crash.

Compiled code that packs a list reads NumPy's structures directly, so it must accept only objects that it has
identified. Plain Numba shows no such failure: it accepts only types that it knows. Libraries that trust the
claims of an object read outside of its memory: NumPy itself did, for ``__array_interface__`` with too many
dimensions (https://github.com/numpy/numpy/pull/28449).
"""

import gc

import numpy as np
import pytest
from arrays import DTYPES, content, ragged_lists
from hostile import INTERFACE, LIARS, Subclass, liar, raising
from hypothesis import given
from hypothesis import strategies as st
from oracle import ordered_norm

from numclip import Clipper, clip_by_global_norm, global_norm

REFUSED = (
    TypeError,
    ValueError,
    RuntimeError,
    MemoryError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    ImportError,
)


@pytest.mark.parametrize("entry", LIARS.values(), ids=LIARS)
@pytest.mark.parametrize("position", [0, 1])
def test_what_lies_or_raises_is_refused_and_nothing_is_written(entry, position):
    t_list = [np.array([3.0, 4.0], np.float32)]
    t_list.insert(position, entry)
    honest = t_list[1 - position]
    before = honest.tobytes()
    for call in (
        lambda: global_norm(t_list),
        lambda: clip_by_global_norm(t_list, 1.0),
        lambda: clip_by_global_norm(t_list, 1.0, out=t_list),
        lambda: Clipper(t_list, 1.0),
        lambda: clip_by_global_norm([honest], 1.0, out=[entry]),
    ):
        with pytest.raises(REFUSED):
            call()
    assert honest.tobytes() == before


def test_an_object_whose_class_raises():
    entry = liar(__class__=raising(RuntimeError("class")))  # pytest cannot name it
    for call in (lambda: global_norm([entry]), lambda: clip_by_global_norm([np.ones(2)], 1.0, out=[entry])):
        with pytest.raises(REFUSED):
            call()


def test_an_honest_object_among_them_is_taken():
    memory = np.array([3.0, 4.0], np.float32)
    for entry in (
        liar(__array_interface__=memory.__array_interface__),
        liar(__array__=lambda self, *_, **__: memory),
        liar(__array_interface__={**INTERFACE, "shape": (2,), "data": bytearray(memory.tobytes())}),
    ):
        assert global_norm([entry]) == 5.0


def test_a_subclass_that_lies_is_taken_as_the_array_that_it_is():
    entry = np.array([3.0, 4.0], np.float32).view(Subclass)
    assert global_norm([entry]) == np.float32(5.0)
    assert type(global_norm([entry])) is np.float32
    results, _ = clip_by_global_norm([entry], 2.5)
    assert results[0].tolist() == [1.5, 2.0]
    assert global_norm([entry, np.zeros(3), entry[:1]]) == np.sqrt(34.0)
    clip_by_global_norm([entry], 2.5, out=[entry])
    assert entry.tolist() == [1.5, 2.0]


@pytest.mark.parametrize("size", [1, 3, 4])
def test_a_target_that_lies_is_not_written_beyond_its_end(size):
    t_list = [np.ones(5, np.float32), np.full(1000, 2.0, np.float32)]

    class Claiming(np.ndarray):
        shape = property(lambda self: (1000,))
        view = property(lambda self: lambda *_: t_list[1])

        def __array_finalize__(self, obj):
            pass

    out = [np.zeros(5, np.float32), np.zeros(size, np.float32).view(Claiming)]
    with pytest.raises(ValueError, match=rf"^out\[1\] has shape \({size},\)"):
        clip_by_global_norm(t_list, 1.0, out=out)
    assert not out[0].any()


class Sequence(list):
    """A list with a wrong length, wrong entries and a wrong iterator."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise RuntimeError("entry")


def test_a_list_that_lies_is_read_as_python_iterates():
    entries = Sequence([np.array([3.0, 4.0], np.float32)])
    assert global_norm(entries) == 5.0
    with pytest.raises(REFUSED):
        clip_by_global_norm(entries, 1.0, out=[])


def test_a_scalar_that_lies():
    for value in (
        liar(__float__=lambda self: 1.0),
        liar(__index__=lambda self: 1),
        "1",
        b"1",
        [1.0],
        1j,
        None,
    ):
        with pytest.raises(TypeError):
            clip_by_global_norm([np.ones(2)], value)


def test_entries_that_change_the_list_while_it_is_read():
    t_list = [np.ones(4, np.float32)] * 50

    class Shrinking:
        def __array__(self, *_, **__):
            t_list.clear()
            gc.collect()
            return np.ones(4, np.float32)

    t_list.insert(7, Shrinking())
    assert global_norm(t_list) == np.sqrt(np.float32(4 * 51))
    assert t_list == []


@pytest.mark.parametrize("call", [global_norm, lambda t_list: clip_by_global_norm(t_list, 1.0)[1]])
def test_an_entry_that_resizes_another(call):
    other, answers = np.ones(100_000, np.float32), []

    class Resizing:
        def __array__(self, *_, **__):
            with pytest.raises(ValueError, match="resize"):
                other.resize(3, refcheck=False)
            answers.append("refused")
            return np.ones(4, np.float32)

    assert call([other, Resizing(), other[:1]]) == np.float32(np.sqrt(100_005.0))
    assert answers == ["refused"]


def test_an_array_is_not_resized_behind_a_clipper():
    array = np.ones(1000, np.float32)
    clipper = Clipper([array], 1.0)
    with pytest.raises(ValueError, match="resize"):
        array.resize(10, refcheck=False)
    assert clipper() == np.sqrt(np.float32(1000))
    del clipper
    gc.collect()
    array.resize(10, refcheck=False)


def test_a_clipper_keeps_its_arrays_alive():
    clipper = Clipper([np.full(50_000, 2.0, np.float32)[::2], np.ones((3, 4))[:, 1]], 1e9)
    gc.collect()
    trash = [np.full(50_000, np.nan, np.float32) for _ in range(50)]
    assert clipper() == np.sqrt(100_003.0)
    assert len(trash) == 50


def test_a_clipper_is_not_confused_by_a_new_shape_or_dtype():
    array = np.ones((4, 6), np.float32)
    clipper = Clipper([array], 1.0)
    reshaped = array.reshape(-1)
    reshaped.flags.writeable = False
    assert clipper() == np.sqrt(np.float32(24))
    assert reshaped[0] == np.float32(1 / np.sqrt(24.0))


# --- fuzzing ------------------------------------------------------------------------------------------------

anything = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.sampled_from(list(LIARS.values())),
    st.lists(st.floats(width=32), max_size=3),
    st.sampled_from([np.float32(1.0), np.float64(2.0), np.int64(3), np.array(5.0)]),
)


@st.composite
def views(draw):
    """Views of one block of memory, with all shapes, strides, offsets and byte orders."""
    dtype = draw(st.sampled_from(DTYPES))
    if draw(st.booleans()) and dtype.name != "bfloat16":
        dtype = dtype.newbyteorder("S")
    base = (np.arange(4096) % 60).astype(np.uint8)
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    strides, low, high = [], 0, dtype.itemsize
    for length in shape:
        stride = draw(st.sampled_from([0, 1, 2, 4, 8, 12, 16, 64, 100])) * draw(st.sampled_from([-1, 1]))
        strides.append(stride)
        low, high = low + min(0, stride) * max(length - 1, 0), high + max(0, stride) * max(length - 1, 0)
    offset = draw(st.integers(0, 64)) - low
    view = np.ndarray(shape, dtype, base, offset, strides)
    view.flags.writeable = draw(st.booleans())
    if draw(st.booleans()):
        view = view.view(draw(st.sampled_from([Subclass, np.recarray, np.ndarray])))
    return view


entries = st.one_of(views(), views(), anything)


def bits_of(t_list):
    return [content(entry) for entry in t_list if isinstance(entry, np.ndarray)]


def check_any_list(t_list, out, bound, new):
    """Every list is either clipped, or refused with nothing written."""
    before = bits_of(t_list), bits_of(out)
    try:
        if new == "new":
            results, norm = clip_by_global_norm(t_list, bound)
        elif new == "Clipper":
            results, norm = Clipper(t_list, bound, out).results, None
        else:
            results, norm = clip_by_global_norm(t_list, bound, out=out)
    except REFUSED:
        assert (bits_of(t_list), bits_of(out)) == before
        return
    assert len(results) == len(t_list)
    if norm is not None and new == "new":
        again = global_norm(t_list)
        assert norm == again or (np.isnan(norm) and np.isnan(again))
        assert bits_of(t_list) == before[0]


bounds = st.sampled_from([0.0, 1e-300, 0.5, 1.0, 1e30, float("inf"), float("nan"), -1.0, "1", None])


@given(
    st.lists(entries, max_size=5),
    st.lists(entries, max_size=5),
    bounds,
    st.sampled_from(["new", "Clipper", "out"]),
)
def test_any_list_is_clipped_or_refused(t_list, out, bound, new):
    check_any_list(t_list, out, bound, new)


@given(st.lists(views(), max_size=5), bounds, st.booleans())
def test_any_list_in_place_is_clipped_or_refused(t_list, bound, reverse):
    check_any_list(t_list, t_list[::-1] if reverse else t_list, bound, "out")


@given(ragged_lists())
def test_the_norm_of_any_ragged_list(t_list):
    norm, expected = global_norm(t_list), ordered_norm(t_list)
    assert norm == expected or (np.isnan(norm) and np.isnan(expected))
