"""Checks on real ranks: `python -m mpi4py cases.py CASE`, on all ranks at once."""

import sys
import time

import numpy as np
import pytest
from arrays import mixed_list, random_array, starts_with, three_and_four
from mpi4py import MPI
from oracle import exact_norm, norm_dtype, rounded

import numclip
from numclip.mpi import clip_by_global_norm, global_norm

WORLD = MPI.COMM_WORLD


def communicators():
    """Yield a communicator of each size up to the number of ranks; the other ranks wait."""
    for size in range(1, WORLD.size + 1):
        comm = WORLD.Split(WORLD.rank < size)
        if WORLD.rank < size:
            yield comm
        WORLD.Barrier()
        comm.Free()


def random_lists(seed):
    """Return lists of each kind: narrow, wide, both, and with elements whose squares overflow or vanish."""
    rng = np.random.default_rng(seed)
    shapes = [(int(2 ** rng.uniform(0, 14)),) for _ in range(rng.integers(2, 9))]
    magnitudes = [(np.float32, 0), (np.float64, 0), (np.float64, 200), (np.float64, -200)]
    lists = [[random_array(rng, dtype, shape, (e - 2, e + 2)) for shape in shapes] for dtype, e in magnitudes]
    return [*lists, mixed_list(rng), [*lists[0], *lists[2]], [*lists[0], *lists[3]]]


def digits(result):
    """Return the bytes of the arrays of a list, in its order."""
    return [np.asarray(getattr(entry, "values", entry)).tobytes() for entry in result if entry is not None]


def partitions(count):
    """200 partitions and orders, on each number of ranks: the bits of the norm and of every result."""
    for seed in range(int(count)):
        for arrays in random_lists(seed):
            clipped, norm = clip_by_global_norm(arrays, 0.37, MPI.COMM_SELF)
            expected = [digits([one]) for one in clipped]
            rng = np.random.default_rng(seed)
            order, shares = rng.permutation(len(arrays)), rng.random(len(arrays))
            for comm in communicators():
                own = [i for i in order if int(shares[i] * comm.size) == comm.rank]
                results, same = clip_by_global_norm([arrays[i] for i in own], 0.37, comm)
                assert (same.dtype, same.tobytes()) == (norm.dtype, norm.tobytes())
                assert [digits([one]) for one in results] == [expected[i] for i in own]


def exactness(count):
    """The norm is the exact one, rounded, where all arrays are of one kind."""
    for seed in range(int(count)):
        for arrays in random_lists(1000 + seed)[:4]:
            own = arrays[WORLD.rank :: WORLD.size]
            norm = global_norm(own, WORLD)
            assert norm == rounded(exact_norm(arrays), norm_dtype(arrays))
            if norm.dtype == np.float32:
                assert norm == numclip.global_norm(arrays)


def in_place():
    """If nothing is clipped, nothing is written; clipped arrays have the same bits as new results."""
    rng = np.random.default_rng(WORLD.rank)
    arrays = [random_array(rng, np.float32, (100, 3)), random_array(rng, np.float64, (50,)), None]
    before = [None if array is None else array.copy() for array in arrays]
    norm = global_norm(arrays, WORLD)
    results, same = clip_by_global_norm(arrays, float(norm), WORLD, out=arrays)
    assert norm == same
    assert all(result is array for result, array in zip(results, arrays, strict=True))
    assert digits(arrays) == digits(before)
    expected, _ = clip_by_global_norm(arrays, 0.5, WORLD)
    clip_by_global_norm(arrays, 0.5, WORLD, out=arrays)
    assert digits(arrays) == digits(expected)
    assert abs(float(global_norm(arrays, WORLD)) - 0.5) < 1e-7


def replicated():
    """Arrays that all ranks hold count once, and arrays that some of them hold too."""
    rng = np.random.default_rng(5)
    shared = [random_array(rng, np.float32, (n,)) for n in (3, 5000, 40)]
    expected = numclip.clip_by_global_norm(shared, 0.1)
    clipped, norm = clip_by_global_norm(shared, 0.1, WORLD, replicated=range(3))
    assert norm == expected[1]
    assert digits(clipped) == digits(expected[0])
    own = np.array([3.0])
    tied = [own, np.array([4.0])] if WORLD.rank in (0, WORLD.size - 1) else [own]
    listed = [len(tied) - 1] if len(tied) == 2 else []
    assert global_norm(tied, WORLD, replicated=listed) == np.sqrt(9.0 * WORLD.size + 16.0)
    # Held by the last rank alone and listed nowhere, it counts there.
    last = WORLD.rank == WORLD.size - 1
    assert global_norm([np.array([2.0])] if last else [], WORLD) == 2.0


