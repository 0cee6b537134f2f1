"""Findings from the saved notebook, its code, and two runs.

A difference between outputs is attributed to its cause. For example, a cell that draws without a seed explains the
differences of all cells that read its values. Each cause is one finding, with the differences as evidence. Only a
difference without a known cause is a finding of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..core.cells.imports import imported_modules
from ..core.cells.source import Python, to_python
from ..core.model.text import plural
from .compare.outputs import has_outputs, output_difference
from .compare.texts import TOLERANCE
from .findings import Finding, Kind, Weight, names_of_cells
from .observations import Observations
from .pins import Pins, package_findings
from .plain_run import Execution, Failure
from .saved import SavedCell, saved_state, uses_of
from .sources import SEED, Cause, causes, draw_lines

# Kinds of causes that may change outputs from the first run to the second.
_VARIES = (Kind.RANDOM, Kind.CLOCK, Kind.OUTPUT, Kind.NETWORK, Kind.LOCALE)
_MAX_EVIDENCE = 5  # maximum number of differences that a finding lists
_REACHABLE = "make sure that the scheduler's machine can reach it, and that a failure is retried: --retries 2"
_RUN_AND_SAVE = "restart the kernel, run all cells from top to bottom, look at the difference, and save the notebook"
_SEEDS = {
    "random": "set a seed, such as rng = random.Random(0), and draw from rng",
    "numpy.random": SEED,
    "torch": "set a seed: torch.manual_seed(0)",
}
_LIBRARY_SEED = "pass a seed to the function, often as random_state=0, or set one: np.random.seed(0)"
_MISSING = re.compile(r"No module named '([^']+)'")
_PAGE = re.compile(r" \(\d+\.py, line \d+\)$")  # the name of a kernel's own file for a cell with a syntax error
_UNDEFINED = re.compile(r"name '([^']+)' is not defined")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a rehearsal knows about a notebook."""

    saved: Sequence[SavedCell]  # the code cells that run, in the order of the file
    runs: Sequence[Execution] = ()  # no run, one run that failed, or two runs
    problems: Sequence[Finding] = ()  # what `check` reports
    pins: Pins = field(default_factory=Pins)
    folder: Path = Path()
    uncompared: frozenset[int] = frozenset()  # cells whose saved outputs have another form, such as mapped tasks
    tolerance: float = TOLERANCE
    exists: Callable[[str], bool] = lambda path: False  # whether a path exists on this machine
    check_names: bool = True  # whether to search for missing names; in a pipeline, `check` reports them


def judge(known: Evidence) -> list[Finding]:
    """Return the findings, in no particular order."""
    codes = {cell.number: cell.source for cell in known.saved}
    observed = known.runs[0].observed if known.runs else Observations()
    hidden = saved_state(known.saved, names=known.check_names)
    failed = [_failure(each, hidden) for run in known.runs[-1:] for each in run.failures]
    loud, quiet = _causes(codes, observed, known.exists)
    loud += _hosts(observed, loud) + _outside(observed, loud, known.folder)
    loud += _draws(known.runs, codes)
    findings = [*known.problems, *hidden, *loud]
    findings += package_findings(observed, known.pins, known.folder, _importers(codes))
    findings = [each for each in findings if not any(_explains(one, each) for one in failed)] + failed
    if len(known.runs) == 2 and not failed:
        varying = [*loud, *quiet]
        findings = _with_differences(known, findings, varying)
    return findings


# -- differing outputs -------------------------------------------------------------------------------------------------


def _with_differences(known: Evidence, findings: list[Finding], varying: Sequence[Finding]) -> list[Finding]:
    """Return the findings, each with the differences that it explains, and a finding for each unexplained difference.

    Compare the two runs, and the first run with the saved outputs. `varying` are the findings that may explain
    differences between the two runs. A quiet finding is returned only if it explains a difference.
    """
    first, second = known.runs
    upstream = _upstream(known.saved)
    changed: dict[int, str] = {}
    for number, outputs in first.outputs.items():
        found = output_difference(outputs, second.outputs.get(number, ()), known.tolerance)
        if found is not None:
            changed[number] = found
    causes = [each for each in varying if each.kind in _VARIES]
    findings, unexplained = _attribute(findings, changed, causes, upstream, "differs between two runs")
    findings += [_differs_between_runs(number, changed[number]) for number in unexplained]

    since_saved: dict[int, str] = {}
    for cell in known.saved:
        is_compared = cell.number in first.outputs and cell.number not in {*known.uncompared, *changed}
        if is_compared and _is_saved(cell, known.saved):
            found = output_difference(cell.outputs, first.outputs[cell.number], known.tolerance)
            if found is not None:
                since_saved[cell.number] = found
    hidden = [each for each in findings if each.kind in (Kind.ORDER, Kind.EDIT)]
    causes = [
        *hidden,
        *(each for each in findings if each.kind in (*_VARIES, Kind.HOME) and each.kind is not Kind.OUTPUT),
    ]
    findings, unexplained = _attribute(findings, since_saved, causes, upstream, "differs from its saved output")
    for number in unexplained:
        used = [each.detail for each in first.observed.seen if each.cell in {number, *upstream[number]}]
        findings.append(_differs_from_saved(number, since_saved[number], used))
    return findings


