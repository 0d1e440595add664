"""Lists of arbitrary entries, in one block of memory, each made from a random state."""

import ctypes
import mmap
from typing import Any, NamedTuple

import numpy as np
from arrays import DTYPES, EXPONENTS, SIZES, random_array
from hostile import LIARS, Subclass, liar

from numclip import IndexedSlices

PAGE = mmap.PAGESIZE


class Memory:
    """Bytes between two guard pages, allocated from both ends."""

    def __init__(self, pages):
        size = pages * PAGE
        self._map = mmap.mmap(-1, size + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for guard in (start, start + PAGE + size):
            assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(guard), PAGE, 0) == 0
        self.start, self.is_large = start + PAGE, pages > 100
        self.bytes = np.frombuffer(self._map, np.uint8, size, PAGE)

    def clear(self, r):
        """Free all bytes, and choose another pool of numbers."""
        self.bytes[:] = 0xFF  # NaN in every dtype
        self._low, self._high = 0, self.bytes.size
        self.numbers = r.choice((0, 0, 0, 0, 1, 1, 2))

    def place(self, r, size, alignment):
        """Return an offset, mostly of free bytes: directly after the last array, or with a gap."""
        gap = r.choice((0, 0, 1, 8, 40)) if alignment == 1 else alignment * r.choice((0, 0, 1, 3))
        if r.random() < 0.03 or self._high - self._low < size + gap + alignment:
            offset = r.randrange(self.bytes.size - size + 1)
            return offset - offset % alignment
        if r.random() < 0.5:
            offset = self._low + gap
            offset += -offset % alignment
            self._low = offset + size
        else:
            offset = self._high - gap - size
            offset -= offset % alignment
            self._high = offset
        return offset


class Given(NamedTuple):
    """An entry as it is passed, and the plain array that it is equal to: None if it should be refused."""

    entry: Any
    array: Any
    hostile: bool = False


NOTHING = Given(None, None)


def address(array):
    return array.__array_interface__["data"][0]


def array_of(given):
    """Return the entry as an array, if it is one."""
    return given.entry.values if isinstance(given.entry, IndexedSlices) else given.entry


def pools():
    """Numbers of each dtype to fill arrays with: of moderate size, of any size, and some not finite."""
    rng, made = np.random.default_rng(1), {}
    for dtype in DTYPES:
        low, high = EXPONENTS[dtype.name]
        every = [random_array(rng, dtype, (9000,), exponents) for exponents in ((-2, 2), (low, high))]
        special = every[0].copy()
        special[::50], special[7::90] = np.inf, np.nan
        made[dtype.name] = [*every, special]
    return made


POOLS = pools()


def fill(r, array, numbers):
    """Write numbers of one pool into an array."""
    if array.size:
        pool = POOLS[array.dtype.name][numbers]
        start = r.randrange(pool.size)
        array[...] = np.resize(pool[start : start + array.size], array.shape)


def any_shape(r, memory):
    if memory.is_large:
        return r.choice([(r.choice(SIZES),), (r.choice(SIZES), r.randrange(1, 3)), (17_000,)])
    if r.random() < 0.5:
        return (r.choice((1, 2, 3, 7, 8, 9, 31, 32, 33, 64, 70)),)
    return tuple(r.randrange(r.choice((1, 4, 6)), 7) for _ in range(r.randrange(4)))


def dense(r, memory, dtype, shape, plain):
    """A dense array in C order, unless it need not be plain, in any order of its axes, of any alignment."""
    size = dtype.itemsize * int(np.prod(shape, dtype=int))
    aligned = plain or r.random() < 0.7
    offset = memory.place(r, size, 16 if aligned else 1)
    if plain or r.random() < 0.5:
        return np.ndarray(shape, dtype, memory.bytes, offset)
    axes = list(range(len(shape)))
    r.shuffle(axes)
    array = np.ndarray([shape[axis] for axis in axes], dtype, memory.bytes, offset)
    return array.transpose(np.argsort(axes).astype(int))


def strided(r, memory, dtype, shape):
    """An array with any strides: zero, negative, or so small that elements overlap."""
    strides, low, high = [], 0, dtype.itemsize
    for side in shape:
        step = r.choice((0, 1, 1, 1, 2, 3, 7)) * dtype.itemsize if r.random() < 0.8 else r.randrange(100)
        strides.append(-step if r.random() < 0.3 else step)
        reach = strides[-1] * max(side - 1, 0)
        low, high = low + min(reach, 0), high + max(reach, 0)
    if high - low > memory.bytes.size or 0 in shape:
        return dense(r, memory, dtype, shape, plain=False)
    alignment = dtype.itemsize if r.random() < 0.7 else 1
    return np.ndarray(shape, dtype, memory.bytes, memory.place(r, high - low, alignment) - low, strides)


