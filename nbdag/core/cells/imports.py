"""Find the imports in a notebook's cells that a fork server can execute before the cells run.

Imports are collected in notebook order, up to the first line that may change what an import loads. Such a line changes
the environment or puts a folder first on the module path. Imports below that line must not be executed early. Imports
inside functions are not collected, since the function may never be called.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ..model.dag import CellKind, Dag
from .source import Python, SyntaxProblem, to_python

_CODE = {CellKind.PARAMETERS, CellKind.SETUP, CellKind.TASK}
_CHANGERS = {"os.putenv", "os.unsetenv", "load_dotenv", "dotenv.load_dotenv", "sys.path.insert", "site.addsitedir"}
_ENVIRON_CHANGES = {"update", "setdefault", "pop", "popitem", "clear"}
_MAGICS = {"env", "set_env", "dotenv"}
_CHANGES_PATH = re.compile(
    r"\bsys\s*\.\s*path\b|\bfrom\s+sys\s+import\b.*\bpath\b|\baddsitedir\b|^\s*%run\b", re.MULTILINE
)


def imports(dag: Dag) -> tuple[str, ...]:
    """Return `a.b` for `import a.b` and `a:b` for `from a import b`, in order, without duplicates."""
    return imported(tuple(cell.code for cell in dag.cells if cell.kind in _CODE))


@lru_cache(maxsize=64)  # cached because all jobs of a run have the same cells
def imported(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Return the imports in the code of these cells, in the form that `imports` returns."""
    found: dict[str, None] = {}
    for code in cells:
        python = to_python(code)
        if isinstance(python, SyntaxProblem):
            continue
        for statement in _statements(python.tree.body):
            if _changes_imports(statement):
                return tuple(found)
            found.update(dict.fromkeys(_names(statement)))
    return tuple(found)


def changes_imports(code: str) -> bool:
    """Return whether a cell may change which modules later imports load."""
    python = to_python(code)
    return not isinstance(python, SyntaxProblem) and any(map(_changes_imports, _statements(python.tree.body)))


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that the cell itself executes, also inside `if`, `try`, `with` and loops."""
    for statement in body:
        blocks = [
            block for name in ("body", "handlers", "orelse", "finalbody") for block in getattr(statement, name, [])
        ]
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or not blocks:
            yield statement
        else:
            for block in blocks:
                yield from _statements(block.body if isinstance(block, ast.ExceptHandler) else [block])


def _names(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(module), level=0, names=names) if module != "__future__":
            yield from (module if alias.name == "*" else f"{module}:{alias.name}" for alias in names)


def _changes_imports(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    targets: list[ast.expr] = []
    match statement:
        case ast.Assign(targets=several) | ast.Delete(targets=several):
            targets = several
        case ast.AugAssign(target=one) | ast.AnnAssign(target=one):
            targets = [one]
    for target in targets:
        owner = target.value if isinstance(target, ast.Subscript) else target
        if _dotted(owner) in {"os.environ", "environ", "sys.path"}:
            return True
    return any(_call_changes(node) for node in ast.walk(statement) if isinstance(node, ast.Call))


def _call_changes(call: ast.Call) -> bool:
    name = _dotted(call.func)
    owner, _, method = name.rpartition(".")
    if name in _CHANGERS or (owner in {"os.environ", "environ"} and method in _ENVIRON_CHANGES):
        return True
    if method == "run_line_magic" and len(call.args) == 2:
        magic, line = (getattr(arg, "value", None) for arg in call.args)
        return magic in _MAGICS and (magic == "dotenv" or bool(str(line).strip()))
    return False


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def top_level_modules(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level module (`a` for `import a.b`) of each import, including imports inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call):
            match [ast.unparse(node.func).rpartition(".")[2], *node.args]:
                case ["import_module" | "__import__", ast.Constant(value=str(name)), *_]:
                    yield name.partition(".")[0]
                case ["run_line_magic", ast.Constant(value="load_ext" | "reload_ext"), ast.Constant(value=str(name))]:
                    yield name.strip().partition(".")[0]


@lru_cache(maxsize=4096)
def imported_modules(code: str) -> frozenset[str]:
    """Return the top-level module of each import in a cell's code."""
    python = to_python(code)
    return frozenset(top_level_modules(python.tree)) if isinstance(python, Python) else frozenset()


@lru_cache(maxsize=4096)
def changes_module_path(code: str) -> bool:
    """Return whether the code changes the module path, or runs another file, whose imports are unknown."""
    return _CHANGES_PATH.search(code) is not None
