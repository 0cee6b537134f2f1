"""The library functions and attributes that each cell uses, directly or through functions that it names.

This analysis is coarser than `names`. Every name in a cell counts as used. If a used name is a function or class of the
notebook, all names in the definition count as used, too. A use is missed only if the code hides it, as `eval` does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ..cells.source import Python, to_python
from .hidden_state import IMPORT, MAGIC, VALUE

# Arguments that give a function its own source of random numbers.
_OWN_GENERATOR = frozenset({"random_state", "rng", "generator", "seed"})
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(slots=True)
class _Text:
    """The names and attribute chains in a statement."""

    # Key: dotted name such as `np.random.rand`, or `.rand` if the object is not a name; value: line.
    dotted: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    imports: dict[str, str] = field(default_factory=dict)  # key: bound name; value: dotted name of the import
    methods: tuple[str, ...] = ()  # the methods of a class, each as `.name`


@dataclass(slots=True)
class _Cell:
    text: _Text  # all statements of the cell that do not define a function or class
    definitions: dict[str, _Text]
    bound: set[str]  # names bound by statements other than imports and definitions


def library_uses(codes: Mapping[int, str]) -> dict[int, dict[str, int]]:
    """Return the uses of each cell. Key: index of the cell; value: each use, with the line where it first appears.

    `codes` are the cells that run, in notebook order.
    """
    cells = {index: _read(code) for index, code in codes.items()}
    imports: dict[str, str] = {}
    definitions: dict[str, list[_Text]] = {}
    bound: set[str] = set()
    for cell in cells.values():
        imports |= cell.text.imports
        bound |= cell.bound
        for name, text in cell.definitions.items():
            imports |= text.imports
            for each in (name, *text.methods):
                definitions.setdefault(each, []).append(text)
    values = bound - imports.keys() - definitions.keys()
    return {index: _uses(cell, imports, definitions, values) for index, cell in cells.items()}


def _uses(
    cell: _Cell, imports: Mapping[str, str], definitions: Mapping[str, Sequence[_Text]], values: set[str]
) -> dict[str, int]:
    found: dict[str, int] = {}
    seen: set[str] = set()
    ahead = [cell.text, *cell.definitions.values()]
    while ahead:
        text = ahead.pop()
        own = {**imports, **text.imports}
        for dotted, line in text.dotted.items():
            root, _, rest = dotted.partition(".")
            if root in own:
                found.setdefault(f"{own[root]}.{rest}" if rest else own[root], line)
            elif rest and root not in (IMPORT, MAGIC):
                found.setdefault(f".{rest.rpartition('.')[2]}", line)
            elif dotted in (IMPORT, MAGIC):
                found.setdefault(dotted, line)
        if text.names & (values - cell.bound):
            found.setdefault(VALUE, 1)
        methods = {f".{dotted.rpartition('.')[2]}" for dotted in text.dotted if "." in dotted}
        for name in (text.names | methods) - seen:
            seen.add(name)
            ahead += definitions.get(name, ())
    return found


@lru_cache(maxsize=4096)
def _read(code: str) -> _Cell:
    python = to_python(code)
    cell = _Cell(_Text(), {}, set())
    if isinstance(python, Python):
        for name, line in python.reads:
            cell.text.names.add(name)
            cell.text.dotted.setdefault(MAGIC, line)
        for statement in python.tree.body:
            if isinstance(statement, _SCOPES):
                cell.definitions[statement.name] = text = _Text()
                if isinstance(statement, ast.ClassDef):
                    text.methods = tuple(f".{each.name}" for each in statement.body if isinstance(each, _SCOPES))
            else:
                text = cell.text
                cell.bound |= {
                    node.id
                    for node in ast.walk(statement)
                    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
                }
            _collect([statement], text)
    return cell


def _collect(nodes: Iterable[ast.AST], text: _Text) -> None:
    ahead = list(nodes)
    while ahead:
        node = ahead.pop()
        match node:
            case ast.Import(names=aliases):
                text.dotted.setdefault(IMPORT, node.lineno)
                for alias in aliases:
                    root = alias.name.partition(".")[0]
                    text.imports[alias.asname or root] = alias.name if alias.asname else root
            case ast.ImportFrom(names=aliases, module=module):
                text.dotted.setdefault(IMPORT, node.lineno)
                for alias in aliases:
                    text.imports[alias.asname or alias.name] = f"{'.' * node.level}{module or ''}.{alias.name}"
            case ast.Attribute():
                chain, start = _chain(node)
                text.dotted.setdefault(chain, node.lineno)
                ahead.append(start)
                continue
            case ast.Name(ctx=ast.Load(), id=name):
                text.names.add(name)
                text.dotted.setdefault(name, node.lineno)
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")))):
                text.dotted.setdefault(MAGIC, node.lineno)
            case ast.Call(func=ast.Attribute() | ast.Name(), keywords=keywords) if _has_generator(keywords):
                ahead += [*node.args, *keywords]
                # The call has its own generator, so the dotted name of the called function does not count. The library
                # itself still counts, because it has settings. A called name without a dot counts only if the notebook
                # defines it.
                ahead.append(_chain(node.func)[1] if isinstance(node.func, ast.Attribute) else ast.Pass())
                text.names |= {node.func.id} if isinstance(node.func, ast.Name) else set()
                continue
        ahead += ast.iter_child_nodes(node)


def _chain(node: ast.Attribute) -> tuple[str, ast.expr]:
    """Return the text of an attribute chain such as `a.b.c`, and its root `a`.

    If the root is not a name, the text is `.b.c`.
    """
    parts: list[str] = []
    root: ast.expr = node
    while isinstance(root, ast.Attribute):
        parts.append(root.attr)
        root = root.value
    parts.append(root.id if isinstance(root, ast.Name) else "")
    return ".".join(reversed(parts)), root


def _has_generator(keywords: Iterable[ast.keyword]) -> bool:
    return any(
        each.arg in _OWN_GENERATOR and not (isinstance(each.value, ast.Constant) and each.value.value is None)
        for each in keywords
    )
