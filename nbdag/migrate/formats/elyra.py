"""A pipeline of Elyra (`.pipeline`): each node with a notebook or script becomes a task of one notebook.

Links become declared edges. A node's environment variables are set at the start of its task, and the pipeline's
environment variables in setup.
Settings of containers (images, volumes, resources) are not carried over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...notebooks import id_of
from .imported import (
    Imported,
    ImportedNotebook,
    ImportSourceError,
    code_cell,
    notebook,
    placeholder_cell,
    prose_cell,
    read_source,
    task_cells,
    task_header,
    task_name,
)

_LEFT = {
    "cpu": "tasks run on this machine; --slots says how many slots of a pool a task uses",
    "cpu_limit": "tasks run on this machine; --slots says how many slots of a pool a task uses",
    "memory": "tasks run on this machine; --slots says how many slots of a pool a task uses",
    "memory_limit": "tasks run on this machine; --slots says how many slots of a pool a task uses",
    "gpu": "tasks run on this machine; a pool limits how many tasks use the GPU",
    "gpu_vendor": "tasks run on this machine; a pool limits how many tasks use the GPU",
    "runtime_image": "tasks run in the environment of the notebook's kernel; install the packages there",
    "kubernetes_secrets": "nbdag.secret('NAME') reads a secret",
    "kubernetes_tolerations": "tasks run on this machine",
    "kubernetes_pod_annotations": "tasks run on this machine",
    "kubernetes_pod_labels": "tasks run on this machine",
    "kubernetes_shared_mem_size": "tasks run on this machine",
    "mounted_volumes": "tasks read files of this machine",
    "disable_node_caching": "--cache reuses the result of a task; without it, each run executes the task",
    "disallow_cached_output": "--cache reuses the result of a task; without it, each run executes the task",
    "cos_object_prefix": "NBDAG_STORAGE shares values between hosts",
}
_SAVED = "choose a file that Elyra's pipeline editor has saved"
_GENERIC = ("execute-notebook-node", "execute-python-node", "execute-r-node")


def detect(path: Path) -> bool:
    """Return whether this is a file with the suffix of Elyra's pipelines."""
    return path.is_file() and path.suffix == ".pipeline"


