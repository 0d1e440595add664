"""Arrays of JAX."""

from typing import Any

from numpy.typing import NDArray

from numclip._cuda import dlpack
from numclip._cuda.libraries.interface import Interface, Place
from numclip._cuda.streams import LEGACY

Array = NDArray[Any]


class Jax(Interface):
    """JAX's arrays: immutable, and JAX may reuse the memory of freed ones while a kernel still reads them."""

    immutable = reuses_memory = True

    def interface(self, array: Any) -> dict[str, Any]:
        """Return the interface by DLPack, which supports bfloat16, any order of axes and JAX's streams."""
        return dlpack.interface(array, LEGACY)

    def _device(self, interface: dict[str, Any]) -> int | None:
        number: int = interface["device"]
        return number

    def describe(self, array: Any, label: str) -> Array:
        """Return the description of an array."""
        if len(array.devices()) > 1:
            raise TypeError(f"{label} is sharded over several devices: pass the data of its shards")
        return super().describe(array, label)

    def locate(self, array: Any) -> Place | None:
        """Return the place of an array, or None if it needs `describe`."""
        return None if len(array.devices()) > 1 else super().locate(array)
