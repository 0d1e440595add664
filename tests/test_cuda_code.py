"""The machine code of the CUDA kernels, compiled as for a device: no driver is needed for that."""

import re
from types import SimpleNamespace

import pytest

from numclip._table import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

pytest.importorskip("numba_cuda", reason="pip install 'numclip[test]'")
nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="pip install 'numclip[cuda13]'")

from numba import cuda, float64, int64  # noqa: E402

try:
    nvrtc.nvrtcVersion()
    cuda.compile(lambda: None, (), cc=(9, 0))
except Exception as error:
    if type(error).__name__ not in ("DynamicLibNotFoundError", "NvvmSupportError"):
        raise
    pytest.skip("no compiler for CUDA: pip install 'numclip[cuda13]'", allow_module_level=True)

from numclip import _cuda_copies, _cuda_decide, _cuda_scale, _cuda_sums  # noqa: E402

CAPABILITIES = [(7, 5), (8, 0), (9, 0)]
LOAD = {FLOAT32: "v4.f32", FLOAT64: "v2.f64", FLOAT16: "v2.u32", BFLOAT16: "v2.u32"}
STORE = {FLOAT32: r"v4\.f32", FLOAT64: r"v2\.f64", FLOAT16: r"v4\.[bu]16", BFLOAT16: r"v4\.[bu]16"}
LISTS = [(FLOAT32,), (FLOAT64,), (FLOAT16,), (BFLOAT16,), (FLOAT32, FLOAT64, FLOAT16, BFLOAT16)]


@pytest.fixture(params=CAPABILITIES, ids=lambda cc: f"cc{cc[0]}.{cc[1]}")
def compiled(request, monkeypatch):
    """Compile a kernel for a compute capability, and return its PTX."""
    device = SimpleNamespace(compute_capability=request.param)
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: device)

    def compile_kernel(kernel, *signature):
        ptx, _ = cuda.compile(kernel.py_func, signature, cc=request.param, device=False, abi="numba")
        assert ".local" not in ptx, "the kernel spills to local memory"
        assert not re.search(r"^\s*call", ptx, re.MULTILINE), "a function has not been inlined"
        return ptx

    return compile_kernel


def ids(kinds):
    return "".join(map(str, kinds))


@pytest.mark.parametrize("kinds", LISTS, ids=ids)
def test_the_sum_has_eight_vector_loads_in_flight(compiled, kinds):
    ptx = compiled(_cuda_sums.chunk_sums(kinds), int64, int64)
    blocks = [re.split(r"(?:fma|mul|add)\.rn\.f64|add\.f64", block)[0] for block in ptx.split("\n$L")]
    for kind in kinds:  # in one basic block, all before the first sum
        load, count = f"ld.global.{LOAD[kind]}", 16 if kind == FLOAT64 else 8
        assert any(block.count(load) == count for block in blocks)
    if kinds == (FLOAT64,):  # the square and the sum are rounded each
        assert "fma." not in ptx
        assert "mul.rn.f64" in ptx


@pytest.mark.parametrize("kinds", LISTS, ids=ids)
def test_the_second_pass(compiled, kinds):
    ptx = compiled(_cuda_sums.chunk_sums_again(kinds), int64, int64)
    assert "fma." not in ptx


@pytest.mark.parametrize("kinds", LISTS, ids=ids)
def test_the_scaling_loads_and_stores_vectors(compiled, kinds):
    ptx = compiled(_cuda_scale.scale(kinds), int64, int64, int64)
    for kind in kinds:
        assert ptx.count(f"ld.global.{LOAD[kind]}") >= 4
        assert len(re.findall(rf"st\.global\.{STORE[kind]}", ptx)) >= 4


@pytest.mark.parametrize(("single", "again"), [(True, False), (False, False), (False, True)])
def test_the_decision_is_rounded_as_on_the_cpu(compiled, single, again):
    ptx = compiled(_cuda_decide.finish(single, again), int64, int64, float64, int64)
    assert "atom.global.add.u64" in ptx
    assert not re.search(r"atom\S*\.f(32|64)", ptx), "the order of the sum would change from run to run"
    for exact in ("sqrt.rn.f64", "div.rn.f64"):
        assert exact in ptx
    for rounded_otherwise in ("fma.", ".ftz", ".approx"):
        assert rounded_otherwise not in ptx


def test_the_small_kernels(compiled):
    compiled(_cuda_decide.use_given(), int64, float64, float64)
    compiled(_cuda_decide.write_factor(), int64, int64)
    for kind in (FLOAT32, FLOAT64, FLOAT16, BFLOAT16):
        compiled(_cuda_decide.read_scalar(kind), int64, int64)
    for item in (1, 2, 4, 8):
        for back in (False, True):
            compiled(_cuda_copies.copy_elements(item, back), *[int64] * 6)
