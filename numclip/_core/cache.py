"""Machine code on disk: a cache that can neither fail nor go stale."""

import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from uuid import uuid4

import llvmlite
import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps


def _sources(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    """Yield the path and the file of every module below a folder, also of one in a zip."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from ((f"{entry.name}/{path}", source) for path, source in _sources(entry))
        elif entry.name.endswith((".py", ".pyc")):
            yield entry.name, entry


@cache
def package_stamp() -> str:
    """Digest of every source of the package: Numba's own stamp sees only the file of the cached function."""
    digest = sha256()
    sources = [*_sources(files("numclip"))]
    if not sources:
        raise OSError("nothing tells one version of the package from another")
    for path, source in sources:
        digest.update(path.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def read(path: Path) -> bytes | None:
    """Return what was saved in a file; None where there is none, or it is truncated or overwritten."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, payload = content[:32], content[32:]
    return payload if sha256(payload).digest() == digest else None


def write(path: Path, payload: bytes, name: str) -> None:
    """Save machine code in a file, in place of that of other versions of the package.

    The file appears as a whole, and starts with the digest of its content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(sha256(payload).digest() + payload)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    for other in path.parent.glob(f"{name}*{path.suffix}"):
        if not other.name.startswith(f"{name}{package_stamp()}-"):
            with suppress(OSError):
                other.unlink()


class PackageCache(FunctionCache):
    """Numba's disk cache, keyed by the whole package and all options; a broken one is a miss, never an error.

    The key is in the name of the file. Numba numbers its files, and two processes that compile at once can
    give one number to two signatures: the machine code of one is then run for the other. Its key also leaves
    the options out, so that the parallel twin of a function would be handed the serial one.
    """

    def __init__(self, function: Callable[..., Any], **options: bool) -> None:
        super().__init__(function)
        self._options = tuple(sorted(options.items()))
        tag = f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}"
        self._name = f"numclip.{function.__name__}.{tag}."
        self._stamp = package_stamp()

    def file(self, signature: Any, codegen: Any) -> Path:
        """Return the path of the machine code of this signature for this processor."""
        versions = (numba.__version__, llvmlite.__version__)
        settings = (numba.config.BOUNDSCHECK, numba.config.OPT, numba.config.DEBUGINFO_DEFAULT)
        key = repr((signature, codegen.magic_tuple(), self._options, settings, versions))
        name = f"{self._name}{self._stamp}-{sha256(key.encode()).hexdigest()[:32]}.nbc"
        return Path(self.cache_path) / name

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the cached machine code, or None."""
        target_context.refresh()
        try:
            payload = read(self.file(signature, target_context.codegen()))
            return None if payload is None else self._impl.rebuild(target_context, pickle.loads(payload))
        except Exception:  # it cannot be used
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Save the machine code if that is possible, in place of that of other versions of the package."""
        try:
            if not self._impl.check_cachable(data):
                return
            write(self.file(signature, data.codegen), dumps(self._impl.reduce(data)), self._name)
        except Exception:  # a full disk or a directory that has gone: compiled code works all the same
            return
