"""Clips lists of all layouts under valgrind: compiled code stays within allocated memory.

Run by a plain Python process, which starts itself again under valgrind and reads its report.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def clip_everything():
    import numpy as np
    from arrays import DTYPES, LAYOUTS, random_array

    import numclip

    rng = np.random.default_rng(1)
    for dtype in DTYPES:
        arrays = [
            layout(random_array(rng, dtype, shape)) for layout in LAYOUTS for shape in [(7,), (3, 5), ()]
        ]
        numclip.clip_by_global_norm(arrays, 0.1)
        writable = [array for array in arrays if array.flags.writeable]
        numclip.clip_by_global_norm(writable, 0.1, out=writable)
        for array in arrays:
            numclip.clip_by_global_norm([array], 0.1)
            numclip.Clipper([array.copy()], 0.1)()
    for count in (0, 1, 2, 33, 1000):
        t_list = [np.ones(count, np.float32) for _ in range(count)]
        numclip.clip_by_global_norm(t_list, 0.1, out=t_list)
    print("done", flush=True)


def main():
    # valgrind does not support AVX-512, and Python's own allocator would hide the ends of blocks.
    settings = {"NUMBA_CPU_NAME": "generic", "PYTHONMALLOC": "malloc", "NPY_DISABLE_CPU_FEATURES": ""}
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, **settings, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": cache}
        # Compile before: valgrind then executes machine code from the cache, and not the compiler.
        subprocess.run([sys.executable, __file__, "clip"], env=environment, check=True)
        report = Path(cache) / "report"
        command = ["valgrind", "--error-limit=no", "--num-callers=12", "--undef-value-errors=no"]
        command += [f"--log-file={report}", "--smc-check=all"]
        subprocess.run([*command, sys.executable, __file__, "clip"], env=environment, check=True)
        text = report.read_text(errors="replace")
    errors = re.findall(r"Invalid (?:read|write) of size \d+\n(?:==\d+==.*\n)*?(?===\d+== \n)", text)
    # To valgrind, Numba's machine code has no symbol and no file.
    ours = [error for error in errors if re.search(r"\n==\d+== +at 0x[0-9A-F]+: \?\?\?", error)]
    print(f"{len(errors)} invalid accesses, {len(ours)} in compiled code; {text.splitlines()[-1]}")
    if ours:
        sys.exit("\n".join(ours[:5]))


if __name__ == "__main__":
    if sys.argv[1:] == ["clip"]:
        clip_everything()
    else:
        main()
