"""Train a character-level RNN, backpropagation written out in NumPy, and clip its gradients with numclip.

The text is the source of the Python standard library, or any file given by ``--text``. One minute of training
ends with a sample of the network's text and with two pictures: the norm of the gradients before clipping,
step by step, above the loss; and the norms of the five arrays, which a `GradientMonitor` has kept. Run it
once as it is and once with ``--no-clip``. Ctrl-C ends it early, with the sample and the pictures of the steps
that were done.
"""

import argparse
import itertools
import math
import os
import shlex
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

# Two BLAS threads make products as small as these a little faster on an idle machine, and several times
# slower on a busy one, where the threads wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from demo import INTERRUPTED, picture, run_main
from matplotlib.figure import Figure
from tqdm import tqdm

import numclip

HIDDEN_SIZE = 200
BATCH_SIZE = 32
SEQUENCE_LENGTH = 40
MOMENTUM = 0.9
VOCABULARY_SIZE = 100
SAMPLE_LENGTH = 800
NAMES = ["Wxh", "Whh", "Why", "bh", "by"]
PLACEHOLDER = "\N{REPLACEMENT CHARACTER}"
# Single files in every Python since 3.11; together 1.8 million characters.
MODULES = """
argparse ast dataclasses difflib doctest enum functools inspect ipaddress mailbox optparse os pdb
pickle pydoc random shutil socket ssl statistics subprocess tarfile threading traceback typing
"""


class CharRNN:
    """A tanh recurrent layer with a softmax over the next character.

    ``h[t] = tanh(Wxh[x[t]] + h[t-1] @ Whh + bh)`` and ``p[t] = softmax(h[t] @ Why + by)``: each row of
    `Wxh` is a character. `parameters` and `gradients` are lists in the order Wxh, Whh, Why, bh, by, and
    every call writes into the same gradients.
    """

    def __init__(self, vocab_size, hidden_size, rng, dtype=np.float32):
        scale = 1 / math.sqrt(hidden_size)
        weights = (
            rng.normal(0, 0.1, (vocab_size, hidden_size)),
            rng.normal(0, scale, (hidden_size, hidden_size)),
            rng.normal(0, scale / 3, (hidden_size, vocab_size)),
            np.zeros(hidden_size),
            np.zeros(vocab_size),
        )
        self.parameters = [weight.astype(dtype) for weight in weights]
        self.gradients = [np.empty_like(weight) for weight in self.parameters]
        self.one_hot = np.eye(vocab_size, dtype=dtype)

    def initial_hidden(self, batch_size):
        """Return the hidden state before the first character: zeros, (batch_size, hidden_size)."""
        return np.zeros((batch_size, len(self.parameters[1])), self.one_hot.dtype)

    def loss_and_gradients(self, inputs, targets, hidden):
        """Run forwards and backwards over (length, batch) characters, from `hidden` of (batch, hidden_size).

        Returns the mean loss per character in nats, the gradients of that mean, and the last hidden state.
        """
        Wxh, Whh, Why, bh, by = self.parameters
        dWxh, dWhh, dWhy, dbh, dby = self.gradients
        length, batch = inputs.shape
        states = np.empty((length + 1, *hidden.shape), hidden.dtype)
        states[0] = hidden
        projected = Wxh[inputs] + bh
        for t in range(length):
            np.tanh(projected[t] + states[t] @ Whh, out=states[t + 1])

        # Only the recurrence needs a loop; the rest is one product over all steps of all sequences.
        before, after = (part.reshape(length * batch, -1) for part in (states[:-1], states[1:]))
        wanted = np.arange(length * batch), targets.ravel()
        logits = after @ Why + by
        logits -= logits.max(axis=1, keepdims=True)
        # Without this bound, some probabilities of diverging runs would be subnormal, and steps slow.
        exponentials = np.exp(np.maximum(logits, -60))
        totals = exponentials.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(totals[:, 0]) - logits[wanted]))

        dlogits = exponentials / totals
        dlogits[wanted] -= 1
        dlogits /= length * batch
        dstates = (dlogits @ Why.T).reshape(length, batch, -1)
        dinner = 1 - states[1:] ** 2
        for t in reversed(range(length)):
            dinner[t] *= dstates[t]
            if t > 0:
                dstates[t - 1] += dinner[t] @ Whh.T

        dinner = dinner.reshape(length * batch, -1)
        np.matmul(self.one_hot[inputs.ravel()].T, dinner, out=dWxh)
        np.matmul(before.T, dinner, out=dWhh)
        np.matmul(after.T, dlogits, out=dWhy)
        dinner.sum(axis=0, out=dbh)
        dlogits.sum(axis=0, out=dby)
        return loss, self.gradients, states[-1]

    def sample(self, index, count, rng, temperature=0.7):
        """Let the network write `count` characters after the character `index`."""
        Wxh, Whh, Why, bh, by = self.parameters
        hidden = self.initial_hidden(1)[0]
        for _ in range(count):
            hidden = np.tanh(Wxh[index] + hidden @ Whh + bh)
            # The largest of logits with Gumbel noise is a draw from their softmax.
            index = int(np.argmax((hidden @ Why + by) / temperature + rng.gumbel(size=len(by))))
            yield index


