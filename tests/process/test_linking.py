"""Compiled functions have unique names, by which code from the disk cache is linked.

Guards against what plain Numba does with functions that one factory has made: where two processes have
compiled them, a third one that loads both calls one for the other
(https://github.com/numba/numba/issues/10486).
"""

import importlib
import pkgutil
from collections import Counter

from numba.core.dispatcher import Dispatcher

import numclip


def compiled_functions():
    """Every function that Numba compiles for the CPU, with those that only compiled functions call."""
    modules = [module.name for module in pkgutil.walk_packages(numclip.__path__, "numclip.")]
    found, left = {}, []
    for name in modules:
        if not name.startswith(("numclip._cuda", "numclip.__main__")):
            left += vars(importlib.import_module(name)).values()
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, Dispatcher) and id(value) not in found:
            found[id(value)] = value
            left += [cell.cell_contents for cell in value.py_func.__closure__ or ()]
    return found.values()


def test_no_two_helpers_have_one_name():
    functions = {id(dispatcher.py_func): dispatcher.py_func for dispatcher in compiled_functions()}
    names = Counter((function.__module__, function.__qualname__) for function in functions.values())
    assert len(names) > 40
    assert [name for name, count in names.items() if count > 1] == []
