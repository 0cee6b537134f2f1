"""Classify the cells of a notebook and parse their headers.

A cell magic of nbdag, a tag of papermill or nbclient's tag `skip-execution` determines the kind of a cell. Any other
code cell is setup if it is above the first task or `%%dag` cell. Otherwise the cell is scratch, which nbdag does not
execute. As in IPython, a cell magic must be the first nonblank line of the cell. The lines with nbdag's magics
(`%load_ext nbdag`, `%dag`, `%edges`, `%nbdag`, and headers) become comments in `Cell.code`. So a kernel without nbdag
can execute the code, and line numbers do not change. Errors become `Problem`s. A cell with an invalid `%%task` header
still counts as a task, because otherwise one typing error would cause many problems.

Other modules apply operators and analyse code.
"""

from __future__ import annotations

import difflib
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ..model.dag import Cell, CellKind, Place, Problem, Repair
from ..model.problems import problem, word_repair
from ..options.options import DagOptions, TaskOptions
from .header import MAGICS, Header, HeaderError, dag_options, is_header, parse, task_options

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"  # tag of the cell that papermill adds to a notebook for overridden parameters
SKIP_TAG = "skip-execution"  # nbclient, and so papermill, does not execute a cell with this tag
_KINDS = {
    "task": CellKind.TASK,
    "setup": CellKind.SETUP,
    "params": CellKind.PARAMETERS,
    "skip": CellKind.SCRATCH,
}
_CELL_MAGIC = re.compile(r"\s*%%\w")
_CANDIDATE = re.compile(r"^\s*%[% \t]*\w+", re.MULTILINE)
_AIRFLOW = re.compile(r"\s*(?:from|import)\s+(?:nbdag\.)?airflow\b")
_EXTENSION = re.compile(r"\s*%(?:re|un)?load_ext\s+nbdag\s*(?:#.*)?\Z")
_UNKNOWN_OPTION = re.compile(r"unknown option (--\S+)")
_NEAR_OPTION = re.compile(r"did you mean (--\S+)\?")
# Also matches a name that Jupyter cannot find, such as `%% task` or `%%task:`.
_MAGIC = re.compile(r"\s*(?P<magic>%[% \t]*(?P<name>\w+):?)(?P<rest>.*)", re.DOTALL)
_POSSIBLE_MAGIC = re.compile(r"%%?\w+")
_TASK_NAME = re.compile(r"\s*%%?task\s+([A-Za-z_][A-Za-z0-9_.-]{0,249})(?=\s|\Z)")
_DAG_LINE = re.compile(r"\s*%%?dag\s")
# Other magics whose names are similar to those of nbdag's magics.
_OTHERS = frozenset({"ask", "tag", "set", "setenv", "edit", "time", "page"})


@dataclass(frozen=True, slots=True)
class RawCell:
    """A cell as the file stores it."""

    source: str
    type: str = "code"  # code, markdown or raw
    tags: tuple[str, ...] = ()
    # The line of the %%dag cell that built this cell, from 1. 0: this %%dag cell has built cells. None: any other cell.
    built: int | None = None
    text_line: int | None = None  # line of a text notebook at which the source begins, from 1; None for other notebooks
    # The cell in nbdag's language, translated from another tool's tags. None: no translation, so `source` is read. For
    # each line of the translation, `origin` has the place in the user's file.
    translated: str | None = None
    origin: tuple[Place, ...] = ()

    @property
    def text(self) -> str:
        """Return the text that is classified: the translation if there is one, otherwise the source."""
        return self.source if self.translated is None else self.translated


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedCells:
    """The cells of a notebook with their kinds, and the contents of its headers."""

    cells: tuple[Cell, ...]
    dag: Header | None  # header of the %dag line that has a name or options; None if there is none
    options: DagOptions
    task_options: dict[int, TaskOptions]  # key: index of a task cell; value: options of the task
    body: dict[int, int]  # key: index of a task cell; value: number of the first line below the header, from 1
    declared: tuple[tuple[str, str, Place], ...]  # edges of %edges, each as (upstream task, downstream task, place)
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Draft:
    """One cell while it is being classified."""

    index: int
    number: int  # number of the cell in the file, from 0; for a built cell, the number of its %%dag cell
    raw: RawCell
    lines: list[str]
    kind: CellKind | None = None  # the kind of the cell; None if the position of the cell determines the kind
    header: Header | None = None
    task: str | None = None
    body: int = 0  # number of the first line below the header, from 0
    own: list[int] = field(default_factory=list)  # numbers of the lines with nbdag's magics, from 0
    only_own: bool = False  # whether all lines, except blank lines and comments, are nbdag's magics

    @property
    def builds(self) -> bool:
        """Return whether this is a %%dag cell."""
        return self.header is not None and self.header.builds

    @property
    def label(self) -> str:
        """Return the name of this cell in messages."""
        return f"built by {self.place(0)}" if self.raw.built else self.place(0).cell_label

    def place(self, line: int) -> Place:
        """Return the place of a line. `line` counts from 0."""
        if line < len(self.raw.origin):
            return self.raw.origin[line]
        line = self.raw.built or line + 1
        first = self.raw.text_line
        return Place(cell=self.number, line=line, text_line=None if first is None else first + line - 1)