def read_text(path):
    """Read `path`, or the standard library if it is None; a ValueError has a message of one line."""
    if path is None:
        root = Path(sysconfig.get_path("stdlib"))
        sources = (root / f"{module}.py" for module in MODULES.split())
        text = "".join(source.read_text("utf-8") for source in sources if source.is_file())
        path = f"the standard library in {root}"
    else:
        try:
            text = path.read_text("utf-8-sig")
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not text: it is not valid UTF-8 at byte {error.start}") from error
    if "\0" in text:
        raise ValueError(f"{path} is not text: it contains NUL bytes")
    needed = BATCH_SIZE * (SEQUENCE_LENGTH + 1)
    if len(text) < needed:
        raise ValueError(f"{path} is {'too short' if text else 'empty'}: one batch needs {needed} characters")
    return text


def encode(text):
    """Return the characters of `text` as indices, and the vocabulary: the most frequent and a placeholder."""
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
    found, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[: VOCABULARY_SIZE - 1])
    table = np.full(len(found), len(kept))
    table[kept] = np.arange(len(kept))
    return table[inverse], [*map(chr, found[kept]), PLACEHOLDER]


def batches(indices):
    """Read BATCH_SIZE parts of the text side by side, endlessly; the hidden state carries over."""
    streams = indices[: len(indices) // BATCH_SIZE * BATCH_SIZE].reshape(BATCH_SIZE, -1).T
    starts = range(0, len(streams) - SEQUENCE_LENGTH, SEQUENCE_LENGTH)
    for start in itertools.cycle(starts):
        stop = start + SEQUENCE_LENGTH
        yield streams[start:stop], streams[start + 1 : stop + 1]


def train(model, indices, steps, clip, clip_norm, learning_rate=0.3, fate="clipped"):
    """Train by SGD with momentum; `clip` is given the gradients, may change them, and returns their norm.

    Returns the loss and the norm of every step. Where training diverges, the last norm is not finite; Ctrl-C
    ends it with the steps that were done. `fate` is for the progress bar: the word for what `clip` does
    to gradients with a norm above `clip_norm`.
    """
    velocities = [np.zeros_like(parameter) for parameter in model.parameters]
    hidden = model.initial_hidden(BATCH_SIZE)
    losses, norms, above = [], [], 0
    # Unclipped gradients may overflow: the example reports that, so NumPy need not warn.
    with (
        suppress(KeyboardInterrupt),
        tqdm(total=steps, unit="step", mininterval=0.5) as bar,
        np.errstate(over="ignore", invalid="ignore"),
    ):
        for step, (inputs, targets) in zip(range(steps), batches(indices), strict=False):
            loss, gradients, hidden = model.loss_and_gradients(inputs, targets, hidden)
            norm = clip(gradients)
            losses.append(loss)
            norms.append(float(norm))
            if not np.isfinite(norm):
                break
            above += norm > clip_norm
            rate = learning_rate * (1 - step / steps)
            for parameter, gradient, velocity in zip(model.parameters, gradients, velocities, strict=True):
                velocity[:] = MOMENTUM * velocity - rate * gradient
                parameter[:] += velocity
            share = f"{above / (step + 1):.0%} {fate}"
            bar.set_postfix_str(f"loss {np.mean(losses[-100:]):.3f}, norm {norm:.2f}, {share}", refresh=False)
            bar.update()
    return np.array(losses[: len(norms)]), np.array(norms)


def draw(path, losses, norms, clip_norm, fate):
    """Draw the norms with their threshold, and the losses below them."""
    steps = np.arange(1, len(norms) + 1)
    above = norms > clip_norm
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    for chosen, color, label in ((~above, "tab:blue", "below"), (above, "tab:red", fate)):
        top.semilogy(steps[chosen], norms[chosen], ".", markersize=2, color=color, label=label)
    top.axhline(clip_norm, color="black", linewidth=1, linestyle="--", label=f"threshold {clip_norm:g}")
    top.set(ylabel="global norm before clipping", title=f"Gradient norm: {above.mean():.0%} of steps {fate}")
    width = min(100, len(losses))
    smooth = np.convolve(losses, np.full(width, 1 / width), "valid")
    bottom.plot(steps, losses, color="tab:gray", linewidth=0.5, alpha=0.6, label="one step")
    bottom.plot(steps[width - 1 :], smooth, color="tab:blue", label=f"mean of {width} steps")
    bottom.set(xlabel="training step", ylabel="nats per character", title="Loss")
    top.margins(y=0.2)  # room for the legend
    for axes in (top, bottom):
        axes.legend(loc="upper right", markerscale=5, ncols=3)
    figure.savefig(path, dpi=120)


def main():
    """Train, write a sample, draw the picture.

    Returns the exit code: 1 where training diverged, 130 where Ctrl-C ended it.
    """
    parser = argparse.ArgumentParser(description="Train a character-level RNN, clipping its gradients.")
    parser.add_argument("--text", type=Path, help="UTF-8 text (default: the Python standard library)")
    parser.add_argument("--clip-norm", type=float, default=0.8, help="threshold (default: %(default)s)")
    parser.add_argument("--no-clip", action="store_true", help="only compute the norm of the gradients")
    parser.add_argument("--steps", type=int, default=8000, help="training steps (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=0.3, help="at first (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and sample (default: %(default)s)")
    parser.add_argument(
        "--output", type=picture, default="char_rnn.png", help="picture (default: %(default)s)"
    )
    args = parser.parse_args()
    if not all(0 < value < math.inf for value in (args.clip_norm, args.steps, args.learning_rate)):
        parser.error("--clip-norm, --steps and --learning-rate must be positive and finite")
    if args.seed < 0:
        parser.error("--seed must not be negative")
    try:
        text = read_text(args.text)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")

    monitor = numclip.GradientMonitor(args.output.with_suffix(".csv"), NAMES, history=args.steps)

    def clip(gradients):
        tensor_norms = numclip.tensor_norms(gradients)
        if args.no_clip:
            norm = numclip.global_norm(gradients)
        else:
            _, norm = numclip.clip_by_global_norm(gradients, args.clip_norm, out=gradients)
        monitor.record(norm, args.clip_norm, tensor_norms)
        return norm

    fate = f"above {args.clip_norm:g}, not clipped" if args.no_clip else "clipped"
    indices, vocabulary = encode(text)
    rng = np.random.default_rng(args.seed)
    model = CharRNN(len(vocabulary), HIDDEN_SIZE, rng)
    numclip.warmup(verbose=True)  # so that the progress bar measures the training alone
    losses, norms = train(model, indices, args.steps, clip, args.clip_norm, args.learning_rate, fate)
    if not len(norms):
        print("Interrupted before the first step: there is nothing to show.")
        return INTERRUPTED
    draw(args.output, losses, norms, args.clip_norm, fate)
    arrays = args.output.with_stem(f"{args.output.stem}_arrays")
    monitor.plot(arrays)
    print(f"{len(norms)} steps, {np.mean(norms > args.clip_norm):.0%} of them {fate}.")
    print(f"{args.output} shows the norm of the gradients before clipping, and the loss below it.")
    print(f"{arrays} shows the norm of each array; the figures are in {args.output.with_suffix('.csv')}.")
    if not np.isfinite(norms[-1]):
        print(f"Training diverged: the last norm is {norms[-1]}.")
        return 1
    print(f"Loss at the end: {np.mean(losses[-100:]):.3f} nats per character. What the network writes now:\n")
    sample = "".join(vocabulary[index] for index in model.sample(indices[0], SAMPLE_LENGTH, rng))
    # A terminal that cannot show a character of the text gets a question mark.
    print(sample.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding))
    if not args.no_clip:
        without = [*sys.argv, "--no-clip", "--output", args.output.with_stem(f"{args.output.stem}_no_clip")]
        print(f"\nThe same without clipping: {shlex.join(map(str, [sys.executable, *without]))}")
    return 0 if len(norms) == args.steps else INTERRUPTED


if __name__ == "__main__":
    run_main(main)
