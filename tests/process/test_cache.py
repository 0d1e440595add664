"""The cache of machine code: it never fails, and never answers with the code of another version.

Guards against what ``@njit(cache=True)`` of plain Numba does:

- where no directory can be written, and in a zip, the import fails with "cannot cache function: no locator
  available": https://github.com/numba/numba/issues/4908;
- a truncated file raises EOFError at the call: https://github.com/numba/numba/issues/10434;
- an edited helper in another file goes unnoticed: https://github.com/numba/numba/issues/1833.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numba
import pytest
from numba import types
from processes import ROOT, run_python

from numclip._core import filelock
from numclip._core.cache import PackageCache
from numclip._core.jit import kernel
from numclip._cpu import kernels

CLIP = """
import numpy as np
import numclip
for dtype in {dtypes}:
    [clipped], norm = numclip.clip_by_global_norm([np.array([3, 4], dtype)], 2.5)
    assert norm == 5.0
    assert clipped.tolist() == [1.5, 2.0]
print(numclip.__file__)
"""
ONE_KIND = CLIP.format(dtypes=["float32"])

# Half a second to compile, where the kernels that clip take two.
DECIDE = """
import numclip
from numclip._cpu import kernels
assert kernels.decide()(5.0, 0.0, 1.0, 2.5, False) == (5.0, 0.5, 1.0, 0.5)
print(numclip.__file__)
"""


def clip(code=DECIDE, **settings):
    """Clip in a process of its own; return where the package came from."""
    run = run_python("-P", "-c", code, **settings)
    assert run.stderr == ""
    return run.stdout.strip()


def compiled(directory):
    """The files of machine code below a directory."""
    return sorted(Path(directory).rglob("*.nb?"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A directory with the machine code of one small kernel."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    assert not found_in_cache()
    return tmp_path / "cache"


def found_in_cache():
    """Compile the kernel as a new process would; tell whether it came from the cache."""
    decide = kernel(lambda: (*[types.float64] * 4, types.boolean))(kernels.decide.body)
    assert decide()(5.0, 0.0, 1.0, 2.5, False) == (5.0, 0.5, 1.0, 0.5)
    return sum(decide.dispatchers[False].stats.cache_hits.values()) == 1


def test_the_second_time_nothing_is_compiled(cache):
    assert found_in_cache()
    assert len(compiled(cache)) == 1


FROM_CACHE = "import numba\nfrom numba.core import compiler\ncompiler.compile_extra = None\n"


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


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_a_miss(cache, how):
    [file] = compiled(cache)
    damage(file, how)
    assert found_in_cache() == (how == "unreadable" and os.access(file, os.R_OK))  # root reads everything
    # It has been replaced where it can be.
    assert found_in_cache() == (how != "a directory in its place")


@pytest.mark.parametrize("how", ["removed", "a file in its place", "read-only"])
def test_a_directory_that_goes_while_it_is_used(cache, how):
    shutil.rmtree(cache)
    if how == "a file in its place":
        cache.write_text("no directory")
    if how == "read-only":
        cache.mkdir(0o555)
    # Numba then takes the next directory it knows, which other processes may have filled.
    assert not found_in_cache() or how == "a file in its place"


# --- where the package lies ---------------------------------------------------------------------------------


def copy_of_package(directory):
    return shutil.copytree(
        ROOT / "numclip", Path(directory) / "numclip", ignore=shutil.ignore_patterns("__pycache__")
    )


# Root reads and writes whatever the permissions say, unless it gives up this capability.
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override"] if IS_ROOT else []


@pytest.mark.skipif(sys.platform == "win32", reason="needs the permissions of Unix")
@pytest.mark.skipif(UNPRIVILEGED and not shutil.which("setpriv"), reason="root needs setpriv")
def test_a_read_only_installation_without_a_home(tmp_path):
    package, home = copy_of_package(tmp_path), tmp_path / "home"
    home.mkdir()
    places = [*package.rglob("*"), package, home, tmp_path]
    for path in places:
        path.chmod(0o555 if path.is_dir() else 0o444)
    nowhere = {name: str(home) for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}

    def run(code):
        command = [*UNPRIVILEGED, sys.executable, "-P", "-c", code]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), **nowhere}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    try:
        assert "PermissionError" in run("import pathlib; pathlib.Path.home().joinpath('file').touch()").stderr
        clipped = run(DECIDE)
    finally:
        for path in places:
            path.chmod(0o755)
    assert (clipped.stdout, clipped.stderr) == (f"{package / '__init__.py'}\n", "")
    assert compiled(tmp_path) == []


def test_no_directory_can_be_written(tmp_path):
    # As above, where permissions do not help: every place is below a file.
    package = copy_of_package(tmp_path)
    (package / "__pycache__").write_text("no directory")
    file = tmp_path / "file"
    file.write_text("no directory")
    settings = {"HOME": str(file), "XDG_CACHE_HOME": str(file / "a"), "NUMBA_CACHE_DIR": str(file / "b")}
    assert clip(PYTHONPATH=str(tmp_path), **settings) == str(package / "__init__.py")
    shown = run_python("-P", "-m", "numclip", PYTHONPATH=str(tmp_path), **settings).stdout
    assert "none can be written" in shown


def zipped(directory, edit=None):
    path = Path(directory) / "numclip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for source in (ROOT / "numclip").rglob("*.py"):
            text = source.read_text(encoding="utf-8")
            archive.writestr(str(source.relative_to(ROOT)), edit(source.name, text) if edit else text)
    return path


def test_the_package_in_a_zip(tmp_path):
    path = zipped(tmp_path)
    cache = tmp_path / "cache"
    for code in (DECIDE, FROM_CACHE + DECIDE):
        settings = {"XDG_CACHE_HOME": str(cache), "HOME": str(cache), "NUMBA_CACHE_DIR": str(cache)}
        assert clip(code, PYTHONPATH=str(path), **settings) == str(path / "numclip" / "__init__.py")
    assert len(compiled(tmp_path)) == 1


# --- what the machine code belongs to -----------------------------------------------------------------------

RESULT = "from numclip._cpu import kernels; print(kernels.decide()(5.0, 0.0, 1.0, 2.5, False)[1])"


@pytest.mark.parametrize("inside", ["a directory", "a zip"])
def test_an_edited_helper_in_another_file(tmp_path, inside):
    # scale_factor stands in one file, the cached function in another: Numba watches only that one.
    def edit(name, text):
        return (
            text.replace("    return factor, 1.0", "    return 2.0 * factor, 1.0")
            if name == "contract.py"
            else text
        )

    cache = str(tmp_path / "cache")  # for a zip, Numba takes the user's
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
        os.utime(math, ns=(times.st_atime_ns, times.st_mtime_ns))  # the time does not tell
    after = run_python("-P", "-c", RESULT, PYTHONPATH=str(place), **settings).stdout
    assert (before, after) == ("0.5\n", "1.0\n")
    assert len(compiled(tmp_path)) == 1  # that of the version before has gone


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
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(directory)}
    started = [subprocess.Popen([sys.executable, "-c", code], env=environment) for code in codes]
    assert [process.wait() for process in started] == [0] * len(codes)


def at_once(directory, function, codes):
    """Each code runs in two processes at once; then one process runs all of them from the cache."""
    compile_at_once(directory, codes * 2)
    clip(FROM_CACHE + "".join(codes) + "print()", NUMBA_CACHE_DIR=str(directory))
    names = [path.name for path in Path(directory).rglob("*") if path.is_file()]
    assert len(names) == len(codes)
    assert all(re.fullmatch(rf"numclip\.{function}\.[\w-]+\.\w{{16}}-\w{{32}}\.nbc", name) for name in names)


def test_processes_that_compile_at_once(tmp_path):
    at_once(tmp_path, "decide", [DECIDE])


@pytest.mark.long
@pytest.mark.parametrize("repeat", range(20))
def test_processes_that_compile_two_signatures_at_once(tmp_path, repeat, figures):
    at_once(tmp_path, "clip_list", [CLIP.format(dtypes=[dtype]) for dtype in ("float32", "float64")])
    figures("cache", 1, "times that four processes compiled two signatures at once")


COUNTING = (
    """
