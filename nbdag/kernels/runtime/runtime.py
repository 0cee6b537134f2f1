"""What runs inside a task's kernel, around the user's cells.

    begin ▸ parameters ▸ setup ▸ definitions and inputs ▸ the cell ▸ checks, outputs

Each step is a line in a cell of the attempt's notebook, so that what happened can be read there, and done again by
hand. In the user's namespace are `dag_run` and `_nbdag`, and nothing else of nbdag's. What the kernel has to say
is published once, as a `Report`: by `finish`, or when a cell fails.
"""

from __future__ import annotations

import linecache
import sys
import time
from collections.abc import Mapping
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import ExecutionResult
from IPython.utils.capture import capture_output

from ...context import DagRun
from ...core.model.job import Note, StoredOutput
from ...errors import Fail, NbdagError, Skip
from ...processes.parent_watchdog import end_with_worker
from ...values import Loaded, UnstorableError, ValueStore
from .expressions import allows, check, elements
from .messages import MIME, Brief, Report
from .mutation_check import Watch, sharing_notes
from .stream_flush import wait_for_streams
from .tracebacks import show_headers


class InputError(NbdagError):
    """A name that a task needs was not among the values stored for it."""

    def __init__(self, name: str, source: str) -> None:
        super().__init__(name, source)
        self.name = name
        self.source = source

    def __str__(self) -> str:
        return f"{self.name!r} is not among what task {self.source} stored: clear {self.source}, so that it runs again"


def begin(said: Mapping[str, Any]) -> Runtime:
    """The first step: everything else is asked of what this returns."""
    shell = get_ipython()
    assert shell is not None
    return Runtime(shell, Brief.from_dict(said))


