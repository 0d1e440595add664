"""Fakes of the functions of torch, CuPy and JAX that a plan calls, on NumPy arrays; they log allocations."""

import ctypes
import types
from contextlib import contextmanager

import ml_dtypes
import numpy as np
import on_device


class Library(types.ModuleType):
    """A library with a current stream; `allocated` lists the streams that it has allocated on."""

    def __init__(self, name, current):
        super().__init__(name)
        self.current, self.allocated = current, []
        setattr(self, self.array_type.__name__, self.array_type)

    @contextmanager
    def use(self, handle):
        before, self.current = self.current, handle
        try:
            yield
        finally:
            self.current = before

    def new(self, array):
        self.allocated.append(self.current)
        return self.array_type(array)


class FakeTorch(Library):
    float16, bfloat16, float32, float64, complex64, complex128, int64 = (
        f"torch.{name}"
        for name in ("float16", "bfloat16", "float32", "float64", "complex64", "complex128", "int64")
    )
    strided, channels_last = "torch.strided", "torch.channels_last"

    class Tensor:
        __module__ = "torch"
        is_cuda, layout, device = True, "torch.strided", 0

        def __init__(self, array, address=None):
            self.array = on_device.place(array)
            self.address = address

        shape = property(lambda self: self.array.shape)
        dtype = property(lambda self: f"torch.{self.array.dtype.name}")
        __cuda_array_interface__ = property(lambda self: 1 / 0)  # unused: slow, and without bfloat16

        def is_neg(self):
            return False

        is_conj = is_neg

        def dim(self):
            return self.array.ndim

        def is_contiguous(self, memory_format=None):
            array = self.array if memory_format is None else self.array.transpose(0, 2, 3, 1)
            return array.flags.c_contiguous

        def data_ptr(self):
            return self.array.ctypes.data if self.address is None else self.address

        def numel(self):
            return self.array.size

        def element_size(self):
            return self.array.itemsize

        def unbind(self):
            return tuple(type(self)(self.array[i : i + 1].reshape(())) for i in range(len(self.array)))

        def stride(self):
            return tuple(step // self.array.itemsize for step in self.array.strides)

        def get_device(self):
            return self.device

    array_type = Tensor

    def __init__(self, current=77):
        super().__init__("torch", current)
        self.cuda = types.SimpleNamespace(
            current_stream=lambda device: types.SimpleNamespace(cuda_stream=self.current),
            default_stream=lambda device: types.SimpleNamespace(cuda_stream=0),
            ExternalStream=lambda handle, device: types.SimpleNamespace(cuda_stream=handle),
            stream=lambda stream: self.use(stream.cuda_stream),
        )

    def empty_like(self, tensor, requires_grad):
        assert not requires_grad
        return self.new(np.empty_like(tensor.array))

    def empty(self, shape, dtype, device):
        assert device == "cuda:0"
        name = dtype.removeprefix("torch.")
        return self.new(np.empty(shape, ml_dtypes.bfloat16 if name == "bfloat16" else name))


class FakeCuPy(Library):
    class ndarray:
        __module__ = "cupy"
        __cuda_array_interface__ = property(lambda self: 1 / 0)

        def __init__(self, array, address=None):
            self.array = on_device.place(array)
            address = array.ctypes.data if address is None else address
            self.data = types.SimpleNamespace(ptr=address, device_id=0)

        def __getattr__(self, name):
            return getattr(self.array, name)

        def __getitem__(self, i):
            return type(self)(self.array[i : i + 1].reshape(()))

    class Device:
        def __init__(self, number):
            assert number == 0

        def __enter__(self):
            pass

        def __exit__(self, *_):
            pass

    array_type = ndarray

    def __init__(self, current=99):
        super().__init__("cupy", current)
        stream_class = types.SimpleNamespace(null=self.use(0))
        self.cuda = types.SimpleNamespace(
            Device=self.Device,
            Stream=stream_class,
            ExternalStream=lambda handle, device: self.use(handle),
            get_current_stream=lambda: types.SimpleNamespace(ptr=self.current),
        )

    def empty_like(self, array):
        return self.new(np.empty_like(array.array))

    def empty(self, shape, dtype):
        return self.new(np.empty(shape, dtype))


class FakeJaxArray:
    """An array of JAX on a device: it has DLPack, for any dtype and order, and logs the waiting streams."""

    __module__ = "jaxlib._jax"

    def __init__(self, array, devices=1):
        self.array, self.shape, self.dtype = on_device.place(array), array.shape, array.dtype
        self._devices = [types.SimpleNamespace(platform="gpu", id=i) for i in range(devices)]
        self.waiting = []

    @property
    def __cuda_array_interface__(self):
        raise RuntimeError("not for bfloat16, nor for sharded arrays")

    def devices(self):
        return self._devices

    def __dlpack__(self, stream):
        self.waiting.append(stream)
        array = self.array.view(np.int16) if self.dtype.itemsize == 2 else self.array
        return as_on_a_device(array.__dlpack__())


def as_on_a_device(capsule):
    """Return a DLPack capsule of NumPy, changed to claim the memory of device 0."""
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.argtypes, get_pointer.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_void_p
    device = (ctypes.c_int32 * 2).from_address(get_pointer(capsule, b"dltensor") + 8)
    device[:] = 2, 0
    return capsule
