"""The configuration for a bug report, and the checks of an installed copy.

Numba's own ``numba -s`` prints pages, imports what it reports on, and starts the CUDA driver, which may fail:
https://github.com/numba/numba/issues/8395.
"""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from processes import PATHS, run_python

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


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [("speed", "invalid choice: 'speed'"), ("--fast", "unrecognized arguments: --fast")],
)
def test_a_wrong_argument_is_refused_and_the_right_ones_are_named(argument, complaint):
    run = run_python("-m", "numclip", argument, check=False)
    assert run.returncode == 2
    assert complaint in run.stderr
    assert "{config,selftest,plot}" in run.stderr


def test_the_version_and_the_commands_are_shown():
    assert run_python("-m", "numclip", "--version").stdout == f"numclip {numclip.__version__}\n"
    lines = run_python("-m", "numclip", "--help").stdout.splitlines()
    assert {"config", "selftest", "plot"} <= {line.split()[0] for line in lines if line.strip()}


@pytest.mark.skipif(
    os.name != "posix", reason="a pipe whose reader is gone raises BrokenPipeError on POSIX alone"
)
def test_a_reader_may_leave_before_the_end():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "numclip"]
    environment = {**os.environ, "PYTHONPATH": PATHS}
    run = subprocess.run(
        command, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")


def test_optional_packages_are_found_without_an_import():
    assert numclip._diagnostics.version("numpy") == np.__version__
    assert numclip._diagnostics.version("no-such-distribution") is None
    assert "tbb" not in sys.modules
