"""Find the names that a template uses, without rendering it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jinja2 import meta, nodes

from .context import NAMES
from .rendering import LENGTH, LENGTH_MARK, TemplateError, compiled_template, environment, unknown_name

_INSTANCES = ("ti", "task_instance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """A use of `ti.xcom_pull`."""

    task: str | None  # id of the task; None if it is computed when the template is rendered
    key: str | None  # the key; None for the task's result, "" if the key is computed
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateNames:
    """The names that a template uses."""

    params: tuple[tuple[str, int], ...] = ()  # each parameter that is used, with the line
    pulls: tuple[Pull, ...] = ()
    variables: tuple[str, ...] = ()  # names of variables in var.value and var.json
    connections: tuple[str, ...] = ()


def read_template(text: str, *, what: str = "the template") -> TemplateNames:
    """Return the names that a template uses. Raise `TemplateError` for a syntax error or an unknown name."""
    env = environment()
    compiled_template(text, what)  # compiled to find syntax errors and unknown filters
    tree = env.parse(text.replace(LENGTH, LENGTH_MARK))
    unknown = meta.find_undeclared_variables(tree) - set(NAMES) - set(env.globals)
    if unknown:
        line, name = min((_line_of(tree, name), name) for name in unknown)
        if not _may_be_missing(tree, name):
            message, _, hint = unknown_name(name).partition("; ")
            raise TemplateError(what, line, message, hint)
    return TemplateNames(
        params=tuple(_members(tree, "params")),
        pulls=tuple(_pulls(tree)),
        variables=tuple(
            dict.fromkeys(
                name
                for node in tree.find_all(nodes.Getattr)
                if isinstance(node.node, nodes.Getattr)
                and isinstance(node.node.node, nodes.Name)
                and node.node.node.name == "var"
                and (name := node.attr) != "get"
            )
        ),
        connections=tuple(dict.fromkeys(name for name, _ in _members(tree, "conn"))),
    )


def _line_of(tree: nodes.Template, name: str) -> int:
    return min((node.lineno for node in tree.find_all(nodes.Name) if node.name == name), default=1)


def _may_be_missing(tree: nodes.Template, name: str) -> bool:
    """Return whether the template tests that the name exists, or gives a default for it."""
    for test in tree.find_all(nodes.Test):
        if test.name in ("defined", "undefined") and isinstance(test.node, nodes.Name) and test.node.name == name:
            return True
    return any(
        each.name in ("default", "d") and isinstance(each.node, nodes.Name) and each.node.name == name
        for each in tree.find_all(nodes.Filter)
    )


def _members(tree: nodes.Template, owner: str) -> Iterator[tuple[str, int]]:
    """Yield the constant members of a name with their lines, such as x for params.x and params['x']."""
    optional = {
        id(each.node)
        for each in tree.find_all((nodes.Filter, nodes.Test))
        if each.name in ("default", "d", "defined", "undefined")
    }
    methods = {id(each.node) for each in tree.find_all(nodes.Call)}
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        assert isinstance(node, nodes.Getattr | nodes.Getitem)
        if not isinstance(node.node, nodes.Name) or node.node.name != owner or id(node) in optional | methods:
            continue
        if isinstance(node, nodes.Getattr):
            yield node.attr, node.lineno
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            yield node.arg.value, node.lineno


def _pulls(tree: nodes.Template) -> Iterator[Pull]:
    for call in tree.find_all(nodes.Call):
        method = call.node
        if not (isinstance(method, nodes.Getattr) and method.attr == "xcom_pull"):
            continue
        if not (isinstance(method.node, nodes.Name) and method.node.name in _INSTANCES):
            continue
        given: dict[str, Any] = dict(zip(("task_ids", "dag_id", "key"), call.args, strict=False))
        given |= {each.key: each.value for each in call.kwargs}
        key = _constant(given.get("key"), None)
        for task in _task_ids(given.get("task_ids")):
            yield Pull(task=task, key=None if key == "return_value" else key, line=call.lineno)


def _task_ids(node: nodes.Node | None) -> list[str | None]:
    """Return the task ids in an argument, with None for an id that is computed."""
    if isinstance(node, nodes.List | nodes.Tuple):
        return [each for item in node.items for each in _task_ids(item)]
    value = node.value if isinstance(node, nodes.Const) else None
    return [each if isinstance(each, str) else None for each in (value if isinstance(value, list | tuple) else [value])]


def _constant(node: nodes.Node | None, default: Any) -> Any:
    """Return the text of a constant argument; `default` for a missing argument, and "" for a computed one."""
    if node is None:
        return default
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str | None) else ""
