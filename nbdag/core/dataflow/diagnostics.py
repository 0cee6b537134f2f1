"""Problems with the names in a notebook: errors, and warnings about code that the analysis cannot follow.

Every problem has a place and a next step.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..analysis import known
from ..analysis.hidden_state import BY_KEY, StateKind
from ..analysis.objects import FunctionEffects, Note
from ..analysis.scopes import names_of
from ..cells.imports import changes_module_path
from ..cells.source import Python, SyntaxProblem
from ..model.dag import Cell, CellKind, Dag, Problem, Repair
from ..model.problems import problem, sole_near
from ..model.text import join_names
from ..schedule import assets
from .missing_names import MissingName, one_per_cause
from .reaching_definitions import CellFlow, Version, Versions
from .read_cells import CellAnalysis, parse


class Diagnostics:
    """Finds the problems of an analysed notebook."""

    def __init__(
        self,
        cells: Sequence[Cell],
        versions: Versions,
        parsed: dict[int, Python | SyntaxProblem],
        infer: bool,
        observed: Mapping[str, Mapping[str, bool]],
        reported: Callable[[MissingName], bool],
    ) -> None:
        """`reported` returns whether another problem already reports why a cell lacks a name."""
        self._reported = reported
        self.cells = cells
        self.versions = versions
        self.parsed = parsed
        self.infer = infer
        self._scratch: dict[str, Cell] | None = None
        self._observed = observed
        self._changed = {
            flow.analysis.cell.task: {note.kind for note in flow.analysis.uses.notes}
            for flow in versions.flows
            if flow.analysis.cell.task is not None
        }

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of all cells, in notebook order. A name missing in several cells is one problem."""
        found: list[Problem | MissingName] = []
        for flow in self.versions.flows:
            found += self._names(flow)
            found += self._notes(flow.analysis)
            found += self._functions(flow.analysis)
        yield from one_per_cause(found, self._reported)
        yield from self._stale_results()

    # -- names

    def _names(self, flow: CellFlow) -> Iterator[Problem | MissingName]:
        analysis = flow.analysis
        for deleted in analysis.uses.deleted_reads:
            yield _problem(
                "NB205",
                analysis,
                deleted.line,
                f"{deleted.name} is read here, but line {deleted.deleted} of this cell deletes it",
                f"read {deleted.name} before it is deleted, or do not delete it",
            )
        for name, read in flow.reads.items():
            version = read.version
            if analysis.cell.kind is not CellKind.TASK:
                if version is not None and version.task is not None and name not in analysis.uses.deferred:
                    yield self._setup_reads_task(analysis, name, read.line, version)
                    continue
            elif version is None and not self.infer and name in self.versions.current:
                yield from self._not_an_ancestor(analysis, name, read.line)
                continue
            deletion = next(
                (each for each in self.versions.sources(version) if each.maybe_deleted and each.in_setup), None
            )
            if deletion is not None and analysis.cell.kind is CellKind.TASK:
                deleter = f"{deletion.maker.cell.at(deletion.line)}{_of(deletion.task)}"
                message = f"{name} is read here, but {deleter} deletes it, and setup sets it in every task"
                yield _problem("NB205", analysis, read.line, message, f"set {name} in a task, or do not delete it")
                continue
            if read.optional or name in analysis.unseen:
                continue
            if version is None:
                if name not in analysis.uses.values or not self._set_late(analysis, name):
                    yield self._undefined(analysis, name, read.line)
            elif version.deleted and version.certain and version.maker.cell.index not in self.versions.skippable:
                where = version.maker.cell.at(version.line)
                yield _problem(
                    "NB205",
                    analysis,
                    read.line,
                    f"{name} is read here, but {where}{_of(version.task)} deletes it",
                    f"do not delete {name} there, or set it again before it is read",
                )
        if analysis.setup_below:
            cells = ", ".join(self.cells[index].label for index in analysis.setup_below)
            yield _problem(
                "NB305",
                analysis,
                1,
                f"task {analysis.cell.task} uses setup in {cells}, which is below it",
                "move that setup cell above the task: a top-to-bottom run of the notebook fails here",
            )
        for name, index in analysis.unseen.items():
            yield _problem(
                "NB305",
                analysis,
                analysis.uses.optional.get(name) or analysis.uses.reads.get(name, 1),
                f"task {analysis.cell.task} may read {name}, but does not see it: setup sets it in "
                f"{self.cells[index].label}, which is below the task",
                f"move that setup cell above the task if the task is meant to use {name}",
            )

    def _set_late(self, analysis: CellAnalysis, name: str) -> bool:
        # A star import above, or a cell that cannot be parsed, may set any name.
        return analysis.hides_names or (bool(analysis.setup_below) and self._bound_late(analysis, name))

    def _bound_late(self, analysis: CellAnalysis, name: str) -> bool:
        for flow in self.versions.flows:
            if flow.analysis.cell.index in analysis.setup_below and name in flow.analysis.uses.bound:
                return True
        return False

    def _setup_reads_task(self, analysis: CellAnalysis, name: str, line: int, version: Version) -> Problem:
        where = version.maker.cell.at(version.line)
        return _problem(
            "NB204",
            analysis,
            line,
            f"setup reads {name}, which task {version.task} sets ({where}), but setup runs before every task",
            f"make this cell a task, or set {name} in setup",
        )

    def _not_an_ancestor(self, analysis: CellAnalysis, name: str, line: int) -> Iterator[Problem | MissingName]:
        makers = [
            flow.analysis
            for flow in self.versions.flows
            if name in flow.made and flow.analysis.position < analysis.position
        ]
        if not makers:
            if name in analysis.uses.reads:
                yield self._undefined(analysis, name, line)
            return
        task = makers[-1].cell.task
        yield _problem(
            "NB206",
            analysis,
            line,
            f"task {task} sets {name}, but {analysis.cell.task} does not depend on it, and inference is off",
            f"add --after {task}",
            Repair(kind="after", cells=(analysis.cell.in_file,), new=task or ""),
        )

    def _undefined(self, analysis: CellAnalysis, name: str, line: int) -> MissingName:
        cell = analysis.cell

        def missing(message: str, hint: str, *cause: object, code: str = "NB201", near: str = "") -> MissingName:
            return MissingName(
                name=name, cell=cell, line=line, message=message, hint=hint, cause=(code, *cause), code=code, near=near
            )

        if name in analysis.uses.bound:
            message = "{names} {is} read here, but this cell sets {it} only later, and no cell above sets {it}"
            return missing(message, f"set {name} above line {line}", "early", cell.index, name)
        scratch = self._scratch_names().get(name)
        below = next(
            (each for each in self.versions.flows if name in each.made and each.analysis.position > analysis.position),
            None,
        )
        if scratch is not None:
            place = scratch.label
            message = f"only {place} sets {{names}}, and it is a scratch cell, which nbdag does not execute"
            return missing(message, f"begin {place} with %%task NAME or %%setup", "scratch", scratch.index)
        if below is not None:
            maker = below.analysis.cell
            where = f"task {maker.task}" if maker.task else "setup"
            place = maker.label
            reader = cell.task or ""
            if cell.kind is CellKind.PARAMETERS:
                message = f"{{names}} {{is}} read here, but parameters run first, and {where} in {place} sets {{it}}"
                hint = "set {names} in this cell, or compute what needs {it} in setup, below the parameters"
                return missing(message, hint, "parameters", maker.index)
            if maker.task and reader in self._declared_before(maker.task):
                message = f"tasks form a cycle: {maker.task} -({{names}})-> {reader} -> {maker.task}"
                hint = f"remove the declaration that puts {maker.task} after {reader}"
                return missing(message, hint, maker.index, cell.index, code="NB202")
            message = f"{{names}} {{is}} read here, but set only below, by {where}"
            if maker.in_file == cell.in_file:  # both tasks come from one %%dag cell
                hint = f"create {maker.task} before {reader}, or add the dependency {maker.task} >> {reader}"
                return missing(message, hint, "below", maker.index, cell.index)
            return missing(f"{message} in {place}", f"move {place} above this one", "below", maker.index, cell.index)
        above = [each for each in self.versions.flows if each.analysis.position < analysis.position]
        made = {other for flow in above for other in flow.made} | set(analysis.uses.bound)
        near = difflib.get_close_matches(name, sorted((made | known.BUILTINS) - {name}), n=1, cutoff=0.6)
        kinds = "this cell" if cell.kind is CellKind.PARAMETERS else "a task, setup or parameters cell above"
        hint = f"set {name} in {kinds}"
        hidden = [
            each.analysis.cell.task for each in above if any(n.kind == "opaque" for n in each.analysis.uses.notes)
        ]
        if hidden and hidden[-1]:
            hint = f"if task {hidden[-1]} sets it, add --out {name} to its header"
        hint = f"did you mean {near[0]}?" if near else hint
        safe = sole_near(name, made - {name})
        return missing("no cell above sets {names}", hint, "unknown", name, near="" if hidden else safe)

    def _declared_before(self, task: str) -> set[str]:
        """Return the tasks that --after and %edges place before a task."""
        after = {each.analysis.cell.task: each.analysis.options.declared_after for each in self.versions.flows}
        found: set[str] = set()
        ahead = [task]
        while ahead:
            new = set(after.get(ahead.pop(), ())) - found
            found |= new
            ahead += new
        return found

    def _scratch_names(self) -> Mapping[str, Cell]:
        if self._scratch is None:
            self._scratch = {}
            for cell in self.cells:
                if cell.kind is CellKind.SCRATCH:
                    python = parse(cell, self.parsed)
                    if isinstance(python, Python):
                        for name in names_of(python.tree.body).bound:
                            self._scratch.setdefault(name, cell)
        return self._scratch

    # -- code that the analysis cannot see through

    def _notes(self, analysis: CellAnalysis) -> Iterator[Problem]:
        task = analysis.cell.kind is CellKind.TASK
        for note in analysis.uses.notes:
            if note.kind == "star":
                yield _problem(
                    "NB301",
                    analysis,
                    note.line,
                    f"{_star_text(note.text)} sets unknown names",
                    "import the names that you use one by one",
                )
            elif note.kind in ("opaque", "tangle"):
                hint = "declare what it needs with --after and what it sets with --out" if task else "write plain code"
                yield _problem("NB302", analysis, note.line, f"{note.text} hides what it reads and sets", hint)
            elif note.kind == "subclasses":
                if task:
                    yield from self._subclasses(analysis, note)
            elif note.kind == "history":
                if task:
                    yield self._history(analysis, note)
            elif note.kind == "cached":
                yield from self._cached_result(analysis, note)
            elif note.kind == "module" or note.kind in BY_KEY:
                yield from self._state(analysis, note)

    def _subclasses(self, analysis: CellAnalysis, note: Note) -> Iterator[Problem]:
        """Yield a warning if an earlier task defines subclasses (of any class) and this cell does not name them all."""
        for flow in self.versions.flows:
            cell, python = flow.analysis.cell, parse(flow.analysis.cell, self.parsed)
            if cell.task in (None, analysis.cell.task) or not isinstance(python, Python):
                continue
            if flow.analysis.position > analysis.position:
                return
            classes = [each.name for each in python.tree.body if isinstance(each, ast.ClassDef) and each.bases]
            missing = [name for name in classes if name not in analysis.uses.reads]
            if missing:
                message = f"{note.text} does not return {join_names(missing)}, which only task {cell.task} defines"
                hint = "define the classes in %%setup, or name them in this cell"
                yield _problem("NB302", analysis, note.line, message, hint)
                return

    def _history(self, analysis: CellAnalysis, note: Note) -> Problem:
        message = f"{note.text} refers to what other cells displayed or ran, which does not exist in a task's kernel"
        return _problem("NB463", analysis, note.line, message, "assign the value to a variable in its task")

    # -- state without a name

    def _state(self, analysis: CellAnalysis, note: Note) -> Iterator[Problem]:
        kind = BY_KEY.get(note.kind)
        task = analysis.cell.task if analysis.cell.kind is CellKind.TASK else None
        if task is None:
            if kind is not None and kind.is_generator:
                yield from self._seed_in_setup(analysis, note, kind)
            return
        key = kind.key if kind is not None else note.text.partition(".")[0]
        later = self._first_observer(analysis, key)
        if later is None:
            return
        if kind is None:
            message = f"this task changes {note.text} only in its own kernel; {later} uses {key} without that change"
            hint = "make the change in %%setup, so that it applies to every task, or pass the value on in a variable"
            yield _problem("NB462", analysis, note.line, message, hint)
        elif kind.is_generator:
            message = f"{note.text} seeds {kind.title} only in this task's kernel; {later} draws without that seed"
            yield _problem("NB461", analysis, note.line, message, kind.advice)
        else:
            code = "NB304" if note.kind in ("os/environment", "os/directory") else "NB460"
            message = f"{note.text} changes {kind.title} only in this task's kernel; {later} runs without that change"
            yield _problem(code, analysis, note.line, message, kind.advice)

    def _seed_in_setup(self, analysis: CellAnalysis, note: Note, kind: StateKind) -> Iterator[Problem]:
        """Yield a warning if several tasks draw from a generator that setup seeds."""
        drawing = [task for task, keys in self._observed.items() if keys.get(kind.key) and not self._seeds(task, kind)]
        if len(drawing) > 1:
            yield _problem(
                "NB303",
                analysis,
                note.line,
                f"{note.text} in setup gives {join_names(drawing)} the same random numbers",
                kind.advice,
            )

    def _cached_result(self, analysis: CellAnalysis, note: Note) -> Iterator[Problem]:
        """Yield a warning if a task changes a cached result of a function, and a later task calls the function."""
        later = [flow for flow in self._task_flows() if flow.analysis.position > analysis.position]
        reader = next((flow.analysis.cell.task for flow in later if note.text in flow.reads), None)
        if analysis.cell.kind is CellKind.TASK and reader is not None:
            message = (
                f"a result cached by {note.text} is changed in place, and {reader}, which calls {note.text}, does not "
                "see that change"
            )
            hint = f"change a copy, or keep the result of {note.text} in a variable"
            yield _problem("NB464", analysis, note.line, message, hint)

    def _stale_results(self) -> Iterator[Problem]:
        """Yield a warning for each caching function that reads a name that a task changes between two calls."""
        for flow in self.versions.flows:
            for definition in flow.analysis.uses.definitions:
                for obj in definition.value:
                    if obj.code is not None and obj.code.cached:
                        yield from self._stale(flow.analysis, definition.name, definition.line, obj.code)

    def _stale(self, analysis: CellAnalysis, function: str, line: int, code: FunctionEffects) -> Iterator[Problem]:
        callers = [flow for flow in self._task_flows() if function in flow.reads]
        for name in code.free_names():
            for changer in self._task_flows():
                version = changer.made.get(name)
                if version is None or version.definition is not None:
                    continue
                here = changer.analysis.position
                before = [
                    flow.analysis
                    for flow in callers
                    if flow.analysis.position < here or (flow is changer and flow.reads[function].line < version.line)
                ]
                after = [flow.analysis for flow in callers if flow.analysis.position > here]
                if before and after:
                    message = (
                        f"{function} caches results computed from {name}, which task "
                        f"{changer.analysis.cell.task} changes: "
                        f"{after[0].cell.task} gets newly computed results here"
                    )
                    hint = f"pass {name} to {function} as an argument"
                    yield _problem("NB464", analysis, line, message, hint)
                    return

    def _task_flows(self) -> Iterator[CellFlow]:
        return (flow for flow in self.versions.flows if flow.analysis.cell.kind is CellKind.TASK)

    def _first_observer(self, analysis: CellAnalysis, key: str) -> str | None:
        """Return the first later task that certainly observes the state that this task has changed."""
        below = False
        for task, keys in self._observed.items():
            if below and keys.get(key) and not (key in BY_KEY and self._seeds(task, BY_KEY[key])):
                return task
            below = below or task == analysis.cell.task
        return None

    def _seeds(self, task: str, kind: StateKind) -> bool:
        """Return whether this kind of state is a random generator that the task itself seeds."""
        return kind.is_generator and kind.key in self._changed.get(task, ())

    def _functions(self, analysis: CellAnalysis) -> Iterator[Problem]:
        made: set[str] | None = None
        for definition in analysis.uses.definitions:
            for obj in definition.value:
                methods = obj.outline.methods.values() if obj.outline is not None else (obj,)
                for code in [each.code for each in methods if each.code is not None]:
                    for name, line in code.free_names().items():
                        if name in known.BUILTINS or name in known.IPYTHON or analysis.hides_names:
                            continue
                        if made is None:
                            made = {name for flow in self.versions.flows for name in flow.made}
                        strict = any(name in flow.analysis.uses.reads for flow in self.versions.flows)
                        if name not in made and not strict:
                            near = difflib.get_close_matches(name, sorted(made | known.BUILTINS), n=1, cutoff=0.6)
                            missing = f"set {name}; without it a call of {code.name} fails"
                            hint = f"did you mean {near[0]}?" if near else missing
                            message = f"{code.name} reads {name}, which no cell sets"
                            safe = sole_near(name, made)
                            cells = (analysis.cell.in_file,)
                            rename = Repair(kind="rename", cells=cells, old=name, new=safe)
                            repair = rename if safe and not analysis.cell.made_at else None
                            yield _problem("NB306", analysis, line, message, hint, repair)


