"""The magics: what `%load_ext nbdag` brings to a notebook.

`transform` turns a tagged cell into ordinary code; `live` is what happens around it, `builder` around the body of
`%%dag`; `session` knows what ran; `picture` draws it; `completion` answers Tab; `commands` is the command line. This
module hangs them into IPython and takes them out again. A header that cannot be read is answered in one sentence, and
its cell does not run.
"""

from __future__ import annotations

from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from .. import operators
from ..context import DagRun
from ..core.cells import header
from ..core.cells.header import Header, HeaderError
from ..kernels.runtime.tracebacks import show_headers
from ..session import Session, notebook_path
from .builder import Builder
from .commands import run_command
from .completion import matcher
from .live import Around
from .picture import Pictures, mimebundle
from .transform import CELL_MAGICS, Unwrap, Wrap

_ATTRIBUTE = "_nbdag"  # of the shell: where `transform.AROUND` looks


@magics_class
class NbdagMagics(Magics):
    """nbdag's magics. Their help is made from the table of options."""

    def __init__(self, shell: Any, around: Around, pictures: Pictures) -> None:
        super().__init__(shell)
        self.around = around
        self.pictures = pictures

    @no_var_expand
    @line_cell_magic
    def task(self, line: str, cell: str | None = None) -> None:
        found = self._read("task", line)
        self.around.start(found)
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
        if cell is not None and self.shell is not None:  # called by name: `transform` has not seen the cell
            self.shell.run_cell(f"%%dag {line}\n{cell}").raise_error()
            return
        found = self._read("dag", line)
        if found.is_bare:
            self.pictures.draw()
        else:
            self.around.defaults = header.dag_options(found).defaults

    @no_var_expand
    @line_cell_magic
    def edges(self, line: str, cell: str | None = None) -> None:
        self._read("edges", line, cell)

    @no_var_expand
    @line_cell_magic
    def nbdag(self, line: str, cell: str | None = None) -> None:
        run_command(self._read("nbdag", line, cell).rest)

    def _read(self, kind: str, line: str, cell: str | None = None) -> Header:
        tags = kind in CELL_MAGICS
        percent = "%%" if cell is not None or tags else "%"
        if tags and cell is None:
            self.around.show_header(f"%%{kind} {line}".rstrip())
        try:
            return header.parse(f"{percent}{kind} {line}".rstrip())
        except HeaderError as error:
            self.around.refuse()
            raise UsageError(str(error)) from None

    def _body(self, kind: str, line: str, cell: str | None) -> None:
        """Where the cell magic was called by name, as `run_cell_magic` does, the cell has yet to run."""
        if cell is not None and self.shell is not None:
            self.shell.run_cell(f"%{kind} {line}\n{cell}").raise_error()


for _kind in header.MAGICS:
    getattr(NbdagMagics, _kind).__doc__ = header.help(_kind)


class _Extension:
    """What was hung into one shell, so that it can be taken out."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.session = session = Session(notebook=lambda: notebook_path(shell.user_ns))
        self.around = Around(shell, session)
        self.pictures = Pictures(shell, session)
        self.builder = Builder(shell, session, self.around, self.pictures.draw)
        self.unwrap = Unwrap(self.around.options_of)
        self.wrap = Wrap(self.around.options_of)
        self.matcher = matcher(lambda: session.dag().tasks, operators.names)
        self.magics = NbdagMagics(shell, self.around, self.pictures)

    def load(self) -> None:
        shell = self.shell
        shell.register_magics(self.magics)
        shell.input_transformers_cleanup.append(self.unwrap)
        shell.ast_transformers.append(self.wrap)
        shell.events.register("pre_run_cell", self.before)
        shell.events.register("post_run_cell", self.after)
        shell.Completer.custom_matchers.append(self.matcher)
        self.hide_headers = show_headers(shell)
        show_dags(shell)
        setattr(shell, _ATTRIBUTE, self)
        self.session.record_earlier(shell.history_manager.input_hist_raw[1:])
        if "dag_run" not in shell.user_ns:
            shell.push({"dag_run": DagRun.interactive(self.session.name)}, interactive=False)

    def unload(self) -> None:
        shell = self.shell
        for kinds in shell.magics_manager.magics.values():
            for kind in header.MAGICS:
                kinds.pop(kind, None)
        shell.input_transformers_cleanup.remove(self.unwrap)
        shell.ast_transformers.remove(self.wrap)
        shell.events.unregister("pre_run_cell", self.before)
        shell.events.unregister("post_run_cell", self.after)
        shell.Completer.custom_matchers.remove(self.matcher)
        self.hide_headers()
        self.pictures.close()
        delattr(shell, _ATTRIBUTE)

    def before(self, info: Any) -> None:
        self.around.begin(info.raw_cell, getattr(info, "cell_id", None))
        self.pictures.refresh()

    def after(self, result: Any) -> None:
        self.builder.close()
        self.around.end(result.error_before_exec or result.error_in_exec)
        self.pictures.refresh()


def load_ipython_extension(shell: Any) -> None:
    """Bring the magics to a shell. A second time changes nothing."""
    if not hasattr(shell, _ATTRIBUTE):
        _Extension(shell).load()


def unload_ipython_extension(shell: Any) -> None:
    """Take them out again."""
    extension = getattr(shell, _ATTRIBUTE, None)
    if extension is not None:
        extension.unload()


def show_dags(shell: Any) -> None:
    """A Dag that is a cell's last value draws itself."""
    shell.display_formatter.mimebundle_formatter.for_type_by_name("nbdag.core.model.dag", "Dag", mimebundle)
