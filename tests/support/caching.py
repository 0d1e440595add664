"""Processes that clip with their own cache of machine code, from copies of the package."""

import shutil
import zipfile
from pathlib import Path

from processes import ROOT, run_python

CLIP = """
import numpy as np
import numclip
for dtype in {dtypes}:
    [clipped], norm = numclip.clip_by_global_norm([np.array([3, 4], dtype)], 2.5)
    assert norm == 5.0
    assert clipped.tolist() == [1.5, 2.0]
print(numclip.__file__)
"""
ONE_KIND = CLIP.format(dtypes=["float32"])

# A norm of 5, clipped to 2.5. `decide` compiles faster than a kernel that clips.
ARGUMENTS, DECISION = (5.0, 0.0, 1.0, 2.5, 0.0, 1.0, False), (5.0, 0.5, 1.0, 0.5)
DECIDE = f"""
import numclip
from numclip._cpu import kernels
assert kernels.decide()(*{ARGUMENTS}) == {DECISION}
print(numclip.__file__)
"""


def clip(code=DECIDE, **settings):
    """Clip in a process of its own; return where the package came from."""
    run = run_python("-P", "-c", code, **settings)
    assert run.stderr == ""
    return run.stdout.strip()


def compiled(directory):
    """The files of machine code below a directory."""
    return sorted(Path(directory).rglob("*.nb?"))


FROM_CACHE = "import numba\nfrom numba.core import compiler\ncompiler.compile_extra = None\n"


def copy_of_package(directory):
    return shutil.copytree(
        ROOT / "numclip", Path(directory) / "numclip", ignore=shutil.ignore_patterns("__pycache__")
    )


def zipped(directory, edit=None):
    path = Path(directory) / "numclip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for source in (ROOT / "numclip").rglob("*.py"):
            text = source.read_text(encoding="utf-8")
            archive.writestr(str(source.relative_to(ROOT)), edit(source.name, text) if edit else text)
    return path


PLAIN_NUMBA = """
import numba

@numba.njit(cache=True)
def run():
    return 1

print(run())
"""
