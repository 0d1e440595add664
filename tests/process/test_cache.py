"""The cache of machine code: it never fails, and never loads the code of another version.

Guards against what ``@njit(cache=True)`` of plain Numba does:

- a truncated file raises EOFError at the call: https://github.com/numba/numba/issues/10434;
- an edited helper in another file goes unnoticed: https://github.com/numba/numba/issues/1833.
"""

import os
import random
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest
from caching import (
    ARGUMENTS,
    CLIP,
    DECIDE,
    DECISION,
    FROM_CACHE,
    ONE_KIND,
    PLAIN_NUMBA,
    clip,
    compiled,
    copy_of_package,
    zipped,
)
from numba import typeof
from processes import ROOT, run_python

from numclip._core.jit import kernel
from numclip._cpu import kernels


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A directory with the machine code of one small kernel."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    assert not found_in_cache()
    return tmp_path / "cache"


def found_in_cache():
    """Compile the kernel as a new process would; tell whether it came from the cache."""
    decide = kernel(lambda: tuple(map(typeof, ARGUMENTS)))(kernels.decide.body)
    assert decide()(*ARGUMENTS) == DECISION
    return sum(decide.dispatchers[False].stats.cache_hits.values()) == 1


def test_the_second_time_nothing_is_compiled(cache):
    assert found_in_cache()
    assert len(compiled(cache)) == 1


@pytest.mark.slow
def test_the_second_process_compiles_nothing(tmp_path):
    clip(ONE_KIND, NUMBA_CACHE_DIR=str(tmp_path))
    clip(FROM_CACHE + ONE_KIND, NUMBA_CACHE_DIR=str(tmp_path))


