"""Numbers on the device, streams, results of the caller's library, and errors that name the entry."""

import sys
import types

import ml_dtypes
import numpy as np
import pytest
from arrays import assert_same_bits, raises_unwritten, random_array, slices_of, three_and_four
from fake_libraries import FakeCuPy, FakeTorch
from numba import cuda
from on_device import DeviceArray, on_device, to_host

import numclip
from numclip._cuda import plan, streams
from numclip._cuda.libraries.torch import Torch
from numclip._cuda.target import driver
from numclip._cuda.workspace import Workspace


@pytest.fixture
def handles(monkeypatch):
    """The streams that kernels are launched on."""
    found, launch = [], driver.launch

    def record(kernel, blocks, threads, stream, *arguments):
        found.append(stream)
        launch(kernel, blocks, threads, stream, *arguments)

    monkeypatch.setattr(driver, "launch", record)
    return found


def lists():
    host = three_and_four()
    return host, [*map(on_device, host)]


# --- numbers on the device ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64], ids=str)
def test_clip_norm_and_use_norm_may_lie_on_the_device(dtype):
    host, grads = lists()
    expected, _ = numclip.clip_by_global_norm(host, 1.5)
    clipped, norm = numclip.clip_by_global_norm(grads, on_device(np.array(1.5, dtype)))
    assert to_host(norm)[()] == 5.0
    for actual, wanted in zip(clipped, expected, strict=True):
        assert_same_bits(to_host(actual), wanted)
    use_norm = on_device(np.array(10.0, dtype))
    clipped, norm = numclip.clip_by_global_norm(grads, 1.5, use_norm)
    assert norm is use_norm
    expected, _ = numclip.clip_by_global_norm(host, 1.5, 10.0)
    for actual, wanted in zip(clipped, expected, strict=True):
        assert_same_bits(to_host(actual), wanted)


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_wrong_clip_norm_on_the_device_gives_nan(value):
    clipped, _ = numclip.clip_by_global_norm(lists()[1], on_device(np.array(value)))
    assert all(np.isnan(to_host(array)).all() for array in clipped)


@pytest.mark.parametrize("value", [np.ones(1), np.array(1), np.array(1j)], ids=["1-d", "int", "complex"])
def test_other_arrays_are_no_numbers(value):
    with pytest.raises(TypeError, match="clip_norm should be a real number or 0-d array"):
        numclip.clip_by_global_norm(lists()[1], on_device(value))
    with pytest.raises(TypeError, match="clip_norm should be a real number or 0-d array"):
        numclip.clip_by_global_norm(lists()[0], on_device(np.array(1.0)))


# --- containers and results ---------------------------------------------------------------------------------


def test_slices_none_and_numba_arrays():
    rows = slices_of(np.array([[3.0], [4.0]], np.float32))
    device_rows = numclip.IndexedSlices(cuda.to_device(rows.values), rows.indices, rows.dense_shape)
    [clipped, nothing], norm = numclip.clip_by_global_norm((device_rows, None), 1.0)
    assert type(clipped) is numclip.IndexedSlices
    assert clipped.indices is rows.indices
    assert clipped.dense_shape is rows.dense_shape
    assert nothing is None
    assert type(norm) is type(clipped.values) is type(device_rows.values)
    assert norm.shape == ()
    assert norm.dtype == np.float32
    assert_same_bits(to_host(clipped.values), np.array([[0.6], [0.8]], np.float32))


def test_a_list_of_empty_arrays():
    _, norm = numclip.clip_by_global_norm([on_device(np.empty((0, 3)))], 1.0)
    assert to_host(norm)[()] == 0.0
    assert norm.dtype == np.float64


def test_new_arrays_keep_the_order_of_the_axes(rng):
    array = random_array(rng, np.float32, (3, 4)).T
    [clipped], _ = numclip.clip_by_global_norm([on_device(array)], 0.1)
    assert to_host(clipped).strides == array.strides


@pytest.mark.parametrize("library", [FakeTorch, FakeCuPy])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.complex128], ids=str)
def test_arrays_of_a_library_give_arrays_of_that_library(monkeypatch, handles, rng, library, dtype):
    """They are allocated by its own functions, on its current stream."""
    module = library()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kind = module.array_type
    host = [
        random_array(rng, dtype, (3, 5)),
        random_array(rng, dtype, (4, 5)).T,
        random_array(rng, dtype, ()),
    ]
    expected, norm = numclip.clip_by_global_norm(host, 0.25)
    clipped, device_norm = numclip.clip_by_global_norm([*map(kind, host)], 0.25)
    assert type(device_norm) is kind
    assert_same_bits(device_norm.array, np.array(norm))
    grads = [*map(kind, host)]
    numclip.clip_by_global_norm(grads, 0.25, out=grads)
    for new, old, wanted in zip(clipped, host, expected, strict=True):
        assert type(new) is kind
        assert_same_bits(new.array, wanted)
        assert_same_bits(old, wanted)
    assert set(handles) == {module.current}


