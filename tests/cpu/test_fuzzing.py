"""Calls with lists of arbitrary entries, each with a known outcome."""

import itertools
import json
import os
import secrets
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import SUPPORT, run_python

from numclip._cpu import cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="protects pages as Linux does")

SCRIPT = SUPPORT / "fuzzing.py"
FUZZED = {
    "one thread": {},
    "several threads": {"FUZZ_THREADS": "1", "NUMBA_NUM_THREADS": "3"},
    "bounds checks": {"NUMBA_BOUNDSCHECK": "1"},
}


def fuzz(first, count, how="one thread"):
    """Run some cases in a process of its own; return the count of each outcome."""
    run = run_python(SCRIPT, first, count, check=False, **FUZZED[how])
    assert run.returncode == 0, f"{how}\n{run.stdout}{run.stderr[-3000:]}"
    return Counter(json.loads(run.stdout))


def assert_all_kinds(outcomes, count):
    assert outcomes.total() == count
    assert set(outcomes) == {"refused", "norm", "factor", "new", "in place", "out", "Clipper"}
    assert min(outcomes.values()) > count // 30


@pytest.mark.slow
def test_thousands_of_calls_do_what_they_should():
    assert_all_kinds(fuzz(0, 4000), 4000)


@pytest.mark.long
def test_a_million_calls_do_what_they_should(figures):
    cases, each = int(os.environ.get("FUZZ_CASES", "1_000_000")), 25_000
    first = secrets.randbelow(2**40)
    hows = ["one thread", "one thread", "several threads", "bounds checks"]
    with ThreadPoolExecutor(cores.available_cores()) as pool:
        starts = range(first, first + cases, each)
        outcomes = list(pool.map(fuzz, starts, itertools.repeat(each), itertools.cycle(hows)))
    total = sum(outcomes, Counter())
    assert_all_kinds(total, each * len(outcomes))
    figures("hostile", total.total(), "cases fuzzed")
    figures("hostile", total["refused"], "of them refused, with nothing written")
    figures("hostile", len(outcomes), f"processes, from case {first} on")
