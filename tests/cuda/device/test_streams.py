"""The order of the work on several streams, and references that are held until it is done."""

import gc
import sys
import weakref
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from arrays import assert_same_bits, three_and_four
from fake_libraries import FakeCuPy, FakeJaxArray, FakeTorch
from on_device import DeviceArray, on_device, to_host

import numclip
from numclip._cuda import libraries, streams
from numclip._cuda.libraries.interface import Interface
from numclip._cuda.target import driver
from numclip._cuda.workspace import MOST_TABLES, MOST_UPLOADS, SMALL, Workspace, workspaces


@pytest.fixture
def work(monkeypatch):
    """The enqueued work, in order: events that a stream records or waits for, and launches."""
    done, launch, event_class = [], driver.launch, driver.Event

    class Event(event_class):
        passed = True

        def record(self, stream):
            done.append(("record", id(self), stream))
            super().record(stream)

        def hold(self, stream):
            done.append(("wait", id(self), stream))
            super().hold(stream)

        def has_passed(self):
            return Event.passed

        def wait(self):
            done.append(("the host waits", id(self), None))

    def record_launch(kernel, blocks, threads, stream, *arguments):
        done.append(("launch", None, stream))
        launch(kernel, blocks, threads, stream, *arguments)

    monkeypatch.setattr(driver, "Event", Event)
    monkeypatch.setattr(driver, "launch", record_launch)
    return SimpleNamespace(done=done, Event=Event)


def waits(done):
    """Return the pairs (stream, stream that waits for it), before and after the launches."""
    launched = [i for i, (what, _, _) in enumerate(done) if what == "launch"]
    recorded, before, after = {}, set(), set()
    for i, (what, event, stream) in enumerate(done):
        if what == "record":
            recorded[event] = stream
        elif what == "wait":
            assert i < launched[0] or i > launched[-1]
            (before if i < launched[0] else after).add((recorded[event], stream))
    return before, after


@pytest.fixture
def torch(monkeypatch):
    library = FakeTorch()
    monkeypatch.setitem(sys.modules, "torch", library)
    return library


@pytest.fixture
def cupy(monkeypatch):
    library = FakeCuPy()
    monkeypatch.setitem(sys.modules, "cupy", library)
    return library


def test_a_stream_that_is_given_allocates_and_waits_for_the_current_one(work, torch):
    """A pool may reuse memory that is still in use on another stream."""
    for call in (
        lambda grads: numclip.clip_by_global_norm(grads, 1.0, stream=5),
        lambda grads: numclip.global_norm(grads, stream=SimpleNamespace(cuda_stream=6)),
    ):
        torch.allocated.clear()
        work.done.clear()
        grads = [*map(torch.Tensor, three_and_four())]
        call(grads)
        [stream] = {stream for what, _, stream in work.done if what == "launch"}
        assert set(torch.allocated) == {stream}
        assert waits(work.done) == ({(77, stream)}, set())


def test_arrays_are_held_until_a_stream_that_is_given_is_done_with_them(work, torch):
    held = workspaces(0, 5)._held._values
    held.clear()
    work.Event.passed = False
    grads = [*map(torch.Tensor, three_and_four())]
    numclip.clip_by_global_norm(grads, 1.0, out=grads, stream=5)
    assert any(entry is grads[0] for _, values in held for entry in values[0])
    work.Event.passed = True
    numclip.global_norm([torch.Tensor(np.ones(3, np.float32))], stream=5)
    assert not any(entry is grads[0] for _, values in held for entry in values[0])


def test_arrays_of_two_libraries_are_put_in_order(work, torch, cupy):
    """The stream of the first array does the work: it waits for the other one, which then waits for it."""
    first, second = three_and_four()
    grads = [torch.Tensor(first), cupy.ndarray(second)]
    clipped, norm = numclip.clip_by_global_norm(grads, 1.0)
    assert waits(work.done) == ({(99, 77)}, {(77, 99)})
    assert [type(array) for array in (*clipped, norm)] == [torch.Tensor, cupy.ndarray, torch.Tensor]
    assert norm.array[()] == 5.0
    work.done.clear()
    clipper = numclip.Clipper(grads[::-1], 1.0)
    for _ in range(2):
        work.done.clear()
        clipper()
        assert waits(work.done) == ({(77, 99)}, {(99, 77)})
    work.done.clear()
    numclip.clip_by_global_norm(grads[:1], 1.0, out=[cupy.ndarray(np.zeros(2, np.float32))])
    assert waits(work.done) == ({(99, 77)}, {(77, 99)})


