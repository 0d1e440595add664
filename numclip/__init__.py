"""Gradient clipping by global norm for NumPy arrays."""

from numclip._api import clip_by_global_norm, clip_factor, global_norm
from numclip._by_norm import clip_by_norm
from numclip._by_value import clip_by_value
from numclip._clipper import Clipper
from numclip._recycle import set_recycling
from numclip._slices import IndexedSlices
from numclip._threads import set_num_threads
from numclip._tree import clip_tree_by_global_norm

__all__ = [
    "Clipper",
    "IndexedSlices",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "clip_factor",
    "clip_tree_by_global_norm",
    "global_norm",
    "set_num_threads",
    "set_recycling",
]
__version__ = "0.1.0"
