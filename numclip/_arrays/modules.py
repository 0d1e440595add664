"""Optional modules that the program has imported: looked up, and never imported from here."""

import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

_DEFINED = (type, FunctionType, BuiltinFunctionType)


def loaded(name: str, *needed: str) -> Any:
    """Return a module that defines classes or functions of these names, or None.

    None as well while another thread imports it, and for a placeholder: an empty module, a mock, or a lazy
    module that would be imported by reading an attribute.
    """
    module = sys.modules.get(name)
    if not issubclass(type(module), ModuleType):
        return None
    attributes = ModuleType.__getattribute__(module, "__dict__")
    if not all(isinstance(attributes.get(attribute), _DEFINED) for attribute in needed):
        return None
    return None if getattr(attributes.get("__spec__"), "_initializing", False) else module
