"""Versions that numclip can be installed with work, and environments that cannot work are refused.

Numba runs on free-threaded Pythons by now, "experimental" (https://github.com/numba/numba/issues/10582); the
compiled code that packs a list relies on the GIL.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, run_python

CHECK = Path(__file__).parents[2] / ".ci" / "check-versions"

FREE_THREADED = """
import sysconfig
known = sysconfig.get_config_var
sysconfig.get_config_var = lambda name: 1 if name == "Py_GIL_DISABLED" else known(name)
import numpy
import numclip
for call in range(2):
    try:
        numclip.global_norm([numpy.ones(3)])
    except RuntimeError as error:
        print(error)
"""


def test_a_free_threaded_python_is_refused_by_the_first_call():
    lines = run_python("-c", FREE_THREADED).stdout.splitlines()
    message = "numclip needs a Python with the global interpreter lock, not a free-threaded one"
    assert lines == [message] * 2


def test_the_offsets_of_fields_are_those_of_this_numpy():
    from numclip._cpu import abi

    assert abi.is_as_expected()


@pytest.mark.long
@pytest.mark.skipif(not CHECK.exists() or CHECK.parents[1] != ROOT, reason="needs the checkout")
def test_the_wheel_at_the_oldest_and_the_newest_versions(figures):
    output = subprocess.run([sys.executable, CHECK], check=True, stdout=subprocess.PIPE, text=True).stdout
    tested = re.findall(r"^Python .*", output, re.MULTILINE)
    assert len(tested) >= 2
    for versions in tested:
        figures("versions", 1, versions)
