"""Containers of every class that may hold gradients, nested, all of norm 5."""

import dataclasses
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import numpy as np
import optree
import scipy.sparse
from arrays import slices_of

Pair = namedtuple("Pair", ["weight", "bias"])


@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    weight: Any
    norm: Any = dataclasses.field(init=False, default=None)

    def __post_init__(self):
        if not isinstance(self.weight, np.ndarray):
            raise TypeError("the weight is an array")


class Module:
    """A container that only optree can take apart."""

    def __init__(self, weight, name):
        self.weight, self.name = weight, name


optree.register_pytree_node(
    Module,
    lambda module: ((module.weight,), module.name, ("weight",)),
    lambda name, children: Module(*children, name),
    path_entry_type=optree.GetAttrEntry,
    namespace=optree.registry.__GLOBAL_NAMESPACE,
)


def three(dtype=np.float32):
    return np.array([3.0, 0.0], dtype)


def four(dtype=np.float32):
    return np.array([[4.0]], dtype)


def leaves_of(tree):
    """The leaves of the tree, in order."""
    if isinstance(tree, dict):
        return [leaf for child in tree.values() for leaf in leaves_of(child)]
    if isinstance(tree, list | tuple):
        return [leaf for child in tree for leaf in leaves_of(child)]
    if isinstance(tree, Layer):
        return leaves_of([tree.weight, tree.bias])
    return [tree]


TREES = {
    "dict": lambda: {"weight": three(), "bias": four()},
    "list": lambda: [three(), four()],
    "tuple": lambda: (three(), four()),
    "namedtuple": lambda: Pair(three(), four()),
    "dataclass": lambda: Layer(three(), four()),
    "OrderedDict": lambda: OrderedDict(weight=three(), bias=four()),
    "defaultdict": lambda: defaultdict(list, weight=three(), bias=four()),
    "nested": lambda: {"b": [Pair(three(), None), {}, []], 0: Layer((four(), ()), {"x": None})},
    "array": lambda: np.array([3.0, 4.0], np.float32),
    "slices": lambda: {"table": slices_of(three()), "bias": four()},
    "sparse": lambda: {"table": scipy.sparse.csr_array(np.diag([3.0, 0.0])), "bias": four(np.float64)},
}
