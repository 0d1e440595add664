"""The example that trains a character model."""

import re
from itertools import islice

import numpy as np
import pytest

import numclip
from examples import assert_gradients, assert_picture, load, run

char_rnn = load("char_rnn")


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("Clip the gradients, not the wings.\n" * 100, "utf-8")
    return path


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
    assert_picture(tmp_path / "clipped_arrays.png")
    header, *rows = (tmp_path / "unclipped.csv").read_text("utf-8").splitlines()
    assert header.split(",")[3:] == char_rnn.NAMES
    assert len(rows) == 20


@pytest.mark.slow
def test_char_rnn_seed_repeats_the_run(tmp_path, text_file):
    arguments = ("--text", text_file, "--steps", 5, "--output", tmp_path / "picture.png", "--seed")
    outputs = (run("char_rnn", *arguments, seed).stdout for seed in (1, 1, 2))
    # The last line repeats the command.
    first, again, other = (output.partition("The same without clipping")[0] for output in outputs)
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
