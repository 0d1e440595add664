"""The same call in each framework: (t_list, clip_norm, use_norm) as NumPy, (list_clipped, norm) as NumPy.

A missing package is an error here, not a reason to skip: these tests are run for the comparison.
"""

import ml_dtypes
import numpy as np
import optax
import tensorflow as tf
import torch
from jax import numpy as jnp

from numclip import IndexedSlices


def to_tensorflow(entry):
    if isinstance(entry, IndexedSlices):
        return tf.IndexedSlices(*map(tf.constant, (entry.values, entry.indices, entry.dense_shape)))
    return None if entry is None else tf.constant(entry)


def from_tensorflow(result):
    if isinstance(result, tf.IndexedSlices):
        return IndexedSlices(result.values.numpy(), result.indices.numpy(), result.dense_shape.numpy())
    return None if result is None else result.numpy()


def tensorflow(t_list, clip_norm, use_norm=None):
    given = None if use_norm is None else tf.constant(use_norm)
    clipped, norm = tf.clip_by_global_norm([to_tensorflow(entry) for entry in t_list], clip_norm, given)
    return [from_tensorflow(result) for result in clipped], norm.numpy()


def dense(t_list):
    """The values of an IndexedSlices instead of it: torch and optax have no such type."""
    return [getattr(entry, "values", entry) for entry in t_list]


def to_torch(array):
    if array.dtype == ml_dtypes.bfloat16:
        return torch.tensor(array.view(np.int16)).view(torch.bfloat16)
    return torch.tensor(array)


def from_torch(tensor):
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def pytorch(t_list, clip_norm, use_norm=None):
    """torch clips the gradients of parameters, in place."""
    parameters = []
    for entry in dense(t_list):
        gradient = torch.zeros(()) if entry is None else to_torch(entry)
        parameters.append(torch.nn.Parameter(torch.zeros_like(gradient)))
        parameters[-1].grad = None if entry is None else gradient
    if use_norm is None:
        norm = from_torch(torch.nn.utils.clip_grad_norm_(parameters, float(clip_norm)))[()]
    else:
        norm = use_norm
        torch.nn.utils.clip_grads_with_norm_(
            parameters, float(clip_norm), torch.tensor(norm, dtype=torch.float64)
        )
    return [None if p.grad is None else from_torch(p.grad) for p in parameters], norm


def jax_optax(t_list, clip_norm, use_norm=None):
    assert use_norm is None, "optax takes no norm"
    updates = [None if entry is None else jnp.asarray(entry) for entry in dense(t_list)]
    transformation = optax.clip_by_global_norm(float(clip_norm))
    clipped, _ = transformation.update(updates, transformation.init(None))
    norm = np.asarray(optax.tree.norm(updates))[()]
    return [None if result is None else np.asarray(result) for result in clipped], norm
