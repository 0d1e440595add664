"""The layout of arrays in memory is checked before its use: with another one, calls are slow and correct."""

import pytest
from caching import copy_of_package
from processes import run_python

from numclip._cpu import abi

OFFSETS = ["DATA", "AXES", "SHAPE", "DTYPE", "FLAGS"]

CALLS = """
import numpy as np
import numclip
from numclip._cpu import abi

assert not abi.IS_AS_EXPECTED
rng = np.random.default_rng(1)
grads = [rng.standard_normal(shape, dtype=np.float32) for shape in ((3, 4), (5000,), ())]
grads += [None, np.asfortranarray(rng.standard_normal((4, 5))), rng.standard_normal(9)[::2], grads[0]]
norm = numclip.global_norm(grads)
clipped, same = numclip.clip_by_global_norm(grads, 0.5)
own = [None if array is None else array.copy(order="K") for array in grads[:-1]]
numclip.clip_by_global_norm([*own, own[0]], 0.5, out=[*own, own[0]])
clipper = numclip.Clipper(own[:3], 1e-3)
print(norm, same, clipper(), clipper.factor, numclip.tensor_norms(grads))
for array in (*clipped, *own):
    print(None if array is None else (array.dtype.name, array.tobytes().hex()))
"""


def test_arrays_are_laid_out_as_expected():
    assert abi.is_as_expected()


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_wrong_offset_is_noticed(monkeypatch, offset):
    monkeypatch.setattr(abi, offset, getattr(abi, offset) + 8)
    assert not abi.is_as_expected()


def test_another_version_of_numpys_interface_is_noticed(monkeypatch):
    monkeypatch.setattr(abi, "_VERSION", 0x03000000)
    assert not abi.is_as_expected()


@pytest.mark.slow
def test_with_a_wrong_offset_lists_are_packed_in_python(tmp_path):
    source = copy_of_package(tmp_path) / "_cpu" / "abi.py"
    text = source.read_text(encoding="utf-8")
    assert "SHAPE = object.__basicsize__ + 16" in text
    text = text.replace("SHAPE = object.__basicsize__ + 16", "SHAPE = object.__basicsize__ + 8")
    source.write_text(text, encoding="utf-8")
    found = run_python("-P", "-c", CALLS, PYTHONPATH=str(tmp_path)).stdout
    expected = run_python("-P", "-c", CALLS.replace("assert not abi", "assert abi")).stdout
    assert found == expected
    assert len(found.splitlines()) > 10
