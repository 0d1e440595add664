"""Steps per second of a whole training loop, `examples/char_rnn.py`, by how its gradients are clipped."""

import importlib.util
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import numclip
from benchmarks import idioms

STEPS = 50  # of a round
CLIP_NORM = 0.3  # low enough to clip nearly every step, which is the slowest case

EXAMPLE = Path(__file__).parent.parent / "examples" / "char_rnn.py"


def _load():
    spec = importlib.util.spec_from_file_location("char_rnn", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLIPS = {
    "without clipping": lambda gradients: None,
    "numclip": lambda gradients: numclip.clip_by_global_norm(gradients, CLIP_NORM, out=gradients),
    "numpy": lambda gradients: idioms.clip_into(gradients, CLIP_NORM, out=gradients),
    "numpy naive": lambda gradients: idioms.naive_clip_in_place(gradients, CLIP_NORM),
}


@pytest.mark.parametrize("clip", CLIPS)
def test_training(benchmark, clip):
    char_rnn = _load()
    indices, vocabulary = char_rnn.encode(char_rnn.read_text(None))
    model = char_rnn.CharRNN(len(vocabulary), char_rnn.HIDDEN_SIZE, np.random.default_rng(0))
    hidden = model.initial_hidden(char_rnn.BATCH_SIZE)
    batches = char_rnn.batches(indices)

    def train():
        nonlocal hidden
        for inputs, targets in islice(batches, STEPS):
            _, gradients, hidden = model.loss_and_gradients(inputs, targets, hidden)
            CLIPS[clip](gradients)
            for parameter, gradient in zip(model.parameters, gradients, strict=True):
                np.subtract(parameter, 0.1 * gradient, out=parameter)

    benchmark.group = "training"
    benchmark.extra_info |= {"steps": STEPS}
    benchmark.pedantic(train, rounds=15, warmup_rounds=2)
    assert all(np.isfinite(parameter).all() for parameter in model.parameters)
