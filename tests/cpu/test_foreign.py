"""Arrays of other libraries on the CPU, by DLPack or `__array__`; and objects that only look like arrays."""

import ml_dtypes
import numpy as np
import pytest
from arrays import assert_same_bits, assert_same_norm, both_functions, raises_unwritten, starts_with

from numclip import IndexedSlices, clip_by_global_norm, global_norm


class Exporter:
    """An array that can be read by DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Convertible:
    """An array that can be read by `__array__` alone, as a copy."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array.copy()


class Hostile:
    """An array that raises a given exception."""

    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


class HostileExporter(Hostile):
    def __dlpack__(self, **kwargs):
        raise self.error

    def __dlpack_device__(self):
        return (1, 0)


class OnDevice(Exporter):
    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **kwargs):
        raise BufferError("on the device")


ERRORS = [
    ValueError,
    RuntimeError,
    KeyError,
    AttributeError,
    BufferError,
    ZeroDivisionError,
    NotImplementedError,
]


@pytest.mark.parametrize("foreign", [Exporter, Convertible])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.complex64])
def test_arrays_come_back(foreign, dtype):
    array = np.array([3, 4], dtype)
    clipped, norm = clip_by_global_norm([foreign(array), foreign(array.reshape(1, 2)[:, :0])], 2.5)
    assert norm == 5
    assert_same_norm(global_norm([foreign(array)]), norm)
    assert_same_bits(clipped[0], np.array([1.5, 2], dtype))
    assert_same_bits(clipped[1], np.empty((1, 0), dtype))
    assert_same_bits(array, np.array([3, 4], dtype))


def test_the_values_of_slices_may_be_foreign():
    indices = Exporter(np.array([5, 2]))
    [clipped], _ = clip_by_global_norm([IndexedSlices(Exporter(np.array([3.0, 4.0])), indices)], 2.5)
    assert_same_bits(clipped.values, np.array([1.5, 2]))
    assert clipped.indices is indices


def test_lent_memory_is_written_in_place():
    array = np.array([3.0, 4.0])
    entry = Exporter(array)
    clipped, _ = clip_by_global_norm([entry], 2.5, out=[entry])
    assert clipped[0] is entry
    assert_same_bits(array, np.array([1.5, 2.0]))


def test_foreign_and_own_arrays_may_be_mixed():
    own, lent = np.array([3.0, 0.0]), np.array([0.0, 4.0])
    clip_by_global_norm([own, Exporter(lent)], 2.5, out=[Exporter(own), lent])
    assert_same_bits(own, np.array([1.5, 0.0]))
    assert_same_bits(lent, np.array([0.0, 2.0]))


def test_overlaps_are_found():
    array = np.arange(1.0, 6.0)
    t_list = [array[:3], Exporter(array[2:])]
    with raises_unwritten(ValueError, "out[0] and out[1] overlap in memory", array):
        clip_by_global_norm(t_list, 1.0, out=t_list)


def test_a_target_must_lend_its_memory():
    first, entry = np.ones(3), Convertible(np.ones(2))
    with raises_unwritten(TypeError, f"out[1] should be an array, received {Convertible}", first):
        clip_by_global_norm([first, entry], 1.0, out=[first, entry])


def test_a_target_that_does_not_fit_is_refused():
    first = np.ones(3)
    for target, error, message in [
        (np.ones(4), ValueError, "out[1] has shape (4,), t_list[1] has shape (3,)"),
        (np.ones(3, np.float32), TypeError, "out[1] has dtype float32, t_list[1] has dtype float64"),
    ]:
        with raises_unwritten(error, message, first, target):
            clip_by_global_norm([first, np.ones(3)], 1.0, out=[first, Exporter(target)])


@both_functions
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("hostile", [Hostile, HostileExporter], ids=lambda hostile: hostile.__name__)
def test_an_array_that_raises_is_named(function, hostile, error):
    with pytest.raises(TypeError, match=starts_with("t_list[1] cannot be read as an array: ")) as caught:
        function([np.ones(3), hostile(error("no way"))])
    assert "no way" in str(caught.value)
    assert isinstance(caught.value.__cause__, error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_a_target_that_raises_is_named(error):
    first = np.ones(3)
    with raises_unwritten(TypeError, "out[1] cannot be written as an array: ", first):
        clip_by_global_norm([first, first.copy()], 1.0, out=[first, HostileExporter(error("no way"))])


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt], ids=lambda error: error.__name__)
def test_what_is_no_fault_of_the_entry_passes(error):
    with pytest.raises(error):
        global_norm([Hostile(error())])


