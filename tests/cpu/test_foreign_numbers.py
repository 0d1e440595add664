"""Numbers, slices and bfloat16 of other libraries: read, or refused by name."""

import numpy as np
import pytest
from arrays import assert_same_bits, raises_unwritten, starts_with, three_and_four

from numclip import IndexedSlices, clip_by_global_norm, clip_by_norm, clip_by_value, global_norm


class Scalar:
    """A 0-d array of another library."""

    def __init__(self, value, dtype=np.float32):
        self.array = np.array(value, dtype)

    def __array__(self, dtype=None, copy=None):
        return self.array.copy()


def scalars(library):
    """Functions that make a 0-d array of each library from a number."""
    if library == "fake":
        return [Scalar]
    module = pytest.importorskip(library)
    if library == "torch":
        return [module.tensor, lambda value: module.tensor(value, dtype=module.bfloat16)]
    if library == "jax":
        return [module.numpy.float32, module.numpy.bfloat16, module.numpy.asarray]
    return [module.constant, lambda value: module.constant(value, module.float16), module.Variable]


@pytest.mark.parametrize("library", ["fake", "torch", "jax", "tensorflow"])
def test_numbers_of_other_libraries(library):
    for number in scalars(library):
        clipped, norm = clip_by_global_norm(three_and_four(), number(2.5))
        assert norm == 5
        assert_same_bits(clipped[0], np.array([1.5, 0], np.float32))
        given = number(10.0)
        clipped, norm = clip_by_global_norm(three_and_four(), number(5.0), given)
        assert norm is given
        assert_same_bits(clipped[0], np.array([1.5, 0], np.float32))
        assert_same_bits(clip_by_value(np.arange(4.0), number(1.0), number(2.0)), np.array([1.0, 1, 2, 2]))
        assert_same_bits(clip_by_norm(np.array([3.0, 4.0]), number(2.5), axes=0), np.array([1.5, 2]))


@pytest.mark.parametrize("value", [[1.0], [1.0, 2.0], True, 1j], ids=repr)
def test_what_is_no_real_number_there_is_refused(value):
    with pytest.raises(
        TypeError, match=starts_with("clip_norm should be a real number or 0-d array. Received")
    ):
        clip_by_global_norm(three_and_four(), Scalar(value, np.asarray(value).dtype))


def test_a_negative_number_there_is_refused():
    with pytest.raises(ValueError, match=starts_with("clip_norm should be non-negative. Received -1.0")):
        clip_by_global_norm(three_and_four(), Scalar(-1.0))


def test_a_tensor_that_requires_grad_is_refused_as_a_number():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"^clip_norm cannot be read as an array: .*detach\(\)"):
        clip_by_global_norm(three_and_four(), torch.tensor(1.0, requires_grad=True))


# --- slices of TensorFlow -----------------------------------------------------------------------------------


def slices_of_tensorflow(values, indices, dense_shape):
    """A class like TensorFlow's, recognised by its name; that of TensorFlow itself if it is installed."""
    kind = type("IndexedSlices", (), {"__module__": "tensorflow.python.framework.indexed_slices"})
    slices = kind()
    slices.values, slices.indices, slices.dense_shape = values, indices, dense_shape
    return slices


def test_slices_of_tensorflow_come_back_as_slices():
    values = np.array([[3.0], [4.0]], np.float32)
    slices = slices_of_tensorflow(values, indices := object(), shape := object())
    clipped, norm = clip_by_global_norm([slices, None], 2.5)
    assert norm == 5
    assert type(clipped[0]) is IndexedSlices
    assert_same_bits(clipped[0].values, np.array([[1.5], [2]], np.float32))
    assert clipped[0].indices is indices
    assert clipped[0].dense_shape is shape
    assert_same_bits(clip_by_norm(slices, 2.5).values, clipped[0].values)
    assert_same_bits(clip_by_norm(slices, 2.5, axes=0).values, clipped[0].values)
    assert_same_bits(clip_by_value(slices, 0, 3).values, np.array([[3], [3]], np.float32))
    target = IndexedSlices(np.empty_like(values), indices, shape)
    clip_by_global_norm([slices], 2.5, out=[target])
    assert_same_bits(target.values, clipped[0].values)


