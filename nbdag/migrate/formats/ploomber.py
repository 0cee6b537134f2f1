"""A Ploomber pipeline: each task of `pipeline.yaml` becomes a task of one notebook.

A notebook or script becomes one cell, which begins with the values that Ploomber would inject: `upstream`, `product`
and the parameters. A function is imported and called. A shell script becomes a task of the operator bash. The edges are
declared, because Ploomber's tasks exchange files.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...notebooks import id_of, is_notebook
from .imported import (
    Imported,
    ImportedNotebook,
    ImportSourceError,
    NotCarriedOver,
    Source,
    assignments,
    code_cell,
    notebook,
    placeholder_cell,
    prose_cell,
    read_source,
    task_cells,
    task_header,
)
from .yaml_lines import Entry, load

_PLACEHOLDER = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
_GRID = re.compile(r"\[\[\s*(\w+)\s*\]\]")
_UPSTREAM_KEY = re.compile(r"""upstream\s*\[\s*(['"])(.+?)\1\s*\]""")
_SHELL_VALUE = re.compile(r"""\{\{\s*(upstream|product)((?:\s*\[\s*['"][^'"]+['"]\s*\])*)\s*\}\}""")
_KEY = re.compile(r"""['"]([^'"]+)['"]""")
_SUFFIXES = (".py", ".ipynb", ".md", ".sql", ".sh", ".r", ".rmd")  # suffixes of source files
_READ = {"source", "name", "product", "params", "upstream", "grid", "class"}
_REASONS = {
    "on_finish": "add its code at the end of the task's cell",
    "on_render": "a run checks the notebook before it starts; add other checks to setup",
    "on_failure": "--on-failure of %dag notifies; --trigger all_failed runs a task after a failure",
    "client": "write the task with --operator sql, and name a connection",
    "clients": "write SQL tasks with --operator sql, and name a connection",
    "product_client": "upload the product in the task's cell; NBDAG_STORAGE shares values between hosts",
    "serializer": "values pass between tasks without files: assign the result to a name that later tasks read",
    "unserializer": "values pass between tasks without files: read the name that an earlier task sets",
    "executor": "nbdag run --jobs sets how many tasks run at the same time",
    "papermill_params": "papermill's settings are nbdag's own; --timeout and --retries are options of a task",
    "executor_params": "papermill's settings are nbdag's own; --timeout and --retries are options of a task",
    "nbconvert_exporter_name": "nbdag report writes the run as HTML",
    "nbconvert_export_kwargs": "nbdag report writes the run as HTML",
    "static_analysis": "nbdag check analyses every task",
    "local_execution": "all tasks run on this machine",
    "meta": "this setting concerns how Ploomber reads the file",
}


@dataclass(slots=True)
class _Task:
    """A task of the file. A grid becomes several tasks."""

    entry: Entry
    name: str
    source: str
    product: Any  # a path, a mapping of paths, or None
    params: dict[str, Any]
    path: Path
    content: Source | None = None
    patterns: tuple[str, ...] = ()  # names of upstream tasks, in which * stands for any text
    upstream: dict[str, list[_Task]] = field(default_factory=dict)  # key: pattern; value: the tasks that match

    @property
    def kind(self) -> str:
        """Return the kind of the source: notebook, function, shell or other."""
        suffix = self.path.suffix.lower()
        if is_notebook(self.path) and suffix != ".rmd":
            return "notebook"
        if suffix in (".sh", ".sql", ".r", ".rmd"):
            return "shell" if suffix == ".sh" else "other"
        return "function" if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", self.source) else "other"


def detect(path: Path) -> bool:
    """Return whether this is a YAML file with tasks that have sources, or a folder with `pipeline.yaml`."""
    if path.is_dir():
        return (path / "pipeline.yaml").is_file()
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.search(r"^\s*-?\s*source\s*:", text, re.MULTILINE) is not None


def read(path: Path) -> Imported:
    """Return one notebook with the tasks of the pipeline."""
    if path.is_dir():
        path = path / "pipeline.yaml"
    return _Pipeline(path).imported()


class _Pipeline:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.parent
        self.found = Imported()
        self.env = self._env()
        self.spec = load(path)
        if not isinstance(self.spec.value, dict) or not isinstance(self.spec.get("tasks", []), list | dict):
            raise ImportSourceError(
                str(path), "is no pipeline of Ploomber", "it needs a list of tasks, each with a source"
            )

    def imported(self) -> Imported:
        for key, line in self.spec.lines():
            if key not in ("tasks", "meta", "config") and key in _REASONS:
                self._leave(line, key, _REASONS[key])
        meta = self.spec.child("meta")
        for key, line in meta.lines() if meta is not None else ():
            if key == "import_tasks_from":
                continue
            if not key.startswith(("extract_", "source_loader", "product_default")):
                self._leave(line, f"meta.{key}", "this setting concerns how Ploomber reads the file")
        tasks = [task for entry in self._entries() for task in self._tasks(entry)]
        if not tasks:
            raise ImportSourceError(str(self.path), "has no tasks", "list tasks with a source and a product")
        self._link(tasks)
        folders = sorted({str(Path(product).parent) for task in tasks for product in _paths(task.product)} - {"."})
        cells = [prose_cell(f"# {self.folder.resolve().name}")]
        if folders:
            loop = f"for folder in {folders!r}:\n    Path(folder).mkdir(parents=True, exist_ok=True)"
            cells.append(code_cell(f"%%setup\nfrom pathlib import Path\n\n{loop}"))
        for task in _in_order(tasks):
            cells += self._cells(task)
        kernel = next((task.content.kernel for task in tasks if task.content and task.content.kernel), None)
        self.found.not_carried_over.sort(key=_line)
        name = f"{id_of(self.folder.resolve().name)}.ipynb"
        self.found.notebooks.append(ImportedNotebook(name=name, folder=self.folder, content=notebook(cells, kernel)))
        return self.found

    # -- the file ------------------------------------------------------------------------------------------------------

    def _env(self) -> dict[str, Any]:
        file = self.folder / "env.yaml"
        if not file.is_file():
            return {}
        found = load(file)
        values = found.value if isinstance(found.value, dict) else {}
        for key, line in found.lines():
            self.found.leave(f"env.yaml, line {line}", key, "its value is written into the tasks; make it a parameter")
        return dict(values)

    def _entries(self) -> Iterator[Entry]:
        tasks = self.spec.child("tasks")
        if tasks is not None:
            yield from tasks.items()
        meta = self.spec.child("meta")
        others = meta.child("import_tasks_from") if meta is not None else None
        if others is not None and isinstance(others.value, str):
            yield from load(self.folder / others.value).items()

    def _leave(self, line: int, what: str, reason: str) -> None:
        self.found.leave(f"{self.path.name}, line {line}", what, reason)

    def _filled(self, value: Any, line: int) -> Any:
        """Replace the placeholders of env.yaml in a value."""
        if isinstance(value, dict):
            return {key: self._filled(each, line) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each, line) for each in value]
        if not isinstance(value, str):
            return value
        whole = _PLACEHOLDER.fullmatch(value.strip())
        known: dict[str, Any] = {"here": ".", "cwd": ".", "root": "."} | self.env
        if whole and whole[1] in known:
            return known[whole[1]]

        def replaced(match: re.Match[str]) -> str:
            if match[1] not in known:
                reason = "its value is unknown here; write it into the task, or make it a parameter"
                self._leave(line, match[0], reason)
                return match[0]
            return str(known[match[1]])

        return _PLACEHOLDER.sub(replaced, value)

    def _tasks(self, entry: Entry) -> Iterator[_Task]:
        """Yield the tasks of an entry: one, or one for each combination of a grid."""
        given = entry.value if isinstance(entry.value, dict) else {"source": entry.value}
        given = {key: self._filled(value, entry.line_of(key)) for key, value in given.items()}
        source = given.get("source")
        if not isinstance(source, str):
            self._leave(entry.line, "a task", "it has no source")
            return
        for key, value in given.items():
            if key not in _READ and value is not None:
                self._leave(entry.line_of(key), key, _REASONS.get(key, "nbdag has no such setting"))
        name = str(given.get("name") or (source.rpartition(".")[2] if self._is_dotted(source) else Path(source).stem))
        params = self._mapping(entry, "params", given.get("params"))
        grids = [self._mapping(entry, "grid", each) for each in _listed(given.get("grid"))]
        combinations = [
            dict(zip(grid, values, strict=True))
            for grid in grids
            if grid
            for values in itertools.product(*(each if isinstance(each, list) else [each] for each in grid.values()))
        ]
        path = self.folder / source
        if not combinations:
            yield _Task(entry, name, source, given.get("product"), dict(params), path)
        for number, values in enumerate(combinations):
            own = _filled(name, values)
            own = own if own != name else f"{name}{'' if name.endswith('-') else '-'}{number}"
            product = _of_grid(given.get("product"), values, number)
            yield _Task(entry, own, source, product, {**params, **values}, path)

    def _mapping(self, entry: Entry, key: str, value: Any) -> dict[str, Any]:
        if value is not None and not isinstance(value, dict):
            self._leave(entry.line_of(key), key, "it is no mapping")
        return {str(name): each for name, each in value.items()} if isinstance(value, dict) else {}

    def _is_dotted(self, source: str) -> bool:
        suffix = Path(source).suffix.lower()
        return not (suffix in _SUFFIXES or "/" in source or (self.folder / source).is_file())

    # -- edges ---------------------------------------------------------------------------------------------------------

    def _link(self, tasks: Sequence[_Task]) -> None:
        for task in tasks:
            task.patterns = tuple(dict.fromkeys(self._patterns(task)))
        for task in tasks:
            for pattern in task.patterns:
                task.upstream[pattern] = [other for other in tasks if fnmatchcase(other.name, pattern)]
                if not task.upstream[pattern]:
                    place = task.entry.line
                    self._leave(place, f"upstream {pattern} of {task.name}", "no task has this name")

    def _patterns(self, task: _Task) -> Iterator[str]:
        stated = task.entry.value.get("upstream") if isinstance(task.entry.value, dict) else None
        yield from (str(each) for each in _listed(stated))
        match task.kind:
            case "notebook":
                try:
                    task.content = read_source(task.path, task.source, injected=False)
                except ImportSourceError as failure:
                    self._leave(task.entry.line_of("source"), task.source, failure.reason)
                    return
                statement = (assignments(task.content.parameters) or {}).get("upstream", "upstream = None")
                yield from _literal_names(statement.partition("=")[2])
                if task.product is None:
                    statement = (assignments(task.content.parameters) or {}).get("product", "product = None")
                    task.product = _literal(statement.partition("=")[2])
            case "function":
                definition = self._function(task)
                yield from (match[2] for match in _UPSTREAM_KEY.finditer(definition[0] if definition else ""))
            case _ if task.path.is_file():
                text = task.path.read_text(encoding="utf-8", errors="replace")
                yield from (match[2] for match in _UPSTREAM_KEY.finditer(text))

    def _function(self, task: _Task) -> tuple[str, list[str]] | None:
        """Return the source and the parameters of a function, or None if its module is not in the folder."""
        module, _, name = task.source.rpartition(".")
        for file in (f"{module.replace('.', '/')}.py", f"{module.replace('.', '/')}/__init__.py"):
            if (self.folder / file).is_file():
                text = (self.folder / file).read_text(encoding="utf-8", errors="replace")
                try:
                    tree = ast.parse(text)
                except SyntaxError:
                    return None
                for node in ast.walk(tree):
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                        return ast.get_source_segment(text, node) or "", names
        return None

    # -- cells ---------------------------------------------------------------------------------------------------------

    def _cells(self, task: _Task) -> list[dict[str, Any]]:
        after = tuple(dict.fromkeys(id_of(other.name) for others in task.upstream.values() for other in others))
        header = task_header(id_of(task.name), after=after)
        upstream = {
            pattern: {other.name: other.product for other in others} if "*" in pattern else others[0].product
            for pattern, others in task.upstream.items()
            if others
        }
        match task.kind:
            case "notebook":
                return self._notebook_cells(task, header, upstream)
            case "function":
                return [self._function_cell(task, header, upstream)]
            case "shell":
                return [self._shell_cell(task, upstream, after)]
        language = {".sql": "SQL", ".r": "R", ".rmd": "R"}.get(task.path.suffix.lower(), "an unknown language")
        instead = "write it with --operator sql, and name a connection" if language == "SQL" else "translate it"
        reason = f"{task.source} is in {language}; {instead}"
        line = task.entry.line_of("source")
        self._leave(line, task.source, f"it is in {language}; the task fails until you {instead}")
        text = task.path.read_text(encoding="utf-8", errors="replace") if task.path.is_file() else ""
        return [placeholder_cell(header, reason, text)]

    def _notebook_cells(self, task: _Task, header: str, upstream: Mapping[str, Any]) -> list[dict[str, Any]]:
        content = task.content
        if content is None:
            return [placeholder_cell(header, f"{task.source} cannot be read")]
        if content.language.lower() not in ("python", "python3", "ipython"):
            self._leave(task.entry.line_of("source"), task.source, f"it is in {content.language}; tasks are in Python")
            return [placeholder_cell(header, f"{task.source} is in {content.language}", content.code)]
        self._leave_executed(task)
        own = assignments(content.parameters)
        if own is not None:  # omit the parameters whose values are injected
            left = [own[name] for name in own if name not in ("upstream", "product", *task.params)]
            content = replace(content, parameters="\n".join(left))
        injected = [f"{name} = {value!r}" for name, value in task.params.items()]
        if own is None or "upstream" in own or upstream:
            injected.insert(0, f"upstream = {dict(upstream)!r}" if upstream else "upstream = None")
        if task.product is not None:
            injected.insert(0, f"product = {task.product!r}")
        return task_cells(content, header, injected)

    def _leave_executed(self, task: _Task) -> None:
        stated = task.entry.get("product", task.product)  # for a grid, the product before its placeholders are filled
        executed = stated.get("nb") if isinstance(stated, dict) else stated
        if executed:
            reason = "the report of a run has the outputs; nbdag run NOTEBOOK FILE writes it where you want"
            self._leave(task.entry.line_of("product"), f"the executed notebook {executed}", reason)

    def _function_cell(self, task: _Task, header: str, upstream: Mapping[str, Any]) -> dict[str, Any]:
        module, _, name = task.source.rpartition(".")
        definition = self._function(task)
        if definition is None:
            line = task.entry.line_of("source")
            self._leave(line, task.source, "its module is not in this folder; check its arguments")
        accepted = definition[1] if definition else ["product"]
        arguments = [f"product={_path_code(task.product)}"] if "product" in accepted else []
        if "upstream" in accepted or (definition is None and upstream):
            arguments.append(f"upstream={_path_code(dict(upstream))}")
        arguments += [f"{key}={value!r}" for key, value in task.params.items()]
        call = f"{name}({', '.join(arguments)})"
        return code_cell(f"{header}\nfrom pathlib import Path\n\nfrom {module} import {name}\n\n{call}")

    def _shell_cell(self, task: _Task, upstream: Mapping[str, Any], after: tuple[str, ...]) -> dict[str, Any]:
        def value(match: re.Match[str]) -> str:
            found: Any = task.product if match[1] == "product" else upstream
            for key in _KEY.findall(match[2]):
                found = found.get(key) if isinstance(found, dict) else None
            return str(found)

        script = task.path.read_text(encoding="utf-8", errors="replace") if task.path.is_file() else ""
        header = task_header(id_of(task.name), after=after, operator="bash")
        return code_cell(f"{header}\n{_SHELL_VALUE.sub(value, script).strip()}")


def _line(left: NotCarriedOver) -> tuple[str, int]:
    file, _, line = left.place.partition(", line ")
    return file, int(line or 0)


def _in_order(tasks: Sequence[_Task]) -> list[_Task]:
    """Return the tasks in the order of the file, but each task after the tasks that it needs."""
    found: list[_Task] = []

    def add(task: _Task, above: tuple[str, ...]) -> None:
        if task in found or task.name in above:  # a cycle is reported by the check of the notebook
            return
        for others in task.upstream.values():
            for other in others:
                add(other, (*above, task.name))
        if task not in found:
            found.append(task)

    for task in tasks:
        add(task, ())
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _paths(product: Any) -> list[str]:
    values = product.values() if isinstance(product, dict) else [product]
    return [value for value in values if isinstance(value, str)]


def _path_code(value: Any) -> str:
    """Return Python code for a product; the code makes a `Path` of each path."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_path_code(each)}" for key, each in value.items()) + "}"
    return f"Path({value!r})" if isinstance(value, str) else repr(value)


def _of_grid(product: Any, values: Mapping[str, Any], number: int) -> Any:
    """Return the product of one combination of a grid.

    The placeholders in the product are filled. Without placeholders, the combination's number is added to the file's
    name.
    """
    if isinstance(product, dict):
        return {key: _of_grid(each, values, number) for key, each in product.items()}
    if not isinstance(product, str):
        return product
    filled = _filled(product, values)
    if filled != product:
        return filled
    path = Path(product)
    return str(path.with_name(f"{path.stem}-{number}{path.suffix}"))


def _filled(text: str, values: Mapping[str, Any]) -> str:
    """Replace the placeholders of a grid, such as [[depth]]; a name without a value gives an empty text."""
    return _GRID.sub(lambda match: str(values.get(match[1], "")), text)


def _literal(code: str) -> Any:
    try:
        return ast.literal_eval(code.strip())
    except (ValueError, SyntaxError):
        return None


def _literal_names(code: str) -> list[str]:
    found = _literal(code)
    if isinstance(found, str):
        return [found]
    return [each for each in found if isinstance(each, str)] if isinstance(found, list | tuple | set | dict) else []