def classify(cells: Sequence[RawCell]) -> ClassifiedCells:
    """Return the kind of every cell and the contents of all headers."""
    return _Classifier(cells).classify()


def default_operator(cells: Sequence[RawCell]) -> str:
    """Return the operator that `%dag` sets for tasks whose header names no operator.

    The operator determines which options a header accepts.
    """
    for cell in cells:
        if cell.type != "code" or "--operator" not in cell.text:
            continue
        for line in re.sub(r"\\\r?\n", " ", cell.text).split("\n"):
            if _DAG_LINE.match(line):
                try:
                    found = parse(line).options.get("defaults", {})
                except HeaderError:
                    continue
                if "operator" in found:
                    return str(found["operator"])
    return "python"


def code_of(lines: Sequence[str], own: Sequence[int]) -> str:
    """Join the lines of a cell into code. `own` are the numbers of the lines to turn into comments."""
    kept = list(lines)
    head = next((line for line in lines if line.strip()), "")
    lead = head[: len(head) - len(head.lstrip())]  # IPython removes the indentation that all lines of a cell share
    for line in own:
        text = kept[line].lstrip()
        indent = kept[line][: len(kept[line]) - len(text)]
        # A magic inside a block becomes `pass`, because a comment alone would leave its block without a statement.
        in_block = indent != lead and line - 1 not in own
        kept[line] = f"{indent}pass  # {text}" if in_block else f"{lead}# {text}"
    first = next((n for n, line in enumerate(kept) if line.strip() and not line.lstrip().startswith("#")), None)
    if own and first is not None and _CELL_MAGIC.match(kept[first]):
        # IPython accepts the next cell magic below blank lines, but not below a comment.
        kept[:first] = [""] * first
    return "\n".join(kept)


