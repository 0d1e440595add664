"""Arrays of a library with ``__cuda_array_interface__`` alone: of any layout, and of bfloat16."""

import numpy as np

from numclip import IndexedSlices


def place(array):
    """Register the memory of an array with the device."""
    return array


def interface_of(array):
    """The CUDA array interface of an array on a device."""
    return {
        "version": 3,
        "shape": array.shape,
        "strides": None if array.flags.c_contiguous else array.strides,
        "data": (array.ctypes.data if array.size else 0, not array.flags.writeable),
        "typestr": array.dtype.str,
    }


class DeviceArray:
    """A NumPy array that claims to be a CUDA array."""

    def __init__(self, array, **interface):
        self.array = place(array)
        self.dtype = array.dtype
        self._interface = interface

    @property
    def __cuda_array_interface__(self):
        return interface_of(self.array) | self._interface


def on_device(entry):
    """The entry with its array as a device array of the same layout, which shares the memory."""
    if entry is None:
        return None
    if isinstance(entry, IndexedSlices):
        return IndexedSlices(DeviceArray(entry.values), entry.indices, entry.dense_shape)
    return DeviceArray(entry)


def to_host(value):
    """The content of a device array as a NumPy array, which shares the memory."""
    if value is None or isinstance(value, np.ndarray | np.generic):
        return value
    if isinstance(value, IndexedSlices):
        return IndexedSlices(to_host(value.values), value.indices, value.dense_shape)
    return value.array if isinstance(value, DeviceArray) else getattr(value, "_ary", value)
