"""The checks on a real GPU, for pytest; `tests/gpu/run.py` runs them without it."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import checks_of_bits  # noqa: F401 they register
import checks_of_order  # noqa: F401
from registry import CHECKS, Skipped


def has_gpu():
    if importlib.util.find_spec("numba_cuda") is None:
        return False
    from numba import cuda

    return cuda.is_available()


@pytest.fixture(scope="module", autouse=True)
def _gpu():
    if not has_gpu():
        pytest.skip("no CUDA GPU")


def marked(check):
    return pytest.param(check, id=check.name, marks=[pytest.mark.long] if check.is_long else [])


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")  # warnings of other libraries are not errors
@pytest.mark.parametrize("check", [*map(marked, CHECKS)])
def test_on_a_gpu(check):
    try:
        check()
    except Skipped as error:
        pytest.skip(str(error))