def _differs_between_runs(cell: int, what: str) -> Finding:
    return Finding(
        kind=Kind.OUTPUT,
        weight=Weight.ERROR,
        cell=cell,
        message=f"the output of cell {cell + 1} differs between two runs: {what}",
        remedy="the second run had another order of sets, time zone and locale, and the files of the first run: "
        "sort sets, and overwrite files",
    )


def _differs_from_saved(cell: int, what: str, used: Sequence[str]) -> Finding:
    files = sorted({Path(each).name for each in used if "/" in each})
    data = f", or the data in {', '.join(files[:3])} changed" if files else ""
    return Finding(
        kind=Kind.OUTPUT,
        weight=Weight.ERROR,
        cell=cell,
        message=f"the output of cell {cell + 1} differs from the saved one: {what}; the cell was edited after its last "
        f"run{data}, or a package was updated",
        remedy=_RUN_AND_SAVE,
    )


def _attribute(
    findings: Sequence[Finding],
    changed: Mapping[int, str],
    causes: Sequence[Finding],
    upstream: Mapping[int, frozenset[int]],
    compared: str,
) -> tuple[list[Finding], list[int]]:
    """Return the findings, each with the differences that it explains, and the cells whose differences are unexplained.

    The cause of a cell's difference is a finding about the cell itself, else about the nearest upstream cell, else
    about the order of execution. A difference is unexplained if it has no cause and no upstream cell differs.
    """
    evidence: dict[int, list[str]] = {}
    result = list(findings)
    unexplained = []
    for number, what in changed.items():
        own = [each for each in causes if each.cell == number]
        above = sorted((each for each in causes if each.cell in upstream[number]), key=lambda each: -(each.cell or 0))
        anywhere = [each for each in causes if each.kind is Kind.ORDER]
        cause = next(iter([*own, *above, *anywhere]), None)
        if cause is not None:
            if cause not in result:
                result.append(cause)
            evidence.setdefault(result.index(cause), []).append(f"cell {number + 1} {compared}: {what}")
        elif not any(each in changed for each in upstream[number]):
            unexplained.append(number)
    for at, texts in evidence.items():
        shown = texts[:_MAX_EVIDENCE]
        if len(texts) > len(shown):
            shown.append(f"and {plural(len(texts) - len(shown), 'more cell')}")
        result[at] = replace(result[at], weight=Weight.ERROR, evidence=(*result[at].evidence, *shown))
    return result, unexplained


def _is_saved(cell: SavedCell, cells: Sequence[SavedCell]) -> bool:
    """Return whether the file has the outputs of a cell. A file without any output was cleared."""
    if not any(has_outputs(each.outputs) for each in cells):
        return False
    return cell.count is not None or has_outputs(cell.outputs)


def _upstream(cells: Sequence[SavedCell]) -> dict[int, frozenset[int]]:
    """For each cell, return its upstream cells: those whose values it reads, directly or indirectly."""
    setters: dict[str, set[int]] = {}
    found: dict[int, frozenset[int]] = {}
    for cell in cells:
        used = uses_of(cell.source)
        if used is None:
            found[cell.number] = frozenset(found)
            continue
        direct = {number for name in (*used.reads, *used.optional) for number in setters.get(name, ())}
        found[cell.number] = frozenset(direct | {far for number in direct for far in found[number]})
        for name in used.bound:
            # The cells that set a name earlier still count if this cell also reads the name or may leave it unset.
            keeps = name in used.reads or name in used.maybe_writes
            setters[name] = {*(setters.get(name, set()) if keeps else ()), cell.number}
        for name in used.changed:
            setters.setdefault(name, set()).add(cell.number)
    return found


# -- causes ------------------------------------------------------------------------------------------------------------


def _causes(
    codes: Mapping[int, str], observed: Observations, exists: Callable[[str], bool]
) -> tuple[list[Finding], list[Finding]]:
    used = {each.detail for each in observed.seen}
    loud: list[Finding] = []
    quiet: list[Finding] = []
    for each in causes(codes):
        if each.path and not (exists(each.path) or any(_is_below(path, each.path) for path in used)):
            continue
        (quiet if each.quiet else loud).append(_finding(each))
    homes = {(each.cell, each.line) for each in loud if each.kind is Kind.HOME}
    return [each for each in loud if each.kind is not Kind.PATH or (each.cell, each.line) not in homes], quiet


def _finding(cause: Cause) -> Finding:
    weight = Weight.NOTE if cause.kind is Kind.NETWORK else Weight.WARNING
    return Finding(
        kind=cause.kind,
        weight=weight,
        cell=cause.cell,
        line=cause.line,
        message=cause.message,
        remedy=cause.remedy,
    )