class _Classifier:
    def __init__(self, cells: Sequence[RawCell]) -> None:
        self.problems: list[Problem] = []
        self.dag: Header | None = None
        self.dag_at: Place | None = None
        self.declared: list[tuple[str, str, Place]] = []
        self.drafts: list[_Draft] = []
        self.operator = default_operator(cells)
        number = -1
        for index, raw in enumerate(cells):
            number += 0 if raw.built else 1
            lines = [line.removesuffix("\r") for line in raw.text.split("\n")]
            self.drafts.append(_Draft(index, number, raw, lines))

    def classify(self) -> ClassifiedCells:
        for draft in self.drafts:
            if draft.raw.type == "code":
                self._read(draft)
            else:
                draft.kind = CellKind.PROSE
        options = dag_options(self.dag)
        by_cell: dict[int, TaskOptions] = {}
        for draft in self.drafts:
            if draft.task is not None:
                own = draft.header.options if draft.header else {}
                by_cell[draft.index] = task_options(options.defaults, own)
        self._check_tasks()
        self._check_parameters()
        self.problems.sort(key=lambda each: (each.place.cell, each.place.line) if each.place else (-1, 0))
        return ClassifiedCells(
            cells=tuple(self._cell(draft, by_cell.get(draft.index)) for draft in self.drafts),
            dag=self.dag,
            options=options,
            task_options=by_cell,
            body={draft.index: draft.body + 1 for draft in self.drafts if draft.task is not None},
            declared=tuple(self.declared),
            problems=tuple(self.problems),
        )

    def _cell(self, draft: _Draft, options: TaskOptions | None) -> Cell:
        kind = draft.kind
        untagged = False
        if kind is None:
            tasks = (other.index for other in self.drafts if other.kind is CellKind.TASK or other.builds)
            kind = (
                CellKind.CONTROL
                if draft.only_own
                else CellKind.SETUP
                if draft.index < next(tasks, len(self.drafts))
                else CellKind.SCRATCH
            )
            untagged = kind is CellKind.SCRATCH
        own = draft.own
        if options is not None and options.operator != "python":
            # The code below the header is in another language, so this code contains no magic of nbdag.
            own = [line for line in own if line < draft.body]
        code = code_of(draft.lines, own) if draft.raw.type == "code" else ""
        return Cell(
            index=draft.index,
            kind=kind,
            source=draft.raw.source,
            code=code,
            task=draft.task,
            number=None if draft.number == draft.index else draft.number,
            made_at=draft.raw.built or None,
            origin=draft.raw.origin,
            text_line=draft.raw.text_line,
            untagged=untagged,
        )

    # -- one cell ------------------------------------------------------------------------------------------------------

    def _read(self, draft: _Draft) -> None:
        lines = draft.lines
        first = next((n for n, line in enumerate(lines) if line.strip()), 0)
        if PARAMETERS_TAG in draft.raw.tags or INJECTED_TAG in draft.raw.tags:
            draft.kind = CellKind.PARAMETERS
        elif SKIP_TAG in draft.raw.tags:
            draft.kind = CellKind.SCRATCH
        head = _MAGIC.match(lines[first])
        if is_header(lines[first]) and head and (head["name"] in _KINDS or head["magic"].startswith("%%")):
            indent = lines[first][: head.start("magic")]
            if not all(line.startswith(indent) for line in lines if line.strip()):
                message = f"{head['magic']} is indented, so Jupyter does not find the cell magic"
                self._add("NB103", draft.place(first), message, hint="remove the blanks before it")
            self._read_header(draft, first, head["name"])
        elif head and head["magic"].startswith("%%"):
            self._check_near_miss(draft, first, lines[first])
            following = next((n for n in range(first + 1, len(lines)) if lines[n].strip()), None)
            if following is not None and is_header(lines[following]) and _CELL_MAGIC.match(lines[following]):
                self._not_first(draft, following, f"put it above {head['magic']}")
            return  # the other magic decides how the code below it is read
        skipped = draft.kind is CellKind.SCRATCH
        is_task = draft.header is not None and draft.task is not None
        other_language = is_task and self._operator(draft) != "python"
        if not skipped and not other_language:
            self._read_lines(draft)
        others = (line.strip() for n, line in enumerate(lines) if n not in draft.own)
        draft.only_own = bool(draft.own) and not any(line and not line.startswith("#") for line in others)

    def _read_header(self, draft: _Draft, first: int, name: str) -> None:
        last = _last_line(draft.lines, first)
        text = "\n".join(draft.lines[first : last + 1])
        draft.own.extend(range(first, last + 1))
        draft.body = last + 1
        try:
            draft.header = parse(text, default_operator=self.operator)
        except HeaderError as error:
            self._bad_header(draft, first, error)
            found = _TASK_NAME.match(text)
            draft.task = found[1] if found else None
        else:
            draft.task = draft.header.name if name == "task" else None
        if name == "dag" and draft.header is not None:
            self._dag_line(draft, first, draft.header)
            if draft.raw.built is None:
                draft.kind = CellKind.BUILDER
                return
        if name not in _KINDS:  # code below %%edges does not run, nor code below %%dag once its tasks are built
            draft.own = list(range(len(draft.lines)))
            draft.kind = CellKind.CONTROL
            return
        kind = _KINDS[name]
        if draft.kind is CellKind.PARAMETERS and kind is not CellKind.PARAMETERS:
            tag = next(tag for tag in (PARAMETERS_TAG, INJECTED_TAG) if tag in draft.raw.tags)
            self._add(
                "NB112",
                draft.place(first),
                f"the cell has papermill's tag {tag} and is {MAGICS[name]}, too",
                hint=f"remove the tag, or {MAGICS[name]}",
                task=draft.task,
            )
        draft.kind = kind

    def _operator(self, draft: _Draft) -> str:
        given = draft.header.options if draft.header is not None else {}
        return str(given.get("operator", self.operator))

    def _read_lines(self, draft: _Draft) -> None:
        """Find nbdag's line magics in the code below the header."""
        if not _CANDIDATE.search("\n".join(draft.lines[draft.body :])):
            return
        work = ["" if n < draft.body else line for n, line in enumerate(draft.lines)]
        body = next((line for line in work if line.strip() and not line.lstrip().startswith("#")), "")
        if draft.body and _CELL_MAGIC.match(body) and not is_header(body):
            return  # a cell magic below the header decides how the rest of the cell is read
        for start, end in _commands(work):
            text = "\n".join(draft.lines[start : end + 1])
            if _EXTENSION.match(text):
                draft.own.extend(range(start, end + 1))
            elif is_header(text):
                draft.own.extend(range(start, end + 1))
                self._read_line(draft, start, text)
            else:
                self._check_near_miss(draft, start, text)

    def _read_line(self, draft: _Draft, line: int, text: str) -> None:
        magic = _MAGIC.match(text)
        if magic and (magic["name"] in _KINDS or magic["magic"] == "%%dag"):
            hint = "move it to the start of a new cell"
            if not any(row.strip() and not row.lstrip().startswith("#") for row in draft.lines[:line]):
                hint = "move it above the comment"
            self._not_first(draft, line, hint)
            return
        try:
            header = parse(text)
        except HeaderError as error:
            self._bad_header(draft, line, error)
            return
        if header.kind == "edges":
            self.declared += [(before, after, draft.place(line)) for before, after in header.edges]
        elif header.kind == "dag":
            self._dag_line(draft, line, header)

    def _dag_line(self, draft: _Draft, line: int, header: Header) -> None:
        if header.is_bare:
            return
        if self.dag_at is None:
            self.dag, self.dag_at = header, draft.place(line)
        else:
            message = f"a second %dag line has a name or options; the first is in {self.dag_at}"
            hint = "put all options into one line; %dag alone draws the graph, %%dag alone builds tasks"
            self._add("NB105", draft.place(line), message, hint=hint)

    # -- problems ------------------------------------------------------------------------------------------------------

    def _add(
        self,
        code: str,
        place: Place,
        message: str,
        *,
        hint: str = "",
        task: str | None = None,
        repair: Repair | None = None,
    ) -> None:
        self.problems.append(problem(code, message, hint=hint, task=task, place=place, repair=repair))

    def _bad_header(self, draft: _Draft, line: int, error: HeaderError) -> None:
        found = _TASK_NAME.match(draft.lines[line])
        for each in (error, *error.others):
            message = f"{each.magic}, column {each.column}: {each.message}"
            place, task = draft.place(line), found[1] if found else None
            repair = None if draft.raw.built else _header_repair(each, place)
            self._add("NB101", place, message, hint=each.hint, task=task, repair=repair)

    def _not_first(self, draft: _Draft, line: int, hint: str) -> None:
        magic = _MAGIC.match(draft.lines[line])
        name = magic["magic"] if magic else ""
        place = draft.place(line)
        above = [row.strip() for row in draft.lines[:line]]
        # The header can move to the first line if only comments are above it.
        moves = all(not row or row.startswith("#") for row in above) and name.startswith("%%") and not draft.raw.built
        repair = Repair(kind="first", cells=(place.cell,)) if moves else None
        self._add("NB103", place, f"{name} is not the first line of its cell", hint=hint, repair=repair)

    def _check_near_miss(self, draft: _Draft, line: int, text: str) -> None:
        """Report a misspelt magic such as `%%taks train`, which would be ignored otherwise."""
        found = _MAGIC.match(text)
        if not found or found["name"] in _OTHERS or found["rest"].startswith("?"):
            return
        similar = difflib.get_close_matches(found["name"].lower(), MAGICS, n=1, cutoff=0.75)
        if not similar:
            return
        place, wrong = draft.place(line), found["magic"]
        right = "%%dag" if similar[0] == "dag" and wrong.startswith("%%") else MAGICS[similar[0]]
        try:
            parse(right + found["rest"])
        except HeaderError as refused:
            if _POSSIBLE_MAGIC.fullmatch(wrong) and _header_repair(refused, place) is None:
                return  # nbdag's magic rejects these arguments, so the magic belongs to another extension
        repair = Repair(kind="word", cells=(place.cell,), old=wrong, new=right)
        self._add("NB104", place, f"unknown magic {wrong}", hint=f"did you mean {right}?", repair=repair)

    def _check_tasks(self) -> None:
        first: dict[str, _Draft] = {}
        for draft in self.drafts:
            if draft.task is None:
                continue
            if draft.task in first:
                self._add(
                    "NB102",
                    draft.place(draft.body - 1),
                    f"a second task is named {draft.task!r}; the first is {first[draft.task].label}",
                    hint="rename one of them",
                    task=draft.task,
                )
            first.setdefault(draft.task, draft)
        # "The notebook has no task" is reported only if all headers are valid, because an invalid header may belong to
        # a task.
        wrong = any(each.severity == "error" for each in self.problems)
        kinds = (CellKind.TASK, CellKind.BUILDER)
        if not wrong and not any(draft.kind in kinds for draft in self.drafts):
            code = any(draft.raw.type == "code" and draft.raw.source.strip() for draft in self.drafts)
            message = "the notebook has no task" if code else "the notebook has no code"
            hint = "write %%task NAME as the first line of a cell; `nbdag suggest` proposes tasks"
            if any(draft.builds for draft in self.drafts):
                message = "the code of %%dag created no task"
                hint = "create one there, such as Python('train', 'model = fit(X, y)')"
            place = None
            for draft in self.drafts:
                lines = enumerate(draft.lines if draft.raw.type == "code" else ())
                line = next((n for n, text in lines if _AIRFLOW.match(text)), None)
                if line is not None:
                    place, message = draft.place(line), f"{message}, but imports Airflow"
                    hint = "begin the cell of the DAG with %%dag" + (
                        "" if "nbdag." in draft.lines[line] else ", and write nbdag.airflow instead of airflow"
                    )
                    break
            self.problems.append(problem("NB107", message, hint=hint, place=place))

    def _check_parameters(self) -> None:
        cells = [
            draft for draft in self.drafts if draft.kind is CellKind.PARAMETERS and INJECTED_TAG not in draft.raw.tags
        ]
        for draft in cells[1:]:
            self._add(
                "NB111",
                draft.place(0),
                f"a second parameters cell; the first is {cells[0].label}",
                hint="papermill overrides parameters of the first only; merge the cells",
            )


