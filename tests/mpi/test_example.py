"""The example trains to the same parameters on every number of ranks, bit for bit."""

import re

import pytest
from processes import ROOT
from ranks import run_ranks

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")

EXAMPLE = ROOT / "examples" / "mpi_data_parallel.py"
MOST = 0.8  # of the norm: some of the first steps are clipped


def digest(count, text):
    output = run_ranks(count, EXAMPLE, "--steps", 5, "--clip-norm", MOST, "--text", text)
    assert f"5 steps on {count} ranks" in output
    assert " 0% of them clipped" not in output
    return re.search("^parameters: ([0-9a-f]{32})$", output, re.MULTILINE)[1]


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("Clip the gradients, not the wings.\n" * 100, "utf-8")
    return path


def test_one_rank_and_two(text_file):
    assert digest(1, text_file) == digest(2, text_file)


@pytest.mark.long
def test_one_rank_and_four(text_file):
    assert digest(1, text_file) == digest(4, text_file)
