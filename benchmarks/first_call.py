"""The first call on a GPU, in processes of their own: it compiles, or loads cached machine code.

Prints where the tools of the compiler are, and the seconds of each part. Needs nothing but numba-cuda.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CALL = """
import time
start = time.perf_counter()
import numpy as np
from numba import cuda
import numclip
grads = [cuda.to_device(np.ones(1000, np.float32)) for _ in range(3)]
cuda.synchronize()
ready = time.perf_counter()
norm = numclip.clip_by_global_norm(grads, 1.0, out=grads)[1].copy_to_host()
called = time.perf_counter()
numclip.clip_by_global_norm(grads, 1.0, out=grads)[1].copy_to_host()
again = time.perf_counter()
assert abs(norm - 3000 ** 0.5) < 1e-4
print(ready - start, called - ready, again - called)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for state in ("compiled", "loaded from disk"):
            result = subprocess.run(
                [sys.executable, "-c", CALL],
                env=os.environ | {"NUMBA_CACHE_DIR": folder},
                capture_output=True,
                text=True,
                check=False,
            )
            if result.returncode != 0:
                sys.exit(result.stderr)
            imports, first, second = map(float, result.stdout.split())
            seconds[state] = {"imports": imports, "first call": first, "second call": second}
            print(f"{state}: imports {imports:.2f} s, first call {first:.2f} s, second {second * 1e3:.2f} ms")
    if options.out:
        (options.out / "first_call.json").write_text(json.dumps(seconds, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
