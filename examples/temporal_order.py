"""The temporal order problem, with and without gradient clipping, on a recurrent network in NumPy.

Two symbols of a sequence of T are relevant, each an A or a B: one at a position in [T/10, 2T/10), the other
in [5T/10, 6T/10). All the others are distractors. At the end of the sequence the network has to tell which of
AA, AB, BA and BB it has seen, and gradients that reach so far back explode. A run has solved the problem when
it gets less than 1 % of fresh sequences wrong.

The learning rate here, 0.1, is ten times the paper's. The example shows that clipping permits larger steps,
not that every step size needs it: at the paper's 0.01 and T = 20, clipping is not ahead. To see that, run it
with ``--learning-rate 0.01 --lengths 20 --steps 40000``. Ctrl-C ends it early, with the runs that are done.

References
----------
Pascanu, R., Mikolov, T. and Bengio, Y. (2013). On the difficulty of training recurrent neural networks. ICML,
section 4.1. https://proceedings.mlr.press/v28/pascanu13.html
"""

import argparse
import math
import os
from contextlib import suppress
from typing import NamedTuple

# Two BLAS threads make products as small as these a little faster on an idle machine, and several times
# slower on a busy one, where the threads wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from demo import INTERRUPTED, picture, run_main
from matplotlib.figure import Figure
from tqdm import tqdm

import numclip

A, B = 0, 1
SYMBOLS = 6  # A, B and four distractors
CLASSES = 4
HIDDEN_SIZE = 50
BATCH_SIZE = 20
CLIP_NORM = 1.0
INITIAL_SCALE = 0.1
CHECK_EVERY = 200
COLORS = {False: "tab:red", True: "tab:blue"}
LABELS = {False: "not clipped", True: f"clipped at {CLIP_NORM:g}"}


