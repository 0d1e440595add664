"""numclip.mpi on real ranks; the checks are in `cases`."""

from pathlib import Path

import pytest
from ranks import run_ranks

CASES = Path(__file__).with_name("cases.py")
EVERY = ("in_place", "replicated", "non_finite", "dtypes", "given", "errors")


@pytest.mark.parametrize("case", EVERY)
def test_two_ranks(case):
    assert f"{case} on 2 ranks" in run_ranks(2, CASES, case).splitlines()  # MPI may print too


def test_partitions_of_two_ranks():
    assert "on 2 ranks" in run_ranks(2, CASES, "partitions", 10)


def test_exact_norms_of_two_ranks():
    assert "on 2 ranks" in run_ranks(2, CASES, "exactness", 5)


def test_the_documentation():
    assert "on 2 ranks" in run_ranks(2, CASES, "documentation")


@pytest.mark.long
@pytest.mark.parametrize("case", EVERY)
def test_four_ranks(case):
    assert f"{case} on 4 ranks" in run_ranks(4, CASES, case).splitlines()


@pytest.mark.long
def test_partitions_of_four_ranks():
    assert "on 4 ranks" in run_ranks(4, CASES, "partitions", 200, timeout=3000)


@pytest.mark.long
def test_exact_norms_of_four_ranks():
    assert "on 4 ranks" in run_ranks(4, CASES, "exactness", 20)
