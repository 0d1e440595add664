"""Python in a process of its own, with the tested package and tests/support on its path."""

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

    A process that hangs fails after the timeout, in seconds.
    """
    environment = {**os.environ, "PYTHONPATH": PATHS, "PYTHONIOENCODING": "utf-8", **settings}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", check=check, timeout=timeout
    )
