"""What each cell of a notebook is to a headless run, and what its headers say.

A cell magic of nbdag's, or papermill's tag, tells a cell's kind; without one, its place does: code above the first
task, or above `%%dag`, is setup, below it scratch. A cell magic counts on the first line of its cell, blank lines
aside, as IPython has it. nbdag's own lines (`%load_ext nbdag`, `%dag`, `%edges`, `%nbdag`, and the header) become
comments in `Cell.code`, so that a kernel need not know them and every other line keeps its number. What is wrong
becomes a `Problem`; a header that cannot be read still makes its cell a task: one slip should not look like twenty.

Which code an operator makes of a cell, and what the code means, is decided elsewhere.
"""

from __future__ import annotations

import difflib
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ..model.dag import Cell, CellKind, Place, Problem
from ..model.problems import problem
from ..options.options import DagOptions, TaskOptions
from .header import MAGICS, Header, HeaderError, dag_options, is_header, parse, task_options

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"  # what papermill left in a notebook that it ran
_KINDS = {
    "task": CellKind.TASK,
    "setup": CellKind.SETUP,
    "params": CellKind.PARAMETERS,
    "skip": CellKind.SCRATCH,
}
_CELL_MAGIC = re.compile(r"\s*%%\w")
_CANDIDATE = re.compile(r"^\s*%{1,2}\s*\w+", re.MULTILINE)
_EXTENSION = re.compile(r"\s*%(?:re|un)?load_ext\s+nbdag\s*(?:#.*)?\Z")
_MAGIC = re.compile(r"\s*(?P<magic>%%?(?P<name>\w+))(?P<rest>.*)", re.DOTALL)
_TASK_NAME = re.compile(r"\s*%%?task\s+([A-Za-z_][A-Za-z0-9_.-]{0,249})(?=\s|\Z)")
# IPython's own magics, and widespread ones, that look like ours.
_OTHERS = frozenset({"ask", "tag", "set", "setenv", "edit", "time", "page"})


