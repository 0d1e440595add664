"""Containers of other libraries, as installed: each holds only clipped arrays, or an error names it."""

import dataclasses
import gc
import types
from typing import Any

import numpy as np
import pytest

import numclip


def three():
    return np.array([3.0, 0.0], np.float32)


def four():
    return np.array([[4.0]], np.float32)


def nested():
    return {"weight": three(), "inner": {"bias": four()}}


def flat():
    return {"weight": three(), "bias": four()}


def frozen_dict():
    return pytest.importorskip("flax.core").FrozenDict(nested())


def flax_struct():
    struct = pytest.importorskip("flax.struct")

    @struct.dataclass
    class State:
        weight: Any
        bias: Any
        name: str = struct.field(pytree_node=False, default="dense")

    return State(three(), four())


def equinox_module():
    eqx = pytest.importorskip("equinox")

    class Dense(eqx.Module):
        weight: Any
        bias: Any
        name: str = eqx.field(static=True)

    return Dense(three(), four(), "dense")


def registered_with_jax():
    jax = pytest.importorskip("jax")

    @jax.tree_util.register_pytree_node_class
    class Layer:
        def __init__(self, weight, bias, name):
            self.weight, self.bias, self.name = weight, bias, name

        def tree_flatten(self):
            return (self.weight, self.bias), self.name

        @classmethod
        def tree_unflatten(cls, name, children):
            return cls(*children, name)

    return Layer(three(), four(), "dense")


def model_output():
    output = pytest.importorskip("transformers.utils").ModelOutput

    @dataclasses.dataclass
    class Output(output):
        loss: Any = None
        logits: Any = None
        hidden_states: Any = None

    return Output(loss=three(), hidden_states=(four(),))


def tracked_dict():
    return pytest.importorskip("keras.src.utils.tracking").TrackedDict(flat())


def tracked_list():
    return pytest.importorskip("keras.src.utils.tracking").TrackedList([three(), four()])


CONTAINERS = {
    "flax FrozenDict": frozen_dict,
    "flax struct": flax_struct,
    "equinox Module": equinox_module,
    "class registered with JAX": registered_with_jax,
    "chex dataclass": lambda: pytest.importorskip("chex").dataclass(
        dataclasses.make_dataclass("State", ["weight", "bias"])
    )(weight=three(), bias=four()),
    "ConfigDict": lambda: pytest.importorskip("ml_collections").ConfigDict(nested()),
    "FrozenConfigDict": lambda: pytest.importorskip("ml_collections").FrozenConfigDict(flat()),
    "transformers ModelOutput": model_output,
    "keras TrackedDict": tracked_dict,
    "keras TrackedList": tracked_list,
    "immutables Map": lambda: pytest.importorskip("immutables").Map(nested()),
    "frozendict": lambda: pytest.importorskip("frozendict").frozendict(nested()),
    "addict Dict": lambda: pytest.importorskip("addict").Dict(nested()),
    "easydict EasyDict": lambda: pytest.importorskip("easydict").EasyDict(nested()),
    "python-box Box": lambda: pytest.importorskip("box").Box(nested()),
}


def arrays_in(value, seen):
    """Every array that can be reached from an object, without objects that the whole program shares."""
    if id(value) in seen or isinstance(value, type | types.ModuleType | types.FunctionType):
        return []
    seen[id(value)] = value
    if isinstance(value, np.ndarray):
        return [value]
    return [array for part in gc.get_referents(value) for array in arrays_in(part, seen)]


@pytest.mark.parametrize("case", CONTAINERS)
def test_it_holds_the_clipped_arrays_alone(case):
    tree = CONTAINERS[case]()
    clipped, norm = numclip.tree.clip_by_global_norm(tree, 2.5)
    assert norm == 5
    assert type(clipped) is type(tree)
    assert getattr(clipped, "name", None) == getattr(tree, "name", None)
    assert sorted({array.flat[0] for array in arrays_in(clipped, {})}) == [1.5, 2]
    assert sorted({array.flat[0] for array in arrays_in(tree, {})}) == [3, 4]
    assert numclip.tree.global_norm(clipped) == 2.5
    assert numclip.tree.clip_by_global_norm(tree, 2.5, out=tree)[0] is tree
    assert numclip.tree.global_norm(tree) == 2.5


def test_a_class_that_copies_its_arrays_is_named():
    jax = pytest.importorskip("jax")

    @jax.tree_util.register_pytree_node_class
    class Copying:
        def __init__(self, weight):
            self.weight = np.array(weight)

        def tree_flatten(self):
            return (self.weight,), None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(*children)

    tree = {"layer": Copying(three())}
    with pytest.raises(TypeError, match=r"^tree\['layer'\] cannot be copied .* out=tree .*Copying"):
        numclip.tree.clip_by_global_norm(tree, 1.0)
    assert numclip.tree.clip_by_global_norm(tree, 1.0, out=tree)[1] == 3
    assert tree["layer"].weight[0] == 1


def test_arrays_of_jax_come_back_as_those_of_numpy():
    jnp = pytest.importorskip("jax.numpy")
    clipped, norm = numclip.tree.clip_by_global_norm({"weight": jnp.asarray(three()), "bias": None}, 1.5)
    assert norm == 3
    np.testing.assert_array_equal(clipped["weight"], three() / 2)
