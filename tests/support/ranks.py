"""A script on ranks of MPI, each a process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import PATHS

pytest.importorskip("mpi4py")

# The wheel of an MPI brings its own mpiexec.
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
if MPIEXEC is None:
    pytest.skip("there is no mpiexec", allow_module_level=True)


def run_ranks(count, script, *arguments, timeout=300):
    """Run a script on ranks; return the output of rank 0. An error on one rank ends all of them."""
    python = [sys.executable, "-W", "error::RuntimeWarning", "-m", "mpi4py"]
    command = [MPIEXEC, "-n", count, *python, script, *arguments]
    settings = {"PYTHONPATH": PATHS, "OPENBLAS_NUM_THREADS": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
    run = subprocess.run(
        [*map(str, command)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout
