"""The machine code of the CUDA kernels, compiled as for a device: no driver is needed for that."""

import re
from types import SimpleNamespace

import pytest
from compilers import skip_without_compilers

from numclip._core.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64

skip_without_compilers()
from cuda.bindings import nvjitlink  # noqa: E402
from numba import cuda  # noqa: E402

from numclip._cuda import array_norms, copies, decision, norm, orders, scaling  # noqa: E402

pytestmark = pytest.mark.slow

CAPABILITIES = [
    (9, 0),
    *(pytest.param(capability, marks=pytest.mark.ci) for capability in [(7, 5), (8, 0)]),
]
LOAD_ONE = {FLOAT32: "f32", FLOAT64: "f64", FLOAT16: "[bu]16", BFLOAT16: "[bu]16"}
LOAD = {FLOAT32: "v4.f32", FLOAT64: "v2.f64", FLOAT16: "v2.u32", BFLOAT16: "v2.u32"}
STORE = {FLOAT32: r"v4\.f32", FLOAT64: r"v2\.f64", FLOAT16: r"v4\.[bu]16", BFLOAT16: r"v4\.[bu]16"}
LISTS = [(FLOAT32,), (FLOAT64,), (FLOAT16,), (BFLOAT16,), (FLOAT32, FLOAT64, FLOAT16, BFLOAT16)]


def assert_no_spills(ptx, capability):
    """Compile the PTX to machine code, and assert that no register is spilled."""
    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose", "-Xptxas=-v"]
    handle = nvjitlink.create(len(options), options)
    code = ptx.encode()
    nvjitlink.add_data(handle, nvjitlink.InputType.PTX, code, len(code), "kernel.ptx")
    nvjitlink.complete(handle)
    log = bytearray(nvjitlink.get_info_log_size(handle))
    nvjitlink.get_info_log(handle, log)
    nvjitlink.destroy(handle)
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in log.decode()


@pytest.fixture(params=CAPABILITIES, ids=lambda cc: f"cc{cc[0]}.{cc[1]}")
def compiled(request, monkeypatch):
    """Compile a kernel for a compute capability, and return its PTX."""
    device = SimpleNamespace(compute_capability=request.param)
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: device)

    def compile_kernel(kernel):
        ptx, _ = cuda.compile(kernel.body.py_func, kernel.types, cc=request.param, device=False, abi="numba")
        assert ".local" not in ptx, "the kernel spills to local memory"
        assert not re.search(r"^\s*call", ptx, re.MULTILINE), "a function has not been inlined"
        assert_no_spills(ptx, request.param)
        return ptx

    return compile_kernel


def ids(typecodes):
    return "".join(map(str, typecodes))


SUMS = [
    (summand, typecodes) for typecodes in LISTS for summand in orders.summands_of(2.0, FLOAT64 in typecodes)
]


@pytest.mark.parametrize(("summand", "typecodes"), SUMS, ids=str)
def test_the_sum(compiled, summand, typecodes):
    ptx = compiled(norm.norm(summand, typecodes, False, None))
    for typecode in typecodes:  # in one basic block, so that the assembler issues them before the first sum
        assert any(
            len(re.findall(rf"ld\.global\.{LOAD_ONE[typecode]}", block)) == 16 for block in ptx.split("\n$L")
        )
    # Results of other blocks are not read through the non-coherent cache.
    assert "ld.global.nc" not in ptx
    # Each of the two tickets is taken between two fences, by one thread.
    ticket = ["membar.gl", "atom.global.inc.u32", "membar.gl"]
    assert re.findall(r"(atom\S*|membar\.gl|fence\.\S*)", ptx) == 2 * ticket
    # Fused are only squares, as intended, and exact products of halves in the formula: one of the quotient,
    # four of the product of eps and loss_scale.
    fused = re.findall(r"\bfma\.\S+\s+%\w+, (%\w+), (%\w+), ", ptx)
    assert fused
    assert sum(left != right for left, right in fused) <= 5
    for exact in ("sqrt.rn.f64", "div.rn.f64"):
        assert exact in ptx
    for rounded_otherwise in (".ftz", ".approx"):
        assert rounded_otherwise not in ptx


@pytest.mark.parametrize("typecodes", LISTS, ids=ids)
def test_the_scaling_loads_and_stores_vectors(compiled, typecodes):
    ptx = compiled(scaling.scale(typecodes))
    for typecode in typecodes:
        blocks = [re.split(r"st\.global", block)[0] for block in ptx.split("\n$L")]
        vectors = 16 if typecode == FLOAT64 else 8  # before the first store; 16 where misaligned
        assert any(block.count(f"ld.global.{LOAD[typecode]}") == vectors for block in blocks)
        assert any(len(re.findall(rf"ld\.global\.{LOAD_ONE[typecode]}", block)) == 16 for block in blocks)
        assert len(re.findall(rf"st\.global\.{STORE[typecode]}", ptx)) >= vectors


@pytest.mark.parametrize("typecodes", [(FLOAT32,), LISTS[-1]], ids=ids)
@pytest.mark.parametrize("summand", [orders.ABSOLUTES, orders.MAGNITUDES, orders.POWERS])
def test_the_sums_of_other_orders(compiled, summand, typecodes):
    for has_complex in (False, True):
        compiled(norm.norm(summand, typecodes, has_complex, None))


def test_the_small_kernels(compiled):
    for typecodes in ((FLOAT32,), (FLOAT64,)):
        for summand in (orders.SQUARES, orders.ABSOLUTES, orders.MAGNITUDES):
            compiled(array_norms.norms_of_arrays(summand, typecodes, False))
    compiled(decision.use_given(None, None))
    for item in (1, 2, 4, 8):
        for back in (False, True):
            compiled(copies.copy_elements(item, back))


@pytest.mark.parametrize("typecode", [FLOAT32, FLOAT64, FLOAT16, BFLOAT16])
def test_numbers_on_the_device(compiled, typecode):
    compiled(norm.norm(orders.SQUARES, (FLOAT32,), False, typecode))
    compiled(decision.use_given(typecode, typecode))
