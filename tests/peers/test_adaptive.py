"""adaptive_grad_clip beside optax's transformation of that name."""

import numpy as np
import optax
import pytest
from jax import numpy as jnp

import numclip

SHAPES = [(), (1,), (7,), (1, 9), (6, 4), (5, 2, 3), (3, 3, 2, 4), (1, 1, 1, 4), (2, 2, 2, 3, 2)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64], ids=str)
@pytest.mark.parametrize(("clipping", "eps"), [(0.01, 1e-3), (0.5, 1e-3), (1.0, 2.0), (3.0, 1e-3)])
def test_optax(rng, dtype, clipping, eps):
    for scale in (1e-4, 1.0):
        params, grads = (
            [(rng.standard_normal(shape) * by).astype(dtype) for shape in SHAPES] for by in (scale, 1.0)
        )
        transformation = optax.adaptive_grad_clip(clipping, eps)
        jax_params, jax_grads = ([*map(jnp.asarray, arrays)] for arrays in (params, grads))
        theirs, _ = transformation.update(jax_grads, transformation.init(jax_params), jax_params)
        ours = numclip.adaptive_grad_clip(params, grads, clipping, eps)
        for their_array, our_array in zip(theirs, ours, strict=True):
            assert np.asarray(their_array).dtype == our_array.dtype
            np.testing.assert_allclose(their_array, our_array, rtol=8 * np.finfo(dtype).eps)
