"""The examples as modules and as programs, and whether their gradients are those of their losses."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from processes import run_python

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

EXAMPLES = Path(__file__).parents[2] / "examples"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, *arguments):
    return run_python("-W", "error::RuntimeWarning", EXAMPLES / f"{name}.py", *arguments, check=False)


def central_differences(loss, parameters, step=1e-6):
    slopes = []
    for parameter in parameters:
        slope = np.empty_like(parameter)
        for index in np.ndindex(parameter.shape):
            value = parameter[index]
            parameter[index] = value + step
            above = loss()
            parameter[index] = value - step
            below = loss()
            parameter[index] = value
            slope[index] = (above - below) / (2 * step)
        slopes.append(slope)
    return slopes


def assert_gradients(gradients, parameters, loss):
    gradients = [gradient.copy() for gradient in gradients]
    for gradient, slope in zip(gradients, central_differences(loss, parameters), strict=True):
        assert np.abs(slope).max() > 1e-4  # slopes of 0 would prove nothing
        np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-9)


def assert_picture(path):
    assert path.read_bytes().startswith(PNG_SIGNATURE)
