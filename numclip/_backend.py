"""Which backend a list belongs to: that of its first array."""

from typing import Any

from numclip._arrays.devices import first_array, is_cuda


def on_cuda(t_list: Any) -> bool:
    """Tell whether the first array of a list lies on a CUDA device; where it is no list, False."""
    return is_cuda(first_array(t_list)[1])
