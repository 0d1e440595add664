import ast
import re
from importlib import metadata
from pathlib import Path

import pytest
from processes import run_python

import numclip

PACKAGE = Path(numclip.__file__).parent

# What the modules of a room, and the public files, may import of the package besides those of their own room.
# What sets the number of threads, and what reports them, reach the policy of threads.
THREADS = ("_cpu.threads", "_cpu.tbb", "_cpu.cores")
ROOMS = {
    "_core": (),
    "_arrays": ("_core",),
    "_cpu": ("_arrays", "_core"),
    "_cuda": ("_arrays", "_core"),
    "_backend": ("_arrays", "_core", "_cpu.backend", "_cuda.backend"),
    "_numba": ("_core", "_cpu.njit", "public"),
    "public": ("_arrays", "_core", "public"),
}
REPORTS = {"_settings", "_diagnostics", "_selftest"}
# The files that need Numba as soon as they are imported, and are themselves imported inside functions.
WITH_NUMBA = {"_core/accumulator.py", "_core/jit.py", "_core/cache.py", "_core/half.py", "_core/fpenv.py"}


def imported(path):
    """Yield the modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "numclip":
            for alias in node.names:
                yield alias.name if alias.name.startswith("_") else "__init__"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("numclip."):
            module = node.module.removeprefix("numclip.")
            inside = [alias.name for alias in node.names if (PACKAGE / module / f"{alias.name}.py").exists()]
            yield from [f"{module}.{name}" for name in inside] or [module]


def test_the_public_names():
    assert numclip.__all__ == [
        "AutoClip",
        "Clipper",
        "GradientMonitor",
        "IndexedSlices",
        "ZClip",
        "adaptive_grad_clip",
        "clip_by_global_norm",
        "clip_by_norm",
        "clip_by_value",
        "clip_factor",
        "global_norm",
        "per_example_global_norm_clip",
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
    """The command in an error then works, wherever numclip was installed from."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    commands = re.findall(r'pip install ((?:"[^"]+" ?)+)', sources)
    named = {requirement for command in commands for requirement in re.findall(r'"([^"]+)"', command)}
    known = {requirement.partition(";")[0].strip() for requirement in metadata.requires("numclip")}
    assert {"tbb>=2021.6", "ml_dtypes>=0.5", "numpy<2.5"} < named
    assert {requirement.replace("_", "-") for requirement in named} <= known
    assert sources.count("pip install") == len(commands)


def test_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


def room_of(path):
    """The room of a module: a folder, `_backend`, `_numba`, or the public files."""
    folder = path.relative_to(PACKAGE).parts[0]
    files = {"_backend.py": "_backend", "_numba.py": "_numba"}
    return folder if folder in ROOMS else files.get(folder, "public")


def modules_of(room):
    return [path for path in sorted(PACKAGE.rglob("*.py")) if room_of(path) == room]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_those_below_it(room):
    assert modules_of(room)
    for path in modules_of(room):
        allowed = {room, *ROOMS[room]} | set(THREADS if path.stem in REPORTS else ())
        for name in imported(path):
            top = name.partition(".")[0]
            private = {"_core", "_arrays", "_cpu", "_cuda"}
            kind = top if top in private else "public"
            assert kind in allowed or name in allowed or (kind == "public" and "public" in allowed), (
                path,
                name,
            )


def top_level_imports(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_only_the_backends_import_numba_at_the_top():
    for path in PACKAGE.rglob("*.py"):
        where = path.relative_to(PACKAGE).as_posix()
        if not where.startswith(("_cpu/", "_cuda/")) and where not in WITH_NUMBA:
            assert not {"numba", "llvmlite"} & set(top_level_imports(path)), where


def test_the_backends_are_loaded_inside_functions():
    names = {name for name in imported(PACKAGE / "_backend.py") if name.startswith(("_cpu", "_cuda"))}
    tree = ast.parse((PACKAGE / "_backend.py").read_text(encoding="utf-8"))
    at_the_top = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert names == {"_cpu.backend", "_cuda.backend"}
    assert not [
        module for module in at_the_top if module and module.startswith(("numclip._cpu", "numclip._cuda"))
    ]


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
        "csv",
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
