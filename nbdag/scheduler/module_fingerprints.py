"""Whether modules that a task imports are what they were: a text for each that differs once its code does.

Of a module that lies in site-packages, where and when it was installed; of any other, the user's own, the content of
its files, and the same of what these import. Modules of the standard library come with the interpreter and count for
nothing. They are looked for where this process finds them, so a kernel of another environment is judged by this
one's packages. Nothing is imported to find out.
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

from ..core.cells.imports import tops
from ..kernels.forkserver.preload import is_installed_in
from ..kernels.forkserver.server_spec import site_dirs

_MISSING = "is not there"


def states(names: Iterable[str], folder: Path) -> dict[str, str]:
    """Module → its state, of these top modules and all that they bring along, for tasks that run in `folder`."""
    found: dict[str, str] = {}
    ahead = list(names)
    while ahead:
        name = ahead.pop()
        if name in found or name in sys.stdlib_module_names or name == "__main__":
            continue
        spec = _spec(name, folder)
        if spec is None:
            found[name] = _MISSING  # and once it is there, what imports it may do something else
        elif is_installed_in(spec, site_dirs()):
            found[name] = _installed(spec)
        else:
            sources = [_source(path, *_stamp(path)) for path in _files(spec)]
            found[name] = hashlib.sha256("".join(digest for digest, _ in sources).encode()).hexdigest()
            ahead += [other for _, imported in sources for other in imported]
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
    """The digest of a file's content, and what it imports. `changed` and `size` say that it is to be read again."""
    try:
        content = path.read_bytes()
    except OSError:
        return _MISSING, frozenset()
    digest = hashlib.sha256(f"{path.name} ".encode() + content).hexdigest()
    if path.suffix != ".py":
        return digest, frozenset()
    try:
        return digest, frozenset(tops(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError):
        return digest, frozenset()
