import ast
import re
from importlib import metadata
from pathlib import Path

import pytest
from processes import run_python

import numclip

PACKAGE = Path(numclip.__file__).parent

# What the modules of a room may import of the package, besides those of their own room.
ROOMS = {
    "_core": (),
    "_arrays": ("_core",),
    "_cpu": ("_arrays", "_core"),
    "_cuda": ("_arrays", "_core"),
}


def imported(path):
    """Yield the modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "numclip":
            for alias in node.names:
                yield alias.name if alias.name.startswith("_") else "__init__"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("numclip."):
            yield node.module.removeprefix("numclip.")


def test_the_public_names():
    assert numclip.__all__ == [
        "Clipper",
        "IndexedSlices",
        "clip_by_global_norm",
        "clip_by_norm",
        "clip_by_value",
        "clip_factor",
        "global_norm",
        "set_num_threads",
        "set_recycling",
        "show_config",
        "tensor_norms",
        "tree",
        "warmup",
    ]
    assert all(getattr(numclip, name).__doc__ for name in numclip.__all__)


def test_the_version_is_that_of_the_metadata():
    assert metadata.version("numclip") == numclip.__version__


def test_every_requirement_that_an_error_names_is_one_of_the_metadata():
    """So it works wherever numclip came from."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    commands = re.findall(r'pip install ((?:"[^"]+" ?)+)', sources)
    named = {requirement for command in commands for requirement in re.findall(r'"([^"]+)"', command)}
    known = {requirement.partition(";")[0].strip() for requirement in metadata.requires("numclip")}
    assert {"tbb>=2021.6", "ml_dtypes>=0.5", "numpy<2.5"} < named
    assert {requirement.replace("_", "-") for requirement in named} <= known
    assert sources.count("pip install") == len(commands)


def test_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_those_below_it(room):
    modules = [*(PACKAGE / room).rglob("*.py")]
    assert modules
    for path in modules:
        rooms = {name.partition(".")[0] for name in imported(path)}
        assert rooms <= {room, *ROOMS[room]}, path


def modules_after(statement):
    run = run_python("-c", f"{statement}\nimport sys\nprint(*sys.modules)")
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_the_import_loads_numpy_alone():
    unwanted = {
        "numba",
        "llvmlite",
        "scipy",
        "torch",
        "jax",
        "cupy",
        "optree",
        "ml_dtypes",
        "matplotlib",
        "tbb",
    }
    loaded = modules_after("import numclip")
    assert "numpy" in loaded
    assert not loaded & unwanted


def test_a_call_loads_numba_alone():
    loaded = modules_after("import numclip, numpy; numclip.global_norm([numpy.ones(3)])")
    assert "numba" in loaded
    assert not loaded & {"torch", "jax", "cupy", "optree", "ml_dtypes"}


CALLS = """
import numclip, numpy as np
numclip.tree.clip_by_global_norm({"a": [np.ones(3), 1.0, None]}, 1.0)
numclip.clip_by_norm(np.ones((2, 3)), 1.0, axes=1)
numclip.clip_by_value(np.ones(3), 0.0, 0.5)
numclip.clip_factor([np.ones(3)], 0.5)
numclip.IndexedSlices(np.ones(3), [1, 1, 2]).coalesce()
"""


def test_no_function_loads_the_library_of_an_input():
    assert not modules_after(CALLS) & {"torch", "jax", "cupy", "optree", "ml_dtypes"}
