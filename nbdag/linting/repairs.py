"""Repair the problems that have one safe repair (`Problem.repair`), in the text of a notebook.

A repair is kept only if it removes its problem and causes no new error. Outputs, metadata and the other cells stay as
they are.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import notebooks
from ..core.cells.cells import PARAMETERS_TAG
from ..core.cells.source import Python, to_python
from ..core.model.cell_tags import tags_of
from ..core.model.dag import Dag, Place, Problem, Repair
from ..migrate.task_names import MOST_WORDS, from_code, headings, slug, unused

_HIDING = frozenset({"NB101", "NB103", "NB104", "NB108"})  # errors that prevent the analysis of a cell
_MOST = 200  # maximum number of repairs of one notebook


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """A repaired notebook."""

    text: bytes  # the text of the notebook, equal to the given one if nothing was repaired
    problems: tuple[Problem, ...]  # the repaired problems, in the order of their repairs
    left: tuple[Problem, ...] = ()  # problems whose repairs were rejected by `can_write`


def repair(
    text: bytes,
    *,
    name: str,
    reported: Callable[[Problem], bool],
    read: Callable[[bytes], Dag],
    can_write: Callable[[bytes], bool] = lambda text: True,
) -> Repaired:
    """Repair those problems of a notebook for which `reported` returns true.

    `read` returns the DAG of a notebook's text. `can_write` returns whether a repaired text can be written to the file.
    """
    dag = read(text)
    done: list[Problem] = []
    left: list[Problem] = []
    failed: set[tuple[str, str, Place | None]] = set()
    while len(done) < _MOST:
        found = next(
            (each for each in dag.problems if each.repair and reported(each) and _key(each) not in failed), None
        )
        if found is None or found.repair is None:
            break
        changed = _apply(text, found, found.repair, dag, name)
        after = read(changed) if changed is not None else dag
        if changed is None or not _is_better(dag, after, found):
            failed.add(_key(found))
            continue
        if not can_write(changed):
            failed.add(_key(found))
            left.append(found)
            continue
        text, dag = changed, after
        done.append(found)
    return Repaired(text=text, problems=tuple(done), left=tuple(left))


def _key(found: Problem) -> tuple[str, str, Place | None]:
    return found.code, found.message, found.place


def _is_better(before: Dag, after: Dag, found: Problem) -> bool:
    """Return whether a repair has removed its problem and has caused no new error.

    A cell with an unreadable header is not analysed. So repairing the header may reveal other errors of the cell; these
    are not counted as new.
    """
    if any(_key(each) == _key(found) for each in after.problems):
        return False
    return found.code in _HIDING or len(after.errors) <= len(before.errors) - (found.severity == "error")


def _apply(text: bytes, found: Problem, repair: Repair, dag: Dag, name: str) -> bytes | None:
    """Return the text of the notebook after a repair, or None if the repair cannot be applied to the cells."""
    content = notebooks.parse(text, name=name)
    cells = content["cells"]
    if any(not 0 <= number < len(cells) for number in repair.cells):
        return None
    match repair.kind:
        case "import":
            changed = _move_imports(cells, repair.cells[0], repair.old.split(), dag)
        case _:
            changed = [_edit(cells, number, found, repair, dag) for number in repair.cells].count(True) > 0
    return _written(content, text) if changed else None


def _edit(cells: list[dict[str, Any]], number: int, found: Problem, repair: Repair, dag: Dag) -> bool:
    source = _source(cells[number])
    match repair.kind:
        case "rename":
            new = _renamed(source, repair.old, repair.new)
        case "word":
            new = _replaced_word(source, found.place.line if found.place else 1, repair.old, repair.new)
        case "after":
            new = _with_after(source, repair.new)
        case "setup":
            new = f"%%setup\n{source}"
        case "first":
            new = _with_header_first(source, found.place.line if found.place else 1)
        case _:
            new = _with_task(source, _task_name(cells, number, dag))
    if new == source:
        return False
    _set_source(cells[number], new)
    return True


def _renamed(source: str, old: str, new: str) -> str:
    """Replace a name wherever the code uses it. Lines that IPython translates, such as magics, stay unchanged."""
    python = to_python("\n".join(f"# {line}" if line.startswith("%%") else line for line in source.split("\n")))
    if not isinstance(python, Python):
        return source
    lines = source.split("\n")
    uses = [(n.lineno, n.col_offset) for n in ast.walk(python.tree) if isinstance(n, ast.Name) and n.id == old]
    for line, column in sorted(set(uses), reverse=True):
        encoded = lines[line - 1].encode() if line <= len(lines) else b""
        if encoded[column : column + len(old.encode())] == old.encode():
            lines[line - 1] = (encoded[:column] + new.encode() + encoded[column + len(old.encode()) :]).decode()
    return "\n".join(lines)


def _replaced_word(source: str, line: int, old: str, new: str) -> str:
    lines = source.split("\n")
    word = re.compile(rf"(?<![\w.%-]){re.escape(old)}(?![\w.-])")
    number = line - 1
    while 0 <= number < len(lines):
        text, count = word.subn(lambda _: new, lines[number], count=1)
        if count:
            lines[number] = text
            break
        if not lines[number].endswith("\\"):  # the last line of the header
            break
        number += 1
    return "\n".join(lines)


def _with_after(source: str, task: str) -> str:
    if re.match(r"\s*%%?task\b[^\n#]*\s--after\s", source):
        return re.sub(r"(\s--after)(?=\s)", rf"\1 {task}", source, count=1)
    return re.sub(r"(\s*%%?task\s+[^\s\\]+)", rf"\1 --after {task}", source, count=1)


def _with_header_first(source: str, line: int) -> str:
    """Move a header and its continuation lines (after a backslash) to the start of the cell."""
    lines = source.split("\n")
    end = line
    while end < len(lines) and lines[end - 1].endswith("\\"):
        end += 1
    return "\n".join([*lines[line - 1 : end], *lines[: line - 1], *lines[end:]])


def _with_task(source: str, name: str) -> str:
    header = re.match(r"(\s*%%?task)(?=\s|$)", source)
    return f"{header[1]} {name}{source[header.end() :]}" if header else f"%%task {name}\n{source}"


def _task_name(cells: list[dict[str, Any]], number: int, dag: Dag) -> str:
    """Return an unused name for a task. It is taken from the heading above the cell, else from the code of the cell."""
    used = {cell.task for cell in dag.cells if cell.task is not None}
    above = cells[number - 1] if number else {}
    titles = headings(_source(above)) if above.get("cell_type") == "markdown" else []
    name = slug(titles[-1][1]) if titles else ""
    if not name:
        source = re.sub(r"\A\s*%%?task[^\n]*", "", _source(cells[number]))
        python = to_python(source)
        bound = [
            node.id
            for statement in (python.tree.body if isinstance(python, Python) else [])
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not node.id.startswith("_")
        ]
        long = [each for each in bound if len(each) > 2]
        name = slug(from_code(source, long[-1] if long else "")) or f"cell_{number + 1}"
    return unused("_".join(name.split("_")[:MOST_WORDS]), {each for each in used if each})


def _move_imports(cells: list[dict[str, Any]], number: int, names: list[str], dag: Dag) -> bool:
    """Move the top-level imports of these names to the end of the first setup cell, or to a new setup cell."""
    source = _source(cells[number])
    python = to_python(source)
    if not isinstance(python, Python):
        return False
    lines = source.split("\n")
    moved: list[str] = []
    taken: set[int] = set()
    for node in python.tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if {(each.asname or each.name).split(".")[0] for each in node.names}.isdisjoint(names):
            continue
        rows = range(node.lineno - 1, node.end_lineno or node.lineno)
        if node.col_offset or any(";" in lines[row] for row in rows):
            return False
        moved += [lines[row] for row in rows]
        taken.update(rows)
    if not moved:
        return False
    _set_source(cells[number], "\n".join(line for row, line in enumerate(lines) if row not in taken).strip("\n"))
    setup = next(
        (cell for cell in dag.cells if cell.kind.value == "setup" and cell.made_at is None and cell.in_file < number),
        None,
    )
    if setup is not None:
        _set_source(cells[setup.in_file], "\n".join([_source(cells[setup.in_file]).rstrip("\n"), *moved]))
        return True
    first = next((n for n, each in enumerate(cells) if each.get("cell_type") == "code"), 0)
    while first < number and PARAMETERS_TAG in tags_of(cells[first]):
        first += 1
    new: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": []}
    if any("id" in each for each in cells):
        new["id"] = "nbdag-setup"
    _set_source(new, "\n".join(["%%setup", *moved]))
    cells.insert(first, new)
    return True


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _set_source(cell: dict[str, Any], text: str) -> None:
    cell["source"] = text if isinstance(cell.get("source"), str) else re.findall(r"[^\n]*\n|[^\n]+", text)


def _written(content: Mapping[str, Any], before: bytes) -> bytes:
    """Return the notebook as text, with the indentation, the escapes and the last newline of the original text."""
    indent = re.match(rb"\s*\{\s*\n([ \t]+)", before)
    spaces = indent[1].decode() if indent else None
    text = json.dumps(content, indent=spaces, ensure_ascii=before.isascii() and b"\\u" in before)
    return (text + ("\n" if before.endswith(b"\n") else "")).encode()
