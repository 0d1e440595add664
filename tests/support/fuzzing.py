"""Calls numclip with a million lists of arbitrary entries, and checks the outcome of each call.

    python tests/support/fuzzing.py 1000000 50000    # the cases 1000000 to 1049999
    python tests/support/fuzzing.py 1000123 1        # one of them again

A case is determined by its number. Its arrays lie in one block of memory, between NaN and between two guard
pages. Results are compared, bit for bit, with the oracle; every other byte must be as it was; and a call must
be refused if, and only if, it should be, except for a few overlaps.
"""

import faulthandler
import json
import os
import sys
import traceback
import warnings
from collections import Counter, UserList, deque
from fractions import Fraction
from random import Random

import numpy as np
from arrays import DTYPES
from fuzz_lists import NOTHING, Memory, any_entry, any_target, array_of, fill
from fuzz_outcomes import byte_addresses, expectation, same_numbers, should_be_taken
from hostile import liar
from oracle import ordered_root
from policy import share_small_lists

from numclip import Clipper, IndexedSlices, clip_by_global_norm, clip_factor, global_norm
from numclip._cpu import tbb

CLIP_NORMS = [0.0, 1e-9, 0.01, 0.37, 1 - 1e-7, 1.0, 1 + 1e-7, 1.5]
WRONG = [-1.0, float("nan"), "1", None, 1j, True, np.ones(2), liar(__float__=lambda self: 1.0)]
FORMS = [float, float, float, np.float64, np.asarray, np.float32, Fraction]
USE_NORMS = [0.5, 3, np.float32(2.0), 1e300, float("inf"), float("nan")]
CALLS = ["norm", "factor", "new", "new", "in place", "in place", "out", "out", "Clipper", "Clipper"]
# MemoryError and others are for objects that claim to be huge, or to lie on a device without one.
REFUSED = {False: (TypeError, ValueError)}
REFUSED[True] = (*REFUSED[False], MemoryError, RuntimeError, ImportError)
CONTAINERS = [list, list, list, list, tuple, deque, UserList]


