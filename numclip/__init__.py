"""Gradient clipping by global norm for NumPy arrays.

`clip_by_global_norm` clips a list of arrays once, `Clipper` the same arrays at each step, and `global_norm`
only measures. `numclip.tree` has the same for dicts and other nested containers. `AutoClip` and `ZClip` are
thresholds that follow the training, and a `GradientMonitor` keeps what the norms were. The other functions
set and show how the process works: `warmup`, `set_num_threads`, `set_recycling`, `show_config`.

Threads, forks, caches
----------------------
These guarantees hold in every program:

**Threads of numclip.** Lists of more than 4 million elements are shared among as many threads as there are
idle cores, beyond 64 million as there are cores, where the package ``tbb`` is installed and Numba runs on it;
all other calls use the thread of the caller alone. GNU OpenMP and Numba's workqueue are never started:
GNU OpenMP ends a process that forks, and the workqueue a process in which two threads use it at once. The
bits of the results depend on none of this. `set_num_threads` sets a limit, and Numba's own setting is not
exceeded and not changed.

**Threads of the caller.** Every function may be called from several threads at once, also for the first time,
while it is compiled. Lists of more than 65,536 elements let other threads run meanwhile. Two calls that write
to the same array at once are no more defined than two assignments to it are, but never end the process; the
same holds for two calls of one `Clipper`. A list is read once, at the start of a call: changes of the list by
other threads have no effect on the call after that. An array that a call is working on must not be resized
with ``refcheck=False``.

**Forks.** A child of a fork (``os.fork``, ``multiprocessing`` with "fork") may call everything, whatever the
parent has called before, and whichever of its threads forked. The child computes with one thread. A fork
waits until no other thread loads Numba or compiles.

**Interrupts.** Ctrl-C does not break off a call in the middle of its work: ``KeyboardInterrupt`` comes when
the compiled code returns. After an interrupted call that clips in place, each array has been either clipped
or not touched, none in part. The next call works. While Numba is loaded or compiles, Ctrl-C waits as well.

**Errors.** Every fault of an argument is found before anything is written. A ``MemoryError`` for new
results leaves the arguments as they were. An object that lies about its memory, or raises, is refused or read
as what it is; nothing outside of a buffer is read.

**Cache.** Machine code is kept where Numba keeps it: in ``NUMBA_CACHE_DIR``, else in ``__pycache__`` beside
the package, else in the user's cache directory; where none can be written, each process compiles for itself,
which takes seconds. Files that are damaged, or belong to another version of the package, of Numba or another
processor, are not loaded, and several processes may compile at once. `warmup` fills the cache ahead.

**Floating-point environment.** Results do not change where another library has set flush-to-zero or another
rounding mode, and each call restores those settings. No call warns, even under
``numpy.errstate(all="raise")``.

**Refused, clearly.** ``NUMBA_DISABLE_JIT=1`` and a free-threaded Python: the first call raises a
``RuntimeError``; the import works.

``python -m numclip`` prints what a report of a bug needs, ``python -m numclip selftest`` checks the installed
copy against exact results, ``python -m numclip plot norms.csv`` draws what a `GradientMonitor` has written.
"""

from numclip import tree
from numclip._adaptive import adaptive_grad_clip
from numclip._arrays.slices import IndexedSlices
from numclip._clip import Clipper, clip_by_global_norm, clip_factor, global_norm, tensor_norms
from numclip._diagnostics import show_config
from numclip._monitor import GradientMonitor
from numclip._per_example import per_example_global_norm_clip
from numclip._settings import set_num_threads, set_recycling, warmup
from numclip._single import clip_by_norm, clip_by_value
from numclip._thresholds import AutoClip, ZClip

__all__ = [
    "AutoClip",
    "Clipper",
    "GradientMonitor",
    "IndexedSlices",
    "ZClip",
    "adaptive_grad_clip",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "clip_factor",
    "global_norm",
    "per_example_global_norm_clip",
    "set_num_threads",
    "set_recycling",
    "show_config",
    "tensor_norms",
    "tree",
    "warmup",
]
__version__ = "0.1.0"
