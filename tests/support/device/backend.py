"""The public functions on CUDA arrays, for tests of NumPy arrays: one body of tests for both.

A test calls them with NumPy arrays; the device arrays share their memory, and results are NumPy arrays again.
"""

from place import PTX

if PTX:
    import ptx_device  # noqa: F401
else:
    import simulator  # noqa: F401

import arrays
import numpy as np
from on_device import DeviceArray, to_host

import numclip
from numclip import IndexedSlices

for layouts in (arrays.LAYOUTS, arrays.WRITABLE_LAYOUTS):
    # A device has one byte order.
    layouts[:] = [layout for layout in layouts if "swapped" not in layout.__name__]


class Passage:
    """Arrays to the device and back: an array that was passed comes back as the same object."""

    def __init__(self):
        self.there, self.back = {}, {}

    def array(self, value):
        if type(value) is not np.ndarray:
            return value
        if id(value) not in self.there:
            self.there[id(value)] = DeviceArray(value)
        return self.there[id(value)]

    def entry(self, value):
        if isinstance(value, IndexedSlices):
            device = IndexedSlices(self.array(value.values), value.indices, value.dense_shape)
        else:
            device = self.array(value)
        self.back[id(device)] = value, device
        return device

    def entries(self, value):
        if not isinstance(value, numclip._arrays.checks.Sequence) or isinstance(value, str | bytes):
            return value
        entries = [*map(self.entry, value)]
        kind = type(value)
        return getattr(kind, "_make", kind)(entries)

    def arguments(self, t_list, out):
        device = self.entries(t_list)
        return device, device if out is t_list else self.entries(out)

    def home(self, result):
        return self.back[id(result)][0] if id(result) in self.back else to_host(result)


def number(value):
    array = to_host(value)
    return array[()] if isinstance(array, np.ndarray) and array is not value else value


def clip_by_global_norm(t_list, *arguments, out=None, **options):
    passage = Passage()
    device, targets = passage.arguments(t_list, out)
    clipped, norm = numclip.clip_by_global_norm(device, *arguments, out=targets, **options)
    return [*map(passage.home, clipped)], number(norm)


def global_norm(t_list):
    return number(numclip.global_norm(Passage().entries(t_list)))


def clip_factor(t_list, *arguments, **options):
    factor, norm = numclip.clip_factor(Passage().entries(t_list), *arguments, **options)
    return float(number(factor)), number(norm)


class Clipper(numclip.Clipper):
    __slots__ = ()

    def __init__(self, t_list, clip_norm, out=None):
        passage = Passage()
        device, targets = passage.arguments(t_list, out)
        super().__init__(device, clip_norm, targets)
        self.results = [*map(passage.home, self.results)]

    def __call__(self, *arguments, **options):
        return number(super().__call__(*arguments, **options))


FUNCTIONS = {
    function.__name__: function for function in (clip_by_global_norm, global_norm, clip_factor, Clipper)
}
