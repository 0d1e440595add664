"""Non-temporal stores, which large lists use, write the bits of ordinary stores."""

import numpy as np
import pytest
from processes import run_python

import numclip

CODE = """
import sys
from numclip._cpu import scaling
scaling.NONTEMPORAL_CHUNKS = int(sys.argv[1])
import hashlib, numpy as np, ml_dtypes, numclip
sha = hashlib.sha256()
for size in (0, 1, 15, 16, 17, 5000, 40_000):
    for offset in range(0, 20, 3):
        source = np.random.default_rng(size).standard_normal(size + offset).astype(sys.argv[2])[offset:]
        for shift in (0, 1, 7):
            whole = np.full(size + 40, 7, source.dtype)
            target = whole[shift : shift + size]
            numclip.clip_by_global_norm([source], 0.1, out=[target])
            sha.update(whole.tobytes())
print(sha.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", pytest.param("complex128", marks=pytest.mark.long)])
def test_streaming_stores_give_the_bits_of_ordinary_ones(tmp_path, dtype):
    # The key of the disk cache does not contain the constant: a cache for each.
    ordinary = run_python("-c", CODE, 1 << 40, dtype, NUMBA_CACHE_DIR=str(tmp_path / "ordinary")).stdout
    streaming = run_python("-c", CODE, 0, dtype, NUMBA_CACHE_DIR=str(tmp_path / "streaming")).stdout
    assert len(ordinary) == 65
    assert streaming == ordinary


def test_a_list_large_enough_to_stream():
    size = 4096 * 4096 + 5
    source = np.ones(size, np.float32)
    [result], norm = numclip.clip_by_global_norm([source], 1.0)
    assert norm == np.float32(np.sqrt(size))
    assert (result == np.float32(1 / np.sqrt(size))).all()
