"""AutoClip and ZClip: the formulas of their papers, written again, and cases that the papers leave open."""

import copy
import json
import math
import pickle
import statistics

import numpy as np
import pytest
from arrays import starts_with
from hypothesis import given
from hypothesis import strategies as st

import numclip
from numclip import AutoClip, ZClip

INF, NAN = math.inf, math.nan
SMALLEST = 5e-324
LARGEST = np.finfo(np.float64).max
NORMS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60)
ANY_NORMS = st.lists(st.floats(0.0) | st.just(NAN), max_size=60)


def thresholds(policy, norms):
    return [policy(norm) for norm in norms]


def zclip(norms, alpha, z_thresh, warmup_steps):
    """The mean, the deviation and the clipped norms, in the order of the paper's algorithm."""
    taken = list(norms[:warmup_steps])
    mean, variance = statistics.fmean(taken), statistics.pvariance(taken)
    for norm in norms[warmup_steps:]:
        z = (norm - mean) / math.sqrt(variance)
        taken.append(mean + z_thresh**2 / z * math.sqrt(variance) if z > z_thresh else norm)
        mean = alpha * mean + (1 - alpha) * taken[-1]
        variance = alpha * variance + (1 - alpha) * (taken[-1] - mean) ** 2
    return taken


# --- AutoClip -----------------------------------------------------------------------------------------------


@given(NORMS, st.floats(0.0, 100.0), st.none() | st.integers(1, 20))
def test_autoclip_is_the_percentile_of_the_norms_so_far(norms, percentile, history):
    wanted = [
        np.percentile(norms[: i + 1] if history is None else norms[: i + 1][-history:], percentile)
        for i in range(len(norms))
    ]
    np.testing.assert_allclose(thresholds(AutoClip(percentile, history), norms), wanted, rtol=1e-14)


def test_autoclip_has_the_percentile_of_the_paper():
    assert AutoClip().percentile == 10.0
    assert AutoClip().history is None


def test_the_first_step_is_not_clipped_by_autoclip():
    [clipped], norm = numclip.clip_by_global_norm([np.array([3.0, 4.0])], AutoClip())
    assert norm == 5.0
    assert clipped.tolist() == [3.0, 4.0]


@given(ANY_NORMS)
def test_norms_that_are_no_samples_leave_autoclip_as_it_was(norms):
    counted = [norm for norm in norms if 0.0 < norm < INF]
    one, other = AutoClip(50.0, 5), AutoClip(50.0, 5)
    thresholds(one, norms)
    thresholds(other, counted)
    assert one.state_dict() == other.state_dict()


@pytest.mark.parametrize("norm", [0.0, INF, NAN])
def test_without_a_sample_there_is_no_threshold(norm):
    assert AutoClip()(norm) == INF
    assert ZClip(warmup_steps=1)(norm) == INF
    assert ZClip(warmup_steps=1, max_norm=2.0)(norm) == 2.0


# --- ZClip --------------------------------------------------------------------------------------------------


@given(NORMS, st.floats(0.6, 0.99), st.floats(0.5, 5.0), st.integers(2, 30), st.integers(0, 2**32))
def test_zclip_is_the_formula_of_the_paper(norms, alpha, z_thresh, warmup_steps, seed):
    start = np.random.default_rng(seed).uniform(1.0, 2.0, warmup_steps).tolist()
    policy = ZClip(alpha, z_thresh, warmup_steps=warmup_steps)
    taken = np.minimum(start + norms, thresholds(policy, start + norms))
    np.testing.assert_allclose(taken, zclip(start + norms, alpha, z_thresh, warmup_steps), rtol=1e-8)


