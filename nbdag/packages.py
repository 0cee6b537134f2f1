"""Check that the installed packages meet the requirements of nbdag, and that the front end was built.

The requirements are read from nbdag's installed metadata, so they are listed only once. The function `unmet` compares
requirements with versions and reads no files; `require` applies `unmet` to this environment. Reading the metadata of 25
packages takes tens of milliseconds. So an empty file in the user's cache folder records a successful check. The name of
this file is a digest of the names and versions of all packages. If the file exists, a process only lists folders and
imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import NbdagError

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

BUNDLE = Path(__file__).parent / "frontend" / "ui" / "dist"  # the front end, which is built when the package is built


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """A requirement that the environment does not meet."""

    name: str
    needed: str  # description of the required versions, such as "2.6 or newer"
    installed: str | None  # the installed version; None if the package is missing
    wanted: str  # the requirement as an argument for pip

    @property
    def found(self) -> str:
        """The installed version, as text."""
        return f"{self.installed} is installed" if self.installed else "it is not installed"


class PackagesError(NbdagError):
    """Packages that nbdag needs are missing, too old, or known to be broken."""

    def __init__(self, unmet: Sequence[Unmet]) -> None:
        super().__init__(unmet)
        self.unmet = tuple(unmet)

    def __str__(self) -> str:
        return f"nbdag needs {self._needed_packages()}; run `{pip_install(self.unmet)}`"

    def _needed_packages(self) -> str:
        if len(self.unmet) == 1:
            (one,) = self.unmet
            return f"{one.name} {one.needed}, and {one.found}"
        *others, last = [f"{each.name} {each.needed} ({each.found})" for each in self.unmet]
        return f"{', '.join(others)} and {last}"

    def _render_traceback_(self) -> list[str]:  # IPython prints the result of this method instead of a traceback
        return [f"{self} and restart the kernel"]


def pip_install(unmet: Iterable[Unmet]) -> str:
    """Return the pip command that installs suitable versions of these packages."""
    return f"python -m pip install --upgrade {' '.join(each.wanted for each in unmet)}"


def unmet(requires: Iterable[str], installed: Callable[[str], str | None]) -> list[Unmet]:
    """Return the requirements that the installed versions do not meet. Requirements of extras are ignored."""
    from packaging.requirements import Requirement
    from packaging.version import InvalidVersion, Version

    found = []
    for line in requires:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = installed(requirement.name)
        with contextlib.suppress(InvalidVersion):  # a version that cannot be parsed is accepted
            if version is None or Version(version) not in _with_previews(requirement.specifier):
                extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
                plain = f"{requirement.name}{extras}"
                simple = all(each.operator == ">=" for each in requirement.specifier)
                found.append(
                    Unmet(
                        name=requirement.name,
                        needed=_in_words(requirement.specifier, version),
                        installed=version,
                        wanted=plain if simple and not extras else f"'{plain}{requirement.specifier}'",
                    )
                )
    return found


def _with_previews(specifier: SpecifierSet) -> SpecifierSet:
    """Return a specifier that also accepts pre-releases, because a user may have chosen to install one."""
    specifier.prereleases = True
    return specifier


def _in_words(specifier: SpecifierSet, version: str | None) -> str:
    at_least = [each.version for each in specifier if each.operator == ">="]
    others = sorted(each.version for each in specifier if each.operator == "!=")
    if len(at_least) != 1 or len(at_least) + len(others) != len(specifier):
        return str(specifier)
    excluded = version is not None and version in others
    return f"{at_least[0]} or newer" + (f" other than {', '.join(others)}" if excluded else "")


def find_unmet() -> list[Unmet]:
    """Return the requirements of the installed nbdag that this environment does not meet, without using the cache."""
    from importlib.metadata import PackageNotFoundError, requires, version

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except (PackageNotFoundError, KeyError):  # KeyError: the metadata has no version, because pip was interrupted
            return None

    try:
        needed = requires("nbdag") or []
    except PackageNotFoundError:  # a source tree that was never installed has no requirements
        return []
    return unmet(needed, installed)


def require() -> None:
    """Raise `PackagesError` unless this environment meets the requirements of the installed nbdag."""
    note = _note()
    if note is not None and note.exists():
        return
    if found := find_unmet():
        raise PackagesError(found)
    if note is not None:
        with contextlib.suppress(OSError):  # if the cache folder is not writable, the next process checks again
            note.parent.mkdir(parents=True, exist_ok=True)
            for other in _oldest(note.parent):
                other.unlink(missing_ok=True)
            note.touch()


_NOTES = 32  # maximum number of environments that the cache records


def _oldest(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)[: -_NOTES + 1]


def _note(path: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file that records that this environment is complete, or None if there is no cache folder."""
    from hashlib import blake2b

    cache = Path(environ.get("XDG_CACHE_HOME") or "")
    if not cache.is_absolute():  # a relative path is ignored, as the XDG standard requires
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:  # RuntimeError: the user has no home folder
            return None
    digest = blake2b(digest_size=16)
    digest.update(repr(sys.version_info).encode())
    for folder in sys.path if path is None else path:
        digest.update(f"\n{Path(folder).absolute()}".encode(errors="surrogatepass"))
        for name in _distributions(folder or "."):
            digest.update(f"\n {name}".encode(errors="surrogatepass"))
    return cache / "nbdag" / "packages" / digest.hexdigest()


def _distributions(folder: str) -> list[str]:
    """Return the names of the metadata folders in `folder`, which contain the name and version of each package."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((".dist-info", ".egg-info")):
                # A new editable install of nbdag may have other requirements although its version is equal.
                stamp = entry.stat().st_mtime_ns if entry.name.startswith("nbdag-") else ""
                found.append(f"{entry.name} {stamp}")
    return sorted(found)


def is_built() -> bool:
    """Return whether the front end was built; it is missing in a source tree that was never installed."""
    return (BUNDLE / "widget.js").is_file() and (BUNDLE / "widget.css").is_file()


def unbuilt() -> str:
    """Return the warning for an installation without the front end."""
    return (
        f"nbdag's front end was not built, so %dag shows a picture; reinstall nbdag with `{_reinstall()}` "
        "(it needs the npm registry)"
    )


def _reinstall() -> str:
    """Return the command that installs nbdag again from its original source."""
    import json
    import shlex
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    command = "python -m pip install --force-reinstall --no-deps"
    source = BUNDLE.parents[3]
    try:
        origin = json.loads(distribution("nbdag").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    url = str(origin.get("url", ""))
    if "dir_info" in origin and url.startswith("file:"):
        folder = shlex.quote(url2pathname(urlsplit(url).path))
        return f"{command} {'-e ' if origin['dir_info'].get('editable') else ''}{folder}"
    if (source / "pyproject.toml").is_file():
        return f"python -m pip install -e {shlex.quote(str(source))}"
    if "vcs_info" in origin:
        return f"{command} {shlex.quote(str(origin['vcs_info'].get('vcs', 'git')) + '+' + url)}"
    return f"{command} nbdag"