def non_finite():
    """A NaN or an infinity on one rank makes every result NaN on all."""
    last = WORLD.size - 1
    for value, expected in ((np.inf, np.inf), (np.nan, np.nan)):
        for dtype in (np.float32, np.float64, np.float16):
            arrays = [np.array([1.0, value if WORLD.rank == last else 2.0], dtype)]
            clipped, norm = clip_by_global_norm(arrays, 1.0, WORLD)
            np.testing.assert_equal(float(norm), expected)
            assert np.isnan(clipped[0]).all()
    arrays = [np.array([{0: np.inf, last: np.nan}.get(WORLD.rank, 1.0)])]
    assert np.isnan(global_norm(arrays, WORLD)) == (last > 0)


def dtypes():
    """The norm is a float64 where any rank has 64 bits; an empty rank takes part."""
    narrow, wide = np.array([3.0], np.float32), np.array([4.0])
    norm = global_norm([wide] if WORLD.rank == 0 else [narrow], WORLD)
    assert type(norm) is np.float64
    assert type(global_norm([narrow], WORLD)) is np.float32
    assert global_norm([narrow] if WORLD.rank == 0 else [], WORLD) == 3.0
    assert global_norm([None], WORLD) == 0.0


def given():
    """A use_norm is used, and returned as it is."""
    clipped, norm = clip_by_global_norm(three_and_four(), 1.0, WORLD, 10.0)
    assert norm == 10.0
    assert type(norm) is float
    np.testing.assert_array_equal(clipped[0], np.array([0.3, 0.0], np.float32))


def errors():
    """An error on one rank raises on all, soon, and nothing is written; the next call works."""
    last = WORLD.rank == WORLD.size - 1
    right = three_and_four()
    cases = [
        (TypeError, "t_list[1] has dtype int32", ([right[0], np.ones(2, np.int32)], 1.0), {}),
        (TypeError, "t_list should be a sequence", (None, 1.0), {}),
        (ValueError, "clip_norm should be non-negative", (right, -1.0), {}),
        (TypeError, "clip_norm should be a real number", (right, "1"), {}),
        (ValueError, "use_norm should be non-negative", (right, 1.0, -2.0), {}),
        (ValueError, "out has 1 entries", (right, 1.0), {"out": right[:1]}),
        (IndexError, "replicated has 2, t_list has 2 entries", (right, 1.0), {"replicated": [2]}),
        (TypeError, "'str' object cannot be interpreted", (right, 1.0), {"replicated": "0"}),
    ]
    begin = time.monotonic()
    for kind, message, (t_list, clip_norm, *use_norm), options in cases:
        if last:
            with pytest.raises(kind, match=starts_with(message)):
                clip_by_global_norm(t_list, clip_norm, WORLD, *use_norm, **options)
        else:
            with pytest.raises(RuntimeError, match=f"^an argument was refused on rank {WORLD.size - 1} of"):
                clip_by_global_norm(right, 1.0, WORLD, out=right)
        assert digits(right) == digits(three_and_four())
    with pytest.raises(TypeError, match=starts_with("t_list[0] has dtype int64")):
        global_norm([1], WORLD)
    with pytest.raises(TypeError, match=starts_with("comm should be a communicator of mpi4py")):
        global_norm(right, None)
    if WORLD.size > 1:
        message = "use_norm should be given on every rank or on none, not on 1 of"
        with pytest.raises(ValueError, match=starts_with(message)):
            clip_by_global_norm(right, 1.0, WORLD, 5.0 if last else None)
    assert time.monotonic() - begin < 10.0
    assert global_norm(right, WORLD) == np.float32(5.0 * np.sqrt(WORLD.size))


def documentation():
    """The examples of the docstrings, on the number of ranks that they name."""
    import doctest

    result = doctest.testmod(numclip.mpi)
    assert result.attempted >= 10
    assert result.failed == 0


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    WORLD.Barrier()
    if WORLD.rank == 0:
        print(f"{sys.argv[1]} on {WORLD.size} ranks")