@dataclass(frozen=True, slots=True)
class RawCell:
    """A cell as it stands in the file."""

    source: str
    type: str = "code"  # code, markdown or raw
    tags: tuple[str, ...] = ()
    built: int | None = (
        None  # of a cell that %%dag built: the line that made it, from 1; of %%dag: 0, once it has built
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedCells:
    """The cells of a notebook by kind, and what its headers say."""

    cells: tuple[Cell, ...]
    dag: Header | None  # the %dag line that says something; None where none does
    options: DagOptions
    task_options: dict[int, TaskOptions]  # by cell
    body: dict[int, int]  # of a task cell: on which line, from 1, what the operator is given begins
    declared: tuple[tuple[str, str, Place], ...]  # of %edges: before, after, where it says so
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Reading:
    """One cell, while it is being sorted."""

    index: int
    number: int  # of the cell of the file that it is, or that made it
    raw: RawCell
    lines: list[str]
    kind: CellKind | None = None  # None: its place decides
    header: Header | None = None
    task: str | None = None
    body: int = 0  # the first line, from 0, below the header
    own: list[int] = field(default_factory=list)  # lines, from 0, that are nbdag's
    only_own: bool = False  # nothing else stands in it

    @property
    def builds(self) -> bool:
        """Whether it is a %%dag cell."""
        return self.header is not None and self.header.builds

    @property
    def told(self) -> str:
        """Which cell it is, as people count."""
        return f"made by {self.place(0)}" if self.raw.built else f"cell {self.number + 1}"

    def place(self, line: int) -> Place:
        """`line` from 0."""
        return Place(cell=self.number, line=self.raw.built or line + 1)


def classify(cells: Sequence[RawCell]) -> ClassifiedCells:
    """Tell the kind of every cell, and read all headers."""
    return _Classifier(cells).classify()


def code_of(lines: Sequence[str], own: Sequence[int]) -> str:
    """The lines with nbdag's own made comments, each on its line still."""
    kept = list(lines)
    for line in own:
        text = kept[line].lstrip()
        indent = kept[line][: len(kept[line]) - len(text)]
        # An indented one may be all that its block holds.
        kept[line] = f"{indent}pass  # {text}" if indent and line - 1 not in own else f"# {text}"
    first = next((n for n, line in enumerate(kept) if line.strip() and not line.startswith("#")), None)
    if own and first is not None and _CELL_MAGIC.match(kept[first]):
        # Another cell magic follows, which IPython sees below blank lines, but not below a comment.
        kept[:first] = [""] * first
    return "\n".join(kept)


class _Classifier:
    def __init__(self, cells: Sequence[RawCell]) -> None:
        self.problems: list[Problem] = []
        self.dag: Header | None = None
        self.dag_at: Place | None = None
        self.declared: list[tuple[str, str, Place]] = []
        self.readings: list[_Reading] = []
        number = -1
        for index, raw in enumerate(cells):
            number += 0 if raw.built else 1
            lines = [line.removesuffix("\r") for line in raw.source.split("\n")]
            self.readings.append(_Reading(index, number, raw, lines))

    def classify(self) -> ClassifiedCells:
        for reading in self.readings:
            if reading.raw.type == "code":
                self._read(reading)
            else:
                reading.kind = CellKind.PROSE
        options = dag_options(self.dag)
        said: dict[int, TaskOptions] = {}
        for reading in self.readings:
            if reading.task is not None:
                about = reading.header.options if reading.header else {}
                said[reading.index] = task_options(options.defaults, about)
        self._check_tasks()
        self._check_parameters()
        self.problems.sort(key=lambda each: (each.place.cell, each.place.line) if each.place else (-1, 0))
        return ClassifiedCells(
            cells=tuple(self._cell(reading, said.get(reading.index)) for reading in self.readings),
            dag=self.dag,
            options=options,
            task_options=said,
            body={reading.index: reading.body + 1 for reading in self.readings if reading.task is not None},
            declared=tuple(self.declared),
            problems=tuple(self.problems),
        )

    def _cell(self, reading: _Reading, told: TaskOptions | None) -> Cell:
        kind = reading.kind
        if kind is None:
            tasks = (other.index for other in self.readings if other.kind is CellKind.TASK or other.builds)
            kind = (
                CellKind.CONTROL
                if reading.only_own
                else CellKind.SETUP
                if reading.index < next(tasks, len(self.readings))
                else CellKind.SCRATCH
            )
        own = reading.own
        if told is not None and told.operator != "python":
            own = [line for line in own if line < reading.body]  # below is another language
        code = code_of(reading.lines, own) if reading.raw.type == "code" else ""
        return Cell(
            index=reading.index,
            kind=kind,
            source=reading.raw.source,
            code=code,
            task=reading.task,
            number=None if reading.number == reading.index else reading.number,
            made_at=reading.raw.built or None,
        )

    # -- one cell ------------------------------------------------------------------------------------------------------

    def _read(self, reading: _Reading) -> None:
        lines = reading.lines
        first = next((n for n, line in enumerate(lines) if line.strip()), 0)
        if PARAMETERS_TAG in reading.raw.tags or INJECTED_TAG in reading.raw.tags:
            reading.kind = CellKind.PARAMETERS
        head = _MAGIC.match(lines[first])
        if is_header(lines[first]) and head and (head["name"] in _KINDS or head["magic"].startswith("%%")):
            self._read_header(reading, first, head["name"])
        elif head and head["magic"].startswith("%%"):
            self._check_near_miss(reading, first, lines[first])
            following = next((n for n in range(first + 1, len(lines)) if lines[n].strip()), None)
            if following is not None and is_header(lines[following]) and _CELL_MAGIC.match(lines[following]):
                self._not_first(reading, following, f"put it above {head['magic']}")
            return  # the body is that magic's business
        skipped = reading.kind is CellKind.SCRATCH
        other_language = reading.header is not None and reading.header.options.get("operator", "python") != "python"
        if not skipped and not other_language:
            self._read_lines(reading)
        left = (line.strip() for n, line in enumerate(lines) if n not in reading.own)
        reading.only_own = bool(reading.own) and not any(line and not line.startswith("#") for line in left)

    def _read_header(self, reading: _Reading, first: int, name: str) -> None:
        last = _last_line(reading.lines, first)
        text = "\n".join(reading.lines[first : last + 1])
        reading.own.extend(range(first, last + 1))
        reading.body = last + 1
        try:
            reading.header = parse(text)
        except HeaderError as error:
            self._bad_header(reading, first, error)
            found = _TASK_NAME.match(text)
            reading.task = found[1] if found else None
        else:
            reading.task = reading.header.name if name == "task" else None
        if name == "dag" and reading.header is not None:
            self._dag_line(reading, first, reading.header)
            if reading.raw.built is None:
                reading.kind = CellKind.BUILDER
                return
        if name not in _KINDS:  # what is below %%dag and %%edges is no code of a task or of setup
            reading.own = list(range(len(reading.lines)))
            reading.kind = CellKind.CONTROL
            return
        kind = _KINDS[name]
        if reading.kind is CellKind.PARAMETERS and kind is not CellKind.PARAMETERS:
            tag = next(tag for tag in (PARAMETERS_TAG, INJECTED_TAG) if tag in reading.raw.tags)
            self._say(
                "NB112",
                reading.place(first),
                f"the cell has papermill's tag {tag} and is {MAGICS[name]} too",
                hint=f"remove the tag, or {MAGICS[name]}",
                task=reading.task,
            )
        reading.kind = kind

    def _read_lines(self, reading: _Reading) -> None:
        """Find nbdag's line magics among the code below the header."""
        if not _CANDIDATE.search("\n".join(reading.lines[reading.body :])):
            return
        work = ["" if n < reading.body else line for n, line in enumerate(reading.lines)]
        body = next((line for line in work if line.strip() and not line.lstrip().startswith("#")), "")
        if reading.body and _CELL_MAGIC.match(body) and not is_header(body):
            return  # a cell magic below the header: the rest is that magic's business
        for start, end in _commands(work):
            text = "\n".join(reading.lines[start : end + 1])
            if _EXTENSION.match(text):
                reading.own.extend(range(start, end + 1))
            elif is_header(text):
                reading.own.extend(range(start, end + 1))
                self._read_line(reading, start, text)
            else:
                self._check_near_miss(reading, start, text)

    def _read_line(self, reading: _Reading, line: int, text: str) -> None:
        magic = _MAGIC.match(text)
        if magic and (magic["name"] in _KINDS or magic["magic"] == "%%dag"):
            hint = "begin a new cell with it"
            if not any(row.strip() and not row.lstrip().startswith("#") for row in reading.lines[:line]):
                hint = "move it above the comment"
            self._not_first(reading, line, hint)
            return
        try:
            header = parse(text)
        except HeaderError as error:
            self._bad_header(reading, line, error)
            return
        if header.kind == "edges":
            self.declared += [(before, after, reading.place(line)) for before, after in header.edges]
        elif header.kind == "dag":
            self._dag_line(reading, line, header)

    def _dag_line(self, reading: _Reading, line: int, header: Header) -> None:
        if header.is_bare:
            return
        if self.dag_at is None:
            self.dag, self.dag_at = header, reading.place(line)
        else:
            first = f"the first is in {self.dag_at}"
            hint = "say it all in one; a bare %dag draws the graph, a bare %%dag only builds"
            self._say("NB105", reading.place(line), f"a second %dag line says something; {first}", hint=hint)

    # -- problems ------------------------------------------------------------------------------------------------------

    def _say(self, code: str, place: Place, message: str, *, hint: str = "", task: str | None = None) -> None:
        self.problems.append(problem(code, message, hint=hint, task=task, place=place))

    def _bad_header(self, reading: _Reading, line: int, error: HeaderError) -> None:
        found = _TASK_NAME.match(reading.lines[line])
        for each in (error, *error.others):
            message = f"{each.magic}, column {each.column}: {each.message}"
            self._say("NB101", reading.place(line), message, hint=each.hint, task=found[1] if found else None)

    def _not_first(self, reading: _Reading, line: int, hint: str) -> None:
        magic = _MAGIC.match(reading.lines[line])
        name = magic["magic"] if magic else ""
        self._say("NB103", reading.place(line), f"{name} is not the first line of its cell", hint=hint)

    def _check_near_miss(self, reading: _Reading, line: int, text: str) -> None:
        """`%%taks train`, which would be lost without a word."""
        found = _MAGIC.match(text)
        if not found or found["name"] in _OTHERS or found["rest"].startswith("?"):
            return
        like = difflib.get_close_matches(found["name"].lower(), MAGICS, n=1, cutoff=0.75)
        if not like:
            return
        right = "%%dag" if like[0] == "dag" and found["magic"].startswith("%%") else MAGICS[like[0]]
        try:
            parse(right + found["rest"])
        except HeaderError:
            return  # somebody else's magic, with words of its own
        self._say("NB104", reading.place(line), f"{found['magic']} is unknown", hint=f"did you mean {right}?")

    def _check_tasks(self) -> None:
        where: dict[str, _Reading] = {}
        for reading in self.readings:
            if reading.task is None:
                continue
            if reading.task in where:
                self._say(
                    "NB102",
                    reading.place(reading.body - 1),
                    f"there are two tasks named {reading.task!r}; the first is {where[reading.task].told}",
                    hint="give one of them another name",
                    task=reading.task,
                )
            where.setdefault(reading.task, reading)
        wrong = any(each.severity == "error" for each in self.problems)  # it may be what hides the task: say that alone
        some = (CellKind.TASK, CellKind.BUILDER)
        if not wrong and not any(reading.kind in some for reading in self.readings):
            code = any(reading.raw.type == "code" and reading.raw.source.strip() for reading in self.readings)
            message = "the notebook has no task" if code else "the notebook has no code"
            hint = "write %%task NAME as the first line of a cell"
            if any(reading.builds for reading in self.readings):
                message = "the code of %%dag built no task"
                hint = "make one there, such as Python('train', 'model = fit(X, y)')"
            self.problems.append(problem("NB107", message, hint=hint))

    def _check_parameters(self) -> None:
        cells = [
            reading
            for reading in self.readings
            if reading.kind is CellKind.PARAMETERS and INJECTED_TAG not in reading.raw.tags
        ]
        for reading in cells[1:]:
            self._say(
                "NB111",
                reading.place(0),
                f"a second parameters cell; the first is {cells[0].told}",
                hint="papermill overrides after the first only: make them one cell",
            )


def _last_line(lines: Sequence[str], start: int) -> int:
    """Where a line that goes on after a backslash ends."""
    end = start
    while lines[end].endswith("\\") and end + 1 < len(lines):
        end += 1
    return end


@cache
def _tokens_by_line() -> Any:
    from IPython.core.inputtransformer2 import make_tokens_by_line  # slow to import, and most cells hold no magic

    return make_tokens_by_line


def _commands(lines: list[str]) -> Iterator[tuple[int, int]]:
    """First and last line of each magic or shell command, as IPython finds them: never inside a string."""
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
    for line in _tokens_by_line()([f"{line}\n" for line in lines]):
        tokens = (token for token in line if token.type not in (tokenize.INDENT, tokenize.DEDENT))
        token = next(tokens, None)
        if token is not None and token.string in ("%", "!", "?", "!!"):
            return token.start[0] - 1, token.start[1]
    return None
