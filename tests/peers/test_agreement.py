"""Where the frameworks have the same contract: their values and numclip's, equal within their rounding.

Their norms are sums in the dtype itself, and their factors are rounded to it; those of numclip are more
exact. torch sums complex numbers one after the other, hence its tolerance.
"""

from collections import deque, namedtuple

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from arrays import three_and_four
from cases import EXPONENTS, random_case
from frameworks import jax_optax, pytorch, tensorflow
from oracle import as_reals, base_array, is_wide

from numclip import IndexedSlices, clip_by_global_norm

CASES = 500
ROUNDINGS = {tensorflow: 8, jax_optax: 8, pytorch: 32}  # about twice the largest error that was observed
REAL = ("float16", "bfloat16", "float32", "float64")
INF, NAN = float("inf"), float("nan")


def coarsest(t_list):
    """The dtype of a list with the largest rounding errors in a framework."""
    infos = [ml_dtypes.finfo(base_array(entry).dtype) for entry in t_list if entry is not None]
    return max(infos, key=lambda info: float(info.eps), default=ml_dtypes.finfo(np.float32))


def assert_agreement(framework, t_list, theirs, ours, clip_norm, context):
    info = coarsest(t_list)
    rtol = ROUNDINGS[framework] * float(info.eps)
    atol = float(info.smallest_subnormal) * (2 + float(clip_norm))  # optax multiplies by clip_norm last
    assert len(theirs) == len(ours) == len(t_list), context
    for their_entry, our_entry, entry in zip(theirs, ours, t_list, strict=True):
        if entry is None:
            assert their_entry is our_entry is None, context
            continue
        if framework is tensorflow and isinstance(entry, IndexedSlices):
            np.testing.assert_array_equal(their_entry.indices, our_entry.indices, context)
            np.testing.assert_array_equal(their_entry.dense_shape, our_entry.dense_shape, context)
        their_array, our_array = base_array(their_entry), base_array(our_entry)
        assert their_array.dtype == our_array.dtype, context
        assert their_array.shape == our_array.shape, context
        np.testing.assert_allclose(as_reals(their_array), as_reals(our_array), rtol, atol, err_msg=context)


def assert_norm(framework, t_list, theirs, ours, context):
    rtol = ROUNDINGS[framework] * float(coarsest(t_list).eps)
    np.testing.assert_allclose(np.float64(theirs), np.float64(ours), rtol, err_msg=context)
    has_wide = any(is_wide(base_array(entry)) for entry in t_list if entry is not None)
    assert type(ours) is (np.float64 if has_wide else np.float32), context


@pytest.mark.parametrize("kind", REAL)
def test_tensorflow(kind):
    for seed in range(CASES):
        t_list, clip_norm, use_norm = random_case(seed, kind)
        theirs, their_norm = tensorflow(t_list, clip_norm, use_norm)
        ours, norm = clip_by_global_norm(t_list, clip_norm, use_norm)
        context = f"random_case({seed}, {kind!r})"
        assert_agreement(tensorflow, t_list, theirs, ours, clip_norm, context)
        if use_norm is None:
            assert_norm(tensorflow, t_list, their_norm, norm, context)
        else:
            assert their_norm == norm == use_norm, context


@pytest.mark.parametrize("kind", EXPONENTS)
def test_torch(kind):
    """torch divides by the norm plus 1e-6, which is passed as use_norm."""
    for seed in range(CASES):
        t_list, clip_norm, use_norm = random_case(seed, kind)
        theirs, their_norm = pytorch(t_list, clip_norm, use_norm)
        _, norm = clip_by_global_norm(t_list, clip_norm, use_norm)
        ours, _ = clip_by_global_norm(t_list, clip_norm, float(norm) + 1e-6)
        context = f"random_case({seed}, {kind!r})"
        assert_agreement(pytorch, t_list, theirs, ours, clip_norm, context)
        if use_norm is None:
            assert_norm(pytorch, t_list, their_norm, norm, context)


@pytest.mark.parametrize("kind", EXPONENTS)
def test_optax(kind):
    """optax has no use_norm: that of the cases is left out."""
    for seed in range(CASES):
        t_list, clip_norm, _ = random_case(seed, kind)
        theirs, their_norm = jax_optax(t_list, clip_norm)
        ours, norm = clip_by_global_norm(t_list, clip_norm)
        context = f"random_case({seed}, {kind!r})"
        assert_agreement(jax_optax, t_list, theirs, ours, clip_norm, context)
        assert_norm(jax_optax, t_list, their_norm, norm, context)