def test_tensors_with_channels_last_take_no_closer_look(monkeypatch, rng):
    """Of the weights of a convolutional network, each would cost the host 22 us."""
    torch = FakeTorch()
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(Torch, "describe", None)
    array = random_array(rng, np.float32, (2, 3, 5, 4)).transpose(0, 3, 1, 2)
    expected, _ = numclip.clip_by_global_norm([array], 0.1)
    for out in (None, [torch.Tensor(array)]):
        grads = [torch.Tensor(array)] if out is None else out
        [clipped], _ = numclip.clip_by_global_norm(grads, 0.1, out=out)
        assert clipped.array.strides == array.strides
        assert_same_bits(clipped.array, expected[0])


# --- the other functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [0.5, 9.0, 1e-310])
def test_clip_factor(clip_norm):
    host, grads = lists()
    for use_norm in (None, 8.0):
        factor, norm = numclip.clip_factor(grads, clip_norm, use_norm)
        wanted = numclip.clip_factor(host, clip_norm, use_norm)
        assert (to_host(factor)[()], norm if use_norm else to_host(norm)[()]) == wanted
        assert factor.dtype == np.float64


def test_clip_by_norm_and_clip_tree():
    host, grads = lists()
    assert_same_bits(to_host(numclip.clip_by_norm(grads[0], 1.5)), np.array([1.5, 0.0], np.float32))
    clipped, norm = numclip.tree.clip_by_global_norm({"w": grads[0], "b": [None, grads[1]]}, 1.0)
    assert to_host(norm)[()] == 5.0
    assert_same_bits(to_host(clipped["b"][1]), np.array([[0.8]], np.float32))
    with pytest.raises(TypeError, match=r"tree\['b'\] is not a CUDA array, but tree\['w'\] is"):
        numclip.tree.clip_by_global_norm({"w": grads[0], "b": host[1]}, 1.0)


CPU_ALONE = {
    "axes": lambda array: numclip.clip_by_norm(array, 1.0, axes=0),
    "value": lambda array: numclip.clip_by_value(array, -1.0, 1.0),
    "coalesce": lambda array: numclip.IndexedSlices(array, np.arange(2)).coalesce(),
}


@pytest.mark.parametrize("call", CPU_ALONE.values(), ids=CPU_ALONE)
def test_what_there_is_on_the_cpu_alone_says_so(call):
    with pytest.raises(TypeError, match="is a CUDA array"):
        call(lists()[1][0])


# --- streams ------------------------------------------------------------------------------------------------


def test_the_stream_that_is_given_is_used(handles):
    for stream in (5, types.SimpleNamespace(ptr=6), types.SimpleNamespace(cuda_stream=7)):
        numclip.global_norm(lists()[1], stream=stream)
    numclip.clip_by_global_norm(lists()[1], 1.0, stream=0)
    assert handles == [5, 6, 7, streams.LEGACY, streams.LEGACY]
    with pytest.raises(TypeError, match="stream should be a CUDA stream or its handle"):
        numclip.global_norm(lists()[1], stream="5")
    with pytest.raises(TypeError, match="stream is for CUDA arrays"):
        numclip.global_norm(lists()[0], stream=5)


def test_arrays_of_other_streams_are_waited_for(monkeypatch):
    handles = []
    monkeypatch.setattr(plan, "wait_for", lambda other, stream: handles.append(other))
    host = three_and_four()
    numclip.global_norm([DeviceArray(host[0], stream=9), DeviceArray(host[1], stream=5)], stream=5)
    assert (sorted(handles[:2]), handles[2:]) == ([streams.LEGACY, 9], [5])


def test_only_a_clipper_is_for_graphs(monkeypatch):
    grads = lists()[1]
    clipper = numclip.Clipper(grads, 1.0)
    monkeypatch.setattr(driver, "is_capturing", lambda handle: True)
    assert to_host(clipper())[()] == 5.0
    for call in (lambda: numclip.global_norm(grads), lambda: numclip.clip_by_global_norm(grads, 1.0)):
        with pytest.raises(RuntimeError, match=r"in a CUDA graph, call a numclip\.Clipper"):
            call()


# --- Clipper ------------------------------------------------------------------------------------------------


def test_a_clipper_uploads_once(monkeypatch):
    uploads = []
    upload = Workspace._upload
    monkeypatch.setattr(Workspace, "_upload", lambda self, words: (uploads.append(1), upload(self, words)))
    host, grads = lists()
    clipper = numclip.Clipper(grads, 1.0)
    assert clipper.results == grads
    for numbers, clipped in (((), 0.8), ((2.0,), 1.6), ((on_device(np.array(2.0)),), 1.6), ((1.0, 8.0), 0.5)):
        host[0][:], host[1][:] = [3.0, 0.0], 4.0
        norm = clipper(*numbers)
        assert norm == 8.0 if len(numbers) == 2 else to_host(norm)[()] == 5.0
        assert_same_bits(host[1], np.array([[clipped]], np.float32))
    assert len(uploads) == 1


