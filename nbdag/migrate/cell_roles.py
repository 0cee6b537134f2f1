"""The role of one untagged cell, judged by its code alone: setup, parameters, scratch or work."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise

from ..core.cells.source import Python, SyntaxProblem, to_python


class Role(StrEnum):
    """The purpose of an untagged cell."""

    EMPTY = "empty"  # nothing but comments
    SETUP = "setup"  # imports, definitions and settings, which every task may need
    PARAMETERS = "parameters"  # constants
    SCRATCH = "scratch"  # a look at a value, help, or the installation of packages
    WORK = "work"  # everything else


_INSTALL = re.compile(r"\s*[!%]\s*(?:\w+\s+-m\s+)?(?:pip3?|conda|mamba|apt|apt-get|uv)\b")
_LOOK = re.compile(
    r"\s*(?:%(?:who|whos|who_ls|timeit|history|hist|pinfo2?|psource|pdoc|lsmagic|quickref|debug|tb|pwd|ls)\b"
    r"|!\s*(?:ls|pwd|head|tail|cat|wc|du|nvidia-smi|python3? --version|which|tree)\b|\?|[\w.]+\?{1,2}\s*$)"
)
_LINE_MAGIC = re.compile(r"\s*%(?!%)\w+")
_PROSE_MAGIC = re.compile(r"\s*%%(?:html|HTML|javascript|js|latex|markdown|svg|SVG|timeit|mermaid|css)\b")
# Calls that set up a library, the process or a folder, and that may be repeated. Each is given by the last part of its
# name.
_SETTINGS = frozenset(
    {
        "basicConfig",
        "makedirs",
        "mkdir",
        "filterwarnings",
        "option_context",
        "register_matplotlib_converters",
        "seed",
        "set_config",
        "set_context",
        "set_loglevel",
        "set_option",
        "set_palette",
        "set_printoptions",
        "set_seed",
        "set_style",
        "set_theme",
        "set_verbosity",
        "set_verbosity_error",
        "setLevel",
        "simplefilter",
        "manual_seed",
        "load_dotenv",
        "setlocale",
    }
)
_SETTING_NAMES = frozenset(
    {"sns.set", "plt.style.use", "matplotlib.use", "mpl.use", "sys.path.append", "sys.path.insert"}
)
_SETTING_TARGETS = ("pd.options", "pandas.options", "plt.rcParams", "matplotlib.rcParams", "mpl.rcParams", "os.environ")
# Functions whose result is an object that every task may make for itself.
_FACTORIES = frozenset({"logging.getLogger", "getLogger", "re.compile", "os.getenv", "os.environ.get", "torch.device"})
# Methods and functions that only show a value.
_SHOWS = frozenset(
    {
        "describe",
        "dir",
        "head",
        "help",
        "info",
        "len",
        "memory_usage",
        "nunique",
        "sample",
        "tail",
        "type",
        "value_counts",
    }
)


def role_of(source: str) -> Role:
    """Return the role of a cell."""
    lines = [line for line in source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return Role.EMPTY
    if _PROSE_MAGIC.match(lines[0]) or all(_INSTALL.match(line) or _LOOK.match(line) for line in lines):
        return Role.SCRATCH
    if lines[0].lstrip().startswith("%%"):
        return Role.WORK
    python = to_python("\n".join("" if _LINE_MAGIC.match(line) else line for line in source.splitlines()))
    if isinstance(python, SyntaxProblem) or any(_INSTALL.match(line) for line in lines):
        return Role.WORK
    body = [statement for statement in python.tree.body if not _is_docstring(statement)]
    if body and all(is_constant(statement) for statement in body):
        return Role.PARAMETERS
    if all(is_setup(statement) or is_constant(statement) for statement in body):
        return Role.SETUP
    return Role.SCRATCH if all(_only_shows(statement) for statement in body) else Role.WORK


def is_setup(statement: ast.stmt) -> bool:
    """Return whether a statement is an import, a definition or a setting."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Pass():
            return True
        case ast.Expr(value=ast.Call(func=function)):
            name = ast.unparse(function)
            return name in _SETTING_NAMES or name.rpartition(".")[2] in _SETTINGS
        case ast.Assign(targets=[ast.Name()], value=ast.Call() | ast.BinOp() as value) if _is_path(value):
            return True
        case ast.Assign(targets=[ast.Name()], value=ast.Call(func=function, args=args)):
            return ast.unparse(function) in _FACTORIES and all(isinstance(each, ast.Constant) for each in args)
        case ast.Assign(targets=[(ast.Attribute() | ast.Subscript()) as target]):
            return ast.unparse(target).startswith(_SETTING_TARGETS)
        case ast.Assign(targets=[ast.Name()], value=ast.Lambda()):
            return True
        case ast.Try(body=body, handlers=handlers):
            return all(is_setup(each) for each in body) and all(
                isinstance(each, (ast.Import, ast.ImportFrom, ast.Pass, ast.Assign))
                for handler in handlers
                for each in handler.body
            )
    return False


