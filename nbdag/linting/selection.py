"""The codes that a check reports: `--select` and `--ignore`, or `[tool.nbdag]` of the nearest `pyproject.toml`.

    [tool.nbdag]
    ignore = ["NB302"]
    per-file-ignores = { "drafts/*.ipynb" = ["NB3"] }

An entry matches all codes that begin with the entry. If both `select` and `ignore` match a code, the longer entry wins.
A selection changes only what is reported: an error prevents a run even if it is not reported.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ..core.model.dag import Dag
from ..core.model.problems import TABLE, hint_for_code
from ..core.options.option_types import nearest
from ..errors import NbdagError, error

_KEYS = ("select", "ignore", "per-file-ignores")


@error
class SelectionError(NbdagError):
    """A selection of codes is invalid."""

    exit_code = 2
    where: str  # source of the selection: an option, or a file and its key
    reason: str
    hint: str
    template = "{where} {reason}; {hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The codes to report."""

    select: tuple[str, ...] = ("NB",)  # codes, or beginnings of codes
    ignore: tuple[str, ...] = ()
    # Key: pattern of paths relative to `folder`; value: further codes to ignore in these files.
    per_file: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    folder: Path | None = None  # folder of the pyproject.toml; None if there is no such file

    def reports(self, code: str, path: Path) -> bool:
        """Return whether problems with this code in this file are reported."""
        ignored = [*self.ignore, *self._of_file(path)]
        return _longest(self.select, code) > _longest(ignored, code)

    def apply(self, dag: Dag, path: Path) -> Dag:
        """Return the DAG with only the problems to report.

        If NB107 (no tasks) is ignored, a notebook without tasks has no problems to report.
        """
        if any(each.code == "NB107" for each in dag.problems) and not self.reports("NB107", path):
            return replace(dag, problems=())
        return replace(dag, problems=tuple(each for each in dag.problems if self.reports(each.code, path)))

    def _of_file(self, path: Path) -> Iterable[str]:
        if self.folder is None or not self.per_file:
            return ()
        try:
            relative = path.resolve().relative_to(self.folder.resolve()).as_posix()
        except (OSError, ValueError):
            return ()
        return [code for pattern, codes in self.per_file.items() if fnmatch(relative, pattern) for code in codes]


def codes_of(words: Sequence[str], where: str) -> tuple[str, ...]:
    """Split a text into codes at commas and blanks; raise `SelectionError` for an unknown code."""
    found = [word.upper() for text in words for word in text.replace(",", " ").split()]
    if words and not found:
        raise SelectionError(where, "names no code", "write codes such as NB201 or NB3, separated by commas")
    for code in found:
        if not any(each.startswith(code) for each in TABLE):
            raise SelectionError(where, f"names the unknown code {code}", hint_for_code(code))
    return tuple(found)


def selection_of(path: Path, *, select: Sequence[str] = (), ignore: Sequence[str] = ()) -> Selection:
    """Return the selection for a notebook.

    `select` replaces the list `select` of `pyproject.toml`; `ignore` extends the list `ignore`.
    """
    found = _configured(path)
    if select:
        found = replace(found, select=codes_of(select, "--select"))
    if ignore:
        found = replace(found, ignore=(*found.ignore, *codes_of(ignore, "--ignore")))
    return found


def _configured(path: Path) -> Selection:
    try:
        start = path.absolute().parent
    except OSError:  # the working directory does not exist
        return Selection()
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        try:
            text = file.read_bytes()
        except OSError:
            continue
        try:
            table = tomllib.loads(text.decode()).get("tool", {}).get("nbdag")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError) as failure:
            if b"nbdag" not in text:
                continue
            raise SelectionError(str(file), f"is not valid TOML ({failure})", "correct it") from None
        if table is not None:
            return _from_table(table, file)
    return Selection()


def _from_table(table: Any, file: Path) -> Selection:
    where = f"{file}: [tool.nbdag]"
    if not isinstance(table, dict):
        raise SelectionError(where, "is not a table", 'write ignore = ["NB302"] below [tool.nbdag]')
    for key in table:
        if key not in _KEYS:
            near = nearest(key, _KEYS)
            hint = f"did you mean {near}?" if near else f"expected one of {', '.join(_KEYS)}"
            raise SelectionError(where, f"has the unknown key {key}", hint)
    per_file = table.get("per-file-ignores", {})
    if not isinstance(per_file, dict):
        hint = 'write per-file-ignores = { "drafts/*.ipynb" = ["NB3"] }'
        raise SelectionError(f"{where} per-file-ignores", "is not a table", hint)
    found = Selection(
        ignore=_list(table.get("ignore", []), f"{where} ignore"),
        per_file={pattern: _list(each, f"{where} per-file-ignores {pattern}") for pattern, each in per_file.items()},
        folder=file.parent,
    )
    return replace(found, select=_list(table["select"], f"{where} select")) if "select" in table else found


def _list(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise SelectionError(where, "is not a list of codes", 'write it as ["NB302", "NB4"]')
    return codes_of(value, where)


def _longest(entries: Iterable[str], code: str) -> int:
    return max((len(each) for each in entries if code.startswith(each)), default=0)
