"""Choose which of a notebook's imports a fork server may preload.

Modules of the standard library and of site-packages may be preloaded: users do not edit them between two
runs, and an upgrade starts a new server. Local modules, editable installs, and modules in the notebook's
folder or on PYTHONPATH that shadow an installed package are excluded: users edit these, so each task imports
them itself. The check itself imports no module.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from .server_spec import site_dirs

# Modules that are never preloaded, because their import has side effects.
_NEVER = {"antigravity", "this", "idlelib", "__main__"}


def preloadable(
    names: Iterable[str],
    folder: Path,
    env: Mapping[str, str] | None = None,
    *,
    sites: tuple[Path, ...] | None = None,
) -> tuple[str, ...]:
    """Return which of these imports (`a.b`, or `a:b` for `from a import b`) may be preloaded for tasks in `folder`.

    `sites` are the folders of installed packages (default: those of this Python).
    """
    sites = site_dirs() if sites is None else sites
    env = os.environ if env is None else env
    shadowing = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    decisions: dict[str, bool] = {}
    chosen = []
    for name in names:
        top = name.partition(":")[0].partition(".")[0]
        if top not in decisions:
            decisions[top] = _is_preloadable(top, shadowing, folder, sites)
        if decisions[top]:
            chosen.append(name)
    return tuple(dict.fromkeys(chosen))


def _is_preloadable(top: str, shadowing: list[str], folder: Path, sites: tuple[Path, ...]) -> bool:
    if top in _NEVER or PathFinder.find_spec(top, shadowing) is not None:
        return False
    if top in sys.stdlib_module_names:
        # A file in the folder cannot hide a standard module: IPython puts the working directory behind the standard
        # library.
        return True
    spec = PathFinder.find_spec(top, [str(folder), *map(str, sites)])
    return spec is not None and is_installed_in(spec, sites)


def is_installed_in(spec: ModuleSpec, sites: Iterable[Path]) -> bool:
    """Return whether a module is installed in one of these folders, or comes with Python."""
    places = list(spec.submodule_search_locations or ())
    if spec.has_location and spec.origin is not None:
        places.append(spec.origin)
    # Links are resolved, because a package in site-packages may be a link to its development folder.
    homes = [home.resolve() for home in (*sites, Path(sysconfig.get_path("stdlib")))]
    return bool(places) and all(any(Path(place).resolve().is_relative_to(home) for home in homes) for place in places)