class Runtime:
    """One attempt, seen from inside its kernel."""

    def __init__(self, shell: Any, brief: Brief) -> None:
        self._shell = shell
        self._brief = brief
        self._names: dict[str, Any] = shell.user_ns
        self._store = ValueStore(brief.values)
        self._loaded: dict[str, Loaded] = {}  # by digest: names that were stored together are loaded together
        self._watch: Watch | None = None
        self._last: ExecutionResult | None = None  # of the latest cell, which for `finish` is the user's
        self._inside = False  # in one of our own steps, whose cells are not the user's
        self._told = False
        self._names["dag_run"] = DagRun.of(brief.context)
        shell.set_custom_exc((NbdagError,), _show_error)
        show_headers(shell)
        shell.events.register("post_run_cell", self._after_cell)
        end_with_worker()

    def __repr__(self) -> str:
        return f"<nbdag: task {self._brief.task}>"

    # -- before the cell ----------------------------------------------------------------------------------------

    def inputs(self) -> None:
        """Replay the definitions and load the inputs that the task reads; skip it if `--when` says so."""
        self._inside = True
        if self._told:
            raise Fail("a cell above the task ended with an error")
        self._replay()
        for given in self._brief.inputs:
            parts = [self._value(digest, given.name, given.source) for digest in given.digests]
            self._names[given.name] = parts if given.is_list else parts[0]
        for name, digest in self._brief.element.items():
            self._names[name] = self._value(digest, name, self._brief.task)
        if self._brief.when is not None and not self._brief.expand and not allows(self._brief.when, self._names):
            raise Skip(f"--when {self._brief.when} is false")
        self._watch = Watch.of(self._brief, self._names, self._loaded, self._reload)
        self._inside = False

    def _replay(self) -> None:
        pages: dict[str, list[str]] = {}
        for cell, line, source in self._brief.definitions:
            # Each stands at its own line of its own cell, so that tracebacks show where it was written.
            file, page = f"<{cell}>", pages.setdefault(cell, [])
            code = self._shell.transform_cell(source)
            lines = code.splitlines()
            page.extend([""] * (line - 1 + len(lines) - len(page)))
            page[line - 1 : line - 1 + len(lines)] = lines
            text = "\n".join(page) + "\n"
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
            compiled = self._shell.compile("\n" * (line - 1) + code, file, "exec")
            exec(compiled, self._names)

    def _value(self, digest: str, name: str, source: str) -> Any:
        if digest not in self._loaded:
            self._loaded[digest] = self._store.open(digest)
        try:
            return self._loaded[digest].values[name]
        except KeyError:
            raise InputError(name, source) from None

    def _reload(self, digest: str) -> Mapping[str, Any]:
        return self._store.load(digest)

    # -- after the cell -----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Check, store what later tasks read, and say how it went."""
        self._inside = True
        if self._told:
            return
        cell = self._last
        if self._brief.poll is not None and cell is not None and not self._wait_for_it(cell, self._brief.poll):
            return
        for expression in self._brief.check:
            check(expression, self._names)
        notes = list(self._watch.notes(self._names)) if self._watch is not None else []
        outputs, shared = self._save()
        self._tell(Report(state="success", outputs=outputs, notes=(*notes, *shared)))

    def expand(self) -> None:
        """Instead of the cell: what a mapped task's instances are given."""
        self._inside = True
        brief = self._brief
        columns, rows = elements(brief.map, self._names, in_step=brief.zip, limit=brief.max_map_length)
        stored = [(name, [self._element(name, value) for value in column]) for name, column in columns.items()]
        given = [{name: digests[at] for (name, digests), at in zip(stored, row, strict=True)} for row in rows]
        self._tell(Report(state="success", length=len(given), elements=given))

    def _element(self, name: str, value: object) -> str:
        return self._store.save({name: value}, readers={name: self._brief.task}).outputs[0].digest

    def _wait_for_it(self, cell: ExecutionResult, seconds: float) -> bool:
        """A sensor: run its cell again and again until the last expression is true. False: it has been told why not."""
        assert cell.info is not None
        seen = cell.result
        while not seen:
            if self._brief.reschedule:
                self._tell(Report(state="up_for_reschedule"))
                return False
            time.sleep(seconds)
            captured: Any
            with capture_output() as captured:
                hook = sys.displayhook = _Hook()
                done = self._shell.run_cell(cell.info.raw_cell, store_history=False)
            seen = hook.value
            if not done.success:  # its error has been shown, and told by `_after_cell`
                captured.show()
                return False
        return True

    def _save(self) -> tuple[tuple[StoredOutput, ...], list[Note]]:
        groups = [[name for name in group if name in self._names] for group in self._brief.exports]
        values = {name: self._names[name] for group in groups for name in group}
        while True:
            try:
                saved = self._store.save(values, groups, readers=self._brief.readers)
            except UnstorableError as error:
                if error.name not in self._brief.spare:
                    raise
                del values[error.name]
            else:
                return saved.outputs, sharing_notes(self._brief, saved, self._names)

    # -- how it went --------------------------------------------------------------------------------------------

    def _after_cell(self, result: ExecutionResult) -> None:
        if not self._inside:
            self._last = result
            wait_for_streams()
        error = result.error_before_exec or result.error_in_exec
        if error is None or self._told or _is_quiet_exit(error):
            return
        if isinstance(error, Skip):
            by_when = self._inside and self._brief.when is not None
            self._tell(Report(state="skipped", error=str(error), short_circuit=by_when and self._brief.short_circuit))
        else:
            final = isinstance(error, Fail)
            self._tell(Report(state="failed", error=_told(error), final=final))

    def _tell(self, report: Report) -> None:
        self._told = True
        self._shell.display_pub.publish({MIME: report.to_dict()})


class _Hook:
    """Takes what a cell's last expression is, as long as it stands in for the display."""

    value: Any = None

    def __call__(self, value: Any) -> None:
        self.value = value


def _told(error: BaseException) -> str:
    if isinstance(error, NbdagError):
        return str(error)
    text = str(error).strip()  # what is shown in one line is its first
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_quiet_exit(error: BaseException) -> bool:
    """`sys.exit()` ends a cell, as it does in a live notebook, and is no failure."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def _show_error(shell: Any, kind: type[BaseException], error: BaseException, tb: Any, tb_offset: Any = None) -> None:
    """How errors that nbdag words itself are shown: by what they say. Where `raise` stood would tell nothing more."""
    if isinstance(error, Skip):
        print(f"skipped: {error}")
    else:
        shell._showtraceback(kind, error, [f"{kind.__name__}: {error}"])