def test_numbers_on_the_device_are_entries_too(work, torch, cupy):
    grads = [*map(torch.Tensor, three_and_four())]
    number = cupy.ndarray(np.array(1.0))
    for numbers in ((number,), (1.0, number)):
        work.done.clear()
        numclip.clip_by_global_norm(grads, *numbers)
        assert waits(work.done) == ({(99, 77)}, {(77, 99)})
    work.done.clear()
    numclip.clip_by_global_norm(grads, DeviceArray(np.array(1.0), stream=8))
    assert waits(work.done) == ({(8, 77), (streams.LEGACY, 77)}, {(77, 8), (77, streams.LEGACY)})
    elsewhere = torch.Tensor(np.array(1.0))
    elsewhere.device = 1
    with pytest.raises(ValueError, match="clip_norm is on CUDA device 1, the arrays are on 0"):
        numclip.clip_by_global_norm(grads, elsewhere)
    with pytest.raises(ValueError, match="use_norm is on CUDA device 1, the arrays are on 0"):
        numclip.Clipper(grads, 1.0)(use_norm=elsewhere)
    memory = np.zeros(12, np.uint8)
    odd = np.frombuffer(memory.data, np.float32, 1, offset=(3 - memory.ctypes.data) % 4 or 4).reshape(())
    with pytest.raises(ValueError, match="clip_norm is not aligned in memory"):
        numclip.clip_by_global_norm(grads, on_device(odd))


def test_a_clipper_waits_for_itself_where_its_stream_changes(work, torch, monkeypatch):
    """Its calls share memory: overlapping calls would count each other's blocks."""
    grads = [*map(torch.Tensor, three_and_four())]
    clipper = numclip.Clipper(grads, 1.0)
    clipper()
    assert waits(work.done) == (set(), set())
    for current, before in ((50, {(77, 50)}), (50, set()), (77, {(50, 77)})):
        torch.current = current
        work.done.clear()
        clipper()
        assert waits(work.done) == (before, set())
    torch.current = 60
    monkeypatch.setattr(driver, "is_capturing", lambda stream: stream == 60)
    work.done.clear()
    clipper()  # captured work cannot wait for work that is not captured
    assert waits(work.done) == (set(), set())
    assert not any(what == "record" for what, _, _ in work.done)


def test_arrays_of_jax(work, rng):
    """Of any dtype and order: they are not written, and are referenced until the kernels are done."""
    from ml_dtypes import bfloat16

    host = [
        rng.standard_normal((3, 4)).astype(bfloat16),
        rng.standard_normal((5, 2)).T,
        np.array(3.0, np.float32),
    ]
    grads = [*map(FakeJaxArray, host)]
    held = workspaces(0, streams.LEGACY)._held._values
    work.Event.passed = False
    clipped, norm = numclip.clip_by_global_norm(grads, 0.5)
    expected, wanted = numclip.clip_by_global_norm(host, 0.5)
    assert to_host(norm)[()] == wanted
    for array, right in zip(clipped, expected, strict=True):
        assert_same_bits(to_host(array), right)
    assert all(set(grad.waiting) == {streams.LEGACY} for grad in grads)
    assert any(entry is grads[0] for _, values in held for entry in values[0])
    work.Event.passed = True
    with pytest.raises(ValueError, match=r"^out\[0\] is read-only"):
        numclip.clip_by_global_norm(grads, 1.0, out=grads)
    with pytest.raises(TypeError, match=r"^t_list\[1\] is sharded over several devices"):
        numclip.global_norm([grads[0], FakeJaxArray(host[1], devices=2)])


