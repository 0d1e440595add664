"""All options together, drawn at random: every road returns the same bits, and they obey the formula."""

import math

import numpy as np
from arrays import DTYPES, content, random_array
from hypothesis import given
from hypothesis import strategies as st

import numclip
from numclip import clip_by_global_norm as clip

TOLERANCE = {2: 2e-2, 4: 1e-6, 8: 1e-13}  # by bytes of a real
options = st.fixed_dictionaries(
    {
        "ord": st.sampled_from([0.5, 1, 1.5, 2, 3, math.inf]),
        "eps": st.sampled_from([0.0, 1e-6, 0.5]),
        "loss_scale": st.sampled_from([1.0, 1024.0, 3.0]),
        "nonfinite": st.sampled_from(["nan", "zero", "raise"]),
    }
)
lists = st.lists(
    st.tuples(st.sampled_from(DTYPES), st.sampled_from([(), (0,), (7,), (3, 5), (4100,)])), max_size=5
)


def outcome(call):
    """Return what a call returns, or the class of what it raises."""
    try:
        return call()
    except FloatingPointError:
        return FloatingPointError


def bits(results):
    return [None if result is None else (result.dtype, content(result)) for result in results]


def reals_of(array):
    wide = array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
    return wide.reshape(-1).view(np.float64)


def assert_formula(t_list, clipped, factor):
    for array, result in zip(t_list, clipped, strict=True):
        if array is not None:
            item = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)
            expected = reals_of(array) * factor
            np.testing.assert_allclose(reals_of(result), expected, TOLERANCE[item], 1e-7)


@given(
    st.integers(0, 2**32 - 1),
    lists,
    options,
    st.sampled_from([0.0, 0.1, 0.9, 1.5, math.inf]),
    st.sampled_from(["no norm", 0.5, 2.0, math.inf]),
    st.sampled_from([None, None, None, math.inf, math.nan]),
    st.booleans(),
)
def test_every_road_has_the_same_bits(seed, chosen, options, share, given_norm, spoiled, is_callable):
    rng = np.random.default_rng(seed)
    t_list = [None, *(random_array(rng, dtype, shape) for dtype, shape in chosen)]
    if spoiled is not None and t_list[-1] is not None and t_list[-1].size:
        t_list[-1].reshape(-1)[0] = spoiled
    norm_options = {name: options[name] for name in ("ord", "loss_scale")}
    norm = numclip.global_norm(t_list, **norm_options)
    use_norm = None if given_norm == "no norm" else given_norm
    limit = share * float(norm) if math.isfinite(norm) and 0 < share < math.inf else share
    clip_norm = (lambda known: limit) if is_callable else limit

    found = outcome(lambda: clip(t_list, clip_norm, use_norm, **options))
    in_place, given = ([None if t is None else t.copy() for t in t_list] for _ in range(2))
    before = bits(in_place)
    again = outcome(
        lambda: numclip.clip_by_global_norm(in_place, clip_norm, use_norm, out=in_place, **options)
    )
    outcome(lambda: numclip.clip_by_global_norm(t_list, clip_norm, use_norm, out=given, **options))
    tree = outcome(lambda: numclip.tree.clip_by_global_norm({"a": t_list}, clip_norm, use_norm, **options))
    known = outcome(lambda: numclip.clip_factor(t_list, clip_norm, use_norm, **options))
    effective = norm if use_norm is None else use_norm
    if options["nonfinite"] == "raise" and not math.isfinite(effective):
        assert found is again is tree is known is FloatingPointError
        assert bits(in_place) == bits(given) == before
        return

    clipped, returned = found
    assert returned is use_norm if use_norm is not None else returned.tobytes() == norm.tobytes()
    assert bits(in_place) == bits(given) == bits(tree[0]["a"]) == bits(clipped)
    if use_norm is None:
        fresh = [None if t is None else t.copy() for t in t_list]
        clipper = numclip.Clipper(fresh, clip_norm, **options)
        assert clipper().tobytes() == norm.tobytes()
        assert bits(fresh) == bits(clipped)
        assert clipper.factor == known[0] or math.isnan(clipper.factor)
    if not math.isfinite(effective):
        wanted = 0.0 if options["nonfinite"] == "zero" else math.nan
        assert all(
            np.array_equal(reals_of(t), np.full(reals_of(t).size, wanted), equal_nan=True)
            for t in clipped[1:]
        )
    elif all(t is None or np.isfinite(reals_of(t)).all() for t in t_list):
        margin = float(effective) + options["eps"]
        factor = limit and (limit / margin if margin > limit else 1.0) / options["loss_scale"]
        assert math.isclose(known[0], factor, rel_tol=1e-6)
        assert_formula(t_list, clipped, factor)
