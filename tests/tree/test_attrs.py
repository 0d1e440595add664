"""Classes of attrs."""

from typing import Any

import numpy as np
import pytest
from arrays import assert_same_bits

import numclip

attrs = pytest.importorskip("attrs")


@attrs.define
class Slotted:
    weight: Any
    bias: Any
    name: str = attrs.field(default="dense", metadata={"static": True})


@attrs.define(slots=False)
class Open:
    weight: Any
    bias: Any = attrs.field(converter=np.asarray)

    def __attrs_post_init__(self):
        self.alias = self.weight


@attrs.frozen
class Frozen:
    weight: Any
    _bias: Any = attrs.field(validator=attrs.validators.instance_of(np.ndarray))


@pytest.mark.parametrize("cls", [Slotted, Open, Frozen])
def test_they_are_containers(cls):
    tree = cls(np.array([3.0]), np.array([4.0]))
    clipped, norm = numclip.tree.clip_by_global_norm([tree], 2.5)
    assert norm == 5
    assert type(clipped[0]) is cls
    for instance, weight in ((tree, 3.0), (clipped[0], 1.5)):
        assert_same_bits(instance.weight, np.array([weight]))
        assert getattr(instance, "alias", instance.weight) is instance.weight
    assert getattr(clipped[0], "name", "dense") == "dense"
    assert numclip.tree.clip_by_global_norm(tree, 2.5, out=tree)[0] is tree
    assert numclip.tree.global_norm(tree) == 2.5


def test_a_path_names_a_field():
    with pytest.raises(TypeError, match=r"^tree\._bias has dtype int64"):
        numclip.tree.global_norm(Frozen(np.array([3.0]), np.array([4])))
