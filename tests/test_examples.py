import importlib.util
import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import numclip

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


char_rnn = load("char_rnn")
temporal_order = load("temporal_order")


def run(name, *arguments):
    command = [sys.executable, "-W", "error::RuntimeWarning", EXAMPLES / f"{name}.py", *map(str, arguments)]
    # The package of this tree, as in the rest of the tests, even where another one is installed.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)


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
        assert np.abs(slope).max() > 1e-4  # zeros that agree with zeros would show nothing
        np.testing.assert_allclose(gradient, slope, rtol=1e-6, atol=1e-9)


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("Clip the gradients, not the wings.\n" * 100, "utf-8")
    return path


def assert_picture(path):
    assert path.read_bytes().startswith(PNG_SIGNATURE)


# char_rnn


def test_char_rnn_gradients(rng):
    model = char_rnn.CharRNN(5, 4, rng, np.float64)
    for parameter in model.parameters:
        parameter[:] += rng.normal(0, 0.3, parameter.shape)
    inputs, targets = rng.integers(0, 5, (2, 6, 3))
    hidden = rng.normal(0, 0.5, (3, 4))

    def loss():
        return model.loss_and_gradients(inputs, targets, hidden)[0]

    _, gradients, _ = model.loss_and_gradients(inputs, targets, hidden)
    assert_gradients(gradients, model.parameters, loss)


def test_char_rnn_writes_into_the_same_gradients(rng):
    model = char_rnn.CharRNN(5, 4, rng)
    arguments = (*rng.integers(0, 5, (2, 6, 3)), model.initial_hidden(3))
    _, first, _ = model.loss_and_gradients(*arguments)
    first_arrays = list(first)
    _, second, _ = model.loss_and_gradients(*arguments)
    assert all(a is b for a, b in zip(first_arrays, second, strict=True))
    assert {gradient.dtype for gradient in second} == {np.dtype(np.float32)}


def test_char_rnn_hidden_state_carries_over(rng):
    model = char_rnn.CharRNN(5, 4, rng, np.float64)
    inputs, targets = rng.integers(0, 5, (2, 6, 3))
    whole, _, last = model.loss_and_gradients(inputs, targets, model.initial_hidden(3))
    first, _, between = model.loss_and_gradients(inputs[:3], targets[:3], model.initial_hidden(3))
    second, _, end = model.loss_and_gradients(inputs[3:], targets[3:], between)
    np.testing.assert_allclose(end, last, rtol=1e-12)
    np.testing.assert_allclose((first + second) / 2, whole, rtol=1e-12)


def test_char_rnn_encode_replaces_rare_characters():
    alphabet = [chr(code) for code in range(0x4E00, 0x4E00 + 150)]
    text = "".join(letter * (150 - rank) for rank, letter in enumerate(alphabet))
    indices, vocabulary = char_rnn.encode(text)
    assert len(vocabulary) == char_rnn.VOCABULARY_SIZE
    decoded = "".join(vocabulary[index] for index in indices)
    kept = "".join(letter * (150 - rank) for rank, letter in enumerate(alphabet[:99]))
    assert decoded == kept + char_rnn.PLACEHOLDER * (len(text) - len(kept))


def test_char_rnn_batches_read_on_and_start_again():
    length = char_rnn.SEQUENCE_LENGTH
    indices = np.arange(char_rnn.BATCH_SIZE * (2 * length + 7))
    batches = list(islice(char_rnn.batches(indices), 3))
    for inputs, targets in batches:
        assert inputs.shape == targets.shape == (length, char_rnn.BATCH_SIZE)
        np.testing.assert_array_equal(targets, inputs + 1)
    np.testing.assert_array_equal(batches[1][0][0], batches[0][1][-1])
    np.testing.assert_array_equal(batches[2][0], batches[0][0])


@pytest.mark.slow
def test_char_rnn_learns_when_clipped(rng):
    indices, vocabulary = char_rnn.encode("Clip the gradients, not the wings.\n" * 200)
    model = char_rnn.CharRNN(len(vocabulary), 32, rng)
    applied = []

    def clip(gradients):
        _, norm = numclip.clip_by_global_norm(gradients, 0.5, out=gradients)
        applied.append(numclip.global_norm(gradients))
        return norm

    losses, norms = char_rnn.train(model, indices, 300, clip, 0.5)
    assert losses[0] > 2.5
    assert losses[-20:].mean() < 0.5
    assert norms.max() > 0.5
    assert max(applied) <= 0.5 * (1 + 1e-6)