# --- errors -------------------------------------------------------------------------------------------------


def test_arrays_of_both_kinds_in_one_list():
    host, device = lists()
    with pytest.raises(TypeError, match=r"t_list\[2\] is not a CUDA array, but t_list\[1\] is"):
        numclip.clip_by_global_norm([None, device[0], host[1]], 1.0)
    with pytest.raises(TypeError, match=r"t_list\[2\] is a CUDA array, but t_list\[1\] is not"):
        numclip.clip_by_global_norm([None, host[0], device[1]], 1.0)
    with pytest.raises(TypeError, match=r"t_list\[1\].values is a CUDA array, but t_list\[0\] is not"):
        numclip.global_norm([host[0], on_device(slices_of(host[1]))])


def test_arrays_of_two_devices(monkeypatch):
    host, device = lists()
    monkeypatch.setattr(driver, "device_of", lambda address: int(address == host[1].ctypes.data))
    with pytest.raises(ValueError, match=r"t_list\[1\] is on CUDA device 1, t_list\[0\] is on 0"):
        numclip.global_norm(device)


def test_memory_of_no_device(monkeypatch):
    host, device = lists()

    def device_of(address):
        if address == host[1].ctypes.data:
            raise driver.UnknownAddress(f"the address {address:#x}")
        return 0

    monkeypatch.setattr(driver, "device_of", device_of)
    with pytest.raises(ValueError, match=r"^t_list\[1\] lies at the address 0x"):
        numclip.global_norm(device)
    with pytest.raises(ValueError, match=r"^t_list\[2\] lies at the address 0x"):
        numclip.global_norm([None, None, device[1], device[0]])


def targets(**other):
    """Targets for three_and_four, on the device, with some replaced."""
    host = [np.zeros(2, np.float32), np.zeros((1, 1), np.float32)]
    return [on_device(other.get(f"at{i}", array)) for i, array in enumerate(host)]


def read_only():
    array = np.zeros((1, 1), np.float32)
    array.flags.writeable = False
    return array


WRONG_TARGETS = [
    (lambda: targets()[:1], ValueError, "out has 1 entries, t_list has 2"),
    (lambda: targets(at1=np.zeros((2, 1), np.float32)), ValueError, "out[1] has shape (2, 1), t_list[1] has"),
    (
        lambda: targets(at1=np.zeros((1, 1))),
        TypeError,
        "out[1] has dtype float64, t_list[1] has dtype float32",
    ),
    (lambda: targets(at1=read_only()), ValueError, "out[1] is read-only"),
    (lambda: targets(at0=np.broadcast_to(np.float32(0), (2,))), ValueError, "out[0] is read-only"),
    (lambda: [targets()[0], None], TypeError, "out[1] should be a CUDA array, received <class 'NoneType'>"),
    (
        lambda: [np.zeros(2, np.float32), None],
        TypeError,
        "out[0] should be a CUDA array, received <class 'numpy",
    ),
]


@pytest.mark.parametrize(("out", "error", "message"), WRONG_TARGETS)
def test_wrong_targets(out, error, message):
    host, device = lists()
    with raises_unwritten(error, message, *host):
        numclip.clip_by_global_norm(device, 1.0, out=out())


def test_read_only_arrays_are_not_clipped_in_place():
    host = [np.zeros(2, np.float32), read_only()]
    grads = [*map(on_device, host)]
    with raises_unwritten(ValueError, "out[1] is read-only", *host):
        numclip.clip_by_global_norm(grads, 1.0, out=grads)


def test_targets_that_overlap():
    base = np.arange(8, dtype=np.float32)
    grads = [on_device(base[:5]), on_device(base[3:])]
    with raises_unwritten(ValueError, "out[0] and out[1] overlap in memory", base):
        numclip.clip_by_global_norm(grads, 1.0, out=grads)


@pytest.mark.parametrize(("dtype", "name"), [(np.int32, "int32"), (np.bool_, "bool"), (">f4", ">f4")])
def test_other_dtypes(dtype, name):
    with pytest.raises(TypeError, match=rf"^t_list\[1\] has dtype {name}"):
        numclip.global_norm([lists()[1][0], on_device(np.ones(3, dtype))])


def test_masked_arrays():
    masked = DeviceArray(np.ones(3, np.float32), mask=on_device(np.zeros(3, bool)))
    with pytest.raises(TypeError, match=r"^t_list\[0\] is a masked array"):
        numclip.global_norm([masked])


@pytest.mark.parametrize("clip_norm", [-1.0, float("nan")])
def test_wrong_numbers_of_the_host_are_refused(clip_norm):
    with pytest.raises(ValueError, match="clip_norm should"):
        numclip.clip_by_global_norm(lists()[1], clip_norm)
