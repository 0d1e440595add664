"""The contract once more, and what is about CUDA arrays alone: on devices that no machine has to have.

Numba's simulator runs kernels as Python. Compiled kernels are run on the host, from their PTX.
"""

import re
from pathlib import Path

import pytest
from compilers import skip_without_compilers, skip_without_numba_cuda
from processes import run_python

TESTS = Path(__file__).parents[1]


def run_on_device(cases, **environment):
    """Run the tests in a process that is told of its device at its start; return how many passed.

    `cases` is ``"first"`` for a sample, one case of each test that is not slow, or ``"others"`` for the rest.
    """
    folders = [TESTS / "cuda" / "device", TESTS / "contract"]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *folders]
    run = run_python(*command, check=False, timeout=3600, DEVICE_CASES=cases, **environment)
    assert run.returncode == 0, run.stdout + run.stderr
    return int(re.search(r"(\d+) passed", run.stdout)[1])


both_parts = pytest.mark.parametrize("cases", ["first", pytest.param("others", marks=pytest.mark.ci)])


@pytest.mark.slow
@both_parts
def test_on_the_simulator(figures, cases):
    skip_without_numba_cuda()
    passed = run_on_device(cases, NUMBA_ENABLE_CUDASIM="1")
    figures("CUDA simulator", passed, f"tests passed, {cases} cases")


@pytest.mark.slow
@both_parts
@pytest.mark.parametrize("capability", ["9.0", pytest.param("7.5", marks=pytest.mark.long)])
def test_on_compiled_kernels(figures, capability, cases):
    skip_without_compilers()
    passed = run_on_device(cases, PTX_CAPABILITY=capability)
    figures(f"PTX for {capability}", passed, f"tests passed, {cases} cases")
