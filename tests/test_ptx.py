"""The compiled kernels, run on the host: the tests of the contract once more, and what takes a whole grid."""

import pytest
from device_tests import run_device_tests, skip_without_compilers

skip_without_compilers()


@pytest.mark.slow
@pytest.mark.parametrize("cases", ["first", pytest.param("others", marks=pytest.mark.ci)])
@pytest.mark.parametrize("capability", ["9.0", pytest.param("7.5", marks=pytest.mark.long)])
def test_the_tests_on_compiled_kernels(figures, capability, cases):
    figures(
        f"PTX for {capability}",
        run_device_tests(cases, PTX_CAPABILITY=capability),
        f"tests passed, {cases} cases",
    )
