"""Mistakes that a type checker should find: one on each line that ends in `# wrong`."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import numclip

grads: list[NDArray[np.float32]] = []
params: dict[str, NDArray[np.float32]] = {}
array: NDArray[np.float32] = np.ones(3, np.float32)


def generated() -> Iterator[NDArray[np.float32]]:
    yield array


numclip.clip_by_global_norm(grads, "1.0")  # wrong
numclip.clip_by_global_norm(grads, None)  # wrong
numclip.clip_by_global_norm(grads, [1.0])  # wrong
numclip.clip_by_global_norm(grads, 1j)  # wrong
numclip.clip_by_global_norm(params, 1.0)  # wrong
numclip.clip_by_global_norm(params.values(), 1.0)  # wrong
numclip.clip_by_global_norm(generated(), 1.0)  # wrong
numclip.clip_by_global_norm(array, 1.0)  # wrong
numclip.clip_by_global_norm(1.0, grads)  # wrong
numclip.clip_by_global_norm(None, 1.0)  # wrong
numclip.clip_by_global_norm(grads)  # wrong
numclip.clip_by_global_norm(grads, max_norm=1.0)  # wrong
numclip.clip_by_global_norm(grads, 1.0, out=True)  # wrong
numclip.clip_by_global_norm(grads, 1.0, out=array)  # wrong
numclip.clip_by_global_norm(grads, 1.0, "clip")  # wrong
numclip.clip_by_global_norm(grads, 1.0, ord="2")  # wrong
numclip.clip_by_global_norm(grads, 1.0, eps=None)  # wrong
numclip.clip_by_global_norm(grads, 1.0, nonfinite="ignore")  # wrong
numclip.clip_by_global_norm(grads, 1.0, strict="yes")  # wrong
numclip.clip_factor(grads, 1.0, strict=True)  # wrong
numclip.clip_by_global_norm(grads, lambda norm: "1.0")  # wrong
numclip.clip_by_global_norm(["weight"], 1.0)  # wrong
numclip.clip_by_global_norm([("weight", array)], 1.0)  # wrong
numclip.clip_by_global_norm([params], 1.0)  # wrong
numclip.global_norm(array)  # wrong
numclip.global_norm(params)  # wrong
numclip.global_norm(grads, axis=0)  # wrong
numclip.tensor_norms(array)  # wrong
numclip.clip_factor(grads, "1.0")  # wrong
numclip.Clipper(grads, None)  # wrong
numclip.Clipper(array, 1.0)  # wrong
numclip.Clipper(grads, 1.0, out=True)  # wrong
numclip.Clipper(grads, 1.0, max_norm=1.0)  # wrong
numclip.Clipper(grads, 1.0)("2.0")  # wrong
numclip.Clipper(grads, 1.0, monitor=print)  # wrong
numclip.AutoClip(history=0.5)  # wrong
numclip.ZClip(0.97, 2.5, 25)  # wrong
numclip.per_example_global_norm_clip(array, 1.0)  # wrong
numclip.per_example_global_norm_clip(grads, lambda norm: norm)  # wrong
numclip.per_example_global_norm_clip(grads, 1.0, nonfinite="nan")  # wrong
numclip.clip_by_norm(array, "1.0")  # wrong
numclip.clip_by_norm(array, None)  # wrong
numclip.clip_by_norm(array, 1.0, axes="0")  # wrong
numclip.clip_by_norm(params, 1.0)  # wrong
numclip.clip_by_value(array, "0", 1.0)  # wrong
numclip.clip_by_value(array, 0.0)  # wrong
numclip.tree.clip_by_global_norm(params, "1.0")  # wrong
numclip.tree.clip_by_global_norm(params, None)  # wrong
numclip.set_num_threads("2")  # wrong

clipped, norm = numclip.clip_by_global_norm(grads, 1.0)
text: str = norm  # wrong
norm.items()  # wrong
norm.grad()  # wrong
clipped.values()  # wrong
first: NDArray[np.float64] = clipped[0]  # wrong
wide: np.float64 = norm  # wrong
clipper = numclip.Clipper(grads, 1.0)
clipper().grad()  # wrong
clipper.norm()  # wrong
name: str = numclip.clip_factor(grads, 1.0)[0]  # wrong