def is_constant(statement: ast.stmt) -> bool:
    """Return whether a statement sets one name to a literal."""
    match statement:
        case (
            ast.Assign(targets=[ast.Name()], value=value) | ast.AnnAssign(target=ast.Name(), value=ast.expr() as value)
        ):
            return _is_literal(value)
    return False


def constants(source: str) -> Iterator[str]:
    """Yield the names that the statements of a cell set to literals."""
    yield from (name for name, _ in _constants(source))


def scalars(source: str) -> Iterator[str]:
    """Yield the names that the statements of a cell set to literals, except dicts, lists and sets."""
    yield from (name for name, value in _constants(source) if not isinstance(value, (ast.Dict, ast.List, ast.Set)))


def _constants(source: str) -> Iterator[tuple[str, ast.expr]]:
    python = to_python(source)
    for statement in python.tree.body if isinstance(python, Python) else ():
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        if _is_literal(value):
            yield name, value


def split_constants(source: str) -> list[str] | None:
    """Split a cell of imports, settings and constants into parts, with the constants in parts of their own.

    Return the parts in order, or None if there is nothing to split.
    """
    lines = source.splitlines()
    plain = "\n".join("" if _LINE_MAGIC.match(line) else line for line in lines)
    python = to_python(plain)
    if isinstance(python, SyntaxProblem) or python.text != plain:
        return None
    body = python.tree.body
    if not all(is_setup(each) or is_constant(each) or _is_docstring(each) for each in body):
        return None
    starts = [0]
    for above, below in pairwise(body):
        if is_constant(above) != is_constant(below):
            start, end = _first_line(below) - 1, above.end_lineno or 0
            while start > end and lines[start - 1].lstrip().startswith("#"):
                start -= 1  # a comment above a statement belongs to it
            if start < end:
                return None  # two statements on one line
            starts.append(start)
    if len(starts) == 1:
        return None
    return ["\n".join(lines[start:end]).strip("\n") for start, end in zip(starts, [*starts[1:], None], strict=True)]


def leading_definitions(source: str) -> tuple[set[str], int]:
    """Return the names that the imports and definitions at the start of a cell bind, and the number of their lines.

    Return no names and 0 if the cell does not begin with imports or definitions, or has no other code.
    """
    python = to_python(source)
    names: set[str] = set()
    end = 0
    for statement in python.tree.body if isinstance(python, Python) else ():
        match statement:
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {(each.asname or each.name).partition(".")[0] for each in aliases}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case _:
                return (names, end) if _first_line(statement) > end else (set(), 0)
        end = statement.end_lineno or 0
    return set(), 0


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(each.lineno for each in decorators)])


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _is_path(value: ast.expr) -> bool:
    """Return whether an expression joins literals and names to a path, as in `Path("data") / name`."""
    match value:
        case ast.Call(func=function, args=args):
            joins = ast.unparse(function) in ("Path", "pathlib.Path", "os.path.join", "Path.cwd", "os.getcwd")
            return joins and all(isinstance(each, (ast.Constant, ast.Name)) or _is_path(each) for each in args)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _is_path(left) and (isinstance(right, ast.Constant) or _is_path(right))
    return False


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _only_shows(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Name() | ast.Attribute() | ast.Subscript()):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name)) | ast.Call(func=ast.Name(id=name))):
            return name in _SHOWS
    return False