def _hosts(observed: Observations, loud: Sequence[Finding]) -> list[Finding]:
    """Return a finding for each contacted host that the code does not name. Its place is the first contact."""
    named = {each.message.rpartition(" ")[2] for each in loud if each.kind is Kind.NETWORK}
    found: dict[str, Finding] = {}
    for each in observed.seen:
        if each.kind == "host" and each.detail not in found and each.detail not in named:
            found[each.detail] = Finding(
                kind=Kind.NETWORK,
                weight=Weight.NOTE,
                cell=each.cell,
                line=each.line,
                message=f"the cell contacts {each.detail}",
                remedy=_REACHABLE,
            )
    return list(found.values())


def _outside(observed: Observations, loud: Sequence[Finding], folder: Path) -> list[Finding]:
    """Return a finding for each folder outside of the notebook's folder that a cell used without naming its path."""
    known = {(each.cell, each.line) for each in loud if each.kind in (Kind.PATH, Kind.HOME)}
    cells = {each.cell for each in loud if each.kind in (Kind.PATH, Kind.HOME)}
    home = str(Path.home())
    found: dict[str, Finding] = {}
    for each in observed.seen:
        if each.kind != "outside" or (each.cell, each.line) in known or each.cell in cells:
            continue
        parent = str(Path(each.detail).parent)
        is_home = _is_below(each.detail, home) and home != "/"
        verb = "writes" if each.how == "w" else "reads"
        found.setdefault(
            parent,
            Finding(
                kind=Kind.HOME if is_home else Kind.PATH,
                weight=Weight.WARNING,
                cell=each.cell,
                line=each.line,
                message=f"the cell {verb} {each.detail}, which is outside of the notebook's folder",
                remedy="use a path relative to the notebook's folder, or make it a parameter",
            ),
        )
    temporary = [name for name in ("/tmp/", "/var/tmp/") if not str(folder).startswith(name)]
    return [each for parent, each in found.items() if not any(f"{parent}/".startswith(name) for name in temporary)]


def _draws(runs: Sequence[Execution], codes: Mapping[int, str]) -> list[Finding]:
    """Return a finding for each global generator whose states differed between the two runs.

    Draws of libraries are only notes, because often no result depends on them.
    """
    if len(runs) < 2:
        return []
    first, second = (run.observed.draws for run in runs)
    cells: dict[str, list[int]] = {}
    for cell, generator in first:
        states, others = first[cell, generator], second.get((cell, generator))
        if others is not None and sorted(states) != sorted(others):
            cells.setdefault(generator, []).append(cell)
    found = []
    for generator, all_numbers in cells.items():
        lines = draw_lines(codes, generator)
        numbers = sorted(each for each in all_numbers if each in lines or each not in runs[0].observed.importing)
        own = [each for each in numbers if each in lines]
        if not numbers:
            continue
        numbers = own or numbers
        also = f"; so {'does' if len(numbers) == 2 else 'do'} {names_of_cells(numbers[1:])}" if numbers[1:] else ""
        who = f"cell {numbers[0] + 1}" if own else f"a library that cell {numbers[0] + 1} uses"
        found.append(
            Finding(
                kind=Kind.RANDOM,
                weight=Weight.WARNING if own else Weight.NOTE,
                cell=numbers[0],
                line=lines.get(numbers[0]),
                message=f"{who} draws from the global generator of {generator} without a seed{also}",
                remedy=_SEEDS[generator] if own else _LIBRARY_SEED,
            )
        )
    return found


def _importers(codes: Mapping[int, str]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for number, code in codes.items():
        for name in imported_modules(code):
            if name not in found:
                found[name] = (number, _import_line(code, name))
    return found


def _import_line(code: str, module: str) -> int:
    python = to_python(code)
    for node in ast.walk(python.tree) if isinstance(python, Python) else ():
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.partition(".")[0] == module for name in names):
            return int(getattr(node, "lineno", 1))
    return 1


# -- failures ----------------------------------------------------------------------------------------------------------


def _failure(failure: Failure, hidden: Sequence[Finding]) -> Finding:
    kind, remedy = Kind.FAILURE, "repair the cell; a scheduled run would fail at it"
    evidence: tuple[str, ...] = ()
    text = _PAGE.sub("", " ".join(failure.text.split()))
    message = f"cell {'?' if failure.cell is None else failure.cell + 1} fails: {failure.name}: {text[:200]}"
    if failure.name == "NameError" and (found := _UNDEFINED.search(failure.text)):
        named = next((each for each in hidden if f"reads {found[1]}," in each.message), None)
        if named is not None:
            return replace(named, evidence=(message,))
        kind, remedy = Kind.NAME, f"restore the code that sets {found[1]}"
    elif failure.name in ("ModuleNotFoundError", "ImportError") and (found := _MISSING.search(failure.text)):
        kind, remedy = Kind.PACKAGE, f"install {found[1].partition('.')[0]}, and pin its version in requirements.txt"
        message = f"module {found[1]} is not installed"
    return Finding(
        kind=kind,
        weight=Weight.ERROR,
        cell=failure.cell,
        line=failure.line,
        message=message,
        remedy=remedy,
        evidence=evidence,
    )


def _explains(failure: Finding, other: Finding) -> bool:
    """Return whether a failure reports the same mistake as another finding."""
    return (failure.kind, failure.cell, failure.line) == (other.kind, other.cell, other.line) and (
        failure.message == other.message or failure.kind is Kind.NAME
    )


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
