"""Report values that differ in every task, such as `RUN_ID = uuid.uuid4()` in setup.

Setup runs in each task's kernel. So a value that depends on time, chance or the process differs between tasks, although
in the notebook all cells share one value. The address of an object, which `id` returns, differs between tasks, too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from ..analysis import known
from ..analysis.hidden_state import BY_KEY
from ..analysis.scopes import names_of
from ..cells.source import Python, SyntaxProblem
from ..model.dag import CellKind, Problem
from ..model.problems import problem
from ..model.text import join_names
from .file_order import dotted_parts
from .reaching_definitions import CellFlow, Read, Versions
from .read_cells import parse

CLOCKS = frozenset(
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
TIMED_BY_ARGUMENT = frozenset(["time.strftime", "time.localtime", "time.gmtime", "time.ctime"])
UNIQUE = frozenset(
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
DRAWS = frozenset(
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
GENERATORS = frozenset(["random.Random", "numpy.random.default_rng", "numpy.random.RandomState"])
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_HINT = "create {name} in a task, so that every task that reads it gets the same value"


@dataclass(frozen=True, slots=True)
class _Varying:
    """A name of setup whose value differs in every task."""

    line: int
    why: str  # the call that makes the difference, such as uuid.uuid4
    is_clock: bool


def varying_setup(versions: Versions, parsed: dict[int, Python | SyntaxProblem]) -> Iterator[Problem]:
    """Yield a problem for each name of setup whose value varies, if several tasks read the name."""
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
    """Yield a problem for each caching function that several tasks call, if its results vary or a call has an effect.

    In the notebook, the second call returns the cached result; headlessly, each task has a cache of its own.
    """
    trees = (parse(flow.analysis.cell, parsed) for flow in versions.flows)
    finder = _Finder((each.tree for each in trees if isinstance(each, Python)), _is_seeded(versions))
    for flow in versions.flows:
        python = parse(flow.analysis.cell, parsed)
        for node, cls in _functions(python.tree) if isinstance(python, Python) else ():
            if not any(map(finder.caches, node.decorator_list)) or not (effect := finder.effect_of(node, bool(cls))):
                continue
            callers = _readers(versions, node.name, flow)
            if cls:
                callers = [
                    each.cell.task
                    for each in (flow.analysis for flow in versions.flows)
                    if each.cell.task is not None and f".{node.name}(" in each.cell.code
                ]
            if len(callers) > 1:
                yield problem(
                    "NB464",
                    f"{node.name} caches its results, but each of {join_names(callers)} has a cache of its own and "
                    f"{effect} again",
                    hint=f"call {node.name} in one task, and keep the result in a variable",
                    place=flow.analysis.cell.at(node.lineno),
                )


def _functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Yield the functions at the top level of a cell, and the methods of its classes with the class's name."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node, ""
        elif isinstance(node, ast.ClassDef):
            yield from ((each, node.name) for each in node.body if isinstance(each, ast.FunctionDef))


def stored_addresses(versions: Versions, parsed: dict[int, Python | SyntaxProblem]) -> Iterator[Problem]:
    """Yield a problem for each result of `id` that a task stores in a name, if a later task reads the name.

    In the later task, the object has another address.
    """
    for flow in versions.flows:
        task, python = flow.analysis.cell.task, parse(flow.analysis.cell, parsed)
        if task is None or not isinstance(python, Python) or "id(" not in flow.analysis.cell.code:
            continue
        if any("id" in each.made for each in versions.flows):
            continue
        for name, line in _addresses(python.tree):
            readers = [each for each in _readers(versions, name, flow) if each != task]
            if readers:
                yield problem(
                    "NB309",
                    f"{name} contains the id of an object, but the object has another id in {join_names(readers)}",
                    hint="store the object itself, or a key that you give it",
                    task=task,
                    place=flow.analysis.cell.at(line),
                )
                break


def _addresses(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the names that a cell sets or changes by a statement that calls `id`, with the lines."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt | ast.Module) and not isinstance(node, _SCOPES):
            waiting += reversed([*ast.iter_child_nodes(node)])
        match node:
            case ast.Assign(targets=targets, value=value):
                names = [root for target in targets for root in _roots(target)]
            case ast.AugAssign(target=target, value=value):
                names = [*_roots(target)]
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner)) as value):
                names = [*_roots(owner)]
            case _:
                continue
        parts = [node] if isinstance(node, ast.Assign | ast.AugAssign) else [value]
        if any(map(_calls_id, parts)):
            yield from ((name, node.lineno) for name in names)


def _calls_id(node: ast.AST) -> bool:
    """Return whether code keeps the result of `id`, rather than comparing or printing it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "id":
                return True
            if node.func.id in ("print", "hex", "str"):
                continue
        if not isinstance(node, (ast.Compare, ast.FormattedValue, *_SCOPES)):
            waiting += ast.iter_child_nodes(node)
    return False


