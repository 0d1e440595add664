"""Clipping trees: numclip.tree against the list of their arrays, NumPy by hand, and optree around the list.

    python -m benchmarks.trees

All arrays are small, so that the times are those of the containers. The functions take turns, and a figure is
the median of the rounds, in microseconds of CPU time of the thread: other processes do not count. "in place"
has nothing to clip: it is the time of the norm and of the traversal.
"""

import time
import timeit
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Any

import numpy as np
import optree

import numclip
from benchmarks import idioms

ROUNDS = 21


@dataclass
class Layer:
    """Two arrays."""

    weight: Any
    bias: Any


def arrays(count):
    rng = np.random.default_rng(20130616)
    return [rng.standard_normal((4, 4) if i % 2 == 0 else 4).astype(np.float32) for i in range(count)]


def pairs(count):
    grads = arrays(2 * count)
    return list(zip(grads[::2], grads[1::2], strict=True))


TREES = {
    "dict of 1": lambda: dict(enumerate(arrays(1))),
    "dict of 8": lambda: {f"layer{i}": grad for i, grad in enumerate(arrays(8))},
    "dict of 100": lambda: {f"layer{i}": grad for i, grad in enumerate(arrays(100))},
    "dict of 3 dicts of 2": lambda: {f"layer{i}": {"W": w, "b": b} for i, (w, b) in enumerate(pairs(3))},
    "dict of 50 dicts of 2": lambda: {f"layer{i}": {"W": w, "b": b} for i, (w, b) in enumerate(pairs(50))},
    "list of 50 tuples of 2": lambda: pairs(50),
    "list of 10 dataclasses": lambda: [Layer(w, b) for w, b in pairs(10)],
}


def by_hand(tree, visit):
    """Clip by nested loops, written for the trees above."""
    if isinstance(tree, dict):
        return {
            key: {name: visit(grad) for name, grad in child.items()} if type(child) is dict else visit(child)
            for key, child in tree.items()
        }
    if isinstance(tree[0], Layer):
        return [Layer(visit(layer.weight), visit(layer.bias)) for layer in tree]
    return [(visit(w), visit(b)) for w, b in tree]


def grads_by_hand(tree):
    if isinstance(tree, dict):
        return [
            grad for child in tree.values() for grad in (child.values() if type(child) is dict else (child,))
        ]
    if isinstance(tree[0], Layer):
        return [grad for layer in tree for grad in (layer.weight, layer.bias)]
    return [grad for pair in tree for grad in pair]


def numpy_new(tree):
    norm = idioms.global_norm(grads_by_hand(tree))
    factor = 1.0 / norm
    return by_hand(tree, lambda grad: grad * factor)


def optree_new(tree):
    grads, structure = optree.tree_flatten(tree, none_is_leaf=True)
    clipped, _ = numclip.clip_by_global_norm(grads, 1.0)
    return structure.unflatten(clipped)


def optree_in_place(tree):
    grads = optree.tree_leaves(tree, none_is_leaf=True)
    numclip.clip_by_global_norm(grads, inf, out=grads)


def contestants(tree):
    """Return, for each target, the functions to be timed, by name."""
    grads = grads_by_hand(tree)
    clipper = numclip.tree.Clipper(tree, inf)
    return {
        "new": {
            "list": lambda: numclip.clip_by_global_norm(grads, 1.0),
            "tree": lambda: numclip.tree.clip_by_global_norm(tree, 1.0),
            "NumPy": lambda: numpy_new(tree),
            "optree": lambda: optree_new(tree),
        },
        "in place": {
            "list": lambda: numclip.clip_by_global_norm(grads, inf, out=grads),
            "tree": lambda: numclip.tree.clip_by_global_norm(tree, inf, out=tree),
            "NumPy": lambda: idioms.global_norm(grads_by_hand(tree)),
            "optree": lambda: optree_in_place(tree),
            "Clipper": clipper,
        },
    }


def measure(functions):
    """Return the median time of a call of each, in microseconds."""
    once = timeit.timeit(functions["list"], timer=time.thread_time, number=100) / 100
    number = max(20, int(2e-3 / once))
    times = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            times[name].append(timeit.timeit(function, timer=time.thread_time, number=number) / number)
    return {name: 1e6 * median(values) for name, values in times.items()}


def main():
    print(
        f"{'tree':24}{'target':10}{'list':>8}{'tree':>8}{'/ list':>8}{'NumPy':>8}{'optree':>8}{'Clipper':>9}"
    )
    for name, make in TREES.items():
        tree = make()
        for target, functions in contestants(tree).items():
            if name.endswith("dataclasses"):
                del functions["optree"]  # optree takes them for leaves
            times = measure(functions)
            columns = [
                f"{times[who]:8.2f}" if who in times else " " * 8 for who in ("NumPy", "optree", "Clipper")
            ]
            ratio = times["tree"] / times["list"]
            print(
                f"{name:24}{target:10}{times['list']:8.2f}{times['tree']:8.2f}{ratio:8.2f}", *columns, sep=""
            )


if __name__ == "__main__":
    main()