def _header_repair(found: HeaderError, place: Place) -> Repair | None:
    """Return the repair of a header without a name or with a misspelt option, or None."""
    if found.message == "the task has no name":
        return Repair(kind="task", cells=(place.cell,))
    option, near = _UNKNOWN_OPTION.fullmatch(found.message), _NEAR_OPTION.fullmatch(found.hint)
    return word_repair(option[1], [near[1]], place) if option and near else None


def _last_line(lines: Sequence[str], start: int) -> int:
    """Return the number of the last line of the statement that begins at `start` and that backslashes may continue."""
    end = start
    while lines[end].endswith("\\") and end + 1 < len(lines):
        end += 1
    return end


@cache
def _tokens_by_line() -> Any:
    from IPython.core.inputtransformer2 import make_tokens_by_line  # slow to import, and most cells have no magic

    return make_tokens_by_line


def _commands(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the first and last line of each magic or shell command. Like IPython, ignore lines inside strings."""
    work = list(lines)
    while True:
        found = _first_command(work)
        if found is None:
            return
        start, column = found
        end = _last_line(work, start)
        yield start, end
        work[start] = work[start][:column] + "pass"
        work[start + 1 : end + 1] = [""] * (end - start)


def _first_command(lines: Sequence[str]) -> tuple[int, int] | None:
    try:
        by_line = _tokens_by_line()([f"{line}\n" for line in lines])
    except IndentationError:  # the cell is not Python; the parser reports this
        return None
    for line in by_line:
        tokens = (token for token in line if token.type not in (tokenize.INDENT, tokenize.DEDENT))
        token = next(tokens, None)
        if token is not None and token.string in ("%", "!", "?", "!!"):
            return token.start[0] - 1, token.start[1]
    return None
