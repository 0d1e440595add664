"""Prints digests of the results of thousands of fixed lists, one for each road through the package.

    python tests/bits.py cpu          every road of NumPy arrays, clip_by_norm and clip_by_value too
    python tests/bits.py simulator    the roads of CUDA arrays, on Numba's simulator
    python tests/bits.py ptx          the same on the compiled kernels, run on the host
    python tests/bits.py settings 2   a few lists of every size and magnitude, shared among 2 threads

A refactoring must not change a digest: compare the output before and after. Those of `settings` depend on no
setting: compare them with and without threads, and under any setting of Numba.
"""

import hashlib
import os
import sys
from collections import defaultdict
from itertools import chain
from pathlib import Path

TESTS = Path(__file__).parent
COUNTS = {"cpu": 2000, "simulator": 150, "ptx": 150}
PLACE = sys.argv[1] if len(sys.argv) > 1 else "cpu"
if PLACE == "simulator":
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
elif PLACE == "ptx":
    os.environ.setdefault("PTX_CAPABILITY", "9.0")
sys.path[:0] = [str(TESTS / "support" / folder) for folder in ("", "device", "ptx")]

import numpy as np  # noqa: E402

if PLACE == "ptx":
    import ptx_device  # noqa: F401
elif PLACE == "simulator":
    import simulator  # noqa: F401
ON_DEVICE = PLACE in ("simulator", "ptx")
if ON_DEVICE:
    from on_device import on_device, to_host

from arrays import DTYPES, LAYOUTS, WRITABLE_LAYOUTS, base_array, random_array  # noqa: E402
from ml_dtypes import bfloat16  # noqa: E402

import numclip  # noqa: E402

SHAPES = [(), (1,), (7,), (0, 3), (33,), (5, 8), (3, 1, 4), (255,)]
LARGE_SHAPES = [(4097,), (64, 65), (40_000,)]
SCALES = [1.0, 1.0, 1.0, 1e-3, 1e3]
SCALES_OF_FLOAT64 = [1.0, 1e-200, 1e200]
BOUNDS = [0.0, 1e-9, 0.37, 1.0, float("inf")]


def random_list(rng):
    """A list of one dtype or of several, of the layouts that a target can have, with some None."""
    dtypes = [DTYPES[rng.integers(len(DTYPES))]] if rng.random() < 0.6 else DTYPES
    layouts = WRITABLE_LAYOUTS if rng.random() < 0.5 else WRITABLE_LAYOUTS[:1]
    if ON_DEVICE:
        layouts = [layout for layout in layouts if "swapped" not in layout.__name__]
    entries = []
    for _ in range(rng.integers(1, 7)):
        if rng.random() < 0.05:
            entries.append(None)
            continue
        dtype = dtypes[rng.integers(len(dtypes))]
        shapes = LARGE_SHAPES if rng.random() < (0.02 if ON_DEVICE else 0.15) else SHAPES
        array = random_array(rng, dtype, shapes[rng.integers(len(shapes))])
        scale = rng.choice(SCALES_OF_FLOAT64 if dtype in (np.float64, np.complex128) else SCALES)
        with np.errstate(all="ignore"):
            array = np.asarray(array * dtype.type(scale), dtype)
        if rng.random() < 0.02 and array.size:
            array.flat[0] = rng.choice([np.nan, np.inf])
        entries.append(layouts[rng.integers(len(layouts))](array))
    return entries


def copies(entries):
    """Copies of the entries, with their layout, by order "K"."""
    return [None if entry is None else entry.copy(order="K") for entry in entries]


def there(entries):
    return [on_device(entry) for entry in entries] if ON_DEVICE else entries


def back(value):
    return np.asarray(to_host(value) if ON_DEVICE else value)


def content(value):
    """The bytes of an array in C order, all NaN equal."""
    if value is None:
        return b"None"
    array = np.array(base_array(back(value)), order="C")
    array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind != "i":
        array[np.isnan(array)] = np.nan
    return str((array.dtype.name, array.shape)).encode() + array.tobytes()


