"""Options and single arrays: torch's orders of the norm, optax's norms of leaves, `numpy.clip`."""

import math

import numpy as np
import optax
import pytest
import torch
from cases import random_case
from frameworks import dense, from_torch, to_torch

import numclip

ORDERS = [0.5, 1.0, 1.5, 2.0, 4.0, math.inf]
KINDS = ["float32", "float64"]
CASES = 100
both_roads_of_torch = pytest.mark.parametrize("foreach", [False, True], ids=["one by one", "foreach"])
every_order = pytest.mark.parametrize("order", ORDERS)
every_kind = pytest.mark.parametrize("kind", KINDS)


def arrays(seed, kind):
    """Return the arrays of a case that have elements."""
    t_list, *_ = random_case(seed, kind)
    found = [array for array in dense(t_list) if array is not None and array.size > 0]
    return found or [np.array([3.0, 4.0], kind)]


def near_one(t_list):
    """Return the arrays times a power of ten: in torch, powers of others leave the range of the dtype."""
    largest = max(float(abs(array).max()) for array in t_list) or 1.0
    return [array * array.dtype.type(10.0 ** -round(math.log10(largest))) for array in t_list]


def tolerance(kind, order):
    """Powers are rounded in the dtype by torch, and so is their sum: an order below 1 multiplies that.

    About twice the largest that was seen.
    """
    return 64 * float(np.finfo(kind).eps) * max(1.0, 1.0 / order)


@both_roads_of_torch
@every_order
@every_kind
def test_clip_grad_norm_of_torch(kind, order, foreach):
    for seed in range(CASES):
        t_list = near_one(arrays(seed, kind))
        clip_norm = float(numclip.global_norm(t_list, ord=order)) * (0.3 if seed % 2 else 3.0)
        parameters = [
            torch.nn.Parameter(torch.zeros(array.shape, dtype=getattr(torch, kind))) for array in t_list
        ]
        for parameter, array in zip(parameters, t_list, strict=True):
            parameter.grad = to_torch(array)
        theirs = torch.nn.utils.clip_grad_norm_(parameters, clip_norm, norm_type=order, foreach=foreach)
        ours, norm = numclip.clip_by_global_norm(t_list, clip_norm, ord=order, eps=1e-6)
        rtol, context = tolerance(kind, order), f"random_case({seed}, {kind!r})"
        np.testing.assert_allclose(theirs.item(), float(norm), rtol, err_msg=context)
        for parameter, result in zip(parameters, ours, strict=True):
            np.testing.assert_allclose(from_torch(parameter.grad), result, rtol, 1e-37, err_msg=context)


@both_roads_of_torch
@every_order
@every_kind
def test_get_total_norm_of_torch(kind, order, foreach):
    for seed in range(CASES):
        t_list = near_one(arrays(seed, kind))
        theirs = torch.nn.utils.get_total_norm(
            [to_torch(t) for t in t_list], norm_type=order, foreach=foreach
        )
        norm = numclip.global_norm(t_list, ord=order)
        np.testing.assert_allclose(theirs.item(), float(norm), tolerance(kind, order), err_msg=str(seed))


@every_kind
def test_norms_of_leaves_of_optax(kind):
    for seed in range(CASES):
        t_list = arrays(seed, kind)
        theirs = [float(optax.tree.norm([leaf])) for leaf in t_list]
        np.testing.assert_allclose(
            numclip.tensor_norms(t_list), theirs, tolerance(kind, 2), err_msg=str(seed)
        )


@every_kind
def test_clip_by_block_rms_of_optax(kind):
    """The root of the mean of the squares of a leaf, at most 1: its norm, at most the root of its size."""
    transformation = optax.clip_by_block_rms(1.0)
    for seed in range(CASES):
        t_list = arrays(seed, kind)
        theirs, _ = transformation.update(t_list, transformation.init(None))
        for leaf, clipped in zip(t_list, theirs, strict=True):
            ours = numclip.clip_by_norm(leaf, math.sqrt(leaf.size))
            np.testing.assert_allclose(np.asarray(clipped), ours, tolerance(kind, 2), err_msg=str(seed))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.25), (None, 0.25), (-0.5, None), (-math.inf, 0.0)])
def test_clip_of_numpy(kind, low, high):
    for seed in range(CASES):
        for array in arrays(seed, kind):
            np.testing.assert_array_equal(numclip.clip_by_value(array, low, high), np.clip(array, low, high))
