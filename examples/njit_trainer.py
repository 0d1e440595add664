"""Train a small network with the whole step compiled: forwards, backwards, clipping, update.

A tanh layer learns to count the ones among 16 bits. Inside `@njit`, numclip clips the gradients with the same
bits as from Python, without going back to the interpreter: the loop over steps is one compiled call.
"""

import argparse
import math
import sys
from time import perf_counter

import numba
import numpy as np

import numclip

BITS, HIDDEN, BATCH = 16, 64, 128


@numba.njit
def gradients_of(parameters, inputs, targets):
    """Return the mean squared error of a batch, and its gradients as a tuple like `parameters`."""
    w1, b1, w2, b2 = parameters
    hidden = np.tanh(inputs @ w1 + b1)
    error = (hidden @ w2 + b2) - targets
    loss = (error**2).mean()
    slope = error * np.float32(2.0 / error.size)
    inner = (slope @ w2.T) * (np.float32(1.0) - hidden**2)
    return loss, (inputs.T @ inner, inner.sum(axis=0), hidden.T @ slope, slope.sum(axis=0))


@numba.njit
def train(parameters, inputs, targets, clip_norm, learning_rate, steps):
    """Train by SGD; return the losses and the norms of the gradients before clipping."""
    losses, norms = np.empty(steps), np.empty(steps)
    batches = len(inputs) // BATCH
    for step in range(steps):
        begin = step % batches * BATCH
        batch = slice(begin, begin + BATCH)
        losses[step], grads = gradients_of(parameters, inputs[batch], targets[batch])
        _, norms[step] = numclip.clip_by_global_norm(grads, clip_norm, out=grads)
        rate = np.float32(learning_rate * (1.0 - step / steps))
        # Compiled loops over tuples need arrays of one type: these have one axis or two.
        parameters[0][:] -= rate * grads[0]
        parameters[1][:] -= rate * grads[1]
        parameters[2][:] -= rate * grads[2]
        parameters[3][:] -= rate * grads[3]
    return losses, norms


def initial_parameters(rng):
    """Return the weights and biases of both layers."""
    return (
        rng.normal(0, 0.5, (BITS, HIDDEN)).astype(np.float32),
        np.zeros(HIDDEN, np.float32),
        rng.normal(0, 0.5, (HIDDEN, 1)).astype(np.float32),
        np.zeros(1, np.float32),
    )


def main():
    """Train, and print what came of it; returns the exit code."""
    parser = argparse.ArgumentParser(description="Count bits by a network whose training is compiled.")
    parser.add_argument("--clip-norm", type=float, default=1.0, help="threshold (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=5000, help="training steps (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="at first (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data (default: %(default)s)")
    args = parser.parse_args()
    if not all(0 < value < math.inf for value in (args.clip_norm, args.steps, args.learning_rate)):
        parser.error("--clip-norm, --steps and --learning-rate must be positive and finite")
    if args.seed < 0:
        parser.error("--seed must not be negative")
    rng = np.random.default_rng(args.seed)
    inputs = rng.integers(0, 2, (64 * BATCH, BITS)).astype(np.float32)
    targets = inputs.sum(axis=1, keepdims=True)
    train(initial_parameters(rng), inputs, targets, args.clip_norm, args.learning_rate, 1)  # compiles
    parameters = initial_parameters(rng)
    begin = perf_counter()
    losses, norms = train(parameters, inputs, targets, args.clip_norm, args.learning_rate, args.steps)
    seconds = perf_counter() - begin
    clipped = np.mean(norms > args.clip_norm)
    print(f"{args.steps} steps in {seconds:.2f} s, {clipped:.0%} of them clipped")
    print(
        f"mean squared error: {losses[0]:.3g} in the first step, {losses[-100:].mean():.3g} in the last ones"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
