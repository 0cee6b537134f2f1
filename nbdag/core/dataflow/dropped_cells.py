"""Report untagged cells below a task that have an effect on later tasks: a headless run does not execute them.

An untagged cell below the first task is scratch: it runs in the notebook, but not headlessly. This is harmless if the
cell only displays, or sets names that no task below reads. Otherwise a task would get another value than in the
notebook. To find such cells, the notebook is analysed again like a top-to-bottom run that also executes the untagged
cells. A task that then reads a value of an untagged cell is affected.

A cell whose author marked it with `%%skip` or the tag `skip-execution` is never reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..analysis.hidden_state import BY_KEY
from ..analysis.objects import holders
from ..analysis.scopes import Bound
from ..cells.source import Python, SyntaxProblem
from ..model.dag import Cell, CellKind, Problem
from ..model.problems import problem
from ..model.text import join_names
from ..options.options import TaskOptions
from .reaching_definitions import CellFlow, Version, Versions
from .read_cells import analyse_cells, parse

# Methods that display the object they are called on. A cell ignores their result, but they change nothing.
_SHOWS = re.compile(r"\.(?:plot|hist|boxplot|scatter|bar|pie|show|summary|draw|render|display|print|view)\w*\s*[.(]")
_REMEDY = "begin the cell with %%task NAME or, if its effects should not reach any task, with %%skip"


@dataclass(slots=True)
class _Effect:
    """The effect of one cell on one name, and the later cells that read the name."""

    flow: CellFlow
    version: Version
    # Names of the reading cells for a message, in notebook order.
    readers: dict[str, None] = field(default_factory=dict)


def dropped_cells(
    cells: Sequence[Cell],
    options: Mapping[int, TaskOptions],
    skippable: frozenset[int],
    parsed: dict[int, Python | SyntaxProblem],
    versions: Versions,
    observed: Mapping[str, Mapping[str, bool]],
) -> Iterator[Problem]:
    """Yield a problem for each name that an untagged cell sets or changes and a task or setup cell below reads.

    `versions` is the data flow of the headless run, without untagged cells. `observed` maps each task to the kinds of
    state without a name that the task observes.
    """
    last = max((cell.index for cell in cells if cell.kind in (CellKind.TASK, CellKind.SETUP)), default=-1)
    ignored = {
        cell.index for cell in cells if cell.untagged and cell.index < last and _may_have_effects(parse(cell, parsed))
    }
    if not ignored:
        return
    # A cell's name contains a space, so it differs from every task id.
    running = [
        replace(cell, kind=CellKind.TASK, task=f"cell {cell.in_file + 1}") if cell.index in ignored else cell
        for cell in cells
    ]
    full = Versions(analyse_cells(running, options, skippable, parsed), skippable, versions.visible)
    flows = {flow.analysis.cell.index: flow for flow in full.flows}
    headless = {flow.analysis.cell.index: flow for flow in versions.flows}
    effects: dict[tuple[int, str], _Effect] = {}
    for index, flow in headless.items():
        for name, read in flows[index].reads.items():
            if _is_unknown(headless[index], name):
                continue  # `diagnostics` reports this name as one that only a scratch cell sets
            for version in full.sources(read.version):
                maker = version.maker.cell.index
                if maker in ignored and not _is_same(version):
                    effect = effects.setdefault((maker, name), _Effect(flows[maker], version))
                    effect.readers[_reader(flow)] = None
    for index in sorted(ignored):
        below = [each for each in versions.flows if each.analysis.cell.index > index]
        yield from _states(flows[index], below, observed)
        for (maker, _), effect in effects.items():
            if maker == index:
                yield from _effect(effect)


def _may_have_effects(python: Python | SyntaxProblem) -> bool:
    return isinstance(python, Python) and bool(python.tree.body or python.writes)


def _is_unknown(flow: CellFlow, name: str) -> bool:
    read = flow.reads.get(name)
    return read is not None and read.version is None and not read.optional


def _is_same(version: Version) -> bool:
    """Return whether the cell repeats the definition of the name above it, for example with the same import."""
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
    return f"task {cell.task}" if cell.kind is CellKind.TASK else f"setup in cell {cell.in_file + 1}"


def _effect(effect: _Effect) -> Iterator[Problem]:
    version, cell = effect.version, effect.flow.analysis.cell
    line = version.line
    certain, verb = _certainty(effect.flow, version)
    text = cell.code.split("\n")[line - 1] if 0 < line <= cell.code.count("\n") + 1 else ""
    if not certain and _SHOWS.search(text):
        return
    readers = join_names(list(effect.readers))
    message = (
        f"cell {cell.in_file + 1} {verb} {version.name}, which {readers} would read, but an untagged cell below a task "
        "does not run headlessly"
    )
    yield problem("NB310" if certain else "NB311", message, hint=_REMEDY, place=cell.at(line))


def _certainty(flow: CellFlow, version: Version) -> tuple[bool, str]:
    """Return whether the cell certainly changes the value of the name, and a verb for the message: "sets" or "may
    change".
    """
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
    """Yield a warning for each change of a state without a name that a task below observes."""
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
                f"{note.text} in cell {cell.in_file + 1} {what}, and {later} runs without that change, since an "
                "untagged cell below a task does not run headlessly"
            )
            hint = "begin the cell with %%setup or, if its effects should not reach any task, with %%skip"
            if kind is not None and kind.is_generator:
                hint = f"{kind.advice}; if the cell's effects should not reach any task, begin it with %%skip"
            yield problem("NB311", message, hint=hint, place=cell.at(note.line))


def _observer(flow: CellFlow, key: str, observed: Mapping[str, Mapping[str, bool]]) -> str | None:
    """Return the task of this cell if it certainly observes a state that a cell above may have changed, else None."""
    task = flow.analysis.cell.task
    if flow.analysis.cell.kind is not CellKind.TASK or task is None or not observed.get(task, {}).get(key):
        return None
    kind = BY_KEY.get(key)
    sets = kind is not None and kind.is_generator and any(note.kind == key for note in flow.analysis.uses.notes)
    return None if sets else task