def roads_of_lists(entries, bound):
    """Yield the name of each road and its results."""
    yield "global_norm", [numclip.global_norm(there(entries))]
    clipped, norm = numclip.clip_by_global_norm(there(entries), bound)
    yield "new arrays", [norm, *clipped]
    targets = there(copies(entries))
    clipped, norm = numclip.clip_by_global_norm(there(entries), bound, out=targets)
    yield "given arrays", [norm, *targets]
    own = there(copies(entries))
    _, norm = numclip.clip_by_global_norm(own, bound, out=own)
    yield "in place", [norm, *own]
    yield "clip_factor", numclip.clip_factor(there(entries), bound)
    yield "use_norm", numclip.clip_by_global_norm(there(entries), bound, 1.5)[0]
    own = there(copies(entries))
    clipper = numclip.Clipper(own, bound)
    yield "Clipper", [clipper(), clipper(clip_norm=bound / 2), clipper(use_norm=3.0), *own]


def roads_of_arrays(rng):
    """The same for the functions of one array, which are for the CPU."""
    dtype = DTYPES[rng.integers(len(DTYPES))]
    shape = [(6, 9), (3, 4, 5), (128, 3)][rng.integers(3)]
    array = LAYOUTS[rng.integers(len(LAYOUTS))](random_array(rng, dtype, shape))
    yield "clip_by_norm", [numclip.clip_by_norm(array, 0.5)]
    for axes in (0, 1, (0, 1), ()):
        yield "clip_by_norm(axes=)", [numclip.clip_by_norm(array, 0.5, axes=axes)]
    if dtype.kind != "c":
        yield "clip_by_value", [numclip.clip_by_value(array, -0.25, 0.5)]


def roads_of_random_lists(count):
    for seed in range(count):
        rng = np.random.default_rng(seed)
        entries, bound = random_list(rng), BOUNDS[rng.integers(len(BOUNDS))]
        yield from roads_of_lists(entries, bound)
        if PLACE == "cpu":
            yield from roads_of_arrays(rng)


def lists_of_every_size():
    """Sizes around the lanes and the chunks, all magnitudes, each dtype alone and all together."""
    rng = np.random.default_rng(1)
    lists = []
    for dtype in DTYPES:
        lists.append([])
        for size in (0, 1, 7, 8, 31, 33, 4095, 4097, 50_000):
            reals = rng.standard_normal(size) * 2.0 ** rng.integers(-12, 12, size)
            lists[-1].append((reals * (1 + 1j) if dtype.kind == "c" else reals).astype(dtype))
    lists.append([*chain(*lists)])
    lists.append([np.array([2.0**-24, 2.0**-15, 65504], np.float16)])
    lists.append([np.array([1e-40, 1e-39, 1e-38], bfloat16)])
    lists.append([np.array([1e200, 3e-200, 5.0]), np.array([1e30], np.float32)])
    lists.append([np.array([1e-200, 3e-201])])
    return lists


def print_digests(roads):
    digests = defaultdict(hashlib.sha256)
    for road, values in roads:
        for value in values:
            digests[road].update(content(value))
    for road, digest in digests.items():
        print(f"{road:22} {digest.hexdigest()[:32]}")


def share_among_threads(blocks):
    """Let lists of every size be shared among threads; return the function that names the threading layer."""
    from numba import threading_layer
    from policy import share_every_list

    from numclip._cpu import tbb

    tbb.layer()  # finds TBB, as a call does
    share_every_list(blocks)
    return threading_layer


def main():
    if PLACE != "settings":
        print_digests(roads_of_random_lists(COUNTS[PLACE]))
        return
    layer = share_among_threads(int(sys.argv[2])) if len(sys.argv) > 2 else lambda: "not asked for"
    every = [(t_list, bound) for t_list in lists_of_every_size() for bound in (0.37, 1e-3)]
    print_digests(chain(*(roads_of_lists(*arguments) for arguments in every)))
    print("threading layer:", layer())


if __name__ == "__main__":
    main()
