"""What a report of a bug needs, and the checks of an installed copy.

Numba's own ``numba -s`` prints pages, imports what it reports on, and starts the CUDA driver, which may fail:
https://github.com/numba/numba/issues/8395.
"""

import re
import sys

import numpy as np
import pytest
from processes import run_python

import numclip
from numclip import _selftest


def test_the_configuration_fits_on_one_screen(capsys):
    numclip.show_config()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert lines[0].split()[:2] == ["numclip", numclip.__version__ + ","]
    names = {line.split()[0] for line in lines}
    assert {"versions", "processor", "cores", "threads", "cache", "devices", "optional", "missing"} <= names


def config(**settings):
    lines = run_python("-m", "numclip", **settings).stdout.splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "name", "says"),
    [
        ({"NUMBA_THREADING_LAYER": "omp"}, "threads", "one: NUMBA_THREADING_LAYER is omp"),
        ({"NUMBA_NUM_THREADS": "1"}, "threads", "Numba may use 1"),
        ({"NUMBA_DISABLE_JIT": "1"}, "compiler", "off: NUMBA_DISABLE_JIT is set"),
        ({"NUMBA_CPU_NAME": "generic"}, "processor", "compiled for generic"),
        ({"NUMBA_CPU_NAME": "generic"}, "environment", "NUMBA_CPU_NAME=generic"),
    ],
)
def test_settings_show(settings, name, says):
    assert says in config(**settings)[name]


ONE_CORE = """
import numclip
from numclip._cpu import threads
from policy import replace
replace(available_cores=lambda: 1)
numclip._diagnostics.available_cores = lambda: 1
numclip.show_config()
assert threads.policy.blocks(10**9) == 1
"""


def test_one_core_shows():
    assert "one, as there is one core" in run_python("-c", ONE_CORE).stdout


def test_the_cache_directory_is_named_and_not_created(tmp_path):
    place = tmp_path / "not" / "there"
    shown = config(NUMBA_CACHE_DIR=str(place))["cache"]
    assert re.fullmatch(rf"{re.escape(str(place))}\Wnumclip-\w{{16}}, can be written", shown)
    assert list(tmp_path.iterdir()) == []


NO_SIDE_EFFECTS = """
import sys, threading
import numclip
numclip.show_config()
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"tbb", "ml_dtypes", "optree", "numba_cuda", "cupy", "torch"}, loaded
assert "numba.np.ufunc.tbbpool" not in sys.modules
assert threading.active_count() == 1
if sys.platform == "linux":
    maps = open("/proc/self/maps").read()
    assert "libtbb" not in maps and "libgomp" not in maps and "libcuda." not in maps
"""


def test_it_has_no_side_effects():
    run_python("-W", "ignore", "-c", NO_SIDE_EFFECTS)


@pytest.mark.slow
def test_the_selftest_passes_and_says_what_it_has_checked():
    run = run_python("-m", "numclip", "selftest")
    *lines, last = run.stdout.splitlines()
    assert last == "all passed"
    assert len(lines) >= 10
    assert all(re.match(r"ok {6}\S", line) for line in lines)
    assert run.stderr == ""


@pytest.mark.slow
def test_the_selftest_fails_where_a_result_is_wrong(monkeypatch, capsys):
    monkeypatch.setattr(_selftest, "global_norm", lambda arrays: np.float64(1.0))
    assert _selftest.run() >= 3
    assert "FAILED  norms are the exact ones" in capsys.readouterr().out


@pytest.mark.slow
def test_the_exit_status_tells():
    broken = "from numclip import __main__, _selftest; _selftest._extremes = None; sys.exit(__main__.main())"
    run = run_python("-c", f"import sys; sys.argv[1:] = ['selftest']\n{broken}", check=False)
    assert run.returncode == 1
    assert "1 failed" in run.stdout


def test_an_unknown_command_is_refused():
    assert run_python("-m", "numclip", "speed", check=False).returncode == 2


def test_optional_packages_are_found_without_an_import():
    assert numclip._diagnostics.version("numpy") == np.__version__
    assert numclip._diagnostics.version("no-such-distribution") is None
    assert "tbb" not in sys.modules