import numba.core.compiler as compiler
compile_extra, compiled = compiler.compile_extra, []
def count(*arguments, **options):
    compiled.append(1)
    return compile_extra(*arguments, **options)
compiler.compile_extra = count
"""
    + ONE_KIND
    + "print(len(compiled) > 0, flush=True)"
)


def test_of_several_processes_at_once_one_compiles(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    options = {"env": environment, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([sys.executable, "-c", COUNTING], **options) for _ in range(4)]
    answers = [process.communicate(timeout=600)[0].split()[-1] for process in started]
    assert sorted(answers) == ["False"] * 3 + ["True"]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.fixture
def other_process(tmp_path):
    """Return a function that starts a process which holds a lock for ever."""
    started = []

    def start(path):
        code = (
            "import pathlib, sys, time; from numclip._core import filelock\n"
            "with filelock.held(pathlib.Path(sys.argv[1]), 0) as held:\n"
            "    print(held, flush=True)\n    time.sleep(600)"
        )
        command = [sys.executable, "-c", code, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "True\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_that_holds_the_lock_is_waited_for_so_long_and_once(cache, monkeypatch, other_process):
    [file] = compiled(cache)
    other_process(file.with_name(f"{file.name}.lock"))
    monkeypatch.setattr(PackageCache, "patience", 0.5)
    file.unlink()
    start = time.monotonic()
    assert not found_in_cache()
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


@pytest.mark.skipif(sys.platform == "win32", reason="needs the permissions of Unix")
@pytest.mark.skipif(UNPRIVILEGED and not shutil.which("setpriv"), reason="root needs setpriv")
def test_what_was_compiled_at_the_installation_is_found_where_nothing_can_be_written(tmp_path):
    package = copy_of_package(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path / "home")}
    environment.pop("NUMBA_CACHE_DIR", None)
    environment["XDG_CACHE_HOME"] = str(tmp_path / "home")
    subprocess.run([sys.executable, "-P", "-c", DECIDE], env=environment, check=True)
    assert len(compiled(package / "__pycache__")) == 1
    places = [*package.rglob("*"), package]
    for path in places:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        command = [*UNPRIVILEGED, sys.executable, "-P", "-c", FROM_CACHE + DECIDE]
        subprocess.run(command, env=environment, check=True)
    finally:
        for path in places:
            path.chmod(0o755)


def test_a_working_directory_that_has_gone(tmp_path):
    code = f"""
