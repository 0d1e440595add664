"""The cache of a package in any place, and without a writable directory.

Guards against what ``@njit(cache=True)`` of plain Numba does: where no directory can be written, and in a
zip, the import fails with "cannot cache function: no locator available":
https://github.com/numba/numba/issues/4908.
"""

import os
import shutil
import subprocess
import sys

import pytest
from caching import DECIDE, FROM_CACHE, PLAIN_NUMBA, clip, compiled, copy_of_package, zipped
from processes import run_python

# Root ignores permissions, unless it drops this capability.
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override"] if IS_ROOT else []


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_package_in_a_zip(tmp_path):
    path = zipped(tmp_path)
    cache = tmp_path / "cache"
    for code in (DECIDE, FROM_CACHE + DECIDE):
        settings = {"XDG_CACHE_HOME": str(cache), "HOME": str(cache), "NUMBA_CACHE_DIR": str(cache)}
        assert clip(code, PYTHONPATH=str(path), **settings) == str(path / "numclip" / "__init__.py")
    assert len(compiled(tmp_path)) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs the permissions of Unix")
@pytest.mark.skipif(UNPRIVILEGED and not shutil.which("setpriv"), reason="root needs setpriv")
def test_what_was_compiled_at_the_installation_is_found_where_nothing_can_be_written(tmp_path):
    package, home = copy_of_package(tmp_path), str(tmp_path / "home")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "HOME": home, "XDG_CACHE_HOME": home}
    environment.pop("NUMBA_CACHE_DIR", None)
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


@pytest.mark.slow
def test_a_working_directory_that_has_gone(tmp_path):
    gone, cache = str(tmp_path / "gone"), tmp_path / "cache"
    code = f"import os; os.mkdir({gone!r}); os.chdir({gone!r}); os.rmdir({gone!r})\n{DECIDE}"
    shown = run_python("-P", "-c", f"{code}numclip.show_config()", NUMBA_CACHE_DIR=str(cache)).stdout
    assert f"{cache}" in shown
    assert len(compiled(cache)) == 1


def test_plain_numba_fails_where_no_directory_can_be_written(tmp_path):
    script, file = tmp_path / "plain.py", tmp_path / "__pycache__"
    script.write_text(PLAIN_NUMBA)
    file.write_text("no directory")
    settings = {"HOME": str(file), "XDG_CACHE_HOME": str(file / "a"), "NUMBA_CACHE_DIR": str(file / "b")}
    assert "no locator available" in run_python(script, check=False, **settings).stderr
