"""Train the character RNN of char_rnn.py on MPI ranks, to the same parameters for each number of them.

    mpiexec -n 2 python examples/mpi_data_parallel.py

The batch is cut into four shards, whatever the number of ranks: 1, 2 or 4. A rank computes the gradients of
its shards. Each array of parameters has an owner, which adds the gradients of all shards, in their order,
clips them together with the other owners, updates the parameters, and sends them to all: so the state of the
optimizer is distributed too. All owners multiply by the same factor, as `numclip.mpi` gives them one norm.
Rank 0 prints a digest of the parameters, which does not depend on the number of ranks.
"""

import argparse
import hashlib
import math
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from char_rnn import BATCH_SIZE, HIDDEN_SIZE, MOMENTUM, CharRNN, batches, encode, read_text
from mpi4py import MPI

import numclip.mpi

SHARDS = 4


def gradients_of_shards(model, own, inputs, targets, hidden):
    """Return the mean loss and the gradients of each shard of this rank, one after the other."""
    losses, gradients = [], []
    width = BATCH_SIZE // SHARDS
    for shard in own:
        columns = slice(shard * width, (shard + 1) * width)
        loss, arrays, hidden[shard] = model.loss_and_gradients(
            inputs[:, columns], targets[:, columns], hidden[shard]
        )
        losses.append(loss)
        gradients.append([array.copy() for array in arrays])
    return losses, gradients


def mean_in_order(comm, gradients, owner):
    """Send the gradients of one array from all shards to its owner; return the mean there, else None."""
    stacked = np.stack(gradients)
    gathered = np.empty((SHARDS, *stacked.shape[1:]), stacked.dtype) if comm.rank == owner else None
    comm.Gather(stacked, gathered, owner)
    if gathered is None:
        return None
    total = gathered[0]
    for gradient in gathered[1:]:
        total += gradient
    total /= SHARDS
    return total


def train(comm, model, indices, steps, clip_norm, learning_rate):
    """Train by SGD with momentum; return the losses and norms of all steps, and the seconds of clipping."""
    count = len(model.parameters)
    owners = [i % comm.size for i in range(count)]
    mine = [i for i in range(count) if owners[i] == comm.rank]
    velocities = {i: np.zeros_like(model.parameters[i]) for i in mine}
    per_rank = SHARDS // comm.size
    own = range(comm.rank * per_rank, (comm.rank + 1) * per_rank)
    hidden = {shard: model.initial_hidden(BATCH_SIZE // SHARDS) for shard in own}
    losses, norms, seconds = [], [], 0.0
    for step, (inputs, targets) in zip(range(steps), batches(indices), strict=False):
        own_losses, gradients = gradients_of_shards(model, own, inputs, targets, hidden)
        losses.append(np.mean(comm.allgather(own_losses)))
        means = [mean_in_order(comm, [arrays[i] for arrays in gradients], owners[i]) for i in range(count)]
        shares = [means[i] for i in mine]
        comm.Barrier()  # so that the clipping is timed without waiting for slower ranks
        begin = perf_counter()
        _, norm = numclip.mpi.clip_by_global_norm(shares, clip_norm, comm, out=shares)
        seconds += perf_counter() - begin
        norms.append(float(norm))
        rate = learning_rate * (1 - step / steps)
        for i, gradient in zip(mine, shares, strict=True):
            velocities[i][:] = MOMENTUM * velocities[i] - rate * gradient
            model.parameters[i] += velocities[i]
        for i in range(count):
            comm.Bcast(model.parameters[i], owners[i])
    return losses, norms, seconds


def main():
    """Train, and print the results; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train the character RNN on 1, 2 or 4 MPI ranks.")
    parser.add_argument("--text", type=Path, help="UTF-8 text (default: the Python standard library)")
    parser.add_argument("--clip-norm", type=float, default=0.8, help="threshold (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=300, help="training steps (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=0.3, help="at first (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: %(default)s)")
    args = parser.parse_args()
    comm = MPI.COMM_WORLD
    if SHARDS % comm.size:
        parser.error(f"the {SHARDS} shards of a batch can be shared by 1, 2 or 4 ranks, not by {comm.size}")
    if not all(0 < value < math.inf for value in (args.clip_norm, args.steps, args.learning_rate)):
        parser.error("--clip-norm, --steps and --learning-rate must be positive and finite")
    try:
        indices, vocabulary = encode(read_text(args.text))
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    model = CharRNN(len(vocabulary), HIDDEN_SIZE, np.random.default_rng(args.seed))
    numclip.mpi.global_norm(model.parameters, comm)  # the first call compiles, and is not timed
    begin = perf_counter()
    losses, norms, clipping = train(comm, model, indices, args.steps, args.clip_norm, args.learning_rate)
    seconds = perf_counter() - begin
    if comm.rank == 0:
        digest = hashlib.sha256(b"".join(parameter.tobytes() for parameter in model.parameters))
        clipped = np.mean(np.array(norms) > args.clip_norm)
        print(f"{args.steps} steps on {comm.size} ranks in {seconds:.1f} s, {clipped:.0%} of them clipped")
        print(f"clipping: {clipping / args.steps * 1e6:.0f} us a step, {clipping / seconds:.2%} of the time")
        print(f"loss: {np.mean(losses[-100:]):.3f} nats per character in the last steps")
        print(f"parameters: {digest.hexdigest()[:32]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
