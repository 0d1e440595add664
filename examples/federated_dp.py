"""Federated averaging with differential privacy for clients: DP-FedAvg on made-up data, in some seconds.

    python examples/federated_dp.py

Each round every client trains the global model on its own examples. It sends the difference to the global
model, a list of arrays, clipped to a global norm. The server adds the differences up, adds Gaussian
noise of `noise_multiplier` times that norm, and divides by the number of clients (McMahan et al., "Learning
differentially private recurrent language models", ICLR 2018).

The proof needs that no client moves the sum by more than the norm: ``strict=True`` promises that of the very
numbers that are sent. Clipped by default, some are above it, by their rounding: the last line counts them.

The noise here is NumPy's. Its last bits tell something of the sum (Mironov, "On significance of the least
significant bits for differential privacy", CCS 2012): a real server draws from a discrete distribution.
"""

import argparse
import math
import sys
from fractions import Fraction
from time import perf_counter

import numpy as np

import numclip

FEATURES, CLASSES, HIDDEN = 24, 6, 12
EXAMPLES, BATCH, LEARNING_RATE = 24, 8, 0.3  # of a client
DELTA = 1e-5


def make_data(rng, clients):
    """Return (features, labels) of each client, and of a test set: clusters, unevenly shared out."""
    centres = rng.standard_normal((CLASSES, FEATURES)) * 0.8
    shares = rng.dirichlet(np.full(CLASSES, 0.5), clients + 1)
    shares[-1] = 1 / CLASSES
    sets = []
    for share, size in zip(shares, [EXAMPLES] * clients + [2000], strict=True):
        labels = rng.choice(CLASSES, size, p=share)
        features = centres[labels] + rng.standard_normal((size, FEATURES))
        sets.append((features.astype(np.float32), labels))
    return sets[:-1], sets[-1]


def initial_model(rng):
    """Return the parameters of a network of one tanh layer."""
    sides = (FEATURES, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)
    return [(rng.standard_normal(side) / math.sqrt(side[0])).astype(np.float32) for side in sides]


def outputs(model, features):
    """Return the hidden layer and the probabilities of the classes."""
    hidden = np.tanh(features @ model[0] + model[1])
    scores = hidden @ model[2] + model[3]
    scores = np.exp(scores - scores.max(1, keepdims=True))
    return hidden, scores / scores.sum(1, keepdims=True)


def gradients(model, features, labels):
    """Return the gradients of the mean cross-entropy."""
    hidden, errors = outputs(model, features)
    errors[np.arange(len(labels)), labels] -= 1
    errors /= len(labels)
    below = errors @ model[2].T * (1 - hidden**2)
    return [features.T @ below, below.sum(0), hidden.T @ errors, errors.sum(0)]


def train_locally(model, features, labels):
    """Return the model after a pass over the examples of a client."""
    model = [parameter.copy() for parameter in model]
    for start in range(0, len(labels), BATCH):
        batch = slice(start, start + BATCH)
        for parameter, gradient in zip(model, gradients(model, features[batch], labels[batch]), strict=True):
            parameter[...] -= LEARNING_RATE * gradient
    return model


def update_of(model, client, clip_norm):
    """Return the update of a client: its difference to the global model, of a norm of at most clip_norm."""
    trained = train_locally(model, *client)
    update = [new - old for new, old in zip(trained, model, strict=True)]
    _, norm = numclip.clip_by_global_norm(update, clip_norm, out=update, strict=True)
    return update, norm


def federated_round(model, clients, clip_norm, noise_multiplier, rng):
    """Move the model by the mean of all updates, with noise; return the norms that the updates had."""
    totals, norms = [np.zeros(parameter.shape) for parameter in model], []
    for client in clients:
        update, norm = update_of(model, client, clip_norm)
        norms.append(norm)
        for total, array in zip(totals, update, strict=True):
            total[...] += array
    for parameter, total in zip(model, totals, strict=True):
        noise = rng.standard_normal(total.shape) * (noise_multiplier * clip_norm)
        parameter[...] += ((total + noise) / len(clients)).astype(np.float32)
    return norms


def epsilon(rounds, noise_multiplier):
    """Return the epsilon of so many Gaussian mechanisms at DELTA, by zero-concentrated privacy.

    Bun and Steinke, "Concentrated differential privacy", TCC 2016: rho = rounds / (2 z**2).
    """
    if noise_multiplier == 0:
        return math.inf
    rho = rounds / (2 * noise_multiplier**2)
    return rho + 2 * math.sqrt(rho * math.log(1 / DELTA))


def is_above(update, clip_norm):
    """Tell whether the exact norm of an update is above clip_norm."""
    square = sum(Fraction(value) ** 2 for array in update for value in array.ravel().tolist())
    return square > Fraction(clip_norm) ** 2


def count_above(model, clients, clip_norm):
    """Return how many updates end above clip_norm if they are clipped by default, and strictly."""
    by_default = strictly = 0
    for client in clients:
        trained = train_locally(model, *client)
        update = [new - old for new, old in zip(trained, model, strict=True)]
        by_default += is_above(numclip.clip_by_global_norm(update, clip_norm)[0], clip_norm)
        strictly += is_above(update_of(model, client, clip_norm)[0], clip_norm)
    return by_default, strictly


def accuracy(model, features, labels):
    """Return the share of examples whose most probable class is theirs."""
    return np.mean(outputs(model, features)[1].argmax(1) == labels)


def main():
    """Train, and print the results; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train by federated averaging with differential privacy.")
    parser.add_argument("--clients", type=int, default=400, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--clip-norm", type=float, default=0.5, help="of an update (default: %(default)s)")
    parser.add_argument("--noise-multiplier", type=float, default=6.0, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    args = parser.parse_args()
    if not all(0 < value < math.inf for value in (args.clients, args.rounds, args.clip_norm)):
        parser.error("--clients, --rounds and --clip-norm must be positive and finite")
    if not 0 <= args.noise_multiplier < math.inf or args.seed < 0:
        parser.error("--noise-multiplier and --seed must be at least 0, and finite")
    rng = np.random.default_rng(args.seed)
    clients, test = make_data(rng, args.clients)
    model = initial_model(rng)
    print(f"before: {accuracy(model, *test):.0%} of the test examples are right")
    begin = perf_counter()
    for _ in range(args.rounds):
        norms = federated_round(model, clients, args.clip_norm, args.noise_multiplier, rng)
    seconds = perf_counter() - begin
    clipped = np.mean(np.array(norms) > args.clip_norm)
    print(
        f"after {args.rounds} rounds of {args.clients} clients, {seconds:.1f} s: {accuracy(model, *test):.0%}"
    )
    print(f"privacy of a client: epsilon {epsilon(args.rounds, args.noise_multiplier):.2f}, delta {DELTA}")
    print(f"clipped in the last round: {clipped:.0%} of the updates")
    by_default, strictly = count_above(model, clients[:100], args.clip_norm)
    print(f"of the next 100, above {args.clip_norm}: {by_default} if clipped by default, {strictly} strictly")
    return 0


if __name__ == "__main__":
    sys.exit(main())
