"""One finding of a rehearsal, and the findings of a notebook in order."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..core.model.text import join_names, plural
from ..errors import NbdagError, error

_ACCEPT = re.compile(r"#\s*nbdag:\s*accept\[([\w,\s-]+)\]")


class Kind(StrEnum):
    """The subject of a finding. The names are stable; `--accept` and `# nbdag: accept[…]` use them."""

    FAILURE = "failure"  # a cell fails
    OUTPUT = "output"  # a cell shows something else
    ORDER = "order"  # the cells ran in another order than in the file
    NAME = "name"  # a name that no cell sets
    EDIT = "edit"  # a cell that was added or edited after its last run
    RANDOM = "random"  # randomness without a seed
    CLOCK = "clock"  # the current time, or the time zone of the machine
    LOCALE = "locale"  # the language and formats of the machine
    HOME = "home"  # the user's home, the user's name, the name of the machine
    PATH = "path"  # absolute paths
    PACKAGE = "package"  # packages that are not installed, not pinned, or installed by the notebook
    NETWORK = "network"  # hosts that were contacted


FINDING_KINDS: tuple[str, ...] = tuple(Kind)


class Weight(StrEnum):
    """The severity of a finding."""

    ERROR = "error"  # a scheduled run fails, or shows something else than the saved notebook
    WARNING = "warning"  # a scheduled run may show something else some day, or on another machine
    NOTE = "note"  # for information


_ORDER = {Weight.ERROR: 0, Weight.WARNING: 1, Weight.NOTE: 2}


@error
class UnknownKindError(NbdagError):
    """No finding has this kind."""

    exit_code = 2

    kind: str
    template = "unknown kind of finding {kind!r}; expected one of {known}"

    @property
    def known(self) -> str:
        """Return all kinds."""
        return ", ".join(FINDING_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason why a scheduled run may differ from the saved notebook."""

    kind: Kind
    weight: Weight
    cell: int | None = None  # number of the cell in the file, from 0; None: the whole notebook
    line: int | None = None  # number of the line in the cell, from 1; None: the whole cell
    message: str  # one sentence
    remedy: str  # what to do about it
    evidence: tuple[str, ...] = ()  # differences between outputs that the finding explains
    text_start: int | None = None  # line of a text notebook at which the cell begins, from 1; None for other notebooks

    @property
    def place(self) -> str:
        """Return the place for a person, who counts cells from 1: "cell 3, line 2", or "line 41" of a text notebook."""
        if self.cell is None:
            return "notebook"
        if self.text_start is not None:
            return f"line {self.text_start}" if self.line is None else f"line {self.line_in_file}"
        return f"cell {self.cell + 1}" + ("" if self.line is None else f", line {self.line}")

    @property
    def line_in_file(self) -> int | None:
        """Return the line number that people see: in a text notebook the line in the file, else the line in a cell."""
        if self.line is None or self.text_start is None:
            return self.line
        return self.text_start + self.line - 1

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON."""
        return {
            "kind": self.kind.value,
            "weight": self.weight.value,
            "cell": self.cell,
            "line": self.line,
            "message": self.message,
            "remedy": self.remedy,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """The result of a rehearsal."""

    notebook: str  # path as given
    findings: tuple[Finding, ...]  # the weightiest first, then in notebook order
    seconds: tuple[float, ...] = ()  # duration of each run
    cells: int = 0  # number of code cells that ran
    compared: int = 0  # number of cells whose saved outputs were compared
    as_pipeline: bool = False  # whether the tasks ran as the scheduler runs them; False: all cells in one kernel
    sources: Mapping[int, str] = field(default_factory=dict)  # the source of each cell that a finding names
    accepted: int = 0  # number of findings that the user has accepted

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that prevent `nbdag deploy --rehearse`."""
        return tuple(each for each in self.findings if each.weight is Weight.ERROR)

    def source_line(self, finding: Finding) -> str:
        """Return the source of the line that a finding is about, or ""."""
        if finding.cell is None or finding.line is None:
            return ""
        lines = self.sources.get(finding.cell, "").split("\n")
        return lines[finding.line - 1].rstrip() if finding.line <= len(lines) else ""

    def summary(self) -> str:
        """Return what was done and found, in one sentence."""
        counts = [(weight, sum(each.weight is weight for each in self.findings)) for weight in Weight]
        found = ", ".join(plural(count, weight.value) for weight, count in counts if count) or "no findings"
        accepted = f", {self.accepted} accepted" if self.accepted else ""
        if not self.seconds:
            return f"{found}{accepted}; {'the notebook did not run' if self.findings else 'no cell has code to run'}"
        times = "once" if len(self.seconds) == 1 else "twice"
        how = "task by task" if self.as_pipeline else "from top to bottom"
        saved = f"saved outputs of {plural(self.compared, 'cell')} compared" if self.compared else "no saved outputs"
        return f"{found}{accepted}; {plural(self.cells, 'cell')} ran {times} {how}, {saved}"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "notebook": self.notebook,
            "summary": self.summary(),
            "runs": [{"seconds": round(each, 3)} for each in self.seconds],
            "cells": self.cells,
            "compared": self.compared,
            "as_pipeline": self.as_pipeline,
            "accepted": self.accepted,
            "findings": [each.to_dict() for each in self.findings],
        }


def check_kinds(kinds: Iterable[str]) -> frozenset[Kind]:
    """Return these kinds; raise `UnknownKindError` for an unknown one."""
    for each in kinds:
        if each not in FINDING_KINDS:
            raise UnknownKindError(each)
    return frozenset(map(Kind, kinds))


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings by weight, then in notebook order; merge findings of one kind at one place."""
    merged: dict[tuple[object, ...], Finding] = {}
    for each in findings:
        key = (each.kind, each.cell, each.line, each.message if each.line is None else "")
        other = merged.get(key)
        if other is None or _ORDER[each.weight] < _ORDER[other.weight]:
            merged[key] = each
    return tuple(sorted(merged.values(), key=_key))


def without_accepted(
    findings: Iterable[Finding], sources: Sequence[str], accepted: Collection[Kind] = ()
) -> tuple[Finding, ...]:
    """Return the findings without those that the user accepts by kind or by a comment `# nbdag: accept[clock]`.

    A comment at the end of a line accepts findings in this line. A comment on its own line accepts those in its cell.
    """
    return tuple(each for each in findings if each.kind not in accepted and not _is_accepted(each, sources))


def names_of_cells(cells: Iterable[int]) -> str:
    """Return the numbers of cells as people count them: "cell 3", "cells 3, 4"."""
    numbers = [str(cell + 1) for cell in cells]
    return f"cell {numbers[0]}" if len(numbers) == 1 else f"cells {join_names(numbers)}"


def _key(finding: Finding) -> tuple[int, int, int, str]:
    cell = -1 if finding.cell is None else finding.cell
    return _ORDER[finding.weight], cell, finding.line or 0, finding.kind


def _is_accepted(finding: Finding, sources: Sequence[str]) -> bool:
    if finding.cell is None or finding.cell >= len(sources):
        return False
    lines = enumerate(sources[finding.cell].split("\n"), 1)
    return any(
        finding.kind in _accepted(line)
        for number, line in lines
        if number == finding.line or finding.line is None or line.lstrip().startswith("#")
    )


def _accepted(line: str) -> set[str]:
    return {name.strip() for found in _ACCEPT.finditer(line) for name in found[1].split(",")}
