"""The example trains, and its clipping is that of Python."""

import re
import runpy

import compiled  # noqa: F401 skips where Numba does not know numclip
import numpy as np
from processes import ROOT, run_python

import numclip

EXAMPLE = ROOT / "examples" / "njit_trainer.py"


def test_it_learns():
    output = run_python(EXAMPLE, "--steps", 1500).stdout
    first, last = map(float, re.search(r"error: (\S+) in the first step, (\S+) in", output).groups())
    assert last < first / 20


def test_a_step_is_that_of_python(rng):
    example = runpy.run_path(str(EXAMPLE))
    parameters = example["initial_parameters"](rng)
    inputs = rng.integers(0, 2, (example["BATCH"], example["BITS"])).astype(np.float32)
    targets = inputs.sum(axis=1, keepdims=True)
    _, grads = example["gradients_of"](parameters, inputs, targets)
    clipped, norm = numclip.clip_by_global_norm(list(grads), 1.0)
    expected = [before - np.float32(0.1) * grad for before, grad in zip(parameters, clipped, strict=True)]
    _, norms = example["train"](parameters, inputs, targets, 1.0, 0.1, 1)
    assert norms[0] == norm > 1.0
    for after, wanted in zip(parameters, expected, strict=True):
        np.testing.assert_array_equal(after, wanted)
