import gc
import re
import threading

import numpy as np
import pytest

import numclip
from numclip._arrays import pool

SIZE = 1 << 16  # float32: 256 KiB, more than the smallest block


@pytest.fixture(autouse=True)
def emptied():
    numclip.set_recycling(0)
    numclip.set_recycling(1 << 24)
    yield
    numclip.set_recycling(1 << 30)


def clip(value=2.0, size=SIZE):
    [result], _ = numclip.clip_by_global_norm([np.full(size, value, np.float32)], 1.0)
    return result


def kept():
    return sum(block.nbytes for blocks in pool.pool._blocks.values() for block, _ in blocks)


def test_a_result_that_nobody_holds_is_used_again():
    first = clip()
    address = first.ctypes.data
    del first
    assert clip().ctypes.data == address


HOLDERS = {
    "itself": lambda result: result,
    "view": lambda result: result[3:7],
    "view of a view": lambda result: result[10:].reshape(-1, 2).T[:, 5:],
    "other dtype": lambda result: result.view(np.uint8)[1:],
    "memoryview": memoryview,
    "view through a memoryview": lambda result: np.asarray(memoryview(result))[5:],
    "buffer": lambda result: np.frombuffer(result, np.float32)[2:],
    "interface": lambda result: np.asarray(
        type("Wrapper", (), {"__array_interface__": result.__array_interface__, "held": result})()
    ),
    "iterator": np.nditer,
    "flat": lambda result: result.flat,
    "real part": lambda result: result.real,
    "base": lambda result: result.base,
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS.keys())
def test_a_result_still_held_is_never_overwritten(hold):
    result = clip(2.0)
    address, expected = result.ctypes.data, result.copy()
    held = hold(result)
    del result
    gc.collect()
    others = [clip(value) for value in (3.0, -4.0, 5.0)]
    assert address not in [other.ctypes.data for other in others]
    assert (
        np.ctypeslib.as_array((np.ctypeslib.ctypes.c_float * SIZE).from_address(address)) == expected
    ).all()
    del held


def test_in_a_loop_no_more_than_two_blocks_are_used():
    result = clip()
    addresses = set()
    for _ in range(20):
        result = clip()
        addresses.add(result.ctypes.data)
    assert len(addresses) == 2


def test_what_is_kept_is_bounded():
    held = [clip(size=SIZE + i) for i in range(200)]
    assert kept() <= 1 << 24
    del held
    assert kept() <= 1 << 24
    clip(size=2 * SIZE)
    assert kept() <= 1 << 24


def test_idle_blocks_of_other_sizes_make_room():
    for i in range(200):
        clip(size=SIZE + i)
    assert kept() <= 1 << 24
    address = clip(size=3 * SIZE).ctypes.data
    assert clip(size=3 * SIZE).ctypes.data == address


def test_what_the_last_calls_have_not_used_is_released():
    del_later = clip(size=2 * SIZE)
    del del_later
    assert kept() >= 8 * SIZE
    for _ in range(2 * pool.KEPT_CALLS):
        clip(size=100)
    assert kept() == 0


def test_zero_empties_and_switches_off():
    result = clip()
    expected = result.copy()
    numclip.set_recycling(0)
    other = clip(-7.0)
    assert (result == expected).all()
    assert result.ctypes.data != other.ctypes.data
    del result, other
    assert kept() == 0
    assert clip().flags.owndata


def test_small_results_own_their_memory():
    assert clip(size=100).flags.owndata


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_layout_is_that_of_the_array(order):
    array = np.asfortranarray(np.ones((300, 400))) if order == "F" else np.ones((300, 400))
    [result], _ = numclip.clip_by_global_norm([array], 1.0)
    assert result.strides == array.strides
    assert result.ctypes.data % 64 == 0
    assert not result.flags.owndata


def test_threads_never_share_a_block():
    errors = []

    def work(value):
        for _ in range(200):
            result = clip(value)
            expected = np.float32(value) * np.float64(1 / np.sqrt(float(SIZE) * value * value))
            if not (result == np.float32(expected)).all():
                errors.append(value)

    threads = [threading.Thread(target=work, args=(float(value),)) for value in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_errors():
    with pytest.raises(ValueError, match=re.escape("limit should be at least 0. Received -1")):
        numclip.set_recycling(-1)
    for wrong in (1.5, None, True, "1"):
        with pytest.raises(TypeError, match=re.escape(f"limit should be an int. Received {wrong!r}")):
            numclip.set_recycling(wrong)