def test_the_random_cases_have_every_kind_of_argument():
    cases = [random_case(seed, "float32") for seed in range(CASES)]
    entries = [entry for t_list, *_ in cases for entry in t_list]
    assert {type(entry) for entry in entries} == {type(None), np.ndarray, IndexedSlices}
    clipped = [use_norm is None and clip_by_global_norm(t_list, c)[1] > c for t_list, c, use_norm in cases]
    assert CASES / 5 < sum(clipped) < CASES * 4 / 5
    types = {np.float32, np.float64, np.ndarray}
    assert {type(clip_norm) for _, clip_norm, _ in cases} == {float, int, *types}
    assert {type(use_norm) for *_, use_norm in cases} == {type(None), *types}


Pair = namedtuple("Pair", "first second")


@pytest.mark.parametrize("container", [list, tuple, deque, lambda pair: Pair(*pair)])
def test_sequences_are_taken_by_tensorflow_too(container):
    theirs, their_norm = tf.clip_by_global_norm(container(three_and_four()), 1.0)
    ours, norm = clip_by_global_norm(container(three_and_four()), 1.0)
    assert type(theirs) is type(ours) is list
    assert their_norm == norm == 5
    assert_agreement(tensorflow, three_and_four(), [x.numpy() for x in theirs], ours, 1.0, "")


@pytest.mark.parametrize(
    "t_list",
    [{"a": np.ones(2)}, {1.0, 2.0}, iter([np.ones(2)]), np.ones(2), {"a": np.ones(2)}.values(), None],
    ids=type,
)
def test_what_is_not_a_sequence_is_refused_by_tensorflow_too(t_list):
    with pytest.raises(TypeError, match="should be a sequence of tensors"):
        tf.clip_by_global_norm(t_list, 1.0)
    with pytest.raises(TypeError, match="should be a sequence of arrays"):
        clip_by_global_norm(t_list, 1.0)


@pytest.mark.parametrize("t_list", [[], [None, None], [np.empty((0, 2), np.float32)]], ids=len)
def test_a_list_without_an_element_has_the_norm_zero(t_list):
    for function in (tensorflow, pytorch, jax_optax, clip_by_global_norm):
        clipped, norm = function(t_list, 1.0)
        assert norm == 0
        assert [x is None for x in clipped] == [x is None for x in t_list]
    assert type(tensorflow(t_list, 1.0)[1]) is type(clip_by_global_norm(t_list, 1.0)[1]) is np.float32


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("value", [INF, -INF, NAN])
def test_one_element_that_is_not_finite_makes_all_nan(kind, value):
    t_list = [*three_and_four(kind), np.array([1.0, value], kind)]
    (theirs, their_norm), (ours, norm) = tensorflow(t_list, 1.0), clip_by_global_norm(t_list, 1.0)
    np.testing.assert_array_equal(np.float64(their_norm), np.float64(norm))
    assert all(np.isnan(as_reals(result)).all() for result in [*theirs, *ours])


@pytest.mark.parametrize("framework", [pytorch, jax_optax])
def test_torch_and_optax_make_zeros_of_a_list_with_an_infinity(framework):
    t_list = [*three_and_four(), np.array([INF], np.float32)]
    (theirs, their_norm), (ours, norm) = framework(t_list, 1.0), clip_by_global_norm(t_list, 1.0)
    assert their_norm == norm == INF
    assert not theirs[0].any()
    assert np.isnan(ours[0]).all()


@pytest.mark.parametrize("use_norm", [INF, NAN])
def test_a_norm_given_that_is_not_finite_makes_all_nan(use_norm):
    for function in (tensorflow, clip_by_global_norm):
        clipped, norm = function(three_and_four(), 1.0, np.float32(use_norm))
        np.testing.assert_array_equal(norm, use_norm)
        assert all(np.isnan(result).all() for result in clipped)


@pytest.mark.parametrize("framework", [pytorch, jax_optax])
def test_an_infinite_threshold_never_clips(framework):
    for theirs, ours, entry in zip(
        framework(three_and_four(), INF)[0],
        clip_by_global_norm(three_and_four(), INF)[0],
        three_and_four(),
        strict=True,
    ):
        np.testing.assert_array_equal(theirs, entry)
        np.testing.assert_array_equal(ours, entry)
