"""per_example_global_norm_clip beside optax's function of that name."""

import numpy as np
import optax
import pytest
from jax import numpy as jnp

import numclip


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
@pytest.mark.parametrize("by", [0.0, 0.5, 0.99, 1.0, 1.01, 3.0, np.inf])
def test_optax(rng, dtype, by):
    for examples in (1, 2, 7, 32):
        shapes = [(examples, *shape) for shape in ((3, 5), (), (257,), (2, 1, 4))]
        grads = [(rng.standard_normal(shape) * 0.1).astype(dtype) for shape in shapes]
        grads = [grad * rng.uniform(0, 2) for grad in grads]
        grads = [grad.astype(dtype) for grad in grads]
        clip_norm = by * float(numclip.global_norm([grad[0] for grad in grads]))
        theirs, number = optax.per_example_global_norm_clip([*map(jnp.asarray, grads)], clip_norm)
        ours, clipped, _ = numclip.per_example_global_norm_clip(grads, clip_norm)
        for their_sum, our_sum in zip(theirs, ours, strict=True):
            assert np.asarray(their_sum).dtype == our_sum.dtype
            scale = examples * max(np.abs(our_sum).max(), 1.0)
            np.testing.assert_allclose(their_sum, our_sum, rtol=1e-5, atol=8 * scale * np.finfo(dtype).eps)
        if by != 1.0:  # there optax's quotient may be rounded to 1
            assert clipped == int(number)


def test_an_example_that_poisons_the_sum_of_optax():
    grads = np.array([[3.0, 4.0], [np.nan, 1.0]], np.float32)
    [theirs], _ = optax.per_example_global_norm_clip([jnp.asarray(grads)], 1.0)
    assert np.isnan(np.asarray(theirs)).any()
    [ours], _, _ = numclip.per_example_global_norm_clip([grads], 1.0, nonfinite="zero")
    np.testing.assert_allclose(ours, [0.6, 0.8], rtol=1e-6)