import os, sys
os.mkdir({str(tmp_path / "gone")!r})
os.chdir({str(tmp_path / "gone")!r})
os.rmdir({str(tmp_path / "gone")!r})
{DECIDE}
numclip.show_config()
"""
    shown = run_python("-P", "-c", code, NUMBA_CACHE_DIR=str(tmp_path / "cache")).stdout
    assert f"{tmp_path / 'cache'}" in shown
    assert len(compiled(tmp_path)) == 1


PLAIN = """
import numba

@numba.njit(cache=True)
def run():
    return 1

print(run())
"""


def test_plain_numba_fails_where_no_directory_can_be_written(tmp_path):
    script, file = tmp_path / "plain.py", tmp_path / "__pycache__"
    script.write_text(PLAIN)
    file.write_text("no directory")
    settings = {"HOME": str(file), "XDG_CACHE_HOME": str(file / "a"), "NUMBA_CACHE_DIR": str(file / "b")}
    assert "no locator available" in run_python(script, check=False, **settings).stderr


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_plain_numba_fails_at_a_truncated_file(tmp_path, kind):
    script = tmp_path / "plain.py"
    script.write_text(PLAIN)
    settings = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    run_python(script, **settings)
    [file] = tmp_path.rglob(f"*.{kind}")
    damage(file, "empty")
    assert "EOFError" in run_python(script, check=False, **settings).stderr


def test_plain_numba_does_not_notice_an_edited_helper(tmp_path):
    (tmp_path / "helper.py").write_text("import numba\n@numba.njit\ndef value():\n    return 1\n")
    main = "import numba\nfrom helper import value\n@numba.njit(cache=True)\ndef run():\n    return value()\n"
    (tmp_path / "main.py").write_text(main)
    settings = {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    assert run_python("-c", "import main; print(main.run())", **settings).stdout == "1\n"
    (tmp_path / "helper.py").write_text("import numba\n@numba.njit\ndef value():\n    return 22\n")
    assert run_python("-c", "import main; print(main.run())", **settings).stdout == "1\n"
