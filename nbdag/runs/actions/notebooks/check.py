"""`check`: analyse a notebook, and report or repair its problems."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from .... import building
from ....core.model.dag import Dag, Problem
from ....core.model.problems import problem
from ....errors import NbdagError, error
from ....home import absolute
from ....linting import repairs
from ....linting.selection import selection_of
from ....notebooks.text import is_text, newer_pair, with_sources
from ....storage import pinned_files
from ....writing import write_atomically
from ...queries.file_order import remember_files


@error
class NotRepairedError(NbdagError):
    """A repaired notebook cannot be written."""

    path: str
    reason: str
    template = "cannot write the repaired {path} ({reason}); change its permissions, or leave out --fix"


@error
class NewerTextError(NbdagError):
    """The cells to repair are in the text notebook that the file is paired with."""

    path: str
    text: Path
    template = "cannot repair {path}, because its text notebook {text} is newer; use --fix with {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedNotebook:
    """A checked notebook, and the problems to report."""

    dag: Dag
    source: bytes  # the content of the file, after repairs
    printed: str = ""  # what the code of %%dag printed
    repaired: tuple[Problem, ...] = ()
    left: tuple[Problem, ...] = ()  # not repaired, because a repair cannot add a cell to a text notebook


def check(
    path: str | os.PathLike[str], *, select: Sequence[str] = (), ignore: Sequence[str] = (), fix: bool = False
) -> CheckedNotebook:
    """Analyse a notebook file, and return it with the problems to report.

    `select` and `ignore` are codes or prefixes of codes. `select` replaces the list `select` of `[tool.nbdag]` in
    `pyproject.toml`; `ignore` extends the list `ignore`. The problems include pairs of tasks that used the same file in
    earlier runs, and files of `%dag --with` that do not exist. With `fix`, repair each problem that has exactly one
    safe repair, and write the file.

    Raise `NotebookError` for a file that is not a notebook, `SelectionError` for an unknown code, `NotRepairedError` if
    the file cannot be written, and `NewerTextError` if the cells to repair are in a paired text notebook.
    """
    file = Path(path)
    selection = selection_of(file, select=select, ignore=ignore)
    built = building.read_built(file)
    repaired: tuple[Problem, ...] = ()
    left: tuple[Problem, ...] = ()
    if fix and any(each.repair for each in remember_files(built.dag).problems):
        name, folder = os.fspath(path), absolute(path).parent
        own = file.read_bytes()
        if not is_text(file) and (pair := newer_pair(own, file)) is not None:
            raise NewerTextError(name, pair.path)  # the repair would write the text's cells to the .ipynb file
        write = partial(_in_text, own.decode("utf-8-sig"), file) if is_text(file) else bytes
        found = repairs.repair(
            built.source,
            name=name,
            reported=lambda each: selection.reports(each.code, file),
            read=lambda text: remember_files(building.build(text, name=name, cwd=folder).dag),
            can_write=lambda text: write(text) is not None,
        )
        repaired, left = found.problems, found.left
        if repaired and (content := write(found.text)) is not None:
            _write(file, content)
            built = building.read_built(file)
    dag = remember_files(built.dag)
    dag = replace(dag, problems=(*dag.problems, *_not_pinned(dag, absolute(path).parent)))
    dag = selection.apply(dag, file)
    return CheckedNotebook(dag=dag, source=built.source, printed=built.printed, repaired=repaired, left=left)


def _not_pinned(dag: Dag, folder: Path) -> Iterator[Problem]:
    """Yield a problem for each pattern of `%dag --with` that `nbdag deploy` would reject."""
    for failure in pinned_files.missing(folder, dag.options.with_):
        lines = ((cell, number, line) for cell in dag.cells for number, line in enumerate(cell.source.splitlines(), 1))
        place = next((cell.at(number) for cell, number, line in lines if "--with" in line), None)
        yield problem("NB123", str(failure), place=place)


def _in_text(text: str, path: Path, notebook: bytes) -> bytes | None:
    changed = with_sources(text, path, notebook)
    return None if changed is None else changed.encode()


def _write(path: Path, text: bytes) -> None:
    try:
        mode = path.stat().st_mode
        target = path.resolve()  # write the target of a symbolic link, and keep the link
        write_atomically(target, text, private=False)
        target.chmod(mode & 0o7777)
    except OSError as failure:
        raise NotRepairedError(str(path), (failure.strerror or str(failure)).lower()) from failure
