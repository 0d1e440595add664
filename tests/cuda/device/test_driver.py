"""What is asked of the driver: devices, memory for scalars, and machine code that is kept on disk."""

import threading

import numpy as np
import ptx_device
import pytest
from arrays import three_and_four
from on_device import on_device, to_host

import numclip
from numclip._core.dtypes import FLOAT32
from numclip._cuda import driver, machine_code
from numclip._cuda.decision import use_given
from numclip._cuda.scaling import scale
from numclip._cuda.streams import PER_THREAD
from numclip._cuda.workspace import workspaces


@pytest.fixture
def cu(monkeypatch):
    """The bindings of the driver, with an empty log."""
    monkeypatch.setattr(ptx_device.CU, "context", True)
    ptx_device.CU.log.clear()
    return ptx_device.CU


def test_a_thread_without_a_context_gets_that_of_the_arrays_and_leaves_it(cu):
    """One that it kept would take half a gigabyte of the first GPU, in each rank of a training."""
    cu.context = False
    assert to_host(numclip.global_norm([*map(on_device, three_and_four())]))[()] == 5.0
    names = [name for name, *_ in cu.log if name.startswith("cuCtx")]
    assert set(names) == {"cuCtxPushCurrent", "cuCtxPopCurrent"}
    assert names[::2] == ["cuCtxPushCurrent"] * (len(names) // 2)
    assert not cu.context
    cu.log.clear()
    cu.context = True
    numclip.global_norm([*map(on_device, three_and_four())])
    assert not [name for name, *_ in cu.log if name.startswith("cuCtx")]


def test_scalars_are_pieces_of_a_larger_array(monkeypatch):
    """To free memory is to wait for the device: a norm of each call would do that."""
    allocated, device_array = [], driver.cuda.device_array

    def record(*arguments):
        allocated.append(arguments)
        return device_array(*arguments)

    monkeypatch.setattr(driver.cuda, "device_array", record)
    monkeypatch.setattr(driver, "_slabs", {})
    scalars = [driver.empty_scalar(np.float32, 0) for _ in range(driver._SLAB + 1)]
    assert len(allocated) == 2
    assert len({scalar.array.ctypes.data for scalar in scalars}) == len(scalars)


def test_each_thread_has_memory_of_its_own_for_its_own_stream():
    """Also a thread whose number another one had, which has ended."""
    found = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: found.append(workspaces(0, PER_THREAD)))
        thread.start()
        thread.join()
    found.append(workspaces(0, PER_THREAD))
    assert len({*map(id, found)}) == 4
    assert workspaces(0, PER_THREAD) is found[-1]


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """The kernels that have been compiled, for a cache directory that is empty."""
    kernels = []

    def compile_kernel(kernel, capability):
        kernels.append((kernel.name, capability))
        return f"code of {kernel.name}".encode(), "entry"

    monkeypatch.setattr(machine_code, "_compile", compile_kernel)
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    return kernels


def test_machine_code_is_compiled_once_for_a_kind_of_gpu_and_a_compiler(compiled, monkeypatch):
    for kernel in (use_given(None, None), scale((FLOAT32,))):
        compiled.clear()
        code = machine_code.machine_code(kernel, (9, 0))
        assert code == (f"code of {kernel.name}".encode(), "entry")
        assert machine_code.machine_code(kernel, (9, 0)) == code
        assert machine_code.machine_code(kernel, (8, 0)) == code
        assert compiled == [(kernel.name, (9, 0)), (kernel.name, (8, 0))]
    monkeypatch.setattr(machine_code, "_version", lambda package: "another one")
    machine_code.machine_code(kernel, (9, 0))
    assert len(compiled) == 3


def test_without_a_directory_that_can_be_written_each_process_compiles(compiled, monkeypatch):
    monkeypatch.setattr(machine_code, "_path", lambda kernel, capability: None)
    for count in (1, 2):
        machine_code.machine_code(use_given(None, None), (9, 0))
        assert len(compiled) == count