class Case:
    """One call, or two of one Clipper, with its arguments."""

    def __init__(self, number, small, large):
        self.r = r = Random(number)
        self.memory = memory = large if r.random() < 0.01 else small
        memory.clear(r)
        style = r.choice(("plain", "any", "any"))
        dtypes = DTYPES if r.random() < 0.5 else [r.choice(DTYPES)]
        self.call, self.container = r.choice(CALLS), r.choice(CONTAINERS)
        self.sources, self.targets = [], None
        self.t_list = []  # made before its entries: some of them empty it while they are read
        for _ in range(r.choice((0, 1, 1, 2, 3, 4, 5)) if r.random() < 0.99 else 50):
            self.sources.append(any_entry(r, memory, r.choice(dtypes), style, self.sources, self.t_list))
        self.t_list += [given.entry for given in self.sources]
        if self.call == "in place" or (self.call == "Clipper" and r.random() < 0.5):
            self.targets = self.sources
        elif self.call in ("out", "Clipper"):
            self.targets = [any_target(r, memory, given, style) for given in self.sources]
            self.targets += [NOTHING] * (r.random() < 0.03)
        takes_use_norm = self.call not in ("norm", "Clipper")
        self.use_norm = r.choice(USE_NORMS) if takes_use_norm and r.random() < 0.15 else None
        self.wrong = self.call != "norm" and r.random() < 0.03

    def bound(self):
        """A clip_norm: wrong, far from the norm, close to it, or at it."""
        if self.wrong:
            return self.r.choice(WRONG)
        if self.r.random() < 0.1:
            return self.r.choice((1.0, 1e300, float("inf")))
        arrays = [given.array for given in self.sources if given.array is not None]
        with np.errstate(all="ignore"):
            root, unit = ordered_root(arrays) if self.use_norm is None else (float(self.use_norm), 1.0)
            norm = root / unit
            value = self.r.choice(CLIP_NORMS) * (norm if np.isfinite(norm) else 1.0)
            return self.r.choice(FORMS)(min(value, sys.float_info.max))

    def start(self, bound):
        """Make the call; return (results, norm, factor), each None if not returned, and the clipper."""
        t_list = self.t_list if self.container is list else self.container(self.t_list)
        if self.call == "norm":
            return (None, global_norm(t_list), None), None
        if self.call == "factor":
            by, norm = clip_factor(t_list, bound, self.use_norm)
            return (None, norm, by), None
        out = None
        if self.targets is not None:
            out = t_list if self.targets is self.sources else [given.entry for given in self.targets]
        if self.call == "Clipper":
            clipper = Clipper(t_list, bound, out)
            return (clipper.results, clipper(), None), clipper
        return (*clip_by_global_norm(t_list, bound, self.use_norm, out=out), None), None

    def run(self):
        """Make the call and check its outcome; return the name of the outcome."""
        bound = self.bound()
        givens = [*self.sources, *(self.targets or ())]
        arrays = [given.array for given in givens if given.array is not None]
        taken = False if self.wrong else should_be_taken(self.sources, self.targets)
        expected = None if taken is False else expectation(self.sources, bound, self.use_norm)
        before = self.memory.bytes.copy(), [array.tobytes() for array in arrays]
        try:
            actual, clipper = self.start(bound)
        except REFUSED[any(given.hostile for given in givens)]:
            assert taken is not True, "should have been taken"
            assert np.array_equal(self.memory.bytes, before[0])
            assert [array.tobytes() for array in arrays] == before[1]
            return "refused"
        assert taken is not False, "should have been refused"
        self.check(actual, expected, before[0])
        if clipper is not None:
            self.call_again(clipper)
        return self.call

    def call_again(self, clipper):
        """Fill the arrays of a clipper, try to resize them, and call it again."""
        arrays = [given.array for given in self.sources if isinstance(array_of(given), np.ndarray)]
        for array in arrays:
            if array.flags.writeable:
                fill(self.r, array, self.memory.numbers)
            if array.flags.owndata:
                try:
                    array.resize(array.size + 1, refcheck=False)
                except ValueError:
                    continue
                raise AssertionError("an array of a Clipper has been resized")
        before, bound = self.memory.bytes.copy(), abs(self.r.gauss(0, 1))
        expected = expectation(self.sources, bound, None)
        self.check((clipper.results, clipper(bound), None), expected, before)

    def check(self, actual, expected, before):
        """Compare with the oracle, and the memory with what it was before."""
        (results, norm, by), (wanted, wanted_norm, wanted_by) = actual, expected
        assert norm is self.use_norm or (self.use_norm is None and type(norm) is type(wanted_norm))
        assert norm == wanted_norm or (np.isnan(norm) and np.isnan(wanted_norm))
        assert by is None or wanted_by is None or by == wanted_by or (np.isnan(by) and np.isnan(wanted_by))
        if results is not None:
            assert type(results) is list
            assert len(results) == len(self.sources)
            for i, result in enumerate(results):
                self.check_result(i, result, None if wanted is None else wanted[i])
        changed = np.flatnonzero(self.memory.bytes != before)
        if changed.size:
            assert results is not None
            assert self.targets is not None
            written = [byte_addresses(given.array) for given in self.targets if given.array is not None]
            assert np.isin(changed + self.memory.start, np.concatenate(written)).all()

    def check_result(self, i, result, wanted):
        """Compare one result: the target that was given, or a new array."""
        source = self.sources[i]
        if source.entry is None:
            assert result is None
            return
        if self.targets is not None:
            assert result is self.targets[i].entry
            result = self.targets[i].array
        else:
            if isinstance(source.entry, IndexedSlices):
                assert result.indices is source.entry.indices
                result = result.values
            assert type(result) is np.ndarray
            assert not np.may_share_memory(result, self.memory.bytes)
        assert result.dtype == source.array.dtype
        assert result.shape == source.array.shape
        assert wanted is None or same_numbers(result, wanted)


def main(first, count):
    """Run the cases; print the counts of the outcomes, or the traceback of the first failure."""
    faulthandler.enable()
    warnings.simplefilter("error")
    if os.environ.get("FUZZ_THREADS"):
        share_small_lists(50, 3)
        assert tbb.layer() == "tbb"
    small, large = Memory(4), Memory(256)
    outcomes = Counter()
    for number in range(first, first + count):
        if number % 1000 == 0:
            print("case", number, file=sys.stderr, flush=True)  # the case to look at if the process dies
        try:
            outcomes[Case(number, small, large).run()] += 1
        except BaseException:
            traceback.print_exc()
            print(f"failing case: {number}", flush=True)
            os._exit(1)
    print(json.dumps(outcomes), flush=True)
    os._exit(0)  # the maps cannot be closed while arrays lie in them


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
