"""Find pairs of tasks that need an order because one task writes a file that the other task reads.

If two tasks use one file, and at least one task writes the file, the tasks must run in notebook order. If no path of
the graph orders the tasks, they may run at the same time or in the wrong order. Then the reader may get the file of the
previous run.
`file_conflicts` finds such pairs. `literal_uses` finds the files that the code of a cell names in literals; a run
reports the files that its tasks really used.

Two tasks need no order if both only read a file, or if both only append to a file, such as a log.
"""

from __future__ import annotations

import ast
import posixpath
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..cells.ignore_comments import drop_ignored
from ..cells.shell_files import shell_uses
from ..cells.source import Python, SyntaxProblem
from ..model.dag import CellKind, Dag, Edge, Problem, Repair, Task
from ..model.job import FilesOfAttempt, FileUse
from ..model.problems import problem
from ..model.text import join_names, plural


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FORMATS = _words("csv parquet json excel pickle feather hdf html xml stata orc ipc ndjson avro file delta")
_READS = frozenset(
    f"{verb}_{form}"
    for verb, forms in {"read": [*_FORMATS, "table", "fwf", "sas", "spss"], "scan": _FORMATS}.items()
    for form in forms
)
_WRITES = frozenset(
    f"{verb}_{form}"
    for verb, forms in {
        "to": [*_FORMATS, "latex", "markdown", "netcdf", "zarr"],
        "write": [*_FORMATS, "image"],
        "sink": _FORMATS,
    }.items()
    for form in forms
)
_OTHER_READS = _words("imread loadtxt genfromtxt fromfile load_model open_dataset")
_OTHER_WRITES = _words("savefig imsave savetxt savez savez_compressed save_model")
# Key: function of a module; value: position of the function's path argument.
_MODULE_READS = {("np", "load"): 0, ("numpy", "load"): 0, ("joblib", "load"): 0, ("torch", "load"): 0}
_MODULE_WRITES = {("np", "save"): 0, ("numpy", "save"): 0, ("joblib", "dump"): 1, ("torch", "save"): 1}
_PATH_METHODS = {
    "read_text": "r",
    "read_bytes": "r",
    "write_text": "c",
    "write_bytes": "c",
    "unlink": "c",
    "touch": "c",
    "exists": "e",
    "is_file": "e",
    "stat": "e",
    "iterdir": "l",
    "glob": "l",
}
# Key: function of the module os or os.path; value: how the function uses its path, as in `FileUse`.
_OS_USES = {"exists": "e", "isfile": "e", "getsize": "e", "getmtime": "e", "stat": "e", "listdir": "l", "scandir": "l"}
_OPENS = (("open",), ("io", "open"), ("gzip", "open"), ("bz2", "open"), ("lzma", "open"))
_MOVES = frozenset({("shutil", "move"), ("os", "rename"), ("os", "replace")})
_COPIES = frozenset({("shutil", "copy"), ("shutil", "copyfile"), ("shutil", "copy2"), ("shutil", "copytree")})
_REMOVES = frozenset({("os", "remove"), ("os", "unlink"), ("shutil", "rmtree")})
_SHELL_METHODS = frozenset({"system", "getoutput"})  # the methods of IPython's shell that run `!` lines
_COMMANDS = frozenset(
    {("os", "system"), *(("subprocess", name) for name in ("run", "call", "check_call", "check_output", "Popen"))}
)
_KEYWORDS = frozenset({"path", "fname", "file", "filename", "filepath_or_buffer", "path_or_buf", "f"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Two tasks that use the same files, although the graph does not order these tasks."""

    first: str  # the task that is higher up in the notebook
    second: str
    paths: tuple[str, ...]
    relation: str  # text such as "b reads {path}, which a writes", where {path} stands for the first of `paths`

    def message(self, shown: Callable[[str], str] = str) -> str:
        """Return the sentence about this pair; `shown` shortens a path."""
        more = len(self.paths) - 1
        rest = f" (and {plural(more, 'more file')})" if more else ""
        return f"{self.relation.format(path=shown(self.paths[0]))}{rest}, and nothing orders these tasks"

    @property
    def remedy(self) -> str:
        """Return a hint for the user."""
        return f"add --after {self.first} to %%task {self.second}"


def file_conflicts(
    uses: Mapping[str, Collection[FileUse]], ancestors: Callable[[str], Collection[str]]
) -> Iterator[Conflict]:
    """Yield the pairs of tasks that use the same files and that the graph does not order. `uses`: in notebook order."""
    position = {task: number for number, task in enumerate(uses)}
    by_path: dict[str, dict[str, str]] = defaultdict(dict)
    for task, files in uses.items():
        for file in files:
            letters = {*by_path[file.path].get(task, ""), *file.how}
            # A library may check a file before it writes the file, as loggers do.
            by_path[file.path][task] = "".join(sorted(letters - {"e"} if letters & set("rwac") else letters))
    for path in list(by_path):
        # A folder that a task lists shows the files that other tasks create in it.
        listed = by_path.get(posixpath.dirname(path) or ".", {})
        for task, how in listed.items():
            if "l" in how and not set(by_path[path].get(task, "")) & set("rwac"):
                by_path[path][task] = "l"
    found: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    known: dict[str, Collection[str]] = {}
    for path, tasks in sorted(by_path.items()):
        ordered = sorted(tasks, key=position.__getitem__)
        for number, second in enumerate(ordered):
            for first in ordered[:number]:
                relation = _relation(first, tasks[first], second, tasks[second])
                if not relation:
                    continue
                for each in (first, second):
                    if each not in known:
                        known[each] = ancestors(each)
                if first not in known[second] and second not in known[first]:
                    found[first, second].append((path, relation))
    in_order = sorted(found.items(), key=lambda each: (position[each[0][1]], position[each[0][0]]))
    for (first, second), shared in in_order:
        yield Conflict(first=first, second=second, paths=tuple(path for path, _ in shared), relation=shared[0][1])


def conflicts_of_run(dag: Dag, attempts: Sequence[FilesOfAttempt]) -> tuple[Conflict, ...]:
    """Return the conflicts among the files that the attempts of a run used."""
    uses: dict[str, list[FileUse]] = {task: [] for task in dag.tasks}
    for attempt, files in zip(attempts, _without_doubtful(attempts), strict=True):
        if attempt.task in uses:
            uses[attempt.task] += files
    return tuple(file_conflicts({task: files for task, files in uses.items() if files}, dag.ancestors))


def _without_doubtful(attempts: Sequence[FilesOfAttempt]) -> list[list[FileUse]]:
    """Return the files of each attempt. If the writer of a file is uncertain, choose at most one of the attempts.

    If several attempts ran while a file changed, the writer is the attempt that certainly wrote the file. If no attempt
    certainly wrote the file, the writer is the attempt that did not read it, if there is exactly one such attempt.
    """
    writers: dict[str, list[int]] = defaultdict(list)
    seen: dict[str, dict[int, str]] = defaultdict(dict)
    for number, attempt in enumerate(attempts):
        for path, how in attempt.files:
            if set(how) & set("wac"):
                writers[path].append(number)
            elif "s" in how:
                seen[path][number] = how

    def together(one: int, other: int) -> bool:
        return attempts[one].started <= attempts[other].ended and attempts[other].started <= attempts[one].ended

    def wrote(number: int, path: str) -> bool:
        if any(together(number, other) for other in writers[path]):
            return False
        rivals = [other for other in seen[path] if other != number and together(number, other)]
        return not rivals or ("r" not in seen[path][number] and all("r" in seen[path][other] for other in rivals))

    found = []
    for number, attempt in enumerate(attempts):
        files = []
        for path, how in attempt.files:
            mine = "s" in how and number in seen[path] and wrote(number, path)
            letters = how.replace("s", "c" if mine else "")
            files += [FileUse(path, letters)] if letters else []
        found.append(files)
    return found


def _relation(first: str, one: str, second: str, other: str) -> str:
    """Return a message about a conflict of two uses of a file, or "" for no conflict; `{path}` stands for the file."""
    writes, rewrites = set(one) & set("wac"), set(other) & set("wac")
    second, first = second.replace("{", "{{"), first.replace("{", "{{")
    if writes and "r" in other:
        return f"{second} reads {{path}}, which {first} writes"
    if rewrites and "r" in one:
        return f"{second} writes {{path}}, which {first} reads"
    if writes and "e" in other:
        return f"{second} checks {{path}}, which {first} writes"
    if rewrites and "e" in one:
        return f"{second} writes {{path}}, which {first} checks"
    if "c" in one and "l" in other:
        return f"{second} lists the folder of {{path}}, which {first} writes"
    if writes and rewrites and not (writes == rewrites == {"a"}):
        return f"{second} and {first} both write {{path}}"
    return ""


def with_literal_files(dag: Dag, parsed: Mapping[int, Python | SyntaxProblem]) -> Dag:
    """Return the DAG with the conflicts among the files that the code of its tasks names in literals."""
    trees = {index: each.tree for index, each in parsed.items() if isinstance(each, Python)}
    shared = [cell.index for cell in dag.cells if cell.kind in (CellKind.PARAMETERS, CellKind.SETUP)]
    constants = path_constants([trees[index] for index in shared if index in trees])
    uses: dict[str, list[FileUse]] = {}
    lines: dict[tuple[str, str], int] = {}
    for task in dag.tasks.values():
        of_code = literal_uses(trees[task.cell], constants) if task.cell in trees else ()
        for use, line in (*of_code, *_scripts(dag, task)):
            uses.setdefault(task.id, []).append(use)
            lines.setdefault((task.id, use.path), line)
    dag = replace(dag, exchanged_files=_exchanged(uses))
    conflicts = list(file_conflicts(uses, dag.ancestors))
    found = [*_dropped_files(dag, trees, constants, uses)]
    found += [
        _problem("NB312", dag, conflict, lines.get((conflict.second, conflict.paths[0]), 1)) for conflict in conflicts
    ]
    return _with_conflicts(dag, conflicts, found)


def _exchanged(uses: Mapping[str, Sequence[FileUse]]) -> tuple[str, ...]:
    """Return the files that one task writes and another one reads, in alphabetical order."""
    readers: dict[str, set[str]] = defaultdict(set)
    for task, files in uses.items():
        for path in _read_by(files):
            readers[path].add(task)
    written = {(task, use.path) for task, files in uses.items() for use in files if set(use.how) & set("cwa")}
    return tuple(sorted({path for task, path in written if readers[path] - {task}}))


def _dropped_files(
    dag: Dag, trees: Mapping[int, ast.Module], constants: Mapping[str, str], uses: Mapping[str, Sequence[FileUse]]
) -> Iterator[Problem]:
    """Yield a problem for each file that an untagged cell writes and a task below reads."""
    for cell in dag.cells:
        if not cell.untagged or cell.index not in trees:
            continue
        found = literal_uses(trees[cell.index], constants)
        for path, line in {use.path: line for use, line in found if set(use.how) & set("cwa")}.items():
            below = (task.id for task in dag.tasks.values() if task.cell > cell.index)
            readers = [task for task in below if path in _read_by(uses.get(task, ()))]
            if readers:
                message = (
                    f"{cell.label} writes {path}, which {join_names(readers)} would read, but an untagged "
                    "cell below a task does not run headlessly"
                )
                hint = "begin the cell with %%task NAME; if the file exists already, begin it with %%skip"
                yield problem("NB311", message, hint=hint, place=cell.at(line))


def _read_by(uses: Iterable[FileUse]) -> set[str]:
    return {use.path for use in uses if set(use.how) & set("re")}


def with_remembered_files(dag: Dag, attempts: Sequence[FilesOfAttempt], folder: str) -> Dag:
    """Return the DAG with the conflicts that earlier attempts of its tasks had. Known conflicts are not added again."""
    known = {(edge.source, edge.target) for edge in dag.file_edges}
    conflicts = [each for each in conflicts_of_run(dag, attempts) if (each.first, each.second) not in known]
    shown = [
        replace(each, paths=tuple(path.removeprefix(f"{folder.rstrip('/')}/") for path in each.paths))
        for each in conflicts
    ]
    return _with_conflicts(dag, shown, drop_ignored(dag.cells, [_problem("NB313", dag, each, 1) for each in shown]))


def _problem(code: str, dag: Dag, conflict: Conflict, line: int) -> Problem:
    place = dag.cells[dag.tasks[conflict.second].cell].at(line)
    repair = None
    if dag.cells[dag.tasks[conflict.second].cell].made_at is None:
        repair = Repair(kind="after", cells=(place.cell,), new=conflict.first)
    return problem(code, conflict.message(), hint=conflict.remedy, task=conflict.second, place=place, repair=repair)


def _with_conflicts(dag: Dag, conflicts: Sequence[Conflict], problems: Sequence[Problem]) -> Dag:
    edges = [Edge(source=each.first, target=each.second, files=each.paths) for each in conflicts]
    return replace(dag, file_edges=(*dag.file_edges, *edges), problems=(*dag.problems, *problems))


# -- paths in code -----------------------------------------------------------------------------------------------------


def literal_uses(tree: ast.Module, constants: Mapping[str, str]) -> Iterator[tuple[FileUse, int]]:
    """Yield the files that this code names in literals, with the lines. `constants` are names whose value is a path."""
    for path, how, line in file_calls(tree, constants):
        if path and "://" not in path:
            yield FileUse(posixpath.normpath(path), how), line


def file_calls(tree: ast.Module, constants: Mapping[str, str]) -> Iterator[tuple[str, str, int]]:
    """Yield the path, the kind of use (as in `FileUse`) and the line of each call that certainly uses a file.

    The path is "" if the code does not name it in a literal.
    """
    own = {**constants, **path_constants([tree])}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for path, how in _call(node, own):
                yield path, how, node.lineno
            for path, how, _ in shell_uses(_shell_code(node)):
                yield path, how, node.lineno


def _shell_code(node: ast.Call) -> str:
    """Return the literal command that a call gives to the shell or to a new process, or ""."""
    dotted = dotted_parts(node.func)
    of_shell = dotted[-1] in _SHELL_METHODS and ast.unparse(node.func).startswith("get_ipython().")
    if not node.args or not (of_shell or dotted[-2:] in _COMMANDS):
        return ""
    match node.args[0]:
        case ast.Constant(value=str(text)):
            return text
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return " ".join(shlex.quote(each) for part in parts if (each := _constant(part)))
    return ""


def _scripts(dag: Dag, task: Task) -> Iterator[tuple[FileUse, int]]:
    """Yield the files that a shell script names, each with its line.

    The script is the body of a bash task, or the code below %%bash or %%sh.
    """
    source = dag.cells[task.cell].source
    _, *body = source.split("\n")
    if task.options.operator == "bash":
        script, above = body, 1
    elif body and re.match(r"%%(?:bash|sh)\b", body[0]):
        script, above = body[1:], 2
    else:
        return
    for path, how, line in shell_uses("\n".join(script)):
        yield FileUse(posixpath.normpath(path), how), line + above


def path_constants(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Return the names that these cells bind once, at the top level, to a literal path."""
    found: dict[str, str] = {}
    bound: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                if node.id in bound:
                    found.pop(node.id, None)
                    bound.add(f"{node.id} again")
                bound.add(node.id)
    for tree in trees:
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target = statement.targets[0]
                value = _path(statement.value, found)
                if isinstance(target, ast.Name) and value and f"{target.id} again" not in bound:
                    found[target.id] = value
    return found


def _path(node: ast.expr | None, constants: Mapping[str, str]) -> str:
    """Return the path that an expression certainly evaluates to, or "" if the path is not certain."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return constants.get(name, "")
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _joined([_path(left, constants), _path(right, constants)])
        case ast.JoinedStr(values=values):
            parts = [_path(each.value if isinstance(each, ast.FormattedValue) else each, constants) for each in values]
            return "".join(parts) if all(parts) else ""
        case ast.Call(func=function, args=[_, *_] as args, keywords=[]) if dotted_parts(function) in (
            ("Path",),
            ("pathlib", "Path"),
            ("os", "path", "join"),
        ):
            return _joined([_path(each, constants) for each in args])
    return ""


def _joined(parts: Sequence[str]) -> str:
    return posixpath.join(*parts) if parts and all(parts) else ""


def dotted_parts(node: ast.expr) -> tuple[str, ...]:
    """Return the parts of a dotted name, such as ("np", "load"). The first part is "" if the root is not a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (*([node.id] if isinstance(node, ast.Name) else [""]), *reversed(names))


def _call(node: ast.Call, constants: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    dotted = dotted_parts(node.func)
    name, pair = dotted[-1], dotted[-2:] if len(dotted) == 2 else ("", "")

    def argument(position: int) -> str:
        if position < len(node.args):
            return _path(node.args[position], constants)
        return next((_path(each.value, constants) for each in node.keywords if each.arg in _KEYWORDS), "")

    method = isinstance(node.func, ast.Attribute)
    if dotted in _OPENS:
        yield argument(0), _mode(node, 1)
    elif dotted[0] == "os" and name in _OS_USES:
        yield argument(0), _OS_USES[name]
    elif pair == ("glob", "glob"):
        folder, _, pattern = argument(0).rpartition("/")
        yield folder if pattern and not set(folder) & set("*?[") else "", "l"
    elif isinstance(node.func, ast.Attribute) and (name == "open" or name in _PATH_METHODS):
        yield _path(node.func.value, constants), _PATH_METHODS.get(name) or _mode(node, 0)
    elif pair in _MOVES:
        yield argument(0), "c"
        yield argument(1), "c"
    elif pair in _COPIES:
        yield argument(0), "r"
        yield argument(1), "c"
    elif pair in _REMOVES:
        yield argument(0), "c"
    elif pair in _MODULE_READS or name in _READS or name in _OTHER_READS:
        yield argument(_MODULE_READS.get(pair, 0)), "r"
    elif method and (pair in _MODULE_WRITES or name in _WRITES or name in _OTHER_WRITES):
        mode = next((_constant(each.value) for each in node.keywords if each.arg == "mode"), "")
        yield argument(_MODULE_WRITES.get(pair, 0)), "a" if mode == "a" else "c"


def _mode(node: ast.Call, position: int) -> str:
    given = node.args[position] if position < len(node.args) else None
    given = given or next((each.value for each in node.keywords if each.arg == "mode"), None)
    mode = "r" if given is None else _constant(given)
    how = "a" if "a" in mode else "c" if set(mode) & {"w", "x"} else "r"
    return f"{how}w" if "+" in mode and how == "r" else how


def _constant(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
