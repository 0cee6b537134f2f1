"""The execution of a tagged cell in the live notebook.

A task's cell runs like any other cell. The header is read first; if it is invalid, the cell does not run. `--when` is
evaluated before the body (the code below the header) and `--check` after it. With `--map` the body runs once for each
element of the mapped list, in order. Afterwards, each name that the body writes holds a list with one item per element.
In a headless run, downstream tasks get the same list. With `--branch` or `--short-circuit`, the value of the last
expression decides which downstream tasks run. A task that a headless run would skip is also skipped in the live
notebook. Retries, timeouts, pools and schedules apply to headless runs only.
"""

from __future__ import annotations

import contextlib
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
from ..kernels.runtime.expressions import check, choice, describe_choice, elements, evaluate, is_true
from ..kernels.runtime.tracebacks import write_header
from ..operators import OperatorError, body_warnings
from ..session import Session
from ..session.document import split
from .live_context import LiveTask
from .transform import user_names

_MISSING: Any = object()  # stands for the value of a name that is not set


class RunningCell:
    """The cell that a kernel is running. The code that `transform` generates calls the methods of this class."""

    def __init__(self, shell: Any, session: Session, task: LiveTask) -> None:
        self.shell = shell
        self.session = session
        self.task = task
        self.defaults: Mapping[str, Any] = {}  # defaults for all tasks, from the latest %dag
        self.options = TaskOptions()  # options of the running cell's task
        self._source = ""  # text of the running cell
        self._runs = True  # whether the body runs; False once it is skipped
        self._skipped = ""  # why the cell was skipped; "" if it was not
        self._count: int | None = None  # number of instances of a mapped task; None for any other task
        self._invalid_header = False
        # Tasks and groups that the cell of a branch task chose; None for any other cell.
        self._chosen: tuple[str, ...] | None = None
        self._truths: list[bool] = []  # values of the last expression of a task with --short-circuit
        self._task = ""  # id of the running cell's task
        self._by_rule = False  # whether the cell was skipped because a headless run would skip the task

    @property
    def source(self) -> str:
        """The text of the running cell."""
        return self._source

    def options_of(self, header_options: Mapping[str, Any]) -> TaskOptions:
        """Return a task's options: the options in its header, and the defaults from %dag."""
        return task_options(self.defaults, header_options)

    # IPython's events call the following methods.

    def begin(self, source: str, cell_id: str | None) -> None:
        """Record that a new cell starts."""
        self.options, self._source, self._runs = TaskOptions(), source, True
        self._skipped, self._count, self._invalid_header = "", None, False
        self._chosen, self._truths, self._task, self._by_rule = None, [], "", False
        self.session.begin(source, cell_id)

    def end(self, error: BaseException | None) -> None:
        """Record the outcome of the cell in the session."""
        self.task.end()
        if self._invalid_header:
            self.session.discard()
        elif error is not None:
            self.session.end(TaskState.FAILED, reason=_summary(error), count=self._count)
        elif self._skipped:
            short = self.options.short_circuit and self.options.when is not None and not self._by_rule
            self.session.end(TaskState.SKIPPED, reason=self._skipped, count=self._count, short_circuit=short)
        else:
            short = bool(self._truths) and not any(self._truths)
            self.session.end(TaskState.SUCCESS, count=self._count, chosen=self._chosen, short_circuit=short)

    # The magics call the following methods.

    def set_header(self, header: Header) -> None:
        """Set the task and the options of the running cell from its header."""
        self.options, self._task = self.options_of(header.options), header.name or ""
        if header.kind == "task" and header.name is not None:
            self.task.begin(header.name)
        if header.kind == "task" and self.options.operator != "python":
            self._print_warnings()

    def _print_warnings(self) -> None:
        body = split(self._source)[1]
        with contextlib.suppress(OperatorError):  # ignored here; the code that replaces the body reports it
            for line, message, hint in body_warnings(body, self.options, user_names(self.options)):
                print(f"line {line} below the header: {message}; {hint}", file=sys.stderr)

    def show_header(self, text: str, *, framed: bool = False) -> None:
        """Make tracebacks show the header as the user wrote it, or `text` if the cell does not begin with a header."""
        lines = self._source.lstrip("\n").split("\n")
        end = 1 + next((n for n, line in enumerate(lines) if not line.rstrip().endswith("\\")), 0)
        written = lines[:end] if is_header(lines[0]) else [text]
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_globals is not self.shell.user_ns:
            frame = frame.f_back
        write_header(frame, written, framed=framed)

    def reject_header(self) -> None:
        """Mark the cell's header as invalid, so that the session keeps the task's earlier state."""
        self._invalid_header = True

    # The transformed cell calls the following methods.

    def evaluate_when(self) -> bool:
        """Evaluate `--when` and return whether the body runs."""
        expression = self.options.when
        self._runs = expression is None or self._is_true("--when", expression)
        if not self._runs:
            self._skipped = f"--when {expression} is false"
            if not self.options.map:
                print(f"skipped: {self._skipped}")
        return self._runs

    def body_ran(self) -> bool:
        """Return the last result of `evaluate_when`; `--when` is not evaluated again."""
        return self._runs

    def finish(self, *value: Any) -> Any:
        """Evaluate `--check` after the body. Return the value of the body's last expression, for IPython to display."""
        try:
            for expression in self.options.check:
                check(expression, self.shell.user_ns)
            self._decide(value[0] if value else None)
        except Fail as error:
            self._display(*value)
            raise without_traceback(error) from None
        return value[0] if value else None

    def _decide(self, value: Any) -> None:
        """If this is a branch or short-circuit task, record and print which downstream tasks run.

        `value` is the value of the cell's last expression.
        """
        options, task = self.options, self._task
        if options.branch:
            dag = self.session.dag()
            choices = dag.choices(task) if task in dag.tasks else ()
            # If the notebook's file is unknown, a task whose cell has not run is unknown, too. So accept unknown names.
            names = [value] if isinstance(value, str) else value if isinstance(value, list | tuple | set) else ()
            later = (name for name in names if name not in dag.tasks and name not in dag.groups)
            known = (*choices, *later)
            found = choice(value, known, task)
            self._chosen = tuple(dict.fromkeys((*(self._chosen or ()), *found)))
            if not options.map:
                self._print_choice()
        elif options.short_circuit and options.when is None:
            self._truths.append(is_true(value, task))
            if not options.map and not self._truths[-1]:
                print(f"{task} is false: every task downstream is skipped")

    def _print_choice(self) -> None:
        assert self._chosen is not None
        dag = self.session.dag()
        task = self._task
        missing = [name for name in self._chosen if name not in dag.tasks and name not in dag.groups]
        run = dag.followed(task, self._chosen) if task in dag.tasks else frozenset()
        others = [name for name in dag.downstream.get(task, ()) if name not in run]
        print(
            f"{task} {describe_choice(self._chosen)}"
            + (f"; skipped: {', '.join(others)}" if others else "")
            + (f"; no cell here is named {', '.join(missing)} so far" if missing else "")
        )

    def finish_and_display(self, *value: Any) -> None:
        """Call `finish` and display the returned value. IPython itself displays no value inside a loop or a `try`."""
        self.finish(*value)
        self._display(*value)

    def _display(self, *value: Any) -> None:
        if value and not self.shell.displayhook.quiet():
            self.shell.displayhook(value[0])

    def skip_task(self, reason: str) -> None:
        """Skip the body, because a headless run would skip this task."""
        self._runs, self._skipped, self._by_rule = False, reason, True
        print(f"skipped: {reason}")

    Skip = Skip

    def skip(self) -> None:
        """Record that the body has raised `nbdag.Skip`."""
        self._runs = False
        self._skipped = str(sys.exc_info()[1]) or "the cell raised Skip without a reason"
        if not self.options.map:
            print(f"skipped: {self._skipped}")

    def reject(self, message: str) -> None:
        """Raise a `UsageError`, because the operator cannot turn the text of this task into Python."""
        raise UsageError(message)

    def elements(self) -> Iterator[tuple[Any, ...]]:
        """Yield the elements of a mapped task, and collect the values that the body writes for each element.

        Before each element, every name that the body writes is reset to the value that it had before the cell ran.
        """
        namespace = self.shell.user_ns
        options = self.options
        try:
            columns, rows = elements(options.map, namespace, in_step=options.paired, limit=options.max_map_length)
        except Fail as error:
            raise without_traceback(error) from None
        instances = [tuple(column[at] for column, at in zip(columns.values(), row, strict=True)) for row in rows]
        self._count = len(instances)
        variables = [variable for variable, _ in self.options.map]
        written, changed = self._outputs()
        before = {name: namespace.get(name, _MISSING) for name in {*variables, *written, *changed}}
        collected: dict[str, list[Any]] = {name: [] for name in (*written, *changed)}
        ran = 0
        for instance in instances:
            for name, value in before.items():
                if name not in variables:
                    _set(namespace, name, _copied(value) if name in changed else value)
            self._runs = True
            yield instance
            if not self._runs:
                continue
            ran += 1
            for name, values in collected.items():
                if name in namespace:
                    values.append(namespace[name])
        for name in variables:
            _set(namespace, name, before[name])
        for name, values in collected.items():
            _set(namespace, name, values if values else before[name])
        if not instances:
            self._skipped = f"--map {' '.join(f'{a}={b}' for a, b in self.options.map)} has no element"
        if self._chosen is not None:
            self._print_choice()
        if self._truths and not any(self._truths):
            print(f"{self._task} is false: every task downstream is skipped")
        if ran:
            self._skipped = ""
        else:
            print(f"skipped: {self._skipped}")

    def _outputs(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names that the cell assigns, and the other names whose values the cell changes in place.

        Functions and classes that the cell defines are left out, as are the variables of `--map`.
        """
        python = to_python(split(self._source)[1])
        if isinstance(python, SyntaxProblem):
            return (), ()
        used = uses(python)
        excluded = {definition.name for definition in used.definitions} | {variable for variable, _ in self.options.map}
        written = tuple(name for name in (*used.writes, *used.maybe_writes) if name not in excluded)
        return written, tuple(name for name in used.changes if name not in excluded and name not in written)

    def _is_true(self, option: str, expression: str) -> bool:
        try:
            return bool(evaluate(expression, self.shell.user_ns))
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise UsageError(f"cannot evaluate {option} {expression} ({cause}); the cell did not run") from None


def without_traceback(error: NbdagError) -> NbdagError:
    """Make IPython show only the error's message. Its traceback is not useful: it contains only nbdag's own code."""
    message = f"{type(error).__name__}: {error}"
    error._render_traceback_ = lambda: [message]  # type: ignore[attr-defined]  # IPython's protocol
    return error


def _summary(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    if isinstance(error, Fail) and text:
        return text[0]
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _set(namespace: dict[str, Any], name: str, value: Any) -> None:
    if value is _MISSING:
        namespace.pop(name, None)
    else:
        namespace[name] = value


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # an object that cannot be copied, such as a connection or a lock, is shared by all elements
        return value
