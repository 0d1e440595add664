"""Objects that lie or raise."""

import numpy as np


def raising(error):
    def attribute(self):
        raise error

    return property(attribute)


def liar(**attributes):
    """An object with some wrong attributes."""
    return type("Liar", (), attributes)()


class Subclass(np.ndarray):
    """An array that lies about itself to Python; its memory is what NumPy says."""

    shape = property(lambda self: (1 << 30,))
    size = property(lambda self: 1 << 30)
    nbytes = property(lambda self: 1 << 32)
    dtype = property(lambda self: np.dtype(np.float64))
    ndim = property(lambda self: 7)
    strides = property(lambda self: (1 << 20,))

    def __array_finalize__(self, obj):
        pass


INTERFACE = {"version": 3, "typestr": "<f4", "shape": (4,)}

LIARS = {
    "a shape alone": liar(shape=(1 << 40,), dtype=np.dtype(np.float32)),
    "a shape that raises": liar(shape=raising(ZeroDivisionError()), dtype=np.dtype(np.float32)),
    "a dtype that raises": liar(dtype=raising(RuntimeError("dtype"))),
    "__array__ that raises": liar(__array__=lambda self, *_, **__: 1 / 0),
    "__array__ that returns None": liar(__array__=lambda self, *_, **__: None),
    "__array__ that returns itself": liar(__array__=lambda self, *_, **__: self),
    "__array__ that returns a list": liar(__array__=lambda self, *_, **__: [1.0]),
    "__array__ of integers": liar(__array__=lambda self, *_, **__: np.arange(3)),
    "__array__ that is no function": liar(__array__=7),
    "an interface that raises": liar(__array_interface__=raising(RuntimeError("interface"))),
    "an interface that is None": liar(__array_interface__=None),
    "an interface that is empty": liar(__array_interface__={}),
    "an interface larger than its buffer": liar(__array_interface__={**INTERFACE, "data": bytearray(8)}),
    "an interface far larger": liar(
        __array_interface__={**INTERFACE, "shape": (1 << 40,), "data": bytearray(8)}
    ),
    "a negative shape": liar(__array_interface__={**INTERFACE, "shape": (-4,), "data": bytearray(16)}),
    "too many dimensions": liar(__array_interface__={**INTERFACE, "shape": (1,) * 99, "data": bytearray(4)}),
    "an offset behind the buffer": liar(
        __array_interface__={**INTERFACE, "data": bytearray(16), "offset": 1 << 20}
    ),
    "strides out of the buffer": liar(
        __array_interface__={**INTERFACE, "data": bytearray(16), "strides": (1 << 20,)}
    ),
    "an unknown type": liar(__array_interface__={**INTERFACE, "typestr": "<f3", "data": bytearray(16)}),
    "a CUDA interface that raises": liar(__cuda_array_interface__=raising(RuntimeError("cuda"))),
    "a CUDA interface that is None": liar(__cuda_array_interface__=None),
    "a CUDA interface of garbage": liar(__cuda_array_interface__="garbage"),
    "a buffer that raises": liar(__buffer__=lambda self, flags: 1 / 0),
    "DLPack that raises": liar(__dlpack__=lambda self, **_: 1 / 0),
    "a length that lies": liar(__len__=lambda self: 1 << 60, __getitem__=lambda self, i: 1.0 / (9 - i)),
    "an array of objects": np.array([1.0, None], object),
    "a record": np.zeros(3, [("x", "f4")]),
    "dates": np.zeros(3, "M8[s]"),
    "text": np.array(["1.0"]),
    "integers": np.arange(3),
    "booleans": np.array([True]),
    "long doubles": np.ones(3, np.longdouble) if np.longdouble(1).itemsize > 8 else np.arange(2),
    "a type": np.ndarray,
    "a module": np,
    "a recursive list": [],
}
LIARS["a recursive list"].append(LIARS["a recursive list"])
