"""For lists of any shapes, dtypes and layouts: the bits of the oracle, and no other memory is written."""

import numpy as np
import pytest
from arrays import (
    DTYPES,
    LAYOUTS,
    WRITABLE_LAYOUTS,
    assert_result,
    assert_same_bits,
    assert_same_norm,
    clip_norms,
    content,
    memory,
    ragged_lists,
    random_array,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import ordered_clip, ordered_norm

from numclip import clip_by_global_norm, global_norm

data = st.data()


@given(ragged_lists())
def test_the_norm_has_the_bits_of_the_ordered_sum(t_list):
    before = [content(entry) for entry in t_list]
    assert_same_norm(global_norm(t_list), ordered_norm(t_list))
    assert [content(entry) for entry in t_list] == before


@given(ragged_lists(), data)
def test_fresh_results_have_the_bits_of_the_formula(t_list, data):
    clip_norm = data.draw(clip_norms(ordered_norm(t_list)))
    before = [content(entry) for entry in t_list]
    expected, norm = ordered_clip(t_list, clip_norm)
    clipped, actual = clip_by_global_norm(t_list, clip_norm)
    assert_result(clipped, expected, t_list)
    assert_same_norm(actual, norm)
    assert [content(entry) for entry in t_list] == before
    inputs = memory(t_list)
    assert not any(np.shares_memory(result, entry) for result in memory(clipped) for entry in inputs)


@given(ragged_lists(layouts=WRITABLE_LAYOUTS), data)
def test_results_in_place_have_the_bits_of_the_formula(t_list, data):
    clip_norm = data.draw(clip_norms(ordered_norm(t_list)))
    expected, norm = ordered_clip(t_list, clip_norm)
    clipped, actual = clip_by_global_norm(t_list, clip_norm, out=t_list)
    assert all(result is entry for result, entry in zip(clipped, t_list, strict=True))
    assert_result(clipped, expected, t_list)
    assert_same_norm(actual, norm)


@given(ragged_lists(), data, st.floats(0, 1e300) | st.sampled_from([np.inf, np.nan]))
def test_a_norm_given_is_used(t_list, data, use_norm):
    clip_norm = data.draw(clip_norms(use_norm))
    assume(clip_norm > 0 or use_norm > 0 or np.isnan(use_norm))
    clipped, norm = clip_by_global_norm(t_list, clip_norm, use_norm)
    assert norm is use_norm
    assert_result(clipped, ordered_clip(t_list, clip_norm, use_norm)[0], t_list)


@given(ragged_lists(layouts=WRITABLE_LAYOUTS), st.floats(1, 1e30))
def test_clipping_is_idempotent_where_the_norm_is_within(t_list, by):
    before = [content(entry) for entry in t_list]
    clip_norm = float(global_norm(t_list)) * by
    norms = [clip_by_global_norm(t_list, clip_norm, out=t_list)[1] for _ in range(2)]
    assert_same_norm(norms[0], norms[1])
    assert [content(entry) for entry in t_list] == before
    clipped, _ = clip_by_global_norm(t_list, clip_norm)
    for result, entry in zip(memory(clipped), memory(t_list), strict=True):
        assert_same_bits(result, np.asarray(entry))


@given(st.integers(0, 2**32 - 1), st.sampled_from(DTYPES), st.integers(1, 9000))
def test_any_length_has_the_bits_of_the_ordered_sum(seed, dtype, size):
    t_list = [random_array(np.random.default_rng(seed), dtype, (size,))]
    assert_same_norm(global_norm(t_list), ordered_norm(t_list))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_length_up_to_a_few_lanes_has_the_bits_of_the_ordered_sum(rng, dtype):
    array = random_array(rng, dtype, (140,))
    for size in range(140):
        for start in (0, 1):
            assert_same_norm(global_norm([array[start:size]]), ordered_norm([array[start:size]]))


def test_a_list_longer_than_a_chunk_is_summed_in_chunks_too(rng):
    t_list = [random_array(rng, DTYPES[i % 2], (1 + i % 5,)) if i % 7 else None for i in range(9001)]
    expected, norm = ordered_clip(t_list, 1.0)
    clipped, actual = clip_by_global_norm(t_list, 1.0)
    assert_same_norm(actual, norm)
    assert_result(clipped, expected, t_list)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_arrays_of_many_chunks(rng, dtype):
    t_list = [random_array(rng, dtype, shape) for shape in [(300_001,), (500, 600), (3,)]]
    t_list[1] = t_list[1].T
    expected, norm = ordered_clip(t_list, 1.0)
    clipped, actual = clip_by_global_norm(t_list, 1.0)
    assert_same_norm(actual, norm)
    assert_result(clipped, expected, t_list)
    assert_result(clip_by_global_norm(t_list, 1.0, out=t_list)[0], expected, t_list)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_an_array_of_more_than_a_chunk_of_chunks(rng, dtype):
    """The chunk sums are themselves summed in chunks, from 4096 * 4096 elements on."""
    block = random_array(rng, dtype, (1_000_003,))
    array = np.resize(block, 4096 * 4096 + 5000)
    assert_same_norm(global_norm([array]), ordered_norm([array]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_layout_in_one_list(rng, dtype):
    t_list = [layout(random_array(rng, dtype, (3, 5))) for layout in LAYOUTS]
    assert global_norm(t_list) == ordered_norm(t_list)
    assert clip_by_global_norm(t_list, 0.1)[1] == ordered_norm(t_list)
