"""Fingerprints of the modules that a task imports: a fingerprint is a text that changes when the module's code changes.

The fingerprint of a module in site-packages consists of its path and the time of its installation. Modules of the
standard library have no fingerprint, since they belong to the interpreter. The fingerprint of any other module (the
user's own) covers the content of the module's files. Modules that these files import get fingerprints too. Modules are
searched on the module path of this process, even if a task's kernel uses another environment. No module is imported.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from ..core.cells.imports import top_level_modules
from ..kernels.forkserver.preload import is_installed_in
from ..kernels.forkserver.server_spec import site_dirs

# Fingerprint of a missing module; it is part of cache keys, so a changed text would invalidate them.
_MISSING = "is not there"


def fingerprints(names: Iterable[str], folder: Path) -> dict[str, str]:
    """Return the fingerprints of these modules and of all modules that they import, by name.

    The tasks run in `folder`.
    """
    found: dict[str, str] = {}
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in found or name in sys.stdlib_module_names or name == "__main__":
            continue
        spec = _spec(name, folder)
        if spec is None:
            # Recorded, because modules that import the missing module may behave differently once it is installed.
            found[name] = _MISSING
        elif is_installed_in(spec, site_dirs()):
            found[name] = _installed(spec)
        else:
            sources = [_source(path, *_stamp(path)) for path in _files(spec)]
            found[name] = hashlib.sha256("".join(digest for digest, _ in sources).encode()).hexdigest()
            pending += [other for _, imported in sources for other in imported]
    return found


def _spec(name: str, folder: Path) -> ModuleSpec | None:
    first = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    try:
        return PathFinder.find_spec(name, [*first, str(folder)]) or importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _installed(spec: ModuleSpec) -> str:
    origin = spec.origin if spec.has_location else None
    places = [origin] if origin else sorted(spec.submodule_search_locations or ())
    return " ".join(f"{place} {_stamp(Path(place))}" for place in places)


def _files(spec: ModuleSpec) -> Iterator[Path]:
    if spec.has_location and spec.origin is not None and not spec.submodule_search_locations:
        yield Path(spec.origin)
    for root in sorted(spec.submodule_search_locations or ()):
        for place, folders, names in os.walk(root):
            folders[:] = sorted(each for each in folders if not each.startswith((".", "__pycache__")))
            yield from (Path(place, each) for each in sorted(names) if each.endswith((".py", ".so", ".pyd")))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8192)
def _source(path: Path, changed: int, size: int) -> tuple[str, frozenset[str]]:
    """Return a file's digest and the modules that it imports.

    `changed` and `size` are only keys of the function's cache.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return _MISSING, frozenset()
    digest = hashlib.sha256(f"{path.name} ".encode() + content).hexdigest()
    if path.suffix != ".py":
        return digest, frozenset()
    try:
        return digest, frozenset(top_level_modules(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError):
        return digest, frozenset()