def damage(path, how):
    content = path.read_bytes()
    size = len(content)
    if how == "one bit":
        middle = size // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif how == "garbage":
        path.write_bytes(random.Random(1).randbytes(size))
    elif how == "a directory in its place":
        path.unlink()
        path.mkdir()
    elif how == "unreadable":
        path.chmod(0)
    else:
        path.write_bytes(content[: {"empty": 0, "truncated": size // 2, "half a digest": 16}[how]])


DAMAGES = [
    "empty",
    "truncated",
    "half a digest",
    "one bit",
    "garbage",
    "a directory in its place",
    "unreadable",
]


@pytest.mark.slow
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_a_miss(cache, how):
    [file] = compiled(cache)
    damage(file, how)
    assert found_in_cache() == (how == "unreadable" and os.access(file, os.R_OK))  # root reads everything
    # The file has been replaced, if that was possible.
    assert found_in_cache() == (how != "a directory in its place")


@pytest.mark.parametrize("how", ["removed", "a file in its place", "read-only"])
def test_a_directory_that_goes_while_it_is_used(cache, how):
    shutil.rmtree(cache)
    if how == "a file in its place":
        cache.write_text("no directory")
    if how == "read-only":
        cache.mkdir(0o555)
    # Numba then uses the next directory, which other processes may have filled.
    assert not found_in_cache() or how == "a file in its place"


# --- the version of the package -----------------------------------------------------------------------------

RESULT = f"from numclip._cpu import kernels; print(kernels.decide()(*{ARGUMENTS})[1])"


@pytest.mark.slow
@pytest.mark.parametrize("inside", ["a directory", "a zip"])
def test_an_edited_helper_in_another_file(tmp_path, inside):
    # scale_factor stands in one file, the cached function in another: Numba watches only that one.
    def edit(name, text):
        return (
            text.replace("    return factor, 1.0", "    return 2.0 * factor, 1.0")
            if name == "contract.py"
            else text
        )

    cache = str(tmp_path / "cache")  # for a zip, Numba uses the user's cache
    settings = {
        "NUMBA_CACHE_DIR": cache,
        "HOME": cache,
        "XDG_CACHE_HOME": cache,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if inside == "a zip":
        place = zipped(tmp_path)
    else:
        math = copy_of_package(tmp_path) / "_core" / "contract.py"
        place, times = tmp_path, math.stat()
    before = run_python("-P", "-c", RESULT, PYTHONPATH=str(place), **settings).stdout
    if inside == "a zip":
        zipped(tmp_path, edit)
    else:
        text = edit("contract.py", math.read_text(encoding="utf-8"))
        math.write_text(text, encoding="utf-8")
        os.utime(math, ns=(times.st_atime_ns, times.st_mtime_ns))  # the time is the same
    after = run_python("-P", "-c", RESULT, PYTHONPATH=str(place), **settings).stdout
    assert (before, after) == ("0.5\n", "1.0\n")
    assert len(compiled(tmp_path)) == 1  # the file of the version before is deleted


@pytest.mark.slow
def test_two_processors_share_a_directory(tmp_path):
    for processor in ("generic", "haswell") * 2:
        clip(NUMBA_CACHE_DIR=str(tmp_path), NUMBA_CPU_NAME=processor)
    assert len(compiled(tmp_path)) == 2


def test_bounds_checks_have_machine_code_of_their_own(cache, monkeypatch):
    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 1)
    assert not found_in_cache()
    assert len(compiled(cache)) == 2


# --- several processes at once ------------------------------------------------------------------------------


def compile_at_once(directory, codes):
    with ThreadPoolExecutor(len(codes)) as pool:
        runs = [pool.submit(run_python, "-c", code, NUMBA_CACHE_DIR=str(directory)) for code in codes]
    assert all(run.result() for run in runs)


def at_once(directory, function, codes):
    """Each code runs in two processes at once; then one process runs all of them from the cache."""
    compile_at_once(directory, codes * 2)
    clip(FROM_CACHE + "".join(codes) + "print()", NUMBA_CACHE_DIR=str(directory))
    names = [path.name for path in Path(directory).rglob("*") if path.is_file()]
    assert all(re.fullmatch(r"numclip\.\w+\.[\w-]+\.\w{16}-\w{32}\.nbc", name) for name in names)
    assert sum(name.startswith(f"numclip.{function}.") for name in names) == len(codes)


@pytest.mark.slow
def test_processes_that_compile_at_once(tmp_path):
    at_once(tmp_path, "decide", [DECIDE])


@pytest.mark.long
@pytest.mark.parametrize("repeat", range(20))
def test_processes_that_compile_two_signatures_at_once(tmp_path, repeat, figures):
    at_once(tmp_path, "clip_rows", [CLIP.format(dtypes=[dtype]) for dtype in ("float32", "float64")])
    figures("cache", 1, "times that four processes compiled two signatures at once")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_plain_numba_fails_at_a_truncated_file(tmp_path, kind):
    script = tmp_path / "plain.py"
    script.write_text(PLAIN_NUMBA)
    settings = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    run_python(script, **settings)
    [file] = tmp_path.rglob(f"*.{kind}")
    damage(file, "empty")
    assert "EOFError" in run_python(script, check=False, **settings).stderr


@pytest.mark.slow
def test_plain_numba_does_not_notice_an_edited_helper(tmp_path):
    (tmp_path / "helper.py").write_text("import numba\n@numba.njit\ndef value():\n    return 1\n")
    main = "import numba\nfrom helper import value\n@numba.njit(cache=True)\ndef run():\n    return value()\n"
    (tmp_path / "main.py").write_text(main)
    settings = {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    assert run_python("-c", "import main; print(main.run())", **settings).stdout == "1\n"
    (tmp_path / "helper.py").write_text("import numba\n@numba.njit\ndef value():\n    return 22\n")
    assert run_python("-c", "import main; print(main.run())", **settings).stdout == "1\n"


def test_the_code_of_every_module_is_found_without_importing_it():
    """As in a frozen application, where data files that numba-cuda reads when it is imported are missing."""
    code = """
import sys
from numclip._core import cache
names = [name for name, _ in cache._codes()]
assert "numclip._cuda" not in sys.modules
print(*names)
"""
    files = {path.relative_to(ROOT).with_suffix("") for path in (ROOT / "numclip").rglob("*.py")}
    modules = {".".join(path.parts).removesuffix(".__init__") for path in files} - {"numclip"}
    assert set(run_python("-c", code).stdout.split()) == modules
