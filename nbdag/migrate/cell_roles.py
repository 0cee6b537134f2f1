"""The role of one untagged cell, judged by its code alone: setup, parameters, scratch or work."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from enum import StrEnum

from ..core.cells.source import Python, SyntaxProblem, to_python


class Role(StrEnum):
    """What an untagged cell is for."""

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
# Calls that set up a library, the process or a folder, and may be repeated: the last part of the called name.
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
    if all(is_setup(statement) for statement in body):
        return Role.SETUP
    if all(is_constant(statement) for statement in body):
        return Role.PARAMETERS
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
            yield name


def split_constants(source: str) -> tuple[str, str] | None:
    """Split a cell of imports and settings that ends with constants; return both parts, or None."""
    if "%" in source or "!" in source:
        return None
    python = to_python(source)
    if isinstance(python, SyntaxProblem):
        return None
    body = python.tree.body
    first = len(body)
    while first and is_constant(body[first - 1]):
        first -= 1
    if not 0 < first < len(body) or not all(is_setup(each) or _is_docstring(each) for each in body[:first]):
        return None
    lines = source.splitlines()
    start = body[first].lineno - 1
    while start > (body[first - 1].end_lineno or 0) and lines[start - 1].lstrip().startswith("#"):
        start -= 1  # a comment above the first constant belongs to it
    if start < (body[first - 1].end_lineno or 0):
        return None  # two statements on one line
    return "\n".join(lines[:start]).rstrip(), "\n".join(lines[start:]).strip("\n")


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