def test_a_tensor_without_memory_is_refused(torch, cupy):
    """The elements of a DTensor lie in another tensor; a FakeTensor has none."""
    array, target = np.ones(3, np.float32), np.ones(3, np.float32)
    for no_memory, memory in (
        (torch.Tensor(array, address=0), torch.Tensor(array)),
        (cupy.ndarray(array, address=0), cupy.ndarray(array)),
        (DeviceArray(array, data=(0, False)), on_device(array)),
    ):
        with pytest.raises(TypeError, match=r"^t_list\[0\] has no memory of its own: .*to_local"):
            numclip.global_norm([no_memory])
        with pytest.raises(TypeError, match=r"^t_list\[1\] has no memory of its own"):
            numclip.clip_by_global_norm([memory, no_memory], 1.0)
        with pytest.raises(TypeError, match=r"^out\[0\] has no memory of its own"):
            numclip.clip_by_global_norm([on_device(target)], 1.0, out=[no_memory])
        options = {"data": (0, False)} if isinstance(no_memory, DeviceArray) else {"address": 0}
        number = type(no_memory)(np.array(1.0), **options)
        with pytest.raises(TypeError, match=r"^clip_norm has no memory of its own"):
            numclip.clip_by_global_norm([memory], number)


def test_the_memory_for_uploads_is_used_again_and_bounded(work):
    workspace = Workspace(5)
    scratch = np.empty(4096, np.int64)
    workspace.address = scratch.ctypes.data
    work.Event.passed = True
    for words in (10, 2000, 10, 3000):
        workspace._upload(np.zeros(words, np.int64))
        assert len(workspace._uploads) == 1
    work.Event.passed = False
    for _ in range(3 * MOST_UPLOADS):
        workspace._upload(np.zeros(10, np.int64))
        assert len(workspace._uploads) <= MOST_UPLOADS
    assert sum(what == "the host waits" for what, _, _ in work.done) == 3 * MOST_UPLOADS - (MOST_UPLOADS - 1)


class Reader:
    def __init__(self):
        self.sizes = []

    def empty_words(self, words, device):
        self.sizes.append(words)
        memory = np.empty(64, np.int64)
        return memory, memory.ctypes.data


def test_a_large_workspace_is_given_back():
    """Arrays with gaps need buffers of their size, which must not be kept for ever, or twice."""
    workspace, reader = Workspace(5), Reader()
    sizes = [100, 150, 5 * SMALL, 5 * SMALL - 1, 2 * SMALL, 100, SMALL // 2]
    for size in sizes:
        workspace.fill(SimpleNamespace(size=size, at=lambda address: np.zeros(8, np.int64)), reader, 0)
    assert reader.sizes == [200, 5 * SMALL, 200, SMALL]


def test_a_library_that_is_not_quite_there_counts_as_absent(torch, cupy, monkeypatch):
    """Its arrays are read by their interface; a class of arrays is not kept alive."""
    for stand_in in (None, ModuleType("torch"), MagicMock()):
        monkeypatch.setitem(sys.modules, "torch", stand_in)
        monkeypatch.setitem(sys.modules, "cupy", stand_in)
        for name in ("torch", "cupy"):
            kind = type("Array", (DeviceArray,), {"__module__": name})
            assert type(libraries.library(kind(np.ones(3)))) is Interface
    released = weakref.ref(kind)
    del kind
    gc.collect()
    assert released() is None


def test_lists_that_take_turns_each_keep_their_table(monkeypatch):
    """As those of two models do; of many lists, the least recently used gives its place."""
    uploads, upload = [], Workspace._upload
    monkeypatch.setattr(Workspace, "_upload", lambda self, words: (uploads.append(1), upload(self, words)))
    host = [np.full(i + 1, 2.0, np.float32) for i in range(MOST_TABLES + 1)]
    lists = [[on_device(array)] for array in host]
    for number, count in ((0, 1), (1, 2), (0, 2), (1, 2), (2, 3), (3, 4), (0, 4), (4, 5), (0, 5), (1, 6)):
        assert to_host(numclip.global_norm(lists[number]))[()] == np.float32(2.0 * (number + 1) ** 0.5)
        assert len(uploads) == count


def test_buffers_of_arrays_with_gaps_stand_in_one_place():
    strided = np.ones((100, 60), np.float32)
    places = workspaces(0, streams.LEGACY)
    before = len(places._workspaces)
    for i in range(3):
        numclip.global_norm([on_device(strided[:, i::3])])
    assert len(places._workspaces) == before
