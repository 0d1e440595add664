"""The configuration that a bug report needs: versions, processor, threads, cache, devices."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from numclip._core import apart, process
from numclip._core.interpreters import is_subinterpreter
from numclip._cpu.cores import available_cores
from numclip._cpu.threads import policy

OPTIONAL = ("tbb", "ml_dtypes", "scipy", "optree", "numba-cuda", "cupy", "torch")
VARIABLES = ("NUMBA_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "TBB_", "CUDA_", "NUMCLIP_", "PYTHONHOME")


def show_config() -> None:
    """Print versions, processor, threads, cache and devices, as a bug report needs them, on one screen.

    The function starts no thread, loads no optional package and writes no file.

    Examples
    --------
    >>> import numclip
    >>> numclip.show_config()
    numclip ...
    """
    rows = list(_rows())
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:{width}}  {value}" for name, value in rows))


def _rows() -> Iterator[tuple[str, str]]:
    import platform

    apart.run("configuration", _load)
    import numba

    import numclip

    yield "numclip", f"{numclip.__version__}, {Path(numclip.__file__).parent}"
    # Versions of the loaded modules, not of distributions: a frozen application has no metadata of these.
    versions = [f"{name} {sys.modules[name].__version__}" for name in ("numba", "llvmlite", "numpy")]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield "versions", f"{python}, {', '.join(versions)}"
    yield "platform", platform.platform()
    yield "processor", _processor()
    limit = "none" if policy.limit is None else policy.limit
    yield "cores", f"{available_cores()} available of {os.cpu_count()}; set_num_threads: {limit}"
    yield "threads", f"{_threads_and_why()}; Numba may use {numba.config.NUMBA_NUM_THREADS}"
    yield "cache", _cache()
    yield "compiler", "off: NUMBA_DISABLE_JIT is set" if numba.config.DISABLE_JIT else "on"
    yield "subnormals", "as they are" if np.float64(2.0**-1074) + 0.0 > 0.0 else "flushed to zero here"
    yield "devices", _devices()
    found = {name: version(name) for name in OPTIONAL}
    yield "optional", ", ".join(f"{name} {found[name]}" for name in found if found[name]) or "none"
    yield "missing", ", ".join(name for name in found if not found[name]) or "none"
    settings = [f"{key}={value}" for key, value in sorted(os.environ.items()) if key.startswith(VARIABLES)]
    yield "environment", " ".join(settings) or "nothing that matters"


def _load() -> None:
    """Load the modules that the configuration is read from."""
    import numclip._core.cache  # noqa: F401


def version(distribution: str) -> str | None:
    """Return the version of an installed distribution, without importing it."""
    from importlib import metadata
    from importlib.util import find_spec

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        # A frozen application has modules without the metadata of distributions.
        is_frozen = getattr(sys, "frozen", False)
        return "(version unknown)" if is_frozen and find_spec(distribution.replace("-", "_")) else None


def _processor() -> str:
    import platform

    from llvmlite import binding
    from numba import config

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not on Linux, or not on x86
        pass
    compiled = f", compiled for {config.CPU_NAME}" if config.CPU_NAME else ""
    return f"{name}, {binding.get_host_cpu_name()} to LLVM{compiled}"


def _threads_and_why() -> str:
    """Return the number of threads that the policy allows, and why, without loading a threading layer."""
    import numba
    from numba import config

    try:
        running = numba.threading_layer()
    except ValueError:  # no layer is running
        running = ""
    if process.is_forked():
        return "one: this process was forked"
    if is_subinterpreter():
        return "one: this is not the main interpreter"
    if policy.limit == 1:
        return "one: set_num_threads(1)"
    several = f"several beyond {policy.serial_elements:,} elements"
    if available_cores() == 1:
        several = "one, as there is one core"
    if running == "tbb":
        return f"{several}: TBB is running"
    if running:
        return f"one: Numba is running on {running}, which is slow or unsafe"
    if config.THREADING_LAYER not in ("default", "safe", "threadsafe", "forksafe", "tbb"):
        return f"one: NUMBA_THREADING_LAYER is {config.THREADING_LAYER}"
    if config.THREADING_LAYER_PRIORITY[0] != "tbb":
        return "one: NUMBA_THREADING_LAYER_PRIORITY does not begin with tbb"
    if not _finds_tbb():
        return 'one: TBB is missing, pip install "tbb>=2021.6"'
    return f"{several}: TBB is there, not started"


def _finds_tbb() -> bool:
    from importlib.util import find_spec

    if find_spec("numba.np.ufunc.tbbpool") is None:
        return False
    names = ("libtbb.so.12", "tbb12.dll", "libtbb.12.dylib")
    places = [Path(sys.prefix) / "lib", Path(sys.prefix) / "Library" / "bin"]
    return version("tbb") is not None or any((place / name).exists() for place in places for name in names)


def _cache() -> str:
    """Name the directories in which machine code is searched for, up to the one that it is saved in."""
    from numclip._core.cache import can_be_written, places

    found: list[str] = []
    for place in places():
        if can_be_written(place):
            return "; ".join([*found, f"{place}, can be written"])
        if any(place.glob("numclip.*.nbc")):
            found.append(f"{place}, can be read")
    return "; ".join([*found, "none can be written: set NUMBA_CACHE_DIR"])


def _devices() -> str:
    """Ask the driver's own program: any library would start the driver in this process."""
    import shutil
    import subprocess

    program = shutil.which("nvidia-smi")
    if program is None:
        return "no CUDA driver"
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi fails: {error}"
    return "; ".join(answer.strip().splitlines()) or "none"
