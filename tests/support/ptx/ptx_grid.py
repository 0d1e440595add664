"""A grid of threads that runs translated PTX, on the memory of the host.

All threads that are at the same basic block run it together, as vectors. The schedule chooses the next block
of code, and which of its threads run: a device guarantees no order.
"""

import weakref
from collections import Counter

import numpy as np

WARP = 32
ADDRESSES = 2**47  # the address space of a process
FIRST = 4096


class Memory:
    """The memory of the host that was given to the device, by address."""

    def __init__(self):
        self._spans, self._edges, self._views = Counter(), None, {}

    def give(self, array):
        """Let the device use the memory of an array, for as long as it lives."""
        if array.size:
            span = np.lib.array_utils.byte_bounds(array)
            weakref.finalize(array, self._count, span, -1).atexit = False
            self._count(span, 1)
        return array

    def _count(self, span, change):
        self._spans[span] += change
        self._edges = None

    def _bounds(self):
        """Return the bounds of the regions of memory; regions that overlap or touch are merged."""
        if self._edges is None:
            self._spans = +self._spans
            begins, ends = np.array(sorted(self._spans), np.uint64).reshape(-1, 2).T
            ends = np.maximum.accumulate(ends)
            apart = np.append(begins[1:] > ends[:-1], True)
            self._edges = begins[np.roll(apart, 1)], ends[apart]
        return self._edges

    def view(self, dtype):
        """Return the whole address space as one array; only memory of the device may be accessed."""
        if dtype not in self._views:
            interface = {"data": (FIRST, False), "shape": (ADDRESSES // dtype.itemsize,), "version": 3}
            interface["typestr"] = dtype.str
            self._views[dtype] = np.asarray(type("Addresses", (), {"__array_interface__": interface})())
        return self._views[dtype]

    def index(self, addresses, size):
        """Return the indices of elements of this size; raise unless they are aligned and on the device."""
        assert not (addresses & np.uint64(size - 1)).any(), "a misaligned address"
        begins, ends = self._bounds()
        at = begins.searchsorted(addresses, "right") - 1
        inside = (at >= 0) & (addresses + np.uint64(size) <= ends[at])
        assert inside.all(), "memory that is not the device's"
        return ((addresses - np.uint64(FIRST)) // np.uint64(size)).astype(np.int64)


class Grid:
    """The blocks of a grid that are on the device at the same time, and their threads."""

    races = False  # whether two threads may store to one address at once: some value of one of them stays

    def __init__(self, code, memory, numbers, blocks, threads, arguments, rng):
        self.memory, self.code, self.rng = memory, code, rng
        self.arguments, self.count, self.threads = arguments, blocks, threads
        self.all = len(numbers) * threads
        lanes = np.arange(self.all)
        self._thread = (lanes % threads).astype(np.uint32)
        self._block = np.repeat(np.array(numbers, np.uint32), threads)
        self._slot = lanes // threads
        self._shared = np.full((len(numbers), -(-code.shared_size // 8)), 0x7FF4BADBADBADBAD, np.uint64)
        self._put = np.zeros(self.all, np.uint32)
        self.block, self.warp = threads, min(WARP, threads)
        self.accesses = Counter()
        self.trace = None

    # --- functions for the translated code ------------------------------------------------------------------

    def tid(self, on):
        return self._thread[on]

    def ctaid(self, on):
        return self._block[on]

    def ntid(self, on):
        return np.uint32(self.threads)

    def nctaid(self, on):
        return np.uint32(self.count)

    def fence(self, on):
        self.accesses["fence"] += on.size

    def _global(self, name, addresses, dtype, count, on):
        addresses = np.broadcast_to(addresses, on.shape)
        self.accesses[f"{name}.v{count}.{dtype}"] += on.size
        if self.trace is not None:
            self.trace(name, addresses, count * dtype.itemsize)
        vector = np.dtype(f"V{count * dtype.itemsize}") if count > 1 else dtype
        return vector, self.memory.index(addresses, vector.itemsize)

    def load_global(self, addresses, dtype, count, on):
        vector, index = self._global("load", addresses, dtype, count, on)
        elements = self.memory.view(vector).take(index)
        return [elements] if count == 1 else elements.view(dtype).reshape(-1, count).T

    def store_global(self, addresses, values, on):
        dtype, count = values[0].dtype, len(values)
        vector, index = self._global("store", addresses, dtype, count, on)
        assert self.races or np.unique(index).size == index.size, "two threads store to one address at once"
        elements = np.empty((on.size, count), dtype)
        for i, value in enumerate(values):
            elements[:, i] = value
        self.memory.view(vector)[index] = elements.view(vector)[:, 0]

    def increment(self, addresses, last, on):
        """Increment a number in memory, from `last` to 0, a thread at a time; return the old values."""
        dtype, index = self._global("atom", addresses, np.dtype(np.uint32), 1, on)
        view, old = self.memory.view(dtype), np.empty(on.size, dtype)
        last = np.broadcast_to(last, on.shape)
        for i in self.rng.permutation(on.size):
            old[i] = view[index[i]]
            view[index[i]] = 0 if old[i] >= last[i] else old[i] + 1
        return old

    # --- exchange of values between threads -----------------------------------------------------------------

    def put(self, value, on):
        self._put[on] = value

    def shifted(self, distance, clamp, on):
        assert np.all(clamp == WARP - 1), "a warp is not cut into parts"
        inside = on % WARP + distance < WARP
        return self._put[np.where(inside, on + distance, on).astype(np.int64)]

    def any(self, team, on):
        return (self._put != 0).reshape(-1, team).any(axis=1)[on // team]

    def _cells(self, addresses, dtype, on):
        addresses = np.broadcast_to(addresses, on.shape)
        assert not (addresses & np.uint64(dtype.itemsize - 1)).any(), "a misaligned shared address"
        assert (addresses + np.uint64(dtype.itemsize) <= self.code.shared_size).all(), (
            "beyond the shared memory"
        )
        return self._slot[on], (addresses // np.uint64(dtype.itemsize)).astype(np.int64)

    def load_shared(self, addresses, dtype, count, on):
        assert count == 1
        self.accesses["load_shared"] += on.size
        return [self._shared.view(dtype)[self._cells(addresses, dtype, on)]]

    def store_shared(self, addresses, values, on):
        (value,) = values
        self.accesses["store_shared"] += on.size
        self._shared.view(value.dtype)[self._cells(addresses, value.dtype, on)] = value

    # --- the schedule ---------------------------------------------------------------------------------------

    def _next(self, ready, schedule):
        """Return a block of the code, and the ready threads that run it now."""
        if schedule == "together":  # the first in the code: so that diverged threads converge
            number = min(ready)
            return number, np.concatenate(ready.pop(number))
        number = self.rng.choice(sorted(ready))
        threads = np.concatenate(ready.pop(number))
        group = threads // WARP if schedule == "warps" else threads
        members = np.unique(group)
        some = self.rng.integers(1, members.size, endpoint=True)
        chosen = np.isin(group, self.rng.choice(members, some, replace=False))
        if not chosen.all():
            ready[number] = [threads[~chosen]]
        return number, threads[chosen]

    def run(self, schedule):
        """Run all threads to their end."""
        code = self.code
        registers = [np.full(self.all, 0xA5, np.uint8).astype(code.dtype_of(name)) for name in code.registers]
        ready, done = {0: [np.arange(self.all)]}, 0
        sizes = {"block": self.threads, "warp": min(WARP, self.threads)}
        waiting = {kind: np.full(self.all, -1) for kind in sizes}
        while ready:
            number, on = self._next(ready, schedule)
            run, end = code.blocks[number]
            predicate = run(registers, on, self)
            if end.kind == "go":
                ready.setdefault(number + 1, []).append(on)
            elif end.kind == "jump":
                ready.setdefault(end.target, []).append(on)
            elif end.kind == "branch":
                taken = np.broadcast_to(predicate, on.shape) ^ end.negated
                for target, those in ((end.target, on[taken]), (number + 1, on[~taken])):
                    if those.size:
                        ready.setdefault(target, []).append(those)
            elif end.kind == "exit":
                done += on.size
            else:
                self._wait(end.kind, waiting[end.kind], on, number + 1, sizes[end.kind], ready)
        assert done == self.all, "threads wait at a barrier that others do not come to"

    def _wait(self, kind, waiting, on, follower, size, ready):
        """Let threads wait at a barrier, and release those whose warp or block is complete."""
        self.accesses[f"barrier of the {kind}"] += on.size
        waiting[on] = follower
        teams = np.unique(on // size)
        members = waiting.reshape(-1, size)[teams]
        full = (members >= 0).all(axis=1)
        if full.any():
            places = members[full]
            assert (places == places[:, :1]).all(), "the threads of a team are at different barriers"
            for place in np.unique(places):
                released = teams[full][places[:, 0] == place, None] * size + np.arange(size)
                ready.setdefault(int(place), []).append(released.reshape(-1))
            waiting.reshape(-1, size)[teams[full]] = -1


def launch(
    code,
    memory,
    blocks,
    threads,
    arguments,
    *,
    order=None,
    resident=64,
    schedule="together",
    seed=0,
    trace=None,
):
    """Run a kernel, and return the counts of its operations.

    `order` lists the blocks as they come to the device, `resident` of them at a time. The schedule is
    "together", or at random by "warps" or "threads". `trace` is called for each access to global memory.
    """
    order = range(blocks) if order is None else order
    rng = np.random.default_rng(seed)
    dtypes = [np.float64 if type(value) is float else np.int64 for value in arguments]
    values = [dtype(value) for dtype, value in zip(dtypes, arguments, strict=True)]
    accesses = Counter()
    with np.errstate(all="ignore"):
        for first in range(0, len(order), resident):
            grid = Grid(code, memory, order[first : first + resident], blocks, threads, values, rng)
            grid.trace = trace
            grid.run(schedule)
            accesses += grid.accesses
    return accesses
