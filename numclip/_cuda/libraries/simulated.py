"""Arrays of Numba's simulator."""

from typing import Any

from numclip._cuda.libraries.interface import Interface


class Simulated(Interface):
    """Arrays of Numba's simulator, which have no interface and lie in the memory of the host."""

    def interface(self, array: Any) -> dict[str, Any]:
        """Return the interface that an array on a device would have."""
        return {
            "data": (array.ctypes.data if array.size else 0, not array.flags.writeable),
            "shape": tuple(array.shape),
            "strides": None if array.flags.c_contiguous else array.strides,
        }
