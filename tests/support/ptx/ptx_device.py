"""A device that runs compiled kernels on the host; to be imported before numclip's CUDA side.

This module replaces the CUDA API that the host code calls. A launch compiles the kernel to PTX, as for a
device, and a grid runs that. The memory of the device is that memory of the host that was given to it.
"""

import ctypes
import itertools
import os
from functools import cache
from types import SimpleNamespace

import numpy as np
import on_device
from cuda.bindings import driver as cu
from numba import cuda
from numba.cuda import dispatcher
from ptx_code import Code
from ptx_grid import Memory, launch

from numclip._cuda import driver
from numclip._cuda.libraries import interface

MEMORY = Memory()
# How kernels are compiled and run; tests may change these.
OPTIONS = SimpleNamespace(
    capability=tuple(map(int, os.environ.get("PTX_CAPABILITY", "9.0").split("."))),
    code={},
    run=lambda blocks: {},
    launched=lambda kernel, blocks, accesses: None,
)


on_device.place = MEMORY.give


class DeviceArray(on_device.DeviceArray):
    """An array in the memory of the device."""

    shape = property(lambda self: self.array.shape)


def device_array(shape, dtype, strides=None):
    # As on a device, memory is aligned to 256 bytes, and not cleared.
    like = (
        np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides)
        if strides is not None
        else np.empty(shape, dtype)
    )
    size = like.nbytes
    memory = np.full(size + 256, 0xA5, np.uint8)
    start = -memory.ctypes.data % 256
    return DeviceArray(np.ndarray(shape, dtype, memory[start : start + size], strides=strides))


def from_cuda_array_interface(description, owner, sync):
    assert not sync
    (address, _), dtype = description["data"], np.dtype(description["typestr"])
    array = np.frombuffer((ctypes.c_char * dtype.itemsize).from_address(address), dtype).reshape(())
    scalar = DeviceArray(array)
    scalar.owner = owner
    return scalar


# --- the driver: the functions that are called, on the memory of the host
# ------------------------------------


@cache
def compiled(kernel, capability):
    """Compile a kernel to PTX for a compute capability; return it with the name of its entry."""
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    ptx, _ = cuda.compile(kernel.body.py_func, kernel.types, cc=capability, device=False, abi="numba")
    return ptx.encode(), kernel.name


@cache
def code_of(ptx, options):
    return Code(ptx.decode(), **dict(options))


class Driver:
    """The bindings of the CUDA driver: all work is done at once, and logged."""

    CUpointer_attribute, CUdevice_attribute = cu.CUpointer_attribute, cu.CUdevice_attribute
    CUstreamCaptureStatus, CUevent_flags = cu.CUstreamCaptureStatus, cu.CUevent_flags
    OK = cu.CUresult.CUDA_SUCCESS

    def __init__(self):
        self.log, self.events = [], itertools.count(1)
        self.context = True  # whether this thread has one

    def __getattr__(self, name):
        """Return a function that only logs its call."""
        return lambda *arguments: self._done(name, *arguments)

    def _done(self, name, *arguments, result=()):
        self.log.append((name, *arguments))
        return self.OK, *result

    def cuDeviceGetCount(self):
        return self.OK, 1

    def cuDeviceGet(self, number):
        return self.OK, number

    def cuDeviceGetAttribute(self, attribute, device):
        names = self.CUdevice_attribute
        return self.OK, OPTIONS.capability[attribute == names.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR]

    def cuDevicePrimaryCtxRetain(self, device):
        return self._done("cuDevicePrimaryCtxRetain", device, result=[f"context {device}"])

    def cuCtxGetDevice(self):
        return (self.OK, 0) if self.context else (cu.CUresult.CUDA_ERROR_INVALID_CONTEXT, 0)

    def cuCtxPushCurrent(self, context):
        self.context = True
        return self._done("cuCtxPushCurrent", context)

    def cuCtxPopCurrent(self):
        self.context = False
        return self._done("cuCtxPopCurrent", result=["context"])

    def cuPointerGetAttribute(self, attribute, address):
        return self.OK, 0

    def cuStreamIsCapturing(self, stream):
        return self.OK, self.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_NONE

    def cuEventCreate(self, flags):
        return self.OK, next(self.events)

    def cuEventQuery(self, event):
        return (self.OK,)

    def cuMemcpyHtoDAsync(self, target, source, size, stream):
        ctypes.memmove(target, source, size)
        return self._done("cuMemcpyHtoDAsync", size, stream)

    def cuMemcpyDtoHAsync(self, target, source, size, stream):
        ctypes.memmove(target, source, size)
        return self._done("cuMemcpyDtoHAsync", size, stream)

    def cuLibraryLoadData(self, code, *_):
        return self.OK, code

    def cuLibraryGetKernel(self, library, entry):
        return self.OK, (library, entry.decode())

    def cuKernelGetFunction(self, kernel):
        return self._done("cuKernelGetFunction", kernel[1], result=[kernel])

    def cuLaunchKernel(self, function, blocks, _y, _z, threads, _b, _c, shared, stream, values, extra):
        ptx, entry = function
        arguments, types = values
        assert len(arguments) == len(types)
        for value, kind in zip(arguments, types, strict=True):
            assert type(value) is {ctypes.c_double: float, ctypes.c_int64: int}[kind]
        code = code_of(ptx, tuple(OPTIONS.code.items()))
        accesses = launch(code, MEMORY, blocks, threads, arguments, **OPTIONS.run(blocks))
        OPTIONS.launched(entry, blocks, accesses)
        return self._done("cuLaunchKernel", entry, stream)


CU = driver.cu = Driver()
driver.machine_code = compiled
driver.cuda = interface.cuda = SimpleNamespace(
    device_array=device_array, pinned_array=np.empty, from_cuda_array_interface=from_cuda_array_interface
)
cuda.to_device = DeviceArray
