"""Check that the installed packages are those that nbdag's own metadata asks for, and that the front end was built.

The requirements are what pip read when nbdag was installed, so no list is kept here by hand. `unmet` is the rule, and
pure; `require` applies it to this environment. To read the metadata of 25 packages takes tens of milliseconds. So an
environment that was found right is noted in the user's cache folder under a digest of its packages' names and versions,
and the next process only lists folders. Nothing heavy is imported until the note is missing.
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

BUNDLE = Path(__file__).parent / "frontend" / "ui" / "dist"  # the front end, built with the package


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """A requirement that the environment does not meet."""

    name: str
    needed: str  # in words: "2.6 or newer"
    installed: str | None  # the version, None where the package is missing
    wanted: str  # as pip is given it

    @property
    def found(self) -> str:
        """What is there instead, in words."""
        return f"{self.installed} is installed" if self.installed else "it is not installed"


class PackagesError(NbdagError):
    """Packages that nbdag needs are missing, too old, or known to be broken."""

    def __init__(self, unmet: Sequence[Unmet]) -> None:
        super().__init__(unmet)
        self.unmet = tuple(unmet)

    def __str__(self) -> str:
        return f"nbdag needs {self._what()}; run `{pip_install(self.unmet)}`"

    def _what(self) -> str:
        if len(self.unmet) == 1:
            (one,) = self.unmet
            return f"{one.name} {one.needed}, and {one.found}"
        *others, last = [f"{each.name} {each.needed} ({each.found})" for each in self.unmet]
        return f"{', '.join(others)} and {last}"

    def _render_traceback_(self) -> list[str]:  # IPython prints this instead of a traceback
        return [f"{self} and restart the kernel"]


def pip_install(unmet: Iterable[Unmet]) -> str:
    """Return the pip command that installs suitable versions of these packages."""
    return f"python -m pip install --upgrade {' '.join(each.wanted for each in unmet)}"


def unmet(requires: Iterable[str], installed: Callable[[str], str | None]) -> list[Unmet]:
    """Return those of `requires` (as in a package's metadata) that no installed version meets; extras do not count."""
    from packaging.requirements import Requirement
    from packaging.version import InvalidVersion, Version

    found = []
    for line in requires:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = installed(requirement.name)
        with contextlib.suppress(InvalidVersion):  # a version that cannot be compared is given the benefit of the doubt
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
    """A preview that somebody chose to install counts by its number."""
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
    """Return the requirements of the installed nbdag that this environment does not meet. Uses no note."""
    from importlib.metadata import PackageNotFoundError, requires, version

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except (PackageNotFoundError, KeyError):  # KeyError: metadata without a version, as an interrupted pip leaves
            return None

    try:
        needed = requires("nbdag") or []
    except PackageNotFoundError:  # a source tree that was never installed asks for nothing
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
        with contextlib.suppress(OSError):  # a cache that cannot be written: the next process checks again
            note.parent.mkdir(parents=True, exist_ok=True)
            for other in _oldest(note.parent):
                other.unlink(missing_ok=True)
            note.touch()


_NOTES = 32  # environments that are remembered


def _oldest(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)[: -_NOTES + 1]


def _note(path: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return where this environment is noted as right, or None where no cache folder can be named."""
    from hashlib import blake2b

    cache = Path(environ.get("XDG_CACHE_HOME") or "")
    if not cache.is_absolute():  # the standard says to ignore one that is relative
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:  # nobody's home
            return None
    digest = blake2b(digest_size=16)
    digest.update(repr(sys.version_info).encode())
    for folder in sys.path if path is None else path:
        digest.update(f"\n{Path(folder).absolute()}".encode(errors="surrogatepass"))
        for name in _distributions(folder or "."):
            digest.update(f"\n {name}".encode(errors="surrogatepass"))
    return cache / "nbdag" / "packages" / digest.hexdigest()


def _distributions(folder: str) -> list[str]:
    """Return the metadata folders in `folder`: their names hold each package's name and version."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((".dist-info", ".egg-info")):
                # nbdag's requirements can change without its version, as an editable install is made again.
                stamp = entry.stat().st_mtime_ns if entry.name.startswith("nbdag-") else ""
                found.append(f"{entry.name} {stamp}")
    return sorted(found)


def is_built() -> bool:
    """Return whether the front end is there; a source tree that was never installed has none."""
    return (BUNDLE / "widget.js").is_file() and (BUNDLE / "widget.css").is_file()


def unbuilt() -> str:
    """Return the sentence for a person whose nbdag has no front end."""
    return (
        f"nbdag's front end was not built, so %dag shows a picture; reinstall nbdag with `{_reinstall()}` "
        "(it needs the npm registry)"
    )


def _reinstall() -> str:
    """Return the command that installs nbdag again from where it came from."""
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