def draw_sequences(rng, count, length):
    """Return (length, count) symbols and the (count,) classes, 2 * first + second with A = 0 and B = 1."""
    symbols = rng.integers(B + 1, SYMBOLS, (length, count))
    first, second = rng.integers(A, B + 1, (2, count))
    sequence = np.arange(count)
    symbols[rng.integers(length // 10, 2 * length // 10, count), sequence] = first
    symbols[rng.integers(5 * length // 10, 6 * length // 10, count), sequence] = second
    return symbols, 2 * first + second


class OrderRNN:
    """A tanh recurrent layer whose last state is classified by a softmax.

    `parameters` and `gradients` are lists in the order Wxh, Whh, Why, bh, by; each row of `Wxh` is a symbol.
    """

    def __init__(self, rng, dtype=np.float32):
        shapes = (SYMBOLS, HIDDEN_SIZE), (HIDDEN_SIZE, HIDDEN_SIZE), (HIDDEN_SIZE, CLASSES)
        self.parameters = [rng.normal(0, INITIAL_SCALE, shape).astype(dtype) for shape in shapes]
        self.parameters += [np.zeros(HIDDEN_SIZE, dtype), np.zeros(CLASSES, dtype)]
        self.gradients = [np.empty_like(parameter) for parameter in self.parameters]
        self.one_hot = np.eye(SYMBOLS, dtype=dtype)

    def forward(self, symbols):
        """Return the hidden states, (length + 1, batch, HIDDEN_SIZE), and the logits of the classes."""
        Wxh, Whh, Why, bh, by = self.parameters
        length, batch = symbols.shape
        states = np.zeros((length + 1, batch, HIDDEN_SIZE), Whh.dtype)
        projected = Wxh[symbols] + bh
        for t in range(length):
            np.tanh(projected[t] + states[t] @ Whh, out=states[t + 1])
        return states, states[-1] @ Why + by

    def loss_and_gradients(self, symbols, classes):
        """Return the mean cross-entropy in nats, and its gradients: the same arrays at every call."""
        _, Whh, Why, _, _ = self.parameters
        dWxh, dWhh, dWhy, dbh, dby = self.gradients
        states, logits = self.forward(symbols)
        length, batch = symbols.shape
        wanted = np.arange(batch), classes
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        totals = exponentials.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(totals[:, 0]) - logits[wanted]))

        dlogits = exponentials / totals
        dlogits[wanted] -= 1
        dlogits /= batch
        dstate = dlogits @ Why.T
        dinner = 1 - states[1:] ** 2
        for t in reversed(range(length)):
            dinner[t] *= dstate
            dstate = dinner[t] @ Whh.T

        dinner = dinner.reshape(length * batch, HIDDEN_SIZE)
        np.matmul(self.one_hot[symbols.ravel()].T, dinner, out=dWxh)
        np.matmul(states[:-1].reshape(dinner.shape).T, dinner, out=dWhh)
        np.matmul(states[-1].T, dlogits, out=dWhy)
        dinner.sum(axis=0, out=dbh)
        dlogits.sum(axis=0, out=dby)
        return loss, self.gradients

    def error(self, rng, count, length):
        """Return the share of `count` fresh sequences that are answered wrongly."""
        symbols, classes = draw_sequences(rng, count, length)
        _, logits = self.forward(symbols)
        return np.mean(logits.argmax(axis=1) != classes)


class Run(NamedTuple):
    """The outcome of one training run; `norms` are those before clipping, one per step."""

    length: int
    clipped: bool
    success: bool
    norms: np.ndarray


def train(length, clipped, seed, steps, learning_rate, bar):
    """Train by plain SGD until the error on fresh sequences is below 1 %, or `steps` are over."""
    rng = np.random.default_rng(seed)
    model = OrderRNN(rng)
    norms = []
    success = False
    bar.set_description(f"T={length}, {LABELS[clipped]}, seed {seed}")
    # Without clipping the weights may overflow: such a run has failed, which is reported without a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        while not success and len(norms) < steps:
            _, gradients = model.loss_and_gradients(*draw_sequences(rng, BATCH_SIZE, length))
            if clipped:
                _, norm = numclip.clip_by_global_norm(gradients, CLIP_NORM, out=gradients)
            else:
                norm = numclip.global_norm(gradients)
            norms.append(float(norm))
            if not np.isfinite(norm):
                break
            for parameter, gradient in zip(model.parameters, gradients, strict=True):
                parameter[:] -= learning_rate * gradient
            bar.update()
            if len(norms) % CHECK_EVERY == 0 or len(norms) == steps:
                # The paper's ten thousand sequences are slow: test them only if a thousand succeed.
                success = all(model.error(rng, count, length) < 0.01 for count in (1000, 10000))
    bar.update(steps - len(norms))
    return Run(length, clipped, success, np.array(norms))


def print_table(runs, lengths):
    """Print how many runs solved the problem, and how many steps those took in the median."""
    print(f"{'problem solved':15}", *(f"{LABELS[clipped]:>22}" for clipped in (False, True)))
    for length in lengths:
        cells = []
        for clipped in (False, True):
            group = [run for run in runs if (run.length, run.clipped) == (length, clipped)]
            steps = [len(run.norms) for run in group if run.success]
            taken = f" in {np.median(steps):.0f} steps" if steps else ""
            cells.append(f"{f'{len(steps)}/{len(group)}{taken}':>22}")
        print(f"T = {length:<11}", *cells)


def draw(path, runs, lengths):
    """Draw the share of runs that solved the problem, and the gradient norms of those with seed 0."""
    figure = Figure(figsize=(4 + 4 * len(lengths), 5.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, len(lengths)))
    bars = left.subplots()
    traces = right.subplots(2, len(lengths), sharex=True, sharey=True, squeeze=False)
    right.suptitle("Gradient norm before clipping, seed 0")
    for row, clipped in enumerate((False, True)):
        rates = []
        for axes, length in zip(traces[row], lengths, strict=True):
            group = [run for run in runs if (run.length, run.clipped) == (length, clipped)]
            rates.append(np.mean([run.success for run in group]))
            norms = group[0].norms
            steps = np.arange(1, len(norms) + 1)
            axes.loglog(steps, norms, ".", markersize=2, color=COLORS[clipped])
            axes.axhline(CLIP_NORM, color="black", linewidth=1, linestyle="--", label=f"norm {CLIP_NORM:g}")
            outcome = f"solved in {len(norms)} steps" if group[0].success else "not solved"
            axes.set_title(f"T = {length}, {LABELS[clipped]}: {outcome}", fontsize="medium")
        places = np.arange(len(lengths)) + (0.2 if clipped else -0.2)
        drawn = bars.bar(places, rates, 0.38, color=COLORS[clipped], label=LABELS[clipped])
        bars.bar_label(drawn, [f"{rate:.0%}" for rate in rates], padding=2)
    bars.set_xticks(range(len(lengths)), [f"T = {length}" for length in lengths])
    bars.set(title="Runs that solved the problem", ylabel="share of runs", ylim=(0, 1.3), yticks=(0, 0.5, 1))
    bars.legend(loc="upper left")
    for axes in traces[-1]:
        axes.set_xlabel("training step")
    for axes in traces[:, 0]:
        axes.set_ylabel("global norm")
    traces[0, 0].legend(loc="upper left")
    figure.savefig(path, dpi=100)


def main():
    """Run every length and seed with and without clipping, print the table, draw the picture.

    Returns the exit code: 130 where Ctrl-C ended it.
    """
    parser = argparse.ArgumentParser(description="The temporal order problem with and without clipping.")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each kind (default: %(default)s)")
    parser.add_argument("--lengths", type=int, nargs="+", default=[20, 30], help="T (default: 20 30)")
    parser.add_argument("--steps", type=int, default=10000, help="limit of a run (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="(default: %(default)s)")
    parser.add_argument("--output", type=picture, default="temporal_order.png", help="(default: %(default)s)")
    args = parser.parse_args()
    if min(args.seeds, args.steps) < 1 or not 0 < args.learning_rate < math.inf:
        parser.error("--seeds, --steps and --learning-rate must be positive and finite")
    if any(length < 10 or length % 10 for length in args.lengths):
        parser.error("--lengths must be multiples of 10")

    lengths = sorted(set(args.lengths))
    kinds = [
        (length, clipped, seed)
        for length in lengths
        for seed in range(args.seeds)
        for clipped in (False, True)
    ]
    numclip.warmup(verbose=True)  # so that the progress bar measures the training alone
    runs = []
    with (
        suppress(KeyboardInterrupt),
        tqdm(total=len(kinds) * args.steps, unit="step", mininterval=0.5) as bar,
    ):
        for kind in kinds:
            outcome = train(*kind, args.steps, args.learning_rate, bar)
            runs.append(outcome)
    # The first seed of a length runs without clipping, then with: only both together are a comparison.
    compared = [length for length in lengths if (length, True) in {run[:2] for run in runs}]
    if not compared:
        print("Interrupted before the first pair of runs was done: there is nothing to compare.")
        return INTERRUPTED
    print_table(runs, compared)
    draw(args.output, runs, compared)
    print(f"{args.output} shows the share of runs that solved the problem, and the norms of seed 0.")
    return 0 if len(runs) == len(kinds) else INTERRUPTED


if __name__ == "__main__":
    run_main(main)
