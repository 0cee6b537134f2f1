"""Report values of setup that differ in every task, such as `RUN_ID = uuid.uuid4()`.

Setup runs in each task's kernel. So a value that depends on time, chance or the process differs between tasks, although
all cells of the notebook share one value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from ..analysis import known
from ..analysis.hidden_state import BY_KEY
from ..cells.source import Python, SyntaxProblem
from ..model.dag import CellKind, Problem
from ..model.problems import problem
from ..model.text import join_names
from .file_order import dotted_parts
from .reaching_definitions import CellFlow, Read, Versions
from .read_cells import parse

_CLOCKS = frozenset(
    [
        "time.time",
        "time.time_ns",
        "time.perf_counter",
        "time.perf_counter_ns",
        "time.monotonic",
        "time.monotonic_ns",
        "time.process_time",
        "time.ctime",
        "time.strftime",
        "time.localtime",
        "time.gmtime",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "pandas.Timestamp.now",
        "pandas.Timestamp.utcnow",
        "pandas.Timestamp.today",
        "timeit.default_timer",
        "pendulum.now",
        "arrow.now",
        "arrow.utcnow",
    ]
)
_TIMED_BY_ARGUMENT = frozenset(["time.strftime", "time.localtime", "time.gmtime", "time.ctime"])
_UNIQUE = frozenset(
    [
        "uuid.uuid1",
        "uuid.uuid4",
        "os.getpid",
        "os.urandom",
        "secrets.token_hex",
        "secrets.token_bytes",
        "secrets.token_urlsafe",
        "secrets.randbelow",
        "secrets.choice",
        "secrets.randbits",
        "tempfile.mkdtemp",
        "tempfile.mkstemp",
        "tempfile.mktemp",
        "tempfile.TemporaryDirectory",
        "tempfile.NamedTemporaryFile",
    ]
)
_DRAWS = frozenset(
    [
        "random.random",
        "random.randint",
        "random.randrange",
        "random.choice",
        "random.choices",
        "random.sample",
        "random.uniform",
        "random.gauss",
        "random.normalvariate",
        "random.getrandbits",
        "numpy.random.rand",
        "numpy.random.randn",
        "numpy.random.random",
        "numpy.random.randint",
        "numpy.random.normal",
        "numpy.random.uniform",
        "numpy.random.choice",
        "numpy.random.permutation",
        "numpy.random.random_sample",
        "numpy.random.standard_normal",
        "numpy.random.binomial",
        "numpy.random.poisson",
        "numpy.random.exponential",
    ]
)
_GENERATORS = frozenset(["random.Random", "numpy.random.default_rng", "numpy.random.RandomState"])
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_HINT = "create {name} in a task, so that every task that reads it gets the same value"


@dataclass(frozen=True, slots=True)
class _Varying:
    """A name of setup whose value differs in every task."""

    line: int
    why: str  # the call that makes the difference, such as uuid.uuid4
    is_clock: bool


def varying_setup(versions: Versions, parsed: dict[int, Python | SyntaxProblem]) -> Iterator[Problem]:
    """Yield a problem for each name of setup that varies and that several tasks read."""
    trees = {
        flow.analysis.cell.index: python.tree
        for flow in versions.flows
        if isinstance(python := parse(flow.analysis.cell, parsed), Python)
    }
    finder = _Finder(trees.values(), _is_seeded(versions))
    for flow in versions.flows:
        cell = flow.analysis.cell
        if cell.kind is CellKind.SETUP and cell.index in trees:
            found = finder.find(trees[cell.index])
            for name, varying in found.items():
                readers = _readers(versions, name, flow)
                if len(readers) < 2 or (varying.is_clock and finder.only_measures(name)):
                    continue
                yield problem(
                    "NB308",
                    f"{name} has a different value in each task that reads it ({join_names(readers)}), because every "
                    f"task runs setup, which calls {varying.why}",
                    hint=_HINT.format(name=name),
                    place=cell.at(varying.line),
                )


def varying_results(versions: Versions, parsed: dict[int, Python | SyntaxProblem]) -> Iterator[Problem]:
    """Yield a problem for each function that caches results that vary, or that prints, and that several tasks call.

    In the notebook, the second call returns the cached result; headlessly, each task has a cache of its own.
    """
    trees = (parse(flow.analysis.cell, parsed) for flow in versions.flows)
    finder = _Finder((each.tree for each in trees if isinstance(each, Python)), _is_seeded(versions))
    for flow in versions.flows:
        python = parse(flow.analysis.cell, parsed)
        for node in python.tree.body if isinstance(python, Python) else ():
            if not isinstance(node, ast.FunctionDef) or not any(map(finder.caches, node.decorator_list)):
                continue
            callers = _readers(versions, node.name, flow)
            effect = finder.effect_of(node)
            if effect and len(callers) > 1:
                yield problem(
                    "NB464",
                    f"{node.name} caches its results, but each of {join_names(callers)} has a cache of its own and "
                    f"calls {effect} again",
                    hint=f"call {node.name} in one task, and keep the result in a variable",
                    place=flow.analysis.cell.at(node.lineno),
                )


def _readers(versions: Versions, name: str, maker: CellFlow) -> list[str]:
    """Return the tasks that read the name as this cell binds it, in notebook order."""
    return [
        each.analysis.cell.task
        for each in versions.flows
        if each.analysis.cell.task is not None
        and (each is maker or ((read := each.reads.get(name)) is not None and _is_made_by(versions, read, maker)))
        and (each is not maker or name in each.analysis.uses.reads)
    ]


def _is_made_by(versions: Versions, read: Read, maker: CellFlow) -> bool:
    return any(version.maker is maker.analysis for version in versions.sources(read.version))


def _is_seeded(versions: Versions) -> bool:
    notes = [note for flow in versions.flows if flow.analysis.cell.task is None for note in flow.analysis.uses.notes]
    return any(note.kind in BY_KEY and BY_KEY[note.kind].is_generator for note in notes)


class _Finder:
    """Follows the values that vary from assignment to assignment."""

    def __init__(self, trees: Iterable[ast.Module], seeded: bool) -> None:
        self._trees = list(trees)
        self._seeded = seeded
        self._imports = dict(_imports(self._trees))
        self._varying: dict[str, _Varying] = {}
        self._generators: set[str] = set()

    def find(self, tree: ast.Module) -> dict[str, _Varying]:
        """Return the names that the cell binds to values that vary."""
        found: dict[str, _Varying] = {}
        for node in _own_nodes(tree):
            match node:
                case ast.Assign(targets=targets, value=value):
                    names = [name for target in targets for name in _bound(target)]
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    names = [name]
                case _:
                    continue
            varying = self._of(value)
            for name in names:
                self._varying.pop(name, None)
                found.pop(name, None)
                if varying is not None:
                    self._varying[name] = found[name] = varying
            if isinstance(value, ast.Call) and self._dotted(value.func) in _GENERATORS and not _arguments(value):
                self._generators |= set(names)
        return found

    def _of(self, value: ast.expr) -> _Varying | None:
        for node in _own_nodes(value, _dates(value)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in self._varying:
                other = self._varying[node.id]
                return _Varying(node.lineno, other.why, other.is_clock)
            if not isinstance(node, ast.Call):
                continue
            name = self._dotted(node.func)
            if name in _CLOCKS and not (name in _TIMED_BY_ARGUMENT and _has_own_time(node, name)):
                return _Varying(node.lineno, name, True)
            if name in _UNIQUE or (name in _DRAWS and not self._seeded):
                return _Varying(node.lineno, name, False)
            if name.partition(".")[0] in self._generators and "." in name:
                return _Varying(node.lineno, name, False)
        return None

    def _dotted(self, node: ast.expr) -> str:
        first, *rest = dotted_parts(node)
        return ".".join([self._imports.get(first, first), *rest]) if first else ""

    def caches(self, decorator: ast.expr) -> bool:
        """Return whether a decorator caches the results of a function."""
        return self._dotted(decorator.func if isinstance(decorator, ast.Call) else decorator) in known.CACHES

    def effect_of(self, function: ast.FunctionDef) -> str:
        """Return the name of a call in the function that has another effect or result each time; "" without one."""
        for node in (each for statement in function.body for each in _own_nodes(statement)):
            name = self._dotted(node.func) if isinstance(node, ast.Call) else ""
            if name in ("print", "display", "object") or name in _CLOCKS or name in _UNIQUE:
                return name
            if name in _DRAWS and not self._seeded:
                return name
        return ""

    def only_measures(self, name: str) -> bool:
        """Return whether the notebook only uses the date of a time, or subtracts it, as in `time.time() - start`."""
        for tree in self._trees:
            measured = {id(node.right) for node in ast.walk(tree) if isinstance(node, ast.BinOp) and _is_minus(node)}
            measured |= _dates(tree)
            for node in ast.walk(tree):
                is_read = isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
                if is_read and id(node) not in measured:
                    return False
        return True


def _is_minus(node: ast.BinOp) -> bool:
    return isinstance(node.op, ast.Sub)


def _has_own_time(call: ast.Call, name: str) -> bool:
    """Return whether a function of `time` converts another time than the current one, or only shows the date."""
    if name != "time.strftime":
        return bool(call.args)
    return len(call.args) > 1 or (bool(call.args) and _is_date_format(call.args[0]))


def _dates(tree: ast.AST) -> set[int]:
    """Return the ids of the nodes of which the code only uses the date, as in `now.strftime("%Y-%m-%d")`.

    A date is the same in every task, except around midnight.
    """
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="date" | "year" | "month" | "day" | "normalize", value=value):
                found.add(id(value))
            case ast.Call(func=ast.Attribute(attr="strftime", value=value), args=[text]) if _is_date_format(text):
                found.add(id(value))
            case ast.FormattedValue(value=value, format_spec=ast.JoinedStr(values=[text])) if _is_date_format(text):
                found.add(id(value))
    return found


def _is_date_format(text: ast.expr) -> bool:
    if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
        return False
    return "%" in text.value and not any(f"%{letter}" in text.value for letter in "HIMSfpsXcTRr")


def _arguments(call: ast.Call) -> bool:
    return bool(call.args or call.keywords)


def _bound(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _bound(part)


def _own_nodes(node: ast.AST, without: Set[int] = frozenset()) -> Iterator[ast.AST]:
    """Yield a node and the nodes below it that run when the node does, in the order of the source.

    Nodes whose ids are in `without` are left out, with all below them.
    """
    if id(node) not in without:
        yield node
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, _SCOPES):
                yield from _own_nodes(child, without)


def _imports(trees: Iterable[ast.Module]) -> Iterator[tuple[str, str]]:
    for tree in trees:
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=aliases):
                    for alias in aliases:
                        root = alias.name.partition(".")[0]
                        yield (alias.asname, alias.name) if alias.asname else (root, root)
                case ast.ImportFrom(names=aliases, module=str(module), level=0):
                    for alias in aliases:
                        yield alias.asname or alias.name, f"{module}.{alias.name}"
