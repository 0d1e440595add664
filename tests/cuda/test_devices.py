"""The contract once more, and what is about CUDA arrays alone: on devices that no machine has to have.

Numba's simulator runs kernels as Python. Compiled kernels are run on the host, from their PTX.
"""

import re
from pathlib import Path

import pytest
from compilers import skip_without_compilers
from processes import run_python

TESTS = Path(__file__).parents[1]


def run_on_device(**environment):
    """Run the tests in a process that is told of its device at its start; return pytest's summary."""
    folders = [TESTS / "cuda" / "device", TESTS / "contract"]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *folders]
    run = run_python(*command, check=False, timeout=3600, **environment)
    assert run.returncode == 0, run.stdout + run.stderr
    return re.search(r"\d+ passed.*", run.stdout).group()


def test_on_the_simulator(capsys):
    pytest.importorskip("numba_cuda")
    pytest.importorskip("greenlet")
    summary = run_on_device(NUMBA_ENABLE_CUDASIM="1")
    with capsys.disabled():
        print(f" [on the CUDA simulator: {summary}]", end="")


@pytest.mark.parametrize("capability", ["9.0", pytest.param("7.5", marks=pytest.mark.long)])
def test_on_compiled_kernels(capsys, capability):
    skip_without_compilers()
    summary = run_on_device(PTX_CAPABILITY=capability)
    with capsys.disabled():
        print(f" [PTX for {capability}: {summary}]", end="")
