"""The memory of a CUDA array as DLPack describes it, for arrays whose own interface is incomplete."""

import ctypes
import math
from typing import Any

_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.argtypes, _get_pointer.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_void_p


class _Tensor(ctypes.Structure):
    """DLPack's DLTensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


def interface(array: Any, stream: int) -> dict[str, Any]:
    """Return the address, shape and strides of an array as its CUDA array interface would, and its device.

    The stream waits until the array has been computed.
    """
    capsule = array.__dlpack__(stream=stream)
    tensor = _Tensor.from_address(_get_pointer(capsule, b"dltensor"))
    shape, strides = tuple(tensor.shape[: tensor.ndim]), None
    if tensor.strides and tuple(tensor.strides[: tensor.ndim]) != _strides_in_order(shape):
        item = tensor.lanes * tensor.bits // 8
        strides = tuple(stride * item for stride in tensor.strides[: tensor.ndim])
    return {
        "data": (tensor.data + tensor.byte_offset if tensor.data else 0, True),
        "shape": shape,
        "strides": strides,
        "stream": stream,
        "device": tensor.device_id,
    }


def _strides_in_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of an array in C order, in elements."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
