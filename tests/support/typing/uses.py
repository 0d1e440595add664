"""Correct uses, in which a type checker should find nothing; `assert_type` states what they return."""

from collections import OrderedDict
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import numclip

narrow: list[NDArray[np.float32]] = [np.ones(3, np.float32)]
wide: list[NDArray[np.float64]] = [np.ones(3)]
holes: list[NDArray[np.float32] | None] = [None, narrow[0]]
mixed: list[NDArray[np.float32] | NDArray[np.float64]] = [*narrow, *wide]
anything: list[Any] = [*narrow, None, 1.0]
pairs: list[NDArray[np.complex128]] = [np.ones(3, complex)]
slices = numclip.IndexedSlices(np.ones((2, 1)), np.array([0, 3]), (5, 1))


class Tensor:
    """An array like those of CuPy and PyTorch."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.ones(3)

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        return np.ones(3).__dlpack__()


class OnDevice:
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        raise AttributeError


def halves() -> tuple[NDArray[np.float16], ...]:
    return (np.ones(3, np.float16),)


half = halves()
tensors: list[Tensor] = [Tensor()]
device: list[OnDevice] = []

assert_type(numclip.clip_by_global_norm(narrow, 1.0), tuple[list[NDArray[np.float32]], np.float32])
assert_type(numclip.clip_by_global_norm(wide, 1), tuple[list[NDArray[np.float64]], np.float64])
assert_type(numclip.clip_by_global_norm(half, np.float32(1)), tuple[list[NDArray[np.float16]], np.float32])
assert_type(numclip.clip_by_global_norm(pairs, 1.0), tuple[list[NDArray[np.complex128]], np.float64])
assert_type(numclip.clip_by_global_norm(holes, 1.0), tuple[list[NDArray[np.float32] | None], np.float32])
assert_type(numclip.global_norm(narrow), np.float32)
assert_type(numclip.global_norm(wide, ord=1, loss_scale=8), np.float64)
assert_type(numclip.clip_factor(narrow, 1.0), tuple[float, np.float32])
assert_type(numclip.Clipper(narrow, 1.0)(), np.float32)
assert_type(numclip.Clipper(wide, 1.0, out=wide, eps=1e-6)(clip_norm=2.0), np.float64)
assert_type(numclip.Clipper(wide, numclip.AutoClip(), monitor=numclip.GradientMonitor())(), np.float64)
assert_type(
    numclip.per_example_global_norm_clip(narrow, 1.0),
    tuple[list[NDArray[np.float32]], int, NDArray[np.float32]],
)
assert_type(numclip.clip_by_norm(narrow[0], 1.0), NDArray[np.float32])
assert_type(numclip.clip_by_norm(slices, 1.0), numclip.IndexedSlices)
assert_type(numclip.clip_by_value(wide[0], 0, None), NDArray[np.float64])

numclip.clip_by_global_norm(mixed, 1.0)
numclip.clip_by_global_norm(anything, np.array(1.0), use_norm=np.float64(2))
numclip.clip_by_global_norm([*narrow, None, *wide, slices, 1.0, [1.0, 2.0]], float("inf"))
numclip.clip_by_global_norm(tensors, 1.0, out=tensors)
numclip.clip_by_global_norm(device, 1.0, out=device, stream=None)
numclip.clip_by_global_norm(narrow, lambda norm: 2.0 * norm, ord=np.inf, eps=1e-6, nonfinite="zero")
numclip.clip_by_global_norm(narrow, 1.0, None, "clip", out=narrow)
numclip.clip_by_global_norm(narrow, 1.0, strict=True)
numclip.Clipper(wide, 1.0, strict=True)
numclip.clip_by_global_norm(list({"w": narrow[0]}.values()), 1.0)
numclip.clip_by_global_norm([], 1.0)
numclip.tensor_norms(narrow, ord=1)
numclip.clip_by_norm(narrow[0], [[1.0], [2.0]], axes=1, out=narrow[0])
numclip.clip_by_norm(tensors[0], 1.0, axes=(0, 1))
numclip.clip_by_value([1.0, 2.0], np.zeros(2), 1)
numclip.clip_by_value(np.arange(3), None, 2)
numclip.tree.clip_by_global_norm({"w": narrow[0], "b": [None, tensors[0]]}, 1.0)
numclip.tree.clip_by_global_norm(OrderedDict(w=narrow[0]), lambda norm: norm, eps=1e-6)
numclip.tree.Clipper({"w": narrow[0]}, 1.0)()
numclip.tree.Clipper({"w": narrow[0]}, numclip.ZClip(max_norm=1), monitor=numclip.GradientMonitor("a.csv"))()
numclip.GradientMonitor(names=("w", "b")).record(
    numclip.global_norm(narrow), 1.0, numclip.tensor_norms(narrow)
)

results, norm = numclip.clip_by_global_norm(narrow, 1.0)
total: float = float(norm) + results[0].sum().item()
print(f"{norm:.3f} {norm.item()} {norm.dtype} {results[0].shape} {total}")
