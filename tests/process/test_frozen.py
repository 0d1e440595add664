"""Applications made by PyInstaller: as one file, and as one directory.

Plain Numba needs the source file of a cached function, which a frozen application does not have, and then
fails or compiles at every start: https://github.com/numba/numba/issues/4908.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from processes import ROOT

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform == "win32", reason="the paths of a virtual environment of Unix"),
]

APPLICATION = """
import sys
if "from cache" in sys.argv:
    from numba.core import compiler
    compiler.compile_extra = None
import numpy as np
import numclip
from numclip._cpu import tbb
assert numclip.global_norm([np.array([3.0, 4.0], np.float32)]) == 5.0
numclip.show_config()
print("layer", tbb.layer() or "none")
"""


@pytest.fixture(scope="module")
def pyinstaller(tmp_path_factory):
    """The Python of an environment with PyInstaller and the packages of this one."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    here = place / "lib" / version / "site-packages" / "here.pth"
    install = [python, "-m", "pip", "install", "--quiet", "pyinstaller>=6.10"]
    if subprocess.run(install, check=False).returncode:
        pytest.skip("PyInstaller cannot be installed")
    here.write_text(sysconfig.get_path("purelib"))
    return python


def run(application, home, *arguments):
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [application, *arguments], env=environment, check=True, capture_output=True, text=True, timeout=300
    )
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if " " in line)


@pytest.mark.parametrize("kind", ["onefile", "onedir"])
def test_a_frozen_application_compiles_once(pyinstaller, tmp_path, kind):
    (tmp_path / "app.py").write_text(APPLICATION)
    unwanted = [option for name in ("scipy", "matplotlib", "pytest") for option in ("--exclude-module", name)]
    command = [pyinstaller, "-m", "PyInstaller", f"--{kind}", *unwanted, "--paths", ROOT, "app.py"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=900)
    application = tmp_path / "dist" / "app"
    if kind == "onedir":
        application /= "app"
    shown = run(application, tmp_path)
    place = Path(shown["cache"].removesuffix(", can be written"))
    [file] = place.glob("numclip.clip_list.*.nbc")
    assert place.is_relative_to(tmp_path / "cache")
    # At the second start all code is in the cache, though a one-file application unpacks to another
    # directory.
    assert run(application, tmp_path, "from cache")["cache"] == shown["cache"]
    assert [*place.glob("*")] == [file]
    assert ("TBB is there" in shown["threads"]) == (shown.get("layer") == "tbb")