@both_functions
def test_an_array_on_a_device_is_named(function):
    with pytest.raises(TypeError, match=starts_with("t_list[0] cannot be read as an array: ")):
        function([OnDevice(np.ones(2))])


@both_functions
@pytest.mark.parametrize("foreign", [Exporter, Convertible])
def test_other_dtypes_are_refused(function, foreign):
    message = "t_list[0] has dtype int16, expected a floating or complex dtype"
    with pytest.raises(TypeError, match=starts_with(message)):
        function([foreign(np.array([1], np.int16))])


# --- PyTorch ------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"])
def test_tensors(torch, dtype):
    tensor = torch.tensor([3, 4], dtype=getattr(torch, dtype))
    expected = np.array([1.5, 2], ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    [clipped], norm = clip_by_global_norm([tensor], 2.5)
    assert norm == 5
    assert_same_bits(clipped, expected)
    assert tensor[0] == 3
    result, _ = clip_by_global_norm([tensor], 2.5, out=[tensor])
    assert result[0] is tensor
    assert torch.equal(tensor, torch.tensor([1.5, 2], dtype=getattr(torch, dtype)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_strided_tensors_are_written_through(torch, dtype):
    base = torch.ones(6, 8, dtype=getattr(torch, dtype))
    view = base[1::2, ::3].T
    clip_by_global_norm([view], 1.5, out=[view])
    assert torch.equal(view, torch.full((3, 3), 0.5, dtype=base.dtype))
    assert int((base == 1).sum()) == base.numel() - 9


@both_functions
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_tensor_that_requires_grad_is_refused_with_the_way_to_pass_it(torch, function, dtype):
    tensor = torch.ones(3, dtype=getattr(torch, dtype), requires_grad=True)
    with pytest.raises(TypeError, match=starts_with("t_list[1] cannot be read as an array: ")) as caught:
        function([np.ones(2), tensor])
    assert "tensor.detach()" in str(caught.value)
    assert global_norm([tensor.detach()]) == np.float32(np.sqrt(3))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_target_that_requires_grad_is_refused(torch, dtype):
    target = torch.ones(3, dtype=getattr(torch, dtype), requires_grad=True)
    with pytest.raises(TypeError, match=starts_with("out[0] cannot be written as an array: ")) as caught:
        clip_by_global_norm([target.detach()], 1.0, out=[target])
    assert "detach()" in str(caught.value)


@both_functions
def test_a_parameter_whose_gradient_is_clipped(torch, function):
    parameter = torch.nn.Parameter(torch.ones(2))
    (parameter * torch.tensor([3.0, 4.0])).sum().backward()
    assert global_norm([parameter.grad]) == 5
    clip_by_global_norm([parameter.grad], 2.5, out=[parameter.grad])
    assert parameter.grad.tolist() == [1.5, 2.0]


@both_functions
def test_tensors_without_plain_memory_are_named(torch, function):
    conjugate = torch.ones(3, dtype=torch.complex64).conj()
    for tensor in (torch.ones(3).to_sparse(), torch.ones(3, device="meta"), conjugate, conjugate.imag):
        with pytest.raises(TypeError, match=starts_with("t_list[0] cannot be read as an array: ")):
            function([tensor])


# --- JAX ----------------------------------------------------------------------------------------------------


@pytest.fixture
def jax():
    return pytest.importorskip("jax")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_jax_arrays(jax, dtype):
    array = jax.numpy.array([3, 4], dtype)
    [clipped], norm = clip_by_global_norm([array], 2.5)
    assert norm == 5
    assert_same_bits(clipped, np.array([1.5, 2], ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype))
    assert array[0] == 3


def test_jax_arrays_cannot_be_written(jax):
    first, array = np.ones(3), jax.numpy.ones(3)
    with raises_unwritten(ValueError, f"out[1] is read-only, as {type(array)} is", first):
        clip_by_global_norm([first, array], 1.0, out=[first, array])


@both_functions
def test_jax_tracers_are_named(jax, function):
    def traced(array):
        with pytest.raises(TypeError, match=starts_with("t_list[0] cannot be read as an array: ")):
            function([array])
        return array

    jax.jit(traced)(jax.numpy.ones(3))
