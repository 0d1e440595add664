"""Machine code on disk: a cache that can neither fail nor go stale."""

import marshal
import os
import pickle
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import llvmlite
import numba
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from numclip._core import filelock

_PACKAGE = Path(__file__).parents[1]

# --- the directories ----------------------------------------------------------------------------------------


def places() -> list[Path]:
    """Return the directories in which machine code is searched for; the first writable one is for saving.

    A directory that only the administrator can write is searched too: machine code may have been compiled
    when the package was installed.
    """
    is_frozen = getattr(sys, "frozen", False)
    # A one-file application unpacks the package to another directory at each start.
    home = Path(sys.executable).parent if is_frozen else _PACKAGE
    name = f"numclip-{sha256(str(home).encode()).hexdigest()[:16]}"
    given = [Path(numba.config.CACHE_DIR) / name] if numba.config.CACHE_DIR else []
    if given and can_be_written(given[0]):
        return given
    beside = [_PACKAGE / "__pycache__"] if Path(__file__).exists() and not is_frozen else []  # not in a zip
    return [*given, *beside, Path(AppDirs(appname="numba", appauthor=False).user_cache_dir) / name]


def can_be_written(directory: Path) -> bool:
    """Tell whether a directory is writable, or could be created, without creating anything."""
    nearest = next((path for path in (directory, *directory.parents) if path.exists()), None)
    return nearest is not None and nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


# --- the version of the package, and the files --------------------------------------------------------------


def _sources(folder: Traversable) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of every module below a folder, also of one in a zip."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from ((f"{entry.name}/{path}", source) for path, source in _sources(entry))
        elif entry.name.endswith((".py", ".pyc")):
            yield entry.name, entry.read_bytes()


def _codes() -> Iterator[tuple[str, bytes]]:
    """Yield the name and the code of every module of a package without files, as in a frozen application."""
    for module in pkgutil.walk_packages([str(_PACKAGE)], "numclip."):
        spec = find_spec(module.name)
        # Version 2 of the format: from version 3 on, the bytes depend on reference counts too.
        yield module.name, marshal.dumps(spec.loader.get_code(module.name), 2)  # type: ignore[union-attr]


@cache
def package_stamp() -> str:
    """Digest of every source of the package: Numba's own stamp sees only the file of the cached function."""
    try:
        sources = [*_sources(files("numclip"))]
    except OSError:
        sources = []
    digest = sha256()
    for name, content in sources or [*_codes()]:
        digest.update(name.encode())
        digest.update(content)
    if digest.digest() == sha256().digest():
        raise OSError("nothing tells one version of the package from another")
    return digest.hexdigest()[:16]


def read(path: Path) -> bytes | None:
    """Return the machine code that was saved in a file; None if the file is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, payload = content[:32], content[32:]
    return payload if sha256(payload).digest() == digest else None


def write(path: Path, payload: bytes, name: str) -> None:
    """Save machine code in a file, and delete that of other versions of the package.

    The file is replaced atomically, and starts with the digest of its content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f"{path.suffix}.{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(sha256(payload).digest() + payload)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    for other in path.parent.glob(f"{name}*{path.suffix}*"):
        if not other.name.startswith(f"{name}{package_stamp()}-"):
            with suppress(OSError):
                other.unlink()


# --- the cache ----------------------------------------------------------------------------------------------


class PackageCache:
    """A replacement for Numba's disk cache, keyed by the whole package and all options; it never raises.

    The key is in the name of the file. Numba's own cache numbers its files: two processes that compile at
    once can give one number to two signatures, and the machine code of one is then executed for the other.
    Its key also leaves out the options, so that the serial code would be loaded for a parallel function.
    """

    # Seconds to wait for another process that compiles the same. That process may be stopped: after one
    # timeout, this process waits no more.
    patience = 60.0

    def __init__(self, function: Callable[..., Any], **options: bool) -> None:
        tag = f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}"
        self._name = f"numclip.{function.__name__}.{tag}."
        self._options = tuple(sorted(options.items()))
        # Whether the last search found machine code.
        self.was_found = False

    @property
    def cache_path(self) -> str:
        """The directory, for Numba's statistics."""
        return str(places()[0])

    def file_name(self, signature: Any, codegen: Any) -> str:
        """Return the name of the file for this signature and this processor."""
        versions = (numba.__version__, llvmlite.__version__)
        settings = (numba.config.BOUNDSCHECK, numba.config.OPT, numba.config.DEBUGINFO_DEFAULT)
        key = repr((signature, codegen.magic_tuple(), self._options, settings, versions))
        return f"{self._name}{package_stamp()}-{sha256(key.encode()).hexdigest()[:32]}.nbc"

    @contextmanager
    def one_process_compiles(self, signature: Any, target_context: Any) -> Iterator[None]:
        """Wait until no other process compiles this signature: its file can then be loaded."""
        try:
            name = self.file_name(signature, target_context.codegen())
            found = [place for place in places() if (place / name).exists()]
            to_write = [place for place in places() if can_be_written(place)]
        except Exception:  # such as no directory for the user's cache
            yield
            return
        if found or not to_write:
            yield
            return
        with filelock.held(to_write[0] / f"{name}.lock", PackageCache.patience) as is_held:
            if not is_held:
                PackageCache.patience = 0.0
            yield

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the cached machine code, or None."""
        target_context.refresh()
        self.was_found = False
        for place in places():
            try:
                payload = read(place / self.file_name(signature, target_context.codegen()))
                if payload is not None:
                    result = CompileResult._rebuild(target_context, *pickle.loads(payload))
                    self.was_found = True
                    return result
            except Exception:  # another file may be usable
                continue
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Save the machine code if possible, and delete that of other versions of the package."""
        try:
            if result.library.has_dynamic_globals or any(not loop.can_cache for loop in result.lifted):
                return
            name = self.file_name(signature, result.codegen)
            payload = dumps(result._reduce())
        except Exception:  # the compiled code works without being saved
            return
        for place in places():
            try:
                write(place / name, payload, self._name)
            except OSError:  # a full disk, or a directory that has gone or cannot be written
                continue
            return
