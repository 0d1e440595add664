"""The example of federated averaging with differential privacy."""

import math
import re
import sys

import numpy as np
import pytest

from examples import assert_gradients, load, run

federated = load("federated_dp")


def test_the_gradients_are_those_of_the_loss(rng):
    model = [parameter.astype(np.float64) for parameter in federated.initial_model(rng)]
    features = rng.standard_normal((7, federated.FEATURES))
    labels = rng.integers(0, federated.CLASSES, 7)

    def loss():
        return -np.mean(np.log(federated.outputs(model, features)[1][np.arange(7), labels]))

    assert_gradients(federated.gradients(model, features, labels), model, loss)


def test_no_update_is_above_the_bound(rng):
    clients, _ = federated.make_data(rng, 60)
    model = federated.initial_model(rng)
    norms = []
    for client in clients:
        update, norm = federated.update_of(model, client, 0.3)
        assert not federated.is_above(update, 0.3)
        norms.append(norm)
    assert min(norms) > 0.0
    assert max(norms) > 0.3
    by_default, strictly = federated.count_above(model, clients, 0.3)
    assert by_default > strictly == 0


def test_a_round_adds_the_mean_of_the_updates_and_noise(rng):
    clients, _ = federated.make_data(rng, 5)
    model = federated.initial_model(rng)
    updates = [federated.update_of(model, client, 0.3)[0] for client in clients]
    moved = [parameter.copy() for parameter in model]
    federated.federated_round(moved, clients, 0.3, 0.0, rng)
    for parameter, old, *arrays in zip(moved, model, *updates, strict=True):
        np.testing.assert_allclose(parameter - old, np.mean(arrays, axis=0), atol=1e-7)
    federated.federated_round(model, clients, 0.3, 5.0, rng)
    noise = np.concatenate([(a - b).ravel() for a, b in zip(moved, model, strict=True)])
    assert math.isclose(noise.std(), 5.0 * 0.3 / 5, rel_tol=0.2)


def test_the_privacy_of_one_round_and_of_many():
    assert math.isclose(federated.epsilon(1, 1.0), 0.5 + 2 * math.sqrt(0.5 * math.log(1e5)))
    assert federated.epsilon(4, 2.0) == federated.epsilon(1, 1.0)
    assert federated.epsilon(1, 0.0) == math.inf


@pytest.mark.parametrize("arguments", [("--clip-norm", 0), ("--rounds", 0), ("--noise-multiplier", -1)])
def test_options_are_checked_before_training(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["federated_dp.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        federated.main()
    assert exit_.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.slow
def test_it_learns():
    done = run("federated_dp", "--rounds", 6, "--clients", 100, "--noise-multiplier", 1)
    assert done.returncode == 0, done.stderr
    before, after = (int(re.search(rf"{word}.*?(\d+)%", done.stdout)[1]) for word in ("before", "after"))
    assert after > before + 20
    assert re.search(r"above 0.5: \d+ if clipped by default, 0 strictly", done.stdout)