def any_array(r, memory, dtype, style, shape=None):
    """An array of one of many layouts, and the same array of the base class, for the oracle."""
    shape = any_shape(r, memory) if shape is None else shape
    if style == "plain":
        array = dense(r, memory, dtype, shape, plain=True)
        fill(r, array, memory.numbers)
        return array, array
    if r.random() < 0.2 and dtype.name != "bfloat16":
        dtype = dtype.newbyteorder("S")
    if r.random() < 0.05:
        array = np.empty(shape, dtype)  # owns its memory
    elif memory.is_large or r.random() < 0.4:
        array = dense(r, memory, dtype, shape, plain=False)
    else:
        array = strided(r, memory, dtype, shape)
    fill(r, array, memory.numbers)
    if r.random() < 0.1:
        array.flags.writeable = False
    kind = r.choice((Subclass, np.recarray)) if r.random() < 0.1 else np.ndarray
    return array if kind is np.ndarray else array.view(kind), array


WRONG_ENTRIES = [7, True, "x", b"x", 2**70, [1, 2], [[1.0], [1.0, 2.0]], {}]
WRONG_ENTRIES += [IndexedSlices(values, None) for values in (None, "x", np.arange(3))]
WRONG_ENTRIES.append(np.ma.masked_array([1.0, 2.0], [0, 1]))


def changing(array, t_list):
    """An object that empties a list while it is read."""

    def read(self, *_, **__):
        t_list.clear()
        return array

    return liar(__array__=read)


def odd_entry(r, memory, dtype, t_list):
    """An entry that is not an array; some can be read as one."""
    array, _ = any_array(r, memory, dtype, "plain")
    chance = r.random()
    if chance < 0.4:
        number = array.flat[0] if array.size else 2.5
        entry = r.choice((number, float(r.random()), [[r.random(), 1.0]] * r.randrange(4)))
        return Given(entry, np.asarray(entry))
    if chance < 0.6:
        return Given(r.choice((changing(array, t_list), liar(__array__=lambda self, *_, **__: array))), array)
    if chance < 0.8:
        return Given(r.choice(WRONG_ENTRIES), None)
    return Given(r.choice(list(LIARS.values())), None, hostile=True)


def any_entry(r, memory, dtype, style, earlier, t_list):
    chance = r.random()
    arrays = [given for given in earlier if type(given.entry) is np.ndarray and given.array is not None]
    if chance < 0.08:
        return NOTHING
    if chance < 0.12 and arrays:
        return r.choice(arrays)
    if chance < 0.15 and arrays:
        array = r.choice(arrays).array
        view = r.choice((array.T, array[1:] if array.ndim else array, array[::-1] if array.ndim else array))
        return Given(view, view)
    if chance < 0.21:
        entry, array = any_array(r, memory, dtype, style)
        return Given(IndexedSlices(entry, np.arange(3), r.choice((None, (3,)))), array)
    if chance < 0.26 and style != "plain":
        return odd_entry(r, memory, dtype, t_list)
    return Given(*any_array(r, memory, dtype, style))


def half_behind(memory, array):
    """An array whose first half lies in the second half of another, if there is room."""
    offset = address(array) - memory.start + array.nbytes // 2
    inside = 0 <= offset <= memory.bytes.size - array.nbytes
    return np.ndarray(array.shape, array.dtype, memory.bytes, offset) if inside else array


def any_target(r, memory, source, style):
    """A target, which mostly fits the source."""
    if source.array is None:
        return NOTHING if r.random() < 0.95 else Given(*any_array(r, memory, DTYPES[0], style))
    dtype, shape, chance = source.array.dtype, source.array.shape, r.random()
    if chance < 0.15:
        return source
    if chance < 0.18 and style != "plain":
        return r.choice((NOTHING, Given(*any_array(r, memory, r.choice(DTYPES), "any"))))
    if chance < 0.22 and type(source.entry) is np.ndarray:
        views = [source.array[::-1], source.array.T] if source.array.ndim else []
        views = [view for view in views if view.shape == shape]
        return Given(*[r.choice([*views, half_behind(memory, source.array)])] * 2)
    entry, array = any_array(r, memory, dtype, style, shape)
    if isinstance(source.entry, IndexedSlices):
        return Given(IndexedSlices(entry, source.entry.indices, source.entry.dense_shape), array)
    return Given(entry, array)