def test_real_slices_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    slices = tf.IndexedSlices(tf.constant([[3.0], [4.0]]), tf.constant([7, 2]), tf.constant([10, 1]))
    [clipped], norm = clip_by_global_norm([slices], 2.5)
    assert norm == 5
    assert type(clipped) is IndexedSlices
    assert clipped.indices is slices.indices
    assert_same_bits(clipped.values, np.array([[1.5], [2]], np.float32))
    assert_same_bits(clipped.coalesce().values, np.array([[2], [1.5]], np.float32))
    first = np.ones(2)
    with raises_unwritten((TypeError, ValueError), "out[1].values ", first):
        clip_by_global_norm([first, slices], 0.5, out=[first, slices])
    assert float(slices.values[0, 0]) == 3.0


def test_tensors_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    for dtype in ("float32", "float64", "float16", "bfloat16", "complex64"):
        [clipped], norm = clip_by_global_norm([tf.constant([3, 4], dtype)], 2.5)
        assert norm == 5
        assert clipped.dtype.name == dtype
        assert clipped.astype(complex).tolist() == [1.5, 2]


# --- bfloat16 that NumPy cannot read ------------------------------------------------------------------------


class Paddle:
    """A bfloat16 tensor whose `__array__` gives its bits."""

    dtype = "paddle.bfloat16"

    def __array__(self, dtype=None, copy=None):
        return np.array([0x4040], np.uint16)


class MLX:
    """A bfloat16 array that no protocol of NumPy can describe."""

    dtype = "mlx.core.bfloat16"

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Item size 2 for PEP 3118 buffer format string B does not match")


@pytest.mark.parametrize("entry", [Paddle(), MLX()], ids=["Paddle", "MLX"])
def test_bfloat16_that_cannot_be_read_is_refused_by_name(entry):
    message = f"t_list[1] is a bfloat16 {type(entry)}, which NumPy cannot read: cast it to float32"
    with pytest.raises(TypeError, match=starts_with(message)):
        global_norm([np.ones(2), entry])


# --- many tensors of PyTorch --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16", "complex64"])
def test_lists_of_tensors_in_place_into_others_and_new(dtype):
    torch = pytest.importorskip("torch")
    kind = getattr(torch, dtype)
    values = [[3, 0], [0, 4]]
    tensors = [torch.tensor(value, dtype=kind) for value in values]
    clipped, norm = clip_by_global_norm(tensors, 2.5)
    assert norm == 5
    assert [type(array) for array in clipped] == [np.ndarray] * 2
    assert clipped[1].astype(complex).tolist() == [0, 2]
    targets = [torch.empty(2, dtype=kind), torch.empty(2, dtype=kind)]
    result, _ = clip_by_global_norm(tensors, 2.5, out=targets)
    assert [entry is target for entry, target in zip(result, targets, strict=True)] == [True, True]
    assert targets[0].tolist() == [1.5, 0]
    assert tensors[0].tolist() == [3, 0]
    mixed = [None, tensors[0], np.zeros(3, np.float32), [0.0], tensors[1], tensors[0]]
    assert global_norm(mixed) == pytest.approx(np.sqrt(34), rel=1e-7)
    result, _ = clip_by_global_norm([None, *tensors], 2.5, out=[None, *tensors])
    assert result[1] is tensors[0]
    assert tensors[1].tolist() == [0, 2]


def test_an_error_names_the_tensor_and_writes_nothing():
    torch = pytest.importorskip("torch")
    tensors = [torch.ones(3), torch.ones(3, requires_grad=True), torch.ones(3, dtype=torch.int32)]
    with pytest.raises(TypeError, match=starts_with("t_list[1] cannot be read as an array: ")):
        clip_by_global_norm(tensors, 1.0, out=tensors)
    with pytest.raises(
        TypeError, match=starts_with("t_list[1] has dtype int32, expected a floating or complex")
    ):
        clip_by_global_norm(tensors[::2], 1.0, out=tensors[::2])
    shared = torch.arange(6.0)
    with pytest.raises(ValueError, match=starts_with("out[0] and out[1] overlap in memory")):
        clip_by_global_norm([shared[:4], shared[2:]], 1.0, out=[shared[:4], shared[2:]])
    assert tensors[0].tolist() == [1, 1, 1]
    assert shared.tolist() == [0, 1, 2, 3, 4, 5]
