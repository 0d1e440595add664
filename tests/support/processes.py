"""Python in a process of its own, with the package that is being tested and what supports the tests."""

import os
import subprocess
import sys
from pathlib import Path

import numclip

ROOT = Path(numclip.__file__).parents[1]
SUPPORT = Path(__file__).parent
PATHS = os.pathsep.join([str(ROOT), str(SUPPORT)])


def run_python(*arguments, check=True, timeout=1200, **settings):
    """Run Python with these arguments and environment variables; return the finished process.

    One that hangs is a failure too, at the end of the timeout in seconds.
    """
    environment = {**os.environ, "PYTHONPATH": PATHS, "PYTHONIOENCODING": "utf-8", **settings}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", check=check, timeout=timeout
    )
