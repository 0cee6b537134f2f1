"""Find the packages that a notebook imports, but whose versions no file pins.

A file pins a package if it allows only one version. Examples are a requirements.txt with `pandas==2.2.3`, and a lock
file. Files in the notebook's folder and in the folders above it count, up to the root of the repository.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..core.model.text import join_names
from .findings import Finding, Kind, Weight
from .observations import Observations

_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "pixi.lock", "conda-lock.yml")
_REQUIREMENTS = ("requirements*.txt", "requirements*.in", "constraints*.txt", "requirements/*.txt")
_ENVIRONMENTS = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml")
_CONDA = re.compile(r"([A-Za-z0-9][\w.-]*)\s*={1,2}\s*([\w.!+]+)(?:=\S*)?\Z")
_OF_THE_KERNEL = frozenset({"IPython", "ipykernel", "nbdag", "traitlets"})  # modules that every kernel has
_MAX_FOLDERS = 6  # maximum number of folders to search above the notebook's folder
_MAX_SIZE = 5_000_000  # maximum size in bytes of a file that is read


@dataclass(slots=True)
class Pins:
    """The versions that files name."""

    files: list[Path] = field(default_factory=list)
    # Key: normalized name of a package; value: its only version, or None if the file allows several.
    versions: dict[str, str | None] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)  # the file that names a package

    def add(self, file: Path, name: str, version: str | None) -> None:
        """Add a package that a file names. A file with a single version takes precedence over other files."""
        key = canonicalize_name(name)
        if self.versions.get(key) is None:
            self.versions[key] = version
            self.sources[key] = file


def read_pins(folder: Path) -> Pins:
    """Return the versions that the files in a folder and above it pin. A file that cannot be read counts as empty."""
    pins = Pins()
    for here in [folder, *folder.parents][:_MAX_FOLDERS]:
        for pattern, read in (
            *((name, _read_lock) for name in _LOCKS),
            *((name, _read_requirements) for name in _REQUIREMENTS),
            *((name, _read_environment) for name in _ENVIRONMENTS),
            ("pyproject.toml", _read_project),
        ):
            for file in sorted(here.glob(pattern)):
                with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                    if file.is_file() and file.stat().st_size <= _MAX_SIZE:
                        found = list(read(file))
                        pins.files.append(file)
                        for name, version in found:
                            pins.add(file, name, version)
        if pins.files or any((here / name).exists() for name in (".git", ".hg")) or here == Path.home():
            break
    return pins


def package_findings(
    seen: Observations, pins: Pins, folder: Path, importers: Mapping[str, tuple[int, int]]
) -> list[Finding]:
    """Return the findings about the modules that a run has imported.

    `importers` has the cell and the line of the first import of each module.
    """
    findings: list[Finding] = []

    def warn(name: str, message: str, remedy: str) -> None:
        cell, line = importers[name]
        findings.append(
            Finding(kind=Kind.PACKAGE, weight=Weight.WARNING, cell=cell, line=line, message=message, remedy=remedy)
        )

    unpinned: dict[str, str] = {}
    for name, module in seen.modules.items():
        if name not in importers or name in _OF_THE_KERNEL:
            continue
        if module.distribution is None:
            if module.file and not _is_local(Path(module.file), folder, seen.prefix):
                warn(
                    name,
                    f"module {name} comes from {Path(module.file).parent}, and is not an installed package",
                    f"put {name} beside the notebook, or install it as a package",
                )
            continue
        key = canonicalize_name(module.distribution)
        pinned = pins.versions.get(key)
        if pinned is None:
            unpinned.setdefault(f"{module.distribution}=={module.version}", name)
        elif module.version is not None and not _same_version(pinned, module.version):
            source = pins.sources[key].name
            warn(
                name,
                f"{module.distribution} {module.version} is installed, but {source} pins {pinned}",
                f"install what the file pins, or change {source} to {module.distribution}=={module.version}",
            )
    if unpinned:
        where = f"{pins.files[0].name} does not pin" if pins.files else "no file pins"
        names = join_names(each.partition("==")[0] for each in unpinned)
        file = pins.files[0].name if pins.files else "a file requirements.txt beside the notebook"
        warn(
            next(iter(unpinned.values())),
            f"{where} {names}, so an update may change the results",
            f"add to {file}: {join_names(unpinned)}",
        )
    return findings


def _is_local(file: Path, folder: Path, prefix: str) -> bool:
    file = file.resolve()
    installed = "site-packages" in file.parts or "dist-packages" in file.parts or file.is_relative_to(prefix)
    return installed or file.is_relative_to(folder.resolve())


def _same_version(pinned: str, installed: str) -> bool:
    def plain(text: str) -> list[str]:
        parts = text.partition("+")[0].split(".")
        while len(parts) > 1 and parts[-1] == "0":
            parts.pop()
        return parts

    return plain(pinned) == plain(installed)


def _read_requirements(file: Path, depth: int = 0) -> Iterator[tuple[str, str | None]]:
    text = file.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
    for line in text.splitlines():
        words = line.partition(" #")[0].split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in ("-r", "-c", "--requirement", "--constraint") and len(words) > 1 and depth < 3:
            with suppress(OSError):
                yield from _read_requirements(file.parent / words[1], depth + 1)
        elif not words[0].startswith("-"):
            requirement = re.split(r"\s+--", line.partition(" #")[0])[0]
            yield from _requirement(requirement)


def _requirement(text: str) -> Iterator[tuple[str, str | None]]:
    with suppress(InvalidRequirement):
        found = Requirement(text.strip())
        exact = [each.version for each in found.specifier if each.operator in ("==", "===") and "*" not in each.version]
        yield found.name, exact[0] if exact else None


def _read_lock(file: Path) -> Iterator[tuple[str, str | None]]:
    if file.name == "Pipfile.lock":
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        for section in ("default", "develop"):
            for name, about in content.get(section, {}).items():
                yield name, str(about.get("version", "")).removeprefix("==") or None
        return
    if file.suffix in (".toml", ".lock") and file.name != "pixi.lock":
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        packages = content.get("package") or content.get("packages") or []
    else:
        packages = _yaml(file).get("package") or _yaml(file).get("packages") or []
    for each in packages:
        if isinstance(each, dict) and each.get("name") and each.get("version"):
            yield str(each["name"]), str(each["version"])


def _read_environment(file: Path) -> Iterator[tuple[str, str | None]]:
    for each in _yaml(file).get("dependencies") or []:
        if isinstance(each, dict):
            for requirement in each.get("pip") or []:
                yield from _requirement(str(requirement))
        elif found := _CONDA.match(str(each).strip()):
            yield found[1], found[2]
        else:
            yield from _requirement(str(each))


def _read_project(file: Path) -> Iterator[tuple[str, str | None]]:
    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    optional = project.get("optional-dependencies", {})
    for requirement in [*project.get("dependencies", []), *(each for group in optional.values() for each in group)]:
        yield from _requirement(str(requirement))


def _yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}
