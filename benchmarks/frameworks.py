"""The frameworks' own clipping, on copies of the same gradients, as functions that wait for the results.

Imported only where the packages are installed: `make bench` sets them up in an environment of their own.
Arrays of TensorFlow and JAX cannot be written, so their new results are timed for every target.
"""

import jax
import optax
import tensorflow as tf
import torch

# Each gets as many threads as NumPy's BLAS, from the same environment variables or by its own setting.
THREADS = torch.get_num_threads()
tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(1)


def torch_clip(foreach):
    """`clip_grad_norm_`, in place, with one kernel for all tensors or one for each."""

    def prepare(grads, _):
        parameters = []
        for grad in grads:
            parameter = torch.nn.Parameter(torch.empty(grad.shape))
            parameter.grad = torch.from_numpy(grad)
            parameters.append(parameter)

        def clip(clip_norm):
            return float(torch.nn.utils.clip_grad_norm_(parameters, clip_norm, foreach=foreach))

        return clip

    return prepare


def tensorflow_eager(grads, _):
    """`tf.clip_by_global_norm`, operation by operation."""
    tensors = [tf.constant(grad) for grad in grads]

    def clip(clip_norm):
        clipped, norm = tf.clip_by_global_norm(tensors, clip_norm)
        return clipped, norm.numpy()

    return clip


def tensorflow_function(grads, _):
    """`tf.clip_by_global_norm` as a graph, traced once."""
    tensors = [tf.constant(grad) for grad in grads]
    graph = tf.function(tf.clip_by_global_norm)

    def clip(clip_norm):
        clipped, norm = graph(tensors, tf.constant(clip_norm, tf.float32))
        return clipped, norm.numpy()

    return clip


def optax_jit(donate):
    """`optax.clip_by_global_norm` under jit; donated arrays are reused for the results."""

    def update(grads, clip_norm):
        return optax.clip_by_global_norm(clip_norm).update(grads, optax.EmptyState())[0]

    compiled = jax.jit(update, donate_argnums=(0,) if donate else ())

    def prepare(grads, _):
        arrays = [jax.numpy.array(grad) for grad in grads]

        def clip(clip_norm):
            nonlocal arrays
            clipped = jax.block_until_ready(compiled(arrays, clip_norm))
            if donate:
                arrays = clipped
            return clipped

        return clip

    return prepare


TORCH = {"torch": torch_clip(foreach=True), "torch, one by one": torch_clip(foreach=False)}
FUNCTIONAL = {"tensorflow": tensorflow_eager, "tf.function": tensorflow_function}
PEERS = {
    "in place": TORCH | FUNCTIONAL | {"optax": optax_jit(donate=True)},
    "into buffers": {},
    "fresh": FUNCTIONAL | {"optax": optax_jit(donate=False)},
    "norm": {},
}
