"""Several processes that start at once: one compiles, and the others wait for the code that it saves.

In plain Numba each process compiles: n processes take n times the processor time of one.
"""

import os
import subprocess
import sys
import time

import numba
import pytest
from caching import ARGUMENTS, DECISION, ONE_KIND, compiled
from numba import typeof
from processes import ROOT

from numclip._core import filelock
from numclip._core.cache import PackageCache
from numclip._core.jit import kernel
from numclip._cpu import kernels

COUNTING = f"""
from numclip._core.cache import PackageCache
save, saved = PackageCache.save_overload, []
def count(*arguments):
    saved.append(1)
    save(*arguments)
PackageCache.save_overload = count
{ONE_KIND}
print(len(saved), flush=True)
"""


def python(code, *arguments, **settings):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_of_several_processes_at_once_one_compiles_each_function(tmp_path):
    started = [python(COUNTING, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(4)]
    saved = [int(process.communicate(timeout=600)[0].split()[-1]) for process in started]
    assert sum(saved) == len([path for path in tmp_path.rglob("*") if path.is_file()]) > 0


HOLDING = """
import pathlib, sys, time
from numclip._core import filelock
with filelock.held(pathlib.Path(sys.argv[1]), 0) as is_held:
    print(is_held, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other_process():
    """Return a function that starts a process which holds a lock until it is killed."""
    started = []

    def start(path):
        started.append(python(HOLDING, path))
        assert started[-1].stdout.readline() == "True\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_that_holds_the_lock_is_waited_for_so_long_and_once(tmp_path, monkeypatch, other_process):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def compile_decide():
        decide = kernel(lambda: tuple(map(typeof, ARGUMENTS)))(kernels.decide.body)
        assert decide()(*ARGUMENTS) == DECISION

    compile_decide()
    [file] = compiled(tmp_path)
    file.unlink()
    other_process(file.with_name(f"{file.name}.lock"))
    monkeypatch.setattr(PackageCache, "patience", 0.5)
    start = time.monotonic()
    compile_decide()
    assert time.monotonic() - start > 0.5
    assert PackageCache.patience == 0.0
    assert file.exists()


def test_a_lock_goes_with_its_process(tmp_path, other_process):
    path = tmp_path / "file.lock"
    process = other_process(path)
    with filelock.held(path, 0.1) as is_held:
        assert not is_held
    process.kill()
    process.wait()
    with filelock.held(path, 10.0) as is_held:
        assert is_held
    assert not path.exists()


def test_where_no_file_can_be_made_there_is_no_lock(tmp_path):
    (tmp_path / "file").write_text("no directory")
    with filelock.held(tmp_path / "file" / "lock", 10.0) as is_held:
        assert not is_held
