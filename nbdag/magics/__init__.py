"""The magics that `%load_ext nbdag` adds to a notebook.

`transform` turns a tagged cell into ordinary code, and `running_cell` applies the header's options while that code
runs. `builder` builds the tasks of a `%%dag` cell. `nbdag.session` records which cells have run, `graph_display` draws
the graph, `completion` completes headers, and `commands` calls the command line. This module registers all of these
with IPython, and unregisters them. An invalid header is reported in one sentence, and the cell does not run.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from .. import operators, secrets
from ..core.cells import header
from ..core.cells.header import Header, HeaderError
from ..errors import NbdagError
from ..kernels.runtime.tracebacks import show_headers
from ..session import Session, notebook_path
from ..task_api.context import set_current
from .builder import Builder
from .commands import run_command
from .completion import matcher
from .graph_display import GraphDisplay, mimebundle
from .live_context import LiveTask, live_run
from .running_cell import RunningCell
from .transform import CELL_MAGICS, BodyTransformer, HeaderTransformer

if TYPE_CHECKING:
    from ..frontend.load_task import Loaded

_ATTRIBUTE = "_nbdag"  # name of an attribute of the shell; the code that `transform` generates reads it


@magics_class
class NbdagMagics(Magics):
    """nbdag's magics. Their docstrings, which IPython shows as help, are generated from the options' declarations."""

    def __init__(self, shell: Any, running: RunningCell, display: GraphDisplay) -> None:
        super().__init__(shell)
        self.running = running
        self.display = display

    @no_var_expand
    @line_cell_magic
    def task(self, line: str, cell: str | None = None) -> None:
        found = self._read("task", line)
        self.running.set_header(found)
        self._body("task", line, cell)

    @no_var_expand
    @line_cell_magic
    def setup(self, line: str, cell: str | None = None) -> None:
        self._read("setup", line)
        self._body("setup", line, cell)

    @no_var_expand
    @line_cell_magic
    def params(self, line: str, cell: str | None = None) -> None:
        self._read("params", line)
        self._body("params", line, cell)

    @no_var_expand
    @line_cell_magic
    def skip(self, line: str, cell: str | None = None) -> None:
        self._read("skip", line)
        self._body("skip", line, cell)

    @no_var_expand
    @line_cell_magic
    def dag(self, line: str, cell: str | None = None) -> None:
        # The user's code called the magic as a function, so `transform` has not changed the cell.
        if cell is not None and self.shell is not None:
            self.shell.run_cell(f"%%dag {line}\n{cell}").raise_error()
            return
        found = self._read("dag", line)
        if found.is_bare:
            self.display.draw()
        else:
            options = header.dag_options(found)
            self.running.defaults = options.defaults
            if options.requires:
                from ..environments import unlike_here  # imported here because few notebooks need it

                if unlike := unlike_here(options.requires):
                    print(f"warning: {unlike}", file=sys.stderr)

    @no_var_expand
    @line_cell_magic
    def edges(self, line: str, cell: str | None = None) -> None:
        self._read("edges", line, cell)

    @no_var_expand
    @line_cell_magic
    def nbdag(self, line: str, cell: str | None = None) -> None:
        text = self._read("nbdag", line, cell).rest
        run_command(text, notebook=self.running.session.path, load_task=self.load_task)

    def load_task(self, task: str, **options: Any) -> Loaded:
        """Load a task of a run into this kernel; see `frontend.load_task`."""
        from ..frontend.load_task import load_task

        assert self.shell is not None
        return load_task(task, session=self.running.session, namespace=self.shell.user_ns, **options)

    def _read(self, kind: str, line: str, cell: str | None = None) -> Header:
        tags = kind in CELL_MAGICS
        percent = "%%" if cell is not None or tags else "%"
        if tags and cell is None:
            self.running.show_header(f"%%{kind} {line}".rstrip())
        try:
            operator = self.running.options_of({}).operator
            return header.parse(f"{percent}{kind} {line}".rstrip(), default_operator=operator)
        except HeaderError as error:
            self.running.reject_header()
            raise UsageError(str(error)) from None

    def _body(self, kind: str, line: str, cell: str | None) -> None:
        """Run the cell if `run_cell_magic` called this magic. Otherwise IPython itself runs the cell next."""
        if cell is not None and self.shell is not None:
            self.shell.run_cell(f"%{kind} {line}\n{cell}").raise_error()


for _kind in header.MAGICS:
    _magic = getattr(NbdagMagics, _kind)
    # IPython calls `getdoc` for `%%task?`. The help is created only then, because finding all operators is slow.
    _magic.getdoc = partial(header.help, _kind)
    if _kind != "task":
        _magic.__doc__ = header.help(_kind)


class _Extension:
    """Everything that nbdag registers with one shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.session = session = Session(notebook=lambda: notebook_path(shell.user_ns))
        self.task = LiveTask(session, shell.user_ns)
        self.running = RunningCell(shell, session, self.task)
        self.display = GraphDisplay(shell, session)
        self.builder = Builder(shell, session, self.running, self.display.draw)
        self.header_transformer = HeaderTransformer(self.running.options_of)
        self.body_transformer = BodyTransformer(self.running.options_of, session.skip_reason)
        self.matcher = matcher(lambda: (*(dag := session.dag()).tasks, *dag.groups), operators.names)
        self.magics = NbdagMagics(shell, self.running, self.display)

    def load(self) -> None:
        shell = self.shell
        secrets.hide_known_values()
        secrets.protect_kernel()
        shell.register_magics(self.magics)
        shell.input_transformers_cleanup.append(self.header_transformer)
        shell.ast_transformers.append(self.body_transformer)
        shell.events.register("pre_run_cell", self.before_cell)
        shell.events.register("post_run_cell", self.after_cell)
        shell.Completer.custom_matchers.append(self.matcher)
        self.hide_headers = show_headers(shell)
        show_dags(shell)
        setattr(shell, _ATTRIBUTE, self)
        self.session.record_earlier(shell.history_manager.input_hist_raw[1:])
        run = live_run(self.session, shell.user_ns, self.task)
        set_current(run)
        if "dag_run" not in shell.user_ns:
            shell.push({"dag_run": run}, interactive=False)

    def unload(self) -> None:
        shell = self.shell
        for kinds in shell.magics_manager.magics.values():
            for kind in header.MAGICS:
                kinds.pop(kind, None)
        shell.input_transformers_cleanup.remove(self.header_transformer)
        shell.ast_transformers.remove(self.body_transformer)
        shell.events.unregister("pre_run_cell", self.before_cell)
        shell.events.unregister("post_run_cell", self.after_cell)
        shell.Completer.custom_matchers.remove(self.matcher)
        self.hide_headers()
        self.display.close()
        set_current(None)
        delattr(shell, _ATTRIBUTE)

    def load_task(self, task: str, run: str) -> dict[str, Any]:
        """Load a task of a run at the request of a page. Return the fields of `Loaded`, or an error."""
        try:
            loaded = asdict(self.magics.load_task(task, run=run))
        except NbdagError as error:
            return {"error": str(error)}
        self.display.refresh()
        return loaded

    def before_cell(self, info: Any) -> None:
        secrets.hide_known_values()  # a cell may have set environment variables that contain secrets
        self.running.begin(info.raw_cell, getattr(info, "cell_id", None))
        self.display.refresh()

    def after_cell(self, result: Any) -> None:
        self.builder.close()
        self.running.end(result.error_before_exec or result.error_in_exec)
        self.display.refresh()


def load_ipython_extension(shell: Any) -> None:
    """Register the magics with a shell; a second call has no effect."""
    if not hasattr(shell, _ATTRIBUTE):
        _Extension(shell).load()


def unload_ipython_extension(shell: Any) -> None:
    """Unregister the magics of a shell."""
    extension = getattr(shell, _ATTRIBUTE, None)
    if extension is not None:
        extension.unload()


def show_dags(shell: Any) -> None:
    """Make the shell draw the graph if a cell displays a `Dag`."""
    shell.display_formatter.mimebundle_formatter.for_type_by_name("nbdag.core.model.dag", "Dag", mimebundle)
