import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "cuda"


def test_the_tests_on_the_simulator(capsys):
    """Numba is told of its simulator before it is imported: so they run in a process of their own."""
    pytest.importorskip("numba_cuda")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS)],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    summary = re.search(r"\d+ passed.*", result.stdout)
    assert result.returncode == 0, result.stdout + result.stderr
    with capsys.disabled():
        print(f" [on the CUDA simulator: {summary.group()}]", end="")