def _roots(target: ast.expr) -> Iterator[str]:
    """Yield the names that change if this target is assigned, or if one of its methods is called."""
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    yield from _bound(target)


def _readers(versions: Versions, name: str, maker: CellFlow) -> list[str]:
    """Return the tasks that read the value that this cell gives to the name, in notebook order."""
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
    """Follows values that differ in every task, through the assignments of the notebook."""

    def __init__(self, trees: Iterable[ast.Module], seeded: bool) -> None:
        self._trees = list(trees)
        self._seeded = seeded
        self._imports = dict(import_names(self._trees))
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
            if isinstance(value, ast.Call) and self._dotted(value.func) in GENERATORS and not _arguments(value):
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
            if name in CLOCKS and not (name in TIMED_BY_ARGUMENT and has_own_time(node, name)):
                return _Varying(node.lineno, name, True)
            if name in UNIQUE or (name in DRAWS and not self._seeded):
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

    def effect_of(self, function: ast.FunctionDef, is_method: bool) -> str:
        """Return an effect of calling the function, such as "calls print", or "" if no effect is found."""
        parameters = [each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)]
        # A method changes its object through its first parameter.
        local = names_of(function.body).bound | {*(parameters[1:] if is_method else parameters)}
        for node in (each for statement in function.body for each in _own_nodes(statement)):
            name = self._dotted(node.func) if isinstance(node, ast.Call) else ""
            if name in ("print", "display", "object") or name in CLOCKS or name in UNIQUE:
                return f"calls {name}"
            if name in DRAWS and not self._seeded:
                return f"calls {name}"
            match node:
                case ast.Global(names=[name, *_]):
                    return f"changes {name}"
                case ast.Expr(value=ast.Call(func=ast.Attribute(value=target, attr=method))) if (
                    method in known.MUTATORS and (found := _outside(target, local))
                ):
                    return f"changes {found}"
                case ast.Attribute(value=target, ctx=ast.Store()) | ast.Subscript(value=target, ctx=ast.Store()) if (
                    found := _outside(target, local)
                ):
                    return f"changes {found}"
        return ""

    def only_measures(self, name: str) -> bool:
        """Return whether the code uses the name only for its date or to measure a duration (`time.time() - start`)."""
        for tree in self._trees:
            measured = {id(node.right) for node in ast.walk(tree) if isinstance(node, ast.BinOp) and _is_minus(node)}
            measured |= _dates(tree)
            for node in ast.walk(tree):
                is_read = isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
                if is_read and id(node) not in measured:
                    return False
        return True


def _outside(target: ast.expr, local: Set[str]) -> str:
    """Return the name `a` of an expression such as `a.b[0]`; return "" for a local name or another expression."""
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return target.id if isinstance(target, ast.Name) and target.id not in local else ""


def _is_minus(node: ast.BinOp) -> bool:
    return isinstance(node.op, ast.Sub)


def has_own_time(call: ast.Call, name: str) -> bool:
    """Return whether a call of a `time` function converts a time that is an argument, or only shows the date."""
    if name != "time.strftime":
        return bool(call.args)
    return len(call.args) > 1 or (bool(call.args) and _is_date_format(call.args[0]))


def _dates(tree: ast.AST) -> set[int]:
    """Return the `id` of each node that is used only for its date, such as `now` in `now.strftime("%Y-%m-%d")`.

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
    """Yield a node and the nodes inside it, in the order of the source. Bodies of inner functions are left out.

    Nodes whose ids are in `without` are left out, with all nodes inside them.
    """
    if id(node) not in without:
        yield node
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, _SCOPES):
                yield from _own_nodes(child, without)


def import_names(trees: Iterable[ast.Module]) -> Iterator[tuple[str, str]]:
    """Yield each name that an import binds, with the dotted name of the imported object."""
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
