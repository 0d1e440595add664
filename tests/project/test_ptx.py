"""The compiled kernels, run on the host: the tests of the contract once more, and what takes a whole grid."""

import pytest
from device_tests import run_device_tests, skip_without_compilers

skip_without_compilers()


@pytest.mark.parametrize("capability", ["9.0", pytest.param("7.5", marks=pytest.mark.long)])
def test_the_tests_on_compiled_kernels(capsys, capability):
    summary = run_device_tests(PTX_CAPABILITY=capability)
    with capsys.disabled():
        print(f" [PTX for {capability}: {summary}]", end="")
