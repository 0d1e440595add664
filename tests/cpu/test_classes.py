"""Classes of entries and of containers are released: a program that makes them in a loop does not grow."""

import collections
import dataclasses
import gc
import weakref
from typing import Any

import numpy as np
import pytest

import numclip


def subclass_of_arrays():
    class Local(np.ndarray):
        pass

    return Local, np.array([3.0, 4.0]).view(Local)


def array_of_a_library():
    class Local:
        def __array__(self, dtype=None, copy=None):
            return np.array([3.0, 4.0])

    return Local, Local()


def described_array():
    class Local:
        def __init__(self):
            self.memory = np.array([3.0, 4.0])
            self.__array_interface__ = self.memory.__array_interface__

    return Local, Local()


def sequence_of_numbers():
    class Local(list):
        pass

    return Local, Local([3.0, 4.0])


ENTRIES = [subclass_of_arrays, array_of_a_library, described_array, sequence_of_numbers]
CALLS = {
    "clip_by_global_norm": lambda entry: numclip.clip_by_global_norm([entry], 1.0),
    "global_norm": lambda entry: numclip.global_norm([entry]),
    "tensor_norms": lambda entry: numclip.tensor_norms([entry]),
    "clip_factor": lambda entry: numclip.clip_factor([entry], 1.0),
    "Clipper": lambda entry: numclip.Clipper([entry], 1.0, out=[np.zeros(2)])(),
    "clip_by_norm": lambda entry: numclip.clip_by_norm(entry, 1.0),
    "clip_by_norm along an axis": lambda entry: numclip.clip_by_norm(entry, 1.0, axes=0),
    "clip_by_value": lambda entry: numclip.clip_by_value(entry, -1.0, 1.0),
}


def dataclass():
    @dataclasses.dataclass
    class Local:
        weight: Any

    return Local, Local(np.array([3.0, 4.0]))


def namedtuple():
    Local = collections.namedtuple("Local", "weight bias")
    return Local, Local(np.array([3.0]), np.array([4.0]))


def attribute_dict():
    class Local(dict):
        def __getattr__(self, name):
            return self[name]

    return Local, Local(weight=np.array([3.0, 4.0]))


def mapping():
    class Local(collections.UserDict):
        pass

    return Local, Local(weight=np.array([3.0, 4.0]))


def subclass_of_lists():
    class Local(list):
        def __init__(self, *items):
            super().__init__(items)

    return Local, Local(np.array([3.0, 4.0]))


CONTAINERS = [dataclass, namedtuple, attribute_dict, mapping, subclass_of_lists]
TREE_CALLS = {
    "clip_by_global_norm": lambda tree: numclip.tree.clip_by_global_norm([tree], 1.0),
    "in place": lambda tree: numclip.tree.clip_by_global_norm([tree], 1.0, out=[tree]),
    "tensor_norms": lambda tree: numclip.tree.tensor_norms([tree]),
    "Clipper": lambda tree: numclip.tree.Clipper([tree], 1.0)(),
}


def is_released(make, call):
    """Let a class be made, used and forgotten."""
    cls, instance = make()
    call(instance)
    reference = weakref.ref(cls)
    del cls, instance
    gc.collect()
    return reference() is None


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("make", ENTRIES)
def test_a_class_of_entries_is_released(make, call):
    assert is_released(make, call)


@pytest.mark.parametrize("call", TREE_CALLS.values(), ids=TREE_CALLS)
@pytest.mark.parametrize("make", CONTAINERS)
def test_a_class_of_containers_is_released(make, call):
    assert is_released(make, call)


def test_a_class_is_released_after_an_error_too():
    def refused(entry):
        with pytest.raises(TypeError):
            numclip.global_norm([entry])

    def make():
        class Local:
            pass

        return Local, Local()

    assert is_released(make, refused)