def read(path: Path) -> Imported:
    """Return one notebook with a task for each node."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        (pipeline,) = [each for each in document["pipelines"] if each["id"] == document["primary_pipeline"]]
        nodes = list(pipeline["nodes"])
        if not all(isinstance(node, dict) and isinstance(node.get("app_data", {}), dict) for node in nodes):
            raise TypeError
    except (OSError, ValueError, LookupError, TypeError) as failure:
        reason = "it has no primary pipeline with nodes"
        if isinstance(failure, json.JSONDecodeError):
            reason = f"line {failure.lineno}: {failure.msg.lower()}"
        elif isinstance(failure, UnicodeDecodeError | OSError):
            reason = str(failure).lower()
        raise ImportSourceError(str(path), f"is no pipeline of Elyra ({reason})", _SAVED) from None
    try:
        return _Reader(path, document, pipeline, nodes).imported()
    except (LookupError, TypeError, ValueError, AttributeError):
        reason = "a node or a property has an unknown form"
        raise ImportSourceError(str(path), f"is no pipeline of Elyra ({reason})", _SAVED) from None


class _Reader:
    def __init__(
        self, path: Path, document: Mapping[str, Any], pipeline: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]
    ) -> None:
        self.path = path
        self.folder = path.parent
        self.found = Imported()
        properties = pipeline.get("app_data", {}).get("properties", {})
        self.properties: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
        self.comments = pipeline.get("app_data", {}).get("ui_data", {}).get("comments", [])
        self.nodes = [node for node in nodes if node.get("type") == "execution_node"]
        for node in nodes:
            if node.get("type") != "execution_node":
                self._leave(node, f"a node of type {node.get('type')}", "write its tasks into the notebook")
        if not self.nodes:
            hint = "add a notebook or script to it in Elyra's pipeline editor"
            raise ImportSourceError(str(path), "has no nodes", hint)
        self.names: dict[str, str] = {}
        for node in self.nodes:
            self.names[node["id"]] = task_name(_label(node), self.names.values())
        self.parameters = {
            str(each["name"]): each for each in self.properties.get("pipeline_parameters") or () if each.get("name")
        }

    def imported(self) -> Imported:
        name = str(self.properties.get("name") or self.path.stem)
        cells = [prose_cell(f"# {name}")]
        if self.properties.get("description"):
            cells.append(prose_cell(str(self.properties["description"])))
        cells += [prose_cell(text) for each in self.comments if (text := str(each.get("content") or "").strip())]
        if self.parameters:
            cells.append(code_cell("\n".join(["%%params", *map(_default, self.parameters.values())])))
        defaults = self.properties.get("pipeline_defaults") or {}
        for key, value in defaults.items():
            if key in _LEFT and value:
                self.found.leave(self.path.name, f"pipeline default {key}: {_shown(value)}", _LEFT[key])
        runtime = self.properties.get("runtime_config") or self.properties.get("runtime")
        if runtime not in (None, "", "Generic", "local"):
            self.found.leave(self.path.name, f"runtime {runtime}", "tasks run on this machine")
        variables = list(_variables(defaults.get("env_vars")))
        if variables:
            lines = [f"os.environ[{key!r}] = {value!r}" for key, value in variables]
            cells.append(code_cell("\n".join(["%%setup", "import os", "", *lines])))
        kernel: Mapping[str, Any] = {}
        for node in (nodes := list(self._in_order())):
            made, own = self._cells(node, is_last=node is nodes[-1])
            cells += made
            kernel = kernel or own
        file = f"{id_of(self.path.stem)}.ipynb"
        self.found.notebooks.append(ImportedNotebook(name=file, folder=self.folder, content=notebook(cells, kernel)))
        return self.found

    def _cells(self, node: Mapping[str, Any], *, is_last: bool) -> tuple[list[dict[str, Any]], Mapping[str, Any]]:
        given = node.get("app_data", {}).get("component_parameters") or node.get("app_data", {})
        header = task_header(self.names[node["id"]], after=tuple(self.names[each] for each in self._before(node)))
        file = str(given.get("filename") or "")
        if node.get("op") not in _GENERIC or not file:
            self._leave(node, f"the component {node.get('op')}", "write its code into the task, which fails until then")
            return [placeholder_cell(header, f"the component {node.get('op')} is not carried over")], {}
        for key, value in given.items():
            if key in _LEFT and value not in (None, "", [], {}, False):
                self._leave(node, f"{key}: {_shown(value)}", _LEFT[key])
        path = self.folder / file
        if path.suffix.lower() == ".r":
            self._leave(node, file, "it is in R, and tasks are in Python; the task fails until its code is translated")
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            return [placeholder_cell(header, f"{file} is in R", text)], {}
        try:
            source = read_source(path, file)
        except ImportSourceError as failure:
            self._leave(node, file, failure.reason)
            return [placeholder_cell(header, f"{file} {failure.reason}")], {}
        if source.language.lower() not in ("python", "python3", "ipython"):
            self._leave(node, file, f"it is in {source.language}, and tasks are in Python")
            return [placeholder_cell(header, f"{file} is in {source.language}", source.code)], {}
        injected = [f"os.environ[{key!r}] = {value!r}" for key, value in _variables(given.get("env_vars"))]
        wanted = [name for name in given.get("pipeline_parameters") or () if name in self.parameters]
        injected += [f"os.environ[{name!r}] = str({name})" for name in wanted]
        folder = Path(file).parent.as_posix()  # Elyra executes a file in its own folder
        if folder != ".":
            injected.append(f"os.chdir({folder!r})")
        if injected:
            # Elyra executes each file in a process of its own, so no later task needs the variables or the folder.
            injected = ["import os", *([] if is_last else ["# nbdag: ignore[NB304]"]), *injected]
        return task_cells(source, header, injected), source.kernel

    def _before(self, node: Mapping[str, Any]) -> Iterator[str]:
        seen = set()
        for port in node.get("inputs") or ():
            for link in port.get("links") or ():
                other = link.get("node_id_ref")
                if other in self.names and other not in seen:
                    seen.add(other)
                    yield other

    def _in_order(self) -> list[Mapping[str, Any]]:
        """Return the nodes in the order of the file, but each node after the nodes that it needs."""
        by_id = {node["id"]: node for node in self.nodes}
        found: dict[str, Mapping[str, Any]] = {}

        def add(id: str, above: tuple[str, ...]) -> None:
            if id in found or id in above:  # a cycle is reported by the check of the notebook
                return
            for other in self._before(by_id[id]):
                add(other, (*above, id))
            found.setdefault(id, by_id[id])

        for id in by_id:
            add(id, ())
        return list(found.values())

    def _leave(self, node: Mapping[str, Any], what: str, reason: str) -> None:
        self.found.leave(f"{self.path.name}, node {_label(node)}", what, reason)


def _label(node: Mapping[str, Any]) -> str:
    given = node.get("app_data", {})
    label = given.get("label") or given.get("ui_data", {}).get("label") or ""
    file = (given.get("component_parameters") or given).get("filename") or ""
    return Path(str(label or file or node["id"])).stem


def _variables(given: Any) -> Iterator[tuple[str, str]]:
    """Yield the environment variables of a node. Each is a mapping, or in older files a text NAME=VALUE."""
    for each in given or ():
        if isinstance(each, Mapping) and each.get("env_var") and each.get("value"):  # Elyra ignores other entries, too
            yield str(each["env_var"]), str(each["value"])
        elif isinstance(each, str) and "=" in each:
            name, _, value = each.partition("=")
            yield name, value


def _default(parameter: Mapping[str, Any]) -> str:
    """Return the assignment of a pipeline parameter's default."""
    default = parameter.get("default_value") or {}
    value = default.get("value") if isinstance(default, Mapping) else default
    kind = {"Integer": "int", "Float": "float", "Bool": "bool", "String": "str"}.get(
        str(default.get("type")) if isinstance(default, Mapping) else "", ""
    )
    about = " ".join(str(parameter.get("description") or "").split())
    return f"{parameter['name']}{f': {kind}' if kind else ''} = {value!r}{f'  # {about}' if about else ''}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