def test_zclip_is_the_published_implementation():
    """The expected norms are those of the class ZClip of bluorion-com/ZClip, commit 584ce4f, with eps=0."""
    policy = ZClip()
    thresholds(policy, [1 + ((i * 7) % 11) / 10 for i in range(25)])
    norms = [1.2, 9.0, 1.7, 300.0, 1.1, 2.2, 4.0]
    published = [1.2, 1.5546098334307423, 1.7, 1.4828714125823328, 1.1, 2.2, 1.7564717430658892]
    taken = np.minimum(norms, thresholds(policy, norms))
    np.testing.assert_allclose(taken, published, rtol=1e-13)
    assert policy.state_dict()["mean"] == pytest.approx(1.4993665798972093, rel=1e-13)
    assert policy.state_dict()["std"] == pytest.approx(0.32431207510373716, rel=1e-13)


def test_the_first_steps_of_zclip_are_clipped_by_max_norm_alone():
    assert thresholds(ZClip(), np.linspace(1.0, 50.0, 25)) == [INF] * 25
    policy = ZClip(warmup_steps=2, max_norm=1.5)
    assert thresholds(policy, [1.0, 1000.0, 1.0, 5000.0]) == [1.5] * 4
    # The statistics are those of the norms before max_norm.
    assert policy.state_dict()["mean"] > 100.0


@given(ANY_NORMS)
def test_norms_that_are_no_samples_leave_zclip_as_it_was(norms):
    counted = [norm for norm in norms if 0.0 < norm < INF]
    one, other = ZClip(warmup_steps=3), ZClip(warmup_steps=3)
    thresholds(one, norms)
    thresholds(other, counted)
    assert one.state_dict() == other.state_dict()


def test_an_infinite_norm_is_clipped_to_the_mean_and_nan_has_no_z_score():
    policy = ZClip(warmup_steps=2)
    thresholds(policy, [1.0, 3.0])
    assert (policy(INF), policy(NAN)) == (2.0, 2.0 + 2.5 * 1.0)


@given(st.lists(st.sampled_from([0.0, SMALLEST, 1e-200, 1.0, 1e200, LARGEST, INF, NAN]), max_size=60))
def test_thresholds_of_extreme_norms_are_thresholds(norms):
    for policy in (AutoClip(), AutoClip(99.9, 3), ZClip(warmup_steps=2), ZClip(0.1, 1e200, warmup_steps=1)):
        for threshold in thresholds(policy, norms):
            assert type(threshold) is float
            assert threshold > 0.0
        assert all(math.isfinite(x) for x in policy.state_dict().values() if isinstance(x, float))


@given(NORMS, st.integers(-200, 200))
def test_thresholds_scale_with_the_norms(norms, exponent):
    scale = 2.0**exponent
    for make in (AutoClip, lambda: ZClip(warmup_steps=2)):
        plain, scaled = make(), make()
        wanted = np.array(thresholds(plain, norms)) * scale
        np.testing.assert_allclose(thresholds(scaled, [norm * scale for norm in norms]), wanted, rtol=1e-6)


def test_a_lasting_rise_is_clipped_for_good_and_a_new_object_takes_it():
    """As documented: each clipped step makes the deviation smaller."""
    policy = ZClip()
    rng = np.random.default_rng(0)
    thresholds(policy, rng.normal(1.0, 0.1, 100))
    assert max(thresholds(policy, rng.normal(2.0, 0.1, 5000))) < 1.5
    assert thresholds(ZClip(), rng.normal(2.0, 0.1, 26))[-1] > 2.0


# --- both ---------------------------------------------------------------------------------------------------

POLICIES = [AutoClip(20.0), AutoClip(20.0, 4), ZClip(warmup_steps=3)]


@given(NORMS, NORMS, st.sampled_from(POLICIES))
def test_a_state_goes_through_json_and_goes_on_as_before(before, after, policy):
    policy, loaded = copy.deepcopy(policy), copy.deepcopy(policy)
    thresholds(policy, before)
    loaded.load_state_dict(json.loads(json.dumps(policy.state_dict())))
    assert loaded.state_dict() == policy.state_dict()
    pickled = pickle.loads(pickle.dumps(policy))
    assert thresholds(loaded, after) == thresholds(pickled, after) == thresholds(policy, after)