def _problem(
    code: str, analysis: CellAnalysis, line: int, message: str, hint: str, repair: Repair | None = None
) -> Problem:
    cell = analysis.cell
    message += cell.built_line_suffix(line)
    return problem(code, message, hint=hint, task=cell.task, place=cell.at(line), repair=repair)


def _star_text(source: str) -> str:
    return source if source.startswith("%") else f"from {source} import *"


def _of(task: str | None) -> str:
    return f" (task {task})" if task is not None else ""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint with the most similar of these names, or "" if no name is similar."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else ""


def asset_problems(dag: Dag) -> Iterator[Problem]:
    """Yield an error for each asset that the pipeline both waits for and produces.

    With such an asset, each run would start another run.
    """
    schedule = dag.options.schedule
    produced = {asset: task for task in dag.tasks.values() for asset in task.options.produces}
    if not schedule or not assets.is_condition(schedule):
        return
    for asset in assets.parse(schedule)[0].assets:
        if asset in produced or asset == assets.DAG_PREFIX + dag.id:
            task = produced.get(asset)
            name, by = assets.label(asset), f"task {task.id} produces" if task else "each run of this pipeline creates"
            yield problem(
                "NB320",
                f"the schedule waits for {name}, but {by} a new version, so each run would start another run",
                hint="remove this asset from --schedule" + (" or from --produces" if task else ""),
                task=None if task is None else task.id,
                place=None if task is None else dag.cells[task.cell].at(1),
            )


def cache_problems(dag: Dag) -> Iterator[Problem]:
    """Yield a warning for each task with --cache if the analysis cannot know which modules the task imports."""
    if not any(task.options.cache for task in dag.tasks.values()):
        return
    hiding = [task.id for task in dag.tasks.values() if any(map(changes_module_path, dag.kernel_code(task.id)))]
    hidden = {*hiding, *dag.descendants(*hiding)}
    for task in dag.tasks.values():
        if task.options.cache and task.id in hidden:
            yield problem(
                "NB307",
                f"task {task.id} runs again despite --cache: nbdag cannot detect changes in the modules that the task "
                "imports, because its code or an earlier task changes sys.path or runs another file",
                hint="set PYTHONPATH, or install the modules with `pip install -e`, instead",
                task=task.id,
                place=dag.cells[task.cell].at(1),
            )
