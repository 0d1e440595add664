"""Gradient clipping by global norm for NumPy arrays."""

from numclip._api import clip_by_global_norm, global_norm
from numclip._clipper import Clipper
from numclip._recycle import set_recycling
from numclip._slices import IndexedSlices
from numclip._threads import set_num_threads

__all__ = [
    "Clipper",
    "IndexedSlices",
    "clip_by_global_norm",
    "global_norm",
    "set_num_threads",
    "set_recycling",
]
__version__ = "0.1.0"