@pytest.mark.slow
def test_char_rnn_divergence_is_reported_without_warnings(tmp_path, text_file):
    picture = tmp_path / "picture.png"
    arguments = ("--text", text_file, "--no-clip", "--learning-rate", 1e38, "--steps", 50)
    done = run("char_rnn", *arguments, "--output", picture)
    assert done.returncode == 1, done.stderr
    assert "Training diverged" in done.stdout
    assert "writes" not in done.stdout
    assert int(re.search(r"(\d+) steps", done.stdout)[1]) < 50
    assert_picture(picture)


@pytest.mark.slow
def test_char_rnn_runs_on_the_standard_library(tmp_path):
    picture = tmp_path / "picture.png"
    done = run("char_rnn", "--steps", 8, "--output", picture)
    assert done.returncode == 0, done.stderr
    assert "nats per character" in done.stdout
    assert len(done.stdout) > char_rnn.SAMPLE_LENGTH
    assert "loss" in done.stderr
    assert "norm" in done.stderr
    assert "clipped" in done.stderr
    assert_picture(picture)


@pytest.mark.slow
def test_char_rnn_with_and_without_clipping(tmp_path, text_file):
    arguments = ("--text", text_file, "--steps", 20, "--clip-norm", 0.1)
    clipped = run("char_rnn", *arguments, "--output", tmp_path / "clipped.png")
    unclipped = run("char_rnn", *arguments, "--no-clip", "--output", tmp_path / "unclipped.png")
    for done in (clipped, unclipped):
        assert done.returncode == 0, done.stderr
    assert "100% of them clipped" in clipped.stdout
    assert "of them above 0.1, not clipped" in unclipped.stdout
    losses = [re.search(r"Loss at the end: ([\d.]+)", done.stdout)[1] for done in (clipped, unclipped)]
    assert losses[0] != losses[1]
    assert (tmp_path / "clipped.png").read_bytes() != (tmp_path / "unclipped.png").read_bytes()


@pytest.mark.slow
def test_char_rnn_seed_repeats_the_run(tmp_path, text_file):
    arguments = ("--text", text_file, "--steps", 5, "--output", tmp_path / "picture.png", "--seed")
    first, again, other = (run("char_rnn", *arguments, seed).stdout for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        (b"", "is empty"),
        (b"A few words.\n", "is too short"),
        (b"\xff\xfe" + b"text" * 1000, "is not text: it is not valid UTF-8 at byte 0"),
        (b"text\0" * 1000, "is not text: it contains NUL bytes"),
    ],
)
def test_char_rnn_refuses_what_is_no_text(tmp_path, content, message):
    path = tmp_path / "input"
    if content is not None:
        path.write_bytes(content)
    done = run("char_rnn", "--text", path, "--output", tmp_path / "picture.png")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert str(path) in done.stderr
    assert not done.stdout
    assert not (tmp_path / "picture.png").exists()


@pytest.mark.slow
def test_char_rnn_refuses_a_directory(tmp_path):
    done = run("char_rnn", "--text", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"cannot read {tmp_path}" in done.stderr


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("char_rnn", ("--clip-norm", 0)),
        ("char_rnn", ("--clip-norm", "nan")),
        ("char_rnn", ("--steps", 0)),
        ("char_rnn", ("--learning-rate", -1)),
        ("char_rnn", ("--seed", -1)),
        ("char_rnn", ("--output", "no/such/directory/picture.png")),
        ("temporal_order", ("--seeds", 0)),
        ("temporal_order", ("--lengths", 25)),
        ("temporal_order", ("--learning-rate", "inf")),
        ("temporal_order", ("--output", "no/such/directory/picture.png")),
    ],
)
def test_options_are_checked_before_training(name, arguments, monkeypatch, capsys):
    module = {"char_rnn": char_rnn, "temporal_order": temporal_order}[name]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        module.main()
    assert exit_.value.code == 2
    assert (
        str(arguments[0] if "output" not in arguments[0] else "no such directory") in capsys.readouterr().err
    )


# temporal_order


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
