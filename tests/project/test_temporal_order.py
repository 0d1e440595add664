"""The example of sequences that only a network with clipped gradients learns."""

import re

import numpy as np
import pytest

from examples import assert_gradients, assert_picture, load, run

temporal_order = load("temporal_order")


@pytest.mark.parametrize("length", [10, 20, 30])
def test_sequences_keep_the_contract(rng, length):
    symbols, classes = temporal_order.draw_sequences(rng, 2000, length)
    assert symbols.shape == (length, 2000)
    assert set(np.unique(symbols)) == set(range(6))
    relevant = symbols < 2
    assert (relevant.sum(axis=0) == 2).all()
    first = relevant.argmax(axis=0)
    second = length - 1 - relevant[::-1].argmax(axis=0)
    # Every permitted position occurs, and no other.
    assert set(first) == set(range(length // 10, length // 5))
    assert set(second) == set(range(length // 2, length * 6 // 10))
    sequence = np.arange(2000)
    expected = 2 * symbols[first, sequence] + symbols[second, sequence]
    np.testing.assert_array_equal(classes, expected)
    assert (np.bincount(classes, minlength=4) > 400).all()


def test_temporal_order_gradients(rng, monkeypatch):
    monkeypatch.setattr(temporal_order, "HIDDEN_SIZE", 4)
    model = temporal_order.OrderRNN(rng, np.float64)
    for parameter in model.parameters:
        parameter[:] += rng.normal(0, 0.5, parameter.shape)
    batch = temporal_order.draw_sequences(rng, 7, 10)
    _, gradients = model.loss_and_gradients(*batch)
    assert_gradients(gradients, model.parameters, lambda: model.loss_and_gradients(*batch)[0])


@pytest.mark.slow
def test_temporal_order_runs(tmp_path):
    picture = tmp_path / "picture.png"
    done = run("temporal_order", "--seeds", 2, "--lengths", 10, 20, "--steps", 50, "--output", picture)
    assert done.returncode == 0, done.stderr
    assert "not clipped" in done.stdout
    assert "clipped at 1" in done.stdout
    assert re.search(r"^T = 10 +[012]/2", done.stdout, re.MULTILINE)
    assert re.search(r"^T = 20 +0/2 +0/2$", done.stdout, re.MULTILINE)  # it takes hundreds of steps
    assert_picture(picture)


def test_temporal_order_is_solved_with_clipping():
    with temporal_order.tqdm(total=1, disable=True) as bar:
        solved = temporal_order.train(20, clipped=True, seed=0, steps=2000, learning_rate=0.1, bar=bar)
    assert solved.success
    assert len(solved.norms) < 2000
    assert solved.norms.max() > temporal_order.CLIP_NORM


@pytest.mark.slow
def test_temporal_order_divergence_is_a_failed_run(tmp_path):
    picture = tmp_path / "picture.png"
    arguments = ("--seeds", 1, "--lengths", 20, "--steps", 300, "--learning-rate", 1e38, "--output", picture)
    done = run("temporal_order", *arguments)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^T = 20 +0/1", done.stdout, re.MULTILINE)
    assert_picture(picture)
