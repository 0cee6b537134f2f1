"""Report untagged cells that have an effect on later tasks, because a headless run does not execute untagged cells.

An untagged cell below the first task is scratch: it runs in the notebook, but not headlessly. This is harmless if the
cell only displays, or sets names that no task below reads. Otherwise a task would get another value than in the
notebook. To find harmful cells, this module analyses the notebook again, as if a headless run also executed the
untagged cells. An untagged cell is harmful if a task then reads a value of this cell.

A cell whose author marked it with `%%skip` or the tag `skip-execution` is never reported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..analysis.hidden_state import BY_KEY
from ..analysis.objects import holders
from ..analysis.scopes import Bound
from ..cells.source import Python, SyntaxProblem, to_python
from ..model.dag import Cell, CellKind, Problem, Repair
from ..model.problems import problem
from ..model.text import join_names
from ..options.options import TaskOptions
from .reaching_definitions import CellFlow, Version, Versions
from .read_cells import analyse_cells, parse

# Methods that display the object they are called on. They do not change the object, although cells ignore their result.
_SHOWS = re.compile(r"\.(?:plot|hist|boxplot|scatter|bar|pie|show|summary|draw|render|display|print|view)\w*\s*[.(]")
_REMEDY = "begin the cell with %%task NAME or, if its effects should not reach any task, with %%skip"


@dataclass(slots=True)
class _Effect:
    """The effect of one cell on one name, and the later cells that read the name."""

    flow: CellFlow
    version: Version
    # Key: index of a cell that reads the name; value: how messages call this cell.
    readers: dict[int, str] = field(default_factory=dict)


def check_untagged_cells(
    cells: Sequence[Cell],
    options: Mapping[int, TaskOptions],
    skippable: frozenset[int],
    parsed: dict[int, Python | SyntaxProblem],
    versions: Versions,
    observed: Mapping[str, Mapping[str, bool]],
) -> tuple[list[Problem], frozenset[tuple[int, str]]]:
    """Return a problem for each untagged cell that has an effect on a task or setup cell below.

    Also return (index of the reading cell, name) for each name that is missing because untagged cells do not run.
    `versions` is the data flow of the headless run, without untagged cells. `observed` has the hidden state that each
    task observes; see `analysis.hidden_state.observed_keys`.
    """
    last = max((cell.index for cell in cells if cell.kind in (CellKind.TASK, CellKind.SETUP)), default=-1)
    ignored = {
        cell.index for cell in cells if cell.untagged and cell.index < last and _may_have_effects(parse(cell, parsed))
    }
    if not ignored:
        return [], frozenset()
    # The label of a cell contains a space, so a label differs from every task id.
    running = [replace(cell, kind=CellKind.TASK, task=cell.label) if cell.index in ignored else cell for cell in cells]
    full = Versions(analyse_cells(running, options, skippable, parsed), skippable, versions.visible)
    flows = {flow.analysis.cell.index: flow for flow in full.flows}
    headless = {flow.analysis.cell.index: flow for flow in versions.flows}
    effects: dict[int, dict[str, _Effect]] = {}
    missing: set[tuple[int, str]] = set()
    ahead = list(headless)
    while ahead:
        index = ahead.pop(0)
        for name, read in flows[index].reads.items():
            for version in full.sources(read.version):
                maker = version.maker.cell.index
                if maker not in ignored or _is_same(version):
                    continue
                if maker not in effects:
                    ahead.append(maker)  # names that only this untagged cell reads may be missing, too
                effect = effects.setdefault(maker, {}).setdefault(name, _Effect(flows[maker], version))
                effect.readers[index] = _reader(flows[index])
                if index in headless and _is_unknown(headless[index], name):
                    missing.add((index, name))
    problems: list[Problem] = []
    for index in sorted(ignored):
        below = [each for each in versions.flows if each.analysis.cell.index > index]
        of_cell = list(_effects(list(effects.get(index, {}).values())))
        if not any(each.severity == "error" for each in of_cell):
            problems += _states(flows[index], below, observed)
        problems += of_cell
    return problems, frozenset(missing)


def _may_have_effects(python: Python | SyntaxProblem) -> bool:
    return isinstance(python, Python) and bool(python.tree.body or python.writes)


def _is_unknown(flow: CellFlow, name: str) -> bool:
    read = flow.reads.get(name)
    return read is not None and read.version is None and not read.optional


def _is_same(version: Version) -> bool:
    """Return whether the cell defines the name in the same way as an earlier cell, for example by the same import."""
    definition, before = version.definition, version.before
    if definition is None or before is None or before.definition is None:
        return False
    if definition.imports or before.definition.imports:
        return definition.imports == before.definition.imports
    return _source(version) == _source(before)


def _source(version: Version) -> list[str]:
    definition = version.definition
    assert definition is not None
    return version.maker.cell.code.split("\n")[definition.line - 1 : definition.end]


def _reader(flow: CellFlow) -> str:
    cell = flow.analysis.cell
    if cell.untagged:
        return cell.label
    return f"task {cell.task}" if cell.kind is CellKind.TASK else f"setup in {cell.label}"


def _effects(effects: Sequence[_Effect]) -> Iterator[Problem]:
    """Yield the problem of an untagged cell with these effects: an error if any effect is certain, else a warning."""
    by_verb: dict[str, list[_Effect]] = {}
    certain_lines: list[int] = []
    lines: list[int] = []
    for effect in sorted(effects, key=lambda each: (each.version.line, each.version.name)):
        version, code = effect.version, effect.flow.analysis.cell.code
        certain, verb = _certainty(effect.flow, version)
        text = code.split("\n")[version.line - 1] if 0 < version.line <= code.count("\n") + 1 else ""
        if not certain and _SHOWS.search(text):
            continue
        by_verb.setdefault(verb, []).append(effect)
        (certain_lines if certain else lines).append(version.line)
    if not by_verb:
        return
    cell = effects[0].flow.analysis.cell
    does = [f"{verb} {join_names([each.version.name for each in found])}" for verb, found in by_verb.items()]
    readers = {index: name for found in by_verb.values() for each in found for index, name in each.readers.items()}
    shown = join_names([readers[index] for index in sorted(readers)])
    message = (
        f"{cell.label} {' and '.join(does)}, which {shown} would read, but an untagged cell below a task "
        "does not run headlessly"
    )
    repair = _repair(effects) if certain_lines and cell.made_at is None else None
    place = cell.at(min(certain_lines or lines))
    yield problem("NB310" if certain_lines else "NB311", message, hint=_REMEDY, place=place, repair=repair)


def _repair(effects: Sequence[_Effect]) -> Repair:
    """Return the repair that keeps these effects: imports move to setup, and any other cell becomes a task."""
    cell = effects[0].flow.analysis.cell
    python = to_python(cell.code)
    body = python.tree.body if isinstance(python, Python) else []
    if body and all(isinstance(each, ast.Import | ast.ImportFrom) for each in body):
        return Repair(kind="setup", cells=(cell.in_file,))
    made = [each.version.definition for each in effects]
    if all(each is not None and each.imports for each in made):
        return Repair(kind="import", cells=(cell.in_file,), old=" ".join(each.version.name for each in effects))
    return Repair(kind="task", cells=(cell.in_file,))


def _certainty(flow: CellFlow, version: Version) -> tuple[bool, str]:
    """Return whether the cell certainly changes the value of the name, and a verb such as "sets" or "may change"."""
    uses, name = flow.analysis.uses, version.name
    slot = uses.bound.get(name)
    if slot is not None and slot.bound is Bound.YES:
        return True, "sets"
    if slot is not None and slot.bound is Bound.NO:
        return True, "deletes"
    strong = holders(obj for obj, mutation in uses.mutated.items() if mutation.strong)
    if uses.values.get(name, frozenset()) & strong:
        return True, "changes"
    if slot is not None:
        return False, "may set" if slot.bound is Bound.MAYBE else "may delete"
    aliased = name not in uses.values and any(mutation.strong for mutation in uses.mutated.values())
    return aliased, "changes" if aliased else "may change"


def _states(flow: CellFlow, below: Sequence[CellFlow], observed: Mapping[str, Mapping[str, bool]]) -> Iterator[Problem]:
    """Yield a warning for each state without a name that this cell changes and a task below observes."""
    cell = flow.analysis.cell
    for note in flow.analysis.uses.notes:
        kind = BY_KEY.get(note.kind)
        if kind is None and note.kind != "module":
            continue
        key = kind.key if kind is not None else note.text.partition(".")[0]
        later = next((task for each in below if (task := _observer(each, key, observed)) is not None), None)
        if later is not None:
            what = f"changes {kind.title}" if kind is not None else f"changes {note.text}"
            message = (
                f"{note.text} in {cell.label} {what}, and {later} runs without that change, since an "
                "untagged cell below a task does not run headlessly"
            )
            hint = "begin the cell with %%setup or, if its effects should not reach any task, with %%skip"
            if kind is not None and kind.is_generator:
                hint = f"{kind.advice}; if the cell's effects should not reach any task, begin it with %%skip"
            yield problem("NB311", message, hint=hint, place=cell.at(note.line))


def _observer(flow: CellFlow, key: str, observed: Mapping[str, Mapping[str, bool]]) -> str | None:
    """Return this cell's task if the task certainly observes a state that a cell above may have changed, else None."""
    task = flow.analysis.cell.task
    if flow.analysis.cell.kind is not CellKind.TASK or task is None or not observed.get(task, {}).get(key):
        return None
    kind = BY_KEY.get(key)
    sets = kind is not None and kind.is_generator and any(note.kind == key for note in flow.analysis.uses.notes)
    return None if sets else task
