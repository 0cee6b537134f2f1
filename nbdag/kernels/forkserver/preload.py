"""Which of the modules that a notebook imports a fork server may import ahead.

Those of the standard library, and those that really lie in site-packages: nobody edits them between two runs, and when
they are upgraded, a new server is started. Local modules, editable installs, and whatever the notebook's folder or
PYTHONPATH puts in front of an installed package are not: the user edits them, so every task imports them afresh.
Nothing is imported to find out.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from .server_spec import site_dirs

_NOT_TO_IMPORT = {"antigravity", "this", "idlelib", "__main__"}  # they do something when they are imported


def ahead(names: Iterable[str], folder: Path, env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Those of `names` (`a.b`, or `a:b` for `from a import b`) that may be imported ahead for tasks in `folder`."""
    env = os.environ if env is None else env
    first = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    verdicts: dict[str, bool] = {}
    chosen = []
    for name in names:
        top = name.partition(":")[0].partition(".")[0]
        if top not in verdicts:
            verdicts[top] = _may_be(top, first, folder)
        if verdicts[top]:
            chosen.append(name)
    return tuple(dict.fromkeys(chosen))


def _may_be(top: str, first: list[str], folder: Path) -> bool:
    if top in _NOT_TO_IMPORT or PathFinder.find_spec(top, first) is not None:
        return False
    if top in sys.stdlib_module_names:
        return True  # IPython puts the working directory behind the standard library
    sites = site_dirs()
    spec = PathFinder.find_spec(top, [str(folder), *map(str, sites)])
    return spec is not None and lies_in(spec, sites)


def lies_in(spec: ModuleSpec, sites: Iterable[Path]) -> bool:
    """Whether a module was installed there, or comes with Python."""
    places = list(spec.submodule_search_locations or ())
    if spec.has_location and spec.origin is not None:
        places.append(spec.origin)
    # Resolved, because a package may be a link to where it is being worked on.
    homes = [home.resolve() for home in (*sites, Path(sysconfig.get_path("stdlib")))]
    return bool(places) and all(any(Path(place).resolve().is_relative_to(home) for home in homes) for place in places)
