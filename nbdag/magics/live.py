"""What happens around a tagged cell while it runs in the live notebook.

A task's cell simply runs. Its header is read first, and a wrong one keeps the cell from running; `--when` is asked
before the body, `--check` after it, and with `--map` the body runs once per element, one after the other, and each
name that it wrote is then the list of what each run wrote: what a later task sees headlessly. Retries, timeouts,
pools and schedules belong to headless runs.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from IPython.core.error import UsageError

from ..core.analysis.names import uses
from ..core.cells.header import Header, is_header, task_options
from ..core.cells.source import SyntaxProblem, to_python
from ..core.model.states import TaskState
from ..core.options.options import TaskOptions
from ..errors import Fail, NbdagError, Skip
from ..kernels.runtime.expressions import check, elements, evaluate
from ..kernels.runtime.tracebacks import write_header
from ..session import Session, split

_NOTHING: Any = object()


class Around:
    """The running cell of one kernel. The syntax tree that `transform` makes calls these methods."""

    def __init__(self, shell: Any, session: Session) -> None:
        self.shell = shell
        self.session = session
        self.defaults: Mapping[str, Any] = {}  # what the latest %dag says of every task
        self.options = TaskOptions()  # of the cell that is running
        self._source = ""  # its text
        self._goes = True
        self._skipped = ""  # why the cell was skipped
        self._count: int | None = None  # instances of a mapped task
        self._refused = False  # the header could not be read

    @property
    def source(self) -> str:
        """The text of the cell that is running."""
        return self._source

    def options_of(self, said: Mapping[str, Any]) -> TaskOptions:
        """A header's options, with what %dag says of all tasks."""
        return task_options(self.defaults, said)

    # What the kernel's events call.

    def begin(self, source: str, cell_id: str | None) -> None:
        """A cell begins."""
        self.options, self._source, self._goes = TaskOptions(), source, True
        self._skipped, self._count, self._refused = "", None, False
        self.session.begin(source, cell_id)

    def end(self, error: BaseException | None) -> None:
        """The cell has ended."""
        if self._refused:
            self.session.discard()
        elif error is not None:
            self.session.end(TaskState.FAILED, reason=_sentence(error), count=self._count)
        elif self._skipped:
            self.session.end(TaskState.SKIPPED, reason=self._skipped, count=self._count)
        else:
            self.session.end(TaskState.SUCCESS, count=self._count)

    # What the magics call.

    def start(self, header: Header) -> None:
        """The header of a task's cell has been read."""
        self.options = self.options_of(header.options)

    def show_header(self, text: str, *, framed: bool = False) -> None:
        """The cell's header runs now: from here on, tracebacks show it as it was written, which is `text` at least."""
        lines = self._source.lstrip("\n").split("\n")
        end = 1 + next((n for n, line in enumerate(lines) if not line.rstrip().endswith("\\")), 0)
        written = lines[:end] if is_header(lines[0]) else [text]
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_globals is not self.shell.user_ns:
            frame = frame.f_back
        write_header(frame, written, framed=framed)

    def refuse(self) -> None:
        """The header of the cell cannot be read."""
        self._refused = True

    # What the syntax tree calls.

    def goes(self) -> bool:
        """Whether the body runs: what `--when` says now."""
        expression = self.options.when
        self._goes = expression is None or self._asked("--when", expression)
        if not self._goes:
            self._skipped = f"--when {expression} is false"
            if not self.options.map:
                print(f"skipped: {self._skipped}")
        return self._goes

    def went(self) -> bool:
        """What `goes` said: the rest of the body follows it."""
        return self._goes

    def done(self, *value: Any) -> Any:
        """The body is through: check it. `value` is what its last expression gave, which IPython goes on to display."""
        try:
            for expression in self.options.check:
                check(expression, self.shell.user_ns)
        except Fail as error:
            self._display(*value)
            raise plain(error) from None
        return value[0] if value else None

    def shown(self, *value: Any) -> None:
        """The same inside a loop or a `try`, where IPython displays nothing by itself."""
        self.done(*value)
        self._display(*value)

    def _display(self, *value: Any) -> None:
        if value and not self.shell.displayhook.quiet():
            self.shell.displayhook(value[0])

    Skip = Skip

    def skip(self) -> None:
        """The body has raised `nbdag.Skip`."""
        self._goes = False
        self._skipped = str(sys.exc_info()[1]) or "the cell said so"
        if not self.options.map:
            print(f"skipped: {self._skipped}")

    def cannot(self, sentence: str) -> None:
        """The operator cannot make code of the cell."""
        raise UsageError(sentence)

    def elements(self) -> Iterator[tuple[Any, ...]]:
        """The elements of a mapped task. For each, the names that the cell writes are first what they were before."""
        namespace = self.shell.user_ns
        options = self.options
        try:
            columns, rows = elements(options.map, namespace, in_step=options.zip, limit=options.max_map_length)
        except Fail as error:
            raise plain(error) from None
        found = [tuple(column[at] for column, at in zip(columns.values(), row, strict=True)) for row in rows]
        self._count = len(found)
        variables = [variable for variable, _ in self.options.map]
        written, changed = self._gives()
        before = {name: namespace.get(name, _NOTHING) for name in {*variables, *written, *changed}}
        left: dict[str, list[Any]] = {name: [] for name in (*written, *changed)}
        ran = 0
        for element in found:
            for name, value in before.items():
                if name not in variables:
                    _set(namespace, name, _copied(value) if name in changed else value)
            self._goes = True
            yield element
            if not self._goes:
                continue
            ran += 1
            for name, values in left.items():
                if name in namespace:
                    values.append(namespace[name])
        for name in variables:
            _set(namespace, name, before[name])
        for name, values in left.items():
            _set(namespace, name, values if values else before[name])
        if not found:
            self._skipped = f"--map {' '.join(f'{a}={b}' for a, b in self.options.map)} has no element"
        if ran:
            self._skipped = ""
        else:
            print(f"skipped: {self._skipped}")

    def _gives(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names that the cell binds, and those that it changes in place, but for definitions and map variables."""
        python = to_python(split(self._source)[1])
        if isinstance(python, SyntaxProblem):
            return (), ()
        used = uses(python)
        left_out = {definition.name for definition in used.definitions} | {variable for variable, _ in self.options.map}
        written = tuple(name for name in (*used.writes, *used.maybe_writes) if name not in left_out)
        return written, tuple(name for name in used.changes if name not in left_out and name not in written)

    def _asked(self, option: str, expression: str) -> bool:
        try:
            return bool(evaluate(expression, self.shell.user_ns))
        except Exception as error:
            sentence = f"{option} {expression} cannot be told ({type(error).__name__}: {error}); the cell did not run"
            raise UsageError(sentence) from None


def plain(error: NbdagError) -> NbdagError:
    """The error, shown as its sentence alone: where it was raised is nbdag's own affair."""
    sentence = f"{type(error).__name__}: {error}"
    error._render_traceback_ = lambda: [sentence]  # type: ignore[attr-defined]  # IPython's protocol
    return error


def _sentence(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    if isinstance(error, Fail) and text:
        return text[0]
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _set(namespace: dict[str, Any], name: str, value: Any) -> None:
    if value is _NOTHING:
        namespace.pop(name, None)
    else:
        namespace[name] = value


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # a connection, a lock: whatever cannot be copied is shared
        return value
