import importlib.util
import warnings
from pathlib import Path

import pytest
from libraries import LIBRARIES

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.gpu)
            item.add_marker(
                pytest.mark.filterwarnings("default")
            )  # other libraries may warn of what they like


def has_gpu():
    if importlib.util.find_spec("numba_cuda") is None:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its import
        from numba import cuda

    return cuda.is_available()


@pytest.fixture(scope="session", autouse=True)
def _gpu():
    if not has_gpu():
        pytest.skip("no CUDA GPU")


@pytest.fixture(scope="session", params=LIBRARIES)
def library(request, _gpu):
    pytest.importorskip(request.param)
    return LIBRARIES[request.param]()


@pytest.fixture(scope="session")
def torch(_gpu):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch without CUDA")
    return torch
