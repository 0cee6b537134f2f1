"""Records of what the cells of one run used, made by their kernels (`kernels.runtime.rehearsal_observer`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..kernels.runtime.rehearsal_observer import key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One use of a host or a file."""

    kind: str  # "host", "file" (relative path), or "inside" or "outside" of the notebook's folder (absolute path)
    detail: str
    how: str = ""  # "r" or "w" for files
    cell: int | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A top-level module that a cell has imported."""

    file: str | None
    distribution: str | None  # name of the installed package; None for a module without one
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """All observations of a run."""

    seen: tuple[Seen, ...] = ()
    # Key: (cell, generator that it draws from); value: for each kernel, the state of the generator after the cell.
    draws: Mapping[tuple[int, str], tuple[int, ...]] = field(default_factory=dict)
    importing: frozenset[int] = frozenset()  # cells that drew and imported a module, which may have drawn
    modules: Mapping[str, Module] = field(default_factory=dict)
    prefix: str = ""  # the folder of the interpreter


def read_observations(folder: Path, codes: Mapping[int, str]) -> Observations:
    """Return the observations in a folder. `codes` has the code of each cell as a kernel received it."""
    by_key: dict[str, int] = {}
    for number, code in codes.items():
        by_key.setdefault(key_of(code), number)
    seen: dict[Seen, None] = {}
    draws: dict[tuple[int, str], list[int]] = {}
    importing: set[int] = set()
    modules: dict[str, Module] = {}
    prefix = ""
    for file in sorted(folder.glob("*.json")):
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        prefix = found["prefix"]
        for each in found["seen"]:
            seen[Seen(**{**each, "cell": _number(each["cell"], by_key)})] = None
        for each in found["draws"]:
            if (cell := _number(each["cell"], by_key)) is not None:
                draws.setdefault((cell, each["generator"]), []).append(each["state"])
                if each["imported"]:
                    importing.add(cell)
        for name, each in found["modules"].items():
            modules.setdefault(name, Module(**each))
    kept = tuple(each for each in seen if each.cell is not None)
    return Observations(
        seen=kept,
        draws={key: tuple(each) for key, each in draws.items()},
        importing=frozenset(importing),
        modules=modules,
        prefix=prefix,
    )


def _number(key: str | None, by_key: Mapping[str, int]) -> int | None:
    if key is not None and key.startswith("#"):
        return int(key[1:])
    return by_key.get(key or "")
