"""Optional modules that are only partly imported, or replaced, count as not loaded."""

import importlib.util
import sys
import types
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock, Mock

import numpy as np
import pytest

import numclip
from numclip._arrays.modules import loaded

NAMES = {"torch": "Tensor", "scipy.sparse": "issparse", "optree": "tree_is_leaf"}


class MockModule(types.ModuleType):
    """A mock, with which documentation tools replace a module that is not installed."""

    def __getattr__(self, name):
        return MagicMock()


def half_imported(name):
    module = types.ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__spec__._initializing = True
    setattr(module, NAMES[name], type("Tensor", (), {}))
    return module


def with_a_mock(name):
    module = types.ModuleType(name)
    setattr(module, NAMES[name], MagicMock())
    return module


def lazy(name):
    """A module that would be imported by reading an attribute."""
    module = MockModule(name)
    module.__class__ = type("Lazy", (types.ModuleType,), {"__getattribute__": pytest.fail})
    return module


STAND_INS = {
    "None": lambda name: None,
    "empty": types.ModuleType,
    "half imported": half_imported,
    "a mock": lambda name: MagicMock(),
    "a mock of a module": lambda name: Mock(spec=types.ModuleType),
    "a module of mocks": MockModule,
    "a module with a mock": with_a_mock,
    "lazy": lazy,
    "no module": lambda name: object(),
}


@pytest.mark.parametrize("stand_in", STAND_INS)
@pytest.mark.parametrize("name", NAMES)
def test_a_stand_in_counts_as_not_loaded(monkeypatch, stand_in, name):
    monkeypatch.setitem(sys.modules, name, STAND_INS[stand_in](name))
    assert loaded(name, NAMES[name]) is None
    if name != "optree":
        strided = np.array([3.0, 0.0, 4.0, 0.0])[::2]
        assert numclip.global_norm([strided, [0.0]]) == 5.0


def test_a_module_that_is_there_is_found():
    import optree
    import scipy.sparse

    assert loaded("scipy.sparse", "issparse") is scipy.sparse
    assert loaded("optree", "tree_is_leaf") is optree
    assert loaded("no_such_module", "Tensor") is None


def test_a_module_is_not_imported(monkeypatch):
    spec = importlib.util.find_spec("optree")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "optree", module)
    spec.loader.exec_module(module)
    assert loaded("optree", "tree_is_leaf") is None
    assert type(module) is not types.ModuleType  # it would be after the import