def test_a_state_is_a_copy():
    policy = AutoClip()
    policy(1.0)
    policy.state_dict()["norms"].append(2.0)
    assert policy.state_dict() == {"norms": [1.0]}


def test_of_a_longer_history_the_last_norms_are_taken():
    longer, shorter = AutoClip(history=10), AutoClip(history=2)
    thresholds(longer, [3.0, 1.0, 2.0])
    shorter.load_state_dict(longer.state_dict())
    assert shorter.state_dict() == {"norms": [1.0, 2.0]}


@pytest.mark.parametrize("policy", [AutoClip(50.0), ZClip(warmup_steps=2)], ids=["AutoClip", "ZClip"])
def test_a_clipper_asks_once_a_step(policy):
    grads = [np.zeros(1)]
    clipper = numclip.Clipper(grads, copy.deepcopy(policy))
    for size in (1.0, 2.0, 100.0):
        grads[0][:] = size
        clipper()
        assert grads[0][0] == min(size, policy(size))


@pytest.mark.parametrize(
    ("policy", "settings", "error", "message"),
    [
        (AutoClip, {"percentile": "10"}, TypeError, "percentile should be a real number"),
        (AutoClip, {"percentile": 101}, ValueError, "percentile should be between 0 and 100"),
        (AutoClip, {"percentile": NAN}, ValueError, "percentile should be between 0 and 100"),
        (AutoClip, {"history": 0}, ValueError, "history should be at least 1"),
        (AutoClip, {"history": 10.0}, TypeError, "history should be an int"),
        (ZClip, {"alpha": 0.0}, ValueError, "alpha should be between 0 and 1, without either"),
        (ZClip, {"alpha": 1.0}, ValueError, "alpha should be between 0 and 1, without either"),
        (ZClip, {"z_thresh": 0.0}, ValueError, "z_thresh should be positive and finite"),
        (ZClip, {"z_thresh": INF}, ValueError, "z_thresh should be positive and finite"),
        (ZClip, {"warmup_steps": 0}, ValueError, "warmup_steps should be at least 1"),
        (ZClip, {"warmup_steps": True}, TypeError, "warmup_steps should be an int"),
        (ZClip, {"max_norm": -1.0}, ValueError, "max_norm should be at least 0"),
        (ZClip, {"max_norm": NAN}, ValueError, "max_norm should be at least 0"),
    ],
)
def test_what_is_no_setting_is_refused(policy, settings, error, message):
    with pytest.raises(error, match=starts_with(message)):
        policy(**settings)


@pytest.mark.parametrize(
    ("policy", "state", "message"),
    [
        (AutoClip(), None, "state_dict should be a dict of 'norms'. Received None"),
        (AutoClip(), {}, "state_dict should be a dict of 'norms'"),
        (AutoClip(), {"norms": 1.0}, "norms should be a list of positive, finite floats. Received 1.0"),
        (AutoClip(), {"norms": [1.0, 0.0]}, "norms should be a list of positive, finite floats"),
        (ZClip(), {"norms": []}, "state_dict should be a dict of 'counted', 'mean', 'std'"),
        (ZClip(), {"counted": -1, "mean": 1.0, "std": 1.0}, "counted should be an int of at least 0"),
        (ZClip(), {"counted": 1, "mean": INF, "std": 1.0}, "mean should be a finite float"),
        (ZClip(), {"counted": 1, "mean": 1.0, "std": None}, "std should be a finite float"),
    ],
)
def test_a_state_that_is_refused_changes_nothing(policy, state, message):
    policy = copy.deepcopy(policy)
    thresholds(policy, [1.0, 2.0, 3.0])
    before = policy.state_dict()
    with pytest.raises(ValueError, match=starts_with(message)):
        policy.load_state_dict(state)
    assert policy.state_dict() == before
