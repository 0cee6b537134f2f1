"""What is wrong with the names of a notebook, or cannot be known of them, said with a place and a next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..analysis import known
from ..analysis.scopes import names_of
from ..cells.imports import changes_module_path
from ..cells.source import Python, SyntaxProblem
from ..model.dag import Cell, CellKind, Dag, Place, Problem
from ..model.problems import problem
from .reaching_definitions import Account, Version, Versions
from .read_cells import Reading, parse


class Doubts:
    """Looks through what has been found out, and says what a person should know."""

    def __init__(
        self,
        cells: Sequence[Cell],
        versions: Versions,
        parsed: dict[int, Python | SyntaxProblem],
        infer: bool,
    ) -> None:
        self.cells = cells
        self.versions = versions
        self.parsed = parsed
        self.infer = infer
        self._scratch: dict[str, Cell] | None = None

    def all(self) -> Iterator[Problem]:
        """Every problem of every cell, in notebook order."""
        for account in self.versions.accounts:
            yield from self._names(account)
            yield from self._notes(account.reading)
            yield from self._functions(account.reading)

    # -- names

    def _names(self, account: Account) -> Iterator[Problem]:
        reading = account.reading
        for gone in reading.uses.gone:
            yield _problem(
                "NB205",
                reading,
                gone.line,
                f"{gone.name} is read after line {gone.deleted} of the same cell has deleted it",
                f"read {gone.name} before it is deleted, or do not delete it",
            )
        for name, read in account.reads.items():
            version = read.version
            if reading.cell.kind is not CellKind.TASK:
                if version is not None and version.task is not None and name not in reading.uses.latent:
                    yield self._setup_reads_task(reading, name, read.line, version)
                    continue
            elif version is None and not self.infer and name in self.versions.current:
                yield from self._not_an_ancestor(reading, name, read.line)
                continue
            lost = next((each for each in self.versions.sources(version) if each.lost and each.in_setup), None)
            if lost is not None and reading.cell.kind is CellKind.TASK:
                where = lost.maker.cell.at(lost.line)
                message = (
                    f"{name} is read here, but {where}{_of(lost.task)} deletes it, and setup makes it in every task"
                )
                yield _problem("NB205", reading, read.line, message, f"make {name} in a task, or do not delete it")
                continue
            if read.optional:
                continue
            if version is None:
                if name not in reading.uses.values or not self._set_late(reading, name):
                    yield self._undefined(reading, name, read.line)
            elif version.gone and version.certain and version.maker.cell.index not in self.versions.skippable:
                where = version.maker.cell.at(version.line)
                yield _problem(
                    "NB205",
                    reading,
                    read.line,
                    f"{name} is read here, but {where}{_of(version.task)} deletes it",
                    f"do not delete {name} there, or set it again before it is read",
                )
        if reading.late:
            cells = ", ".join(str(self.cells[index].in_file + 1) for index in reading.late)
            yield _problem(
                "NB305",
                reading,
                1,
                f"this task needs the setup of cell {cells}, which stands below it",
                "move that setup cell above the task: a run of the notebook from top to bottom fails here",
            )

    def _set_late(self, reading: Reading, name: str) -> bool:
        # A star import above may set any name, and of a cell that cannot be parsed nothing is known.
        return reading.star or (bool(reading.late) and self._bound_late(reading, name))

    def _bound_late(self, reading: Reading, name: str) -> bool:
        for account in self.versions.accounts:
            if account.reading.cell.index in reading.late and name in account.reading.uses.bound:
                return True
        return False

    def _setup_reads_task(self, reading: Reading, name: str, line: int, version: Version) -> Problem:
        where = version.maker.cell.at(version.line)
        return _problem(
            "NB204",
            reading,
            line,
            f"setup reads {name}, which task {version.task} makes ({where}), and setup runs before every task",
            f"make this cell a task, or set {name} in setup",
        )

    def _not_an_ancestor(self, reading: Reading, name: str, line: int) -> Iterator[Problem]:
        makers = [
            account.reading
            for account in self.versions.accounts
            if name in account.made and account.reading.position < reading.position
        ]
        if not makers:
            if name in reading.uses.reads:
                yield self._undefined(reading, name, line)
            return
        task = makers[-1].cell.task
        yield _problem(
            "NB206",
            reading,
            line,
            f"{name} is made by task {task}, which does not come before {reading.cell.task}, and inference is off",
            f"add --after {task}",
        )

    def _undefined(self, reading: Reading, name: str, line: int) -> Problem:
        if name in reading.uses.bound:
            return self._too_early(reading, name, line)
        scratch = self._scratch_names().get(name)
        below = next(
            (each for each in self.versions.accounts if name in each.made and each.reading.position > reading.position),
            None,
        )
        if scratch is not None:
            place = f"cell {scratch.in_file + 1}"
            return _problem(
                "NB201",
                reading,
                line,
                f"{name} is set only by {place}, a scratch cell, which does not run headlessly",
                f"begin {place} with %%task NAME or %%setup",
            )
        if below is not None:
            maker = below.reading
            where = f"task {maker.cell.task}" if maker.cell.task else "setup"
            place = f"cell {maker.cell.in_file + 1}"
            reader = reading.cell.task or ""
            if maker.cell.task and reader in self._said_before(maker.cell.task):
                message = f"tasks form a cycle: {maker.cell.task} -({name})-> {reader} -> {maker.cell.task}"
                hint = f"drop what says that {maker.cell.task} comes after {reader}"
                return _problem("NB202", reading, line, message, hint)
            if maker.cell.in_file == reading.cell.in_file:  # one %%dag cell makes both
                hint = f"make {maker.cell.task} before {reader}, or let {reader} come after it"
                return _problem("NB201", reading, line, f"{name} is read here, but set only below, by {where}", hint)
            return _problem(
                "NB201",
                reading,
                line,
                f"{name} is read here, but set only below, by {where} in {place}",
                f"move {place} above this one",
            )
        above = [each for each in self.versions.accounts if each.reading.position < reading.position]
        made = {other for account in above for other in account.made} | set(reading.uses.bound)
        near = difflib.get_close_matches(name, sorted((made | known.BUILTINS) - {name}), n=1, cutoff=0.6)
        hint = f"set {name} in a task, setup or parameters cell above"
        hidden = [each.reading.cell.task for each in above if any(n.kind == "opaque" for n in each.reading.uses.notes)]
        if hidden and hidden[-1]:
            hint = f"if task {hidden[-1]} sets it, add --out {name} to its header"
        hint = f"did you mean {near[0]}?" if near else hint
        return _problem("NB201", reading, line, f"nothing above sets {name}", hint)

    def _said_before(self, task: str) -> set[str]:
        """The tasks that a task comes after, as far as headers say."""
        after = {each.reading.cell.task: each.reading.options.after for each in self.versions.accounts}
        found: set[str] = set()
        ahead = [task]
        while ahead:
            new = set(after.get(ahead.pop(), ())) - found
            found |= new
            ahead += new
        return found

    def _too_early(self, reading: Reading, name: str, line: int) -> Problem:
        message = f"{name} is read here, but this cell sets it only later, and nothing above does"
        return _problem("NB201", reading, line, message, f"set {name} above line {line}")

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

    # -- what cannot be known

    def _notes(self, reading: Reading) -> Iterator[Problem]:
        task = reading.cell.kind is CellKind.TASK
        for note in reading.uses.notes:
            if note.kind == "star":
                yield _problem(
                    "NB301",
                    reading,
                    note.line,
                    f"which names the * of {note.text} sets cannot be seen",
                    "import the names that you use, one by one",
                )
            elif note.kind in ("opaque", "tangle"):
                hint = "declare with --after what it needs and with --out what it sets" if task else "write it as code"
                yield _problem("NB302", reading, note.line, f"what {note.text} reads and sets cannot be seen", hint)
            elif note.kind == "seed" and not task:
                yield _problem(
                    "NB303",
                    reading,
                    note.line,
                    f"{note.text} in setup starts every task with the same random numbers",
                    "make a generator in a task, such as rng = np.random.default_rng(0), so that it flows",
                )
            elif note.kind in ("environment", "directory") and task:
                what = "the environment" if note.kind == "environment" else "the working directory"
                yield _problem(
                    "NB304",
                    reading,
                    note.line,
                    f"{note.text} changes {what} for this task alone",
                    "do it in %%setup, so that every task has it",
                )

    def _functions(self, reading: Reading) -> Iterator[Problem]:
        made: set[str] | None = None
        for definition in reading.uses.definitions:
            for thing in definition.value:
                methods = thing.outline.methods.values() if thing.outline is not None else (thing,)
                for code in [each.code for each in methods if each.code is not None]:
                    for name, line in code.free_names().items():
                        if name in known.BUILTINS or name in known.IPYTHON or reading.star:
                            continue
                        if made is None:
                            made = {name for account in self.versions.accounts for name in account.made}
                        strict = any(name in account.reading.uses.reads for account in self.versions.accounts)
                        if name not in made and not strict:
                            near = difflib.get_close_matches(name, sorted(made | known.BUILTINS), n=1, cutoff=0.6)
                            hint = f"did you mean {near[0]}?" if near else f"set {name}, or a call of {code.name} fails"
                            message = f"{code.name} reads {name}, which no cell sets"
                            yield _problem("NB306", reading, line, message, hint)


def _problem(code: str, reading: Reading, line: int, message: str, hint: str) -> Problem:
    cell = reading.cell
    return problem(code, f"{message}{cell.built_line_suffix(line)}", hint=hint, task=cell.task, place=cell.at(line))


def _of(task: str | None) -> str:
    return f" (task {task})" if task is not None else ""


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint with the nearest of these names; empty where none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else ""


def cache_problems(dag: Dag) -> Iterator[Problem]:
    """Yield a warning for each task with --cache whose imported modules cannot be known."""
    if not any(task.options.cache for task in dag.tasks.values()):
        return
    hiding = [task.id for task in dag.tasks.values() if any(map(changes_module_path, dag.kernel_code(task.id)))]
    hidden = {*hiding, *dag.descendants(*hiding)}
    for task in dag.tasks.values():
        if task.options.cache and task.id in hidden:
            yield problem(
                "NB307",
                f"task {task.id} runs anew in spite of --cache: the code changes sys.path or runs another file, so "
                "whether modules have changed cannot be seen",
                hint="set PYTHONPATH, or install them with `pip install -e`, instead",
                task=task.id,
                place=Place(cell=task.cell, line=1),
            )
