"""Find, in the text of cells, code that depends on chance, the clock, the locale, or the machine.

A quiet `Cause` is a finding only if the outputs of its cell differ between two runs. Any other cause is always a
finding. For example, `time.perf_counter()` is quiet: it matters only if its value is shown.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..core.analysis.hidden_state import ANY, BY_KEY, IMPORT, LOCAL, MAGIC, VALUE
from ..core.analysis.library_uses import library_uses
from ..core.cells.source import Python, to_python
from ..core.dataflow.file_order import dotted_parts
from ..core.dataflow.varying_setup import CLOCKS, GENERATORS, TIMED_BY_ARGUMENT, UNIQUE, has_own_time, import_names
from .findings import Kind

_DURATIONS = frozenset(
    {
        "time.perf_counter",
        "time.perf_counter_ns",
        "time.monotonic",
        "time.monotonic_ns",
        "time.process_time",
        "timeit.default_timer",
    }
)
_NOW = (CLOCKS - _DURATIONS) | {"datetime.date.today", "time.asctime"}
_NAMED_NOW = frozenset({"numpy.datetime64", "pandas.Timestamp", "pandas.to_datetime", "pandas.DatetimeIndex"})
_LOCAL_TIME = frozenset({"time.mktime", "datetime.datetime.fromtimestamp", "datetime.date.fromtimestamp"})
_PROCESS = frozenset({"os.getpid", "os.getppid", "id", "hash"}) | {
    name for name in UNIQUE if name.startswith("tempfile.")
}
_LOCALE = frozenset({"locale.getlocale", "locale.getdefaultlocale", "locale.getpreferredencoding"})
_USER = frozenset(
    {
        "pathlib.Path.home",
        "os.path.expanduser",
        "getpass.getuser",
        "os.getlogin",
        "os.uname",
        "platform.node",
        "socket.gethostname",
        "socket.getfqdn",
    }
)
_USER_VARIABLES = frozenset({"HOME", "USER", "LOGNAME", "USERNAME", "USERPROFILE", "HOSTNAME", "COMPUTERNAME"})
_LOCALE_VARIABLE = re.compile(r"LANG|LANGUAGE|LC_[A-Z]+")
_UNIX_PATH = re.compile(r"/[\w.@+-]+(?:/[^\x00\n\"'<>|*?]*)?")
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]\w.*|\\\\[\w.-]+\\\w.*")
_DEVICES = ("/dev/", "/proc/", "/sys/")
_INSTALL = re.compile(
    r"\b(?:pip3?|conda|mamba|micromamba|uv|apt|apt-get|npm)\b[^\n;&|]*\b(?:install|add)\b(?P<what>[^\n;&|]*)"
)
_URL = re.compile(r"\b(?:https?|ftp|s3|gs|ssh|git)://(?:[^\s/@\"']*@)?([\w.-]+)")
# Services to which libraries often connect in C code. The observer in the kernel cannot see these connections.
_SERVICE = re.compile(
    r"(?:postgres(?:ql)?|mysql|mariadb|mssql|oracle|snowflake|clickhouse|redis|mongodb|amqp|kafka|s3|gs|abfss?|sftp)"
    r"(?:\+\w+)?://(?:[^\s/@]*@)?([\w.-]+)",
    re.IGNORECASE,
)
_HOME_IN_SHELL = re.compile(r"(?<![\w/])~/|\$\{?HOME\b")
_NO_CALL = frozenset({ANY, IMPORT, LOCAL, MAGIC, VALUE})
_SHELLS = ("system", "getoutput", "run_cell_magic", "run_line_magic")
_RUNNERS = frozenset(
    {
        "os.system",
        "os.popen",
        "subprocess.run",
        "subprocess.call",
        "subprocess.check_call",
        "subprocess.check_output",
        "subprocess.Popen",
        "subprocess.getoutput",
    }
)
_SHELL_CELL = re.compile(r"\s*%%(?:bash|sh|script|system|!|sx)\b")

SEED = "set a seed, such as rng = np.random.default_rng(0), and draw from rng"
RUN_DATE = "make it a parameter, or read dag_run.logical_date, the date for which the scheduler runs the notebook"
_REACHABLE = "make sure that the scheduler's machine can reach it"
_INSTALL_FIRST = "install it before the run, and pin its version in requirements.txt"
_RELATIVE = "use a path relative to the notebook's folder, or make it a parameter"
_OWN_HOME = "use a path relative to the notebook's folder, or make it a parameter: the scheduler may be another user"
_NO_LOCALE = "format numbers and dates in code, as f'{x:,.2f}' does, or set the locale in the scheduler's environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A place in the code that may give another result each time, or on another machine."""

    kind: Kind
    cell: int
    line: int
    message: str
    remedy: str
    varies: bool = False  # whether two runs on one machine may differ because of the cause
    quiet: bool = False  # whether it is a finding only if outputs differ
    path: str = ""  # the absolute path; the cause counts only if the path exists or was used


def causes(cells: Mapping[int, str]) -> list[Cause]:
    """Return the causes of different outputs that the code of these cells shows. Key: index of a cell, from 0."""
    trees = {number: python.tree for number, code in cells.items() if isinstance(python := to_python(code), Python)}
    finder = _Finder(trees.values())
    found: list[Cause] = []
    for number, code in cells.items():
        if number in trees:
            found += finder.find(number, trees[number])
        if _SHELL_CELL.match(code):
            for line, text in enumerate(code.split("\n")[1:], 2):
                found += _shell(number, line, text)
    return found


class _Finder:
    def __init__(self, trees: object) -> None:
        self._trees: Sequence[ast.Module] = list(trees)  # type: ignore[call-overload]
        self._imports = dict(import_names(self._trees))
        self._measuring = self._measuring_nodes()

    def find(self, cell: int, tree: ast.Module) -> Iterator[Cause]:
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield from self._call(cell, node)
            elif isinstance(node, ast.Subscript):
                if self._dotted(node.value) == "os.environ" and isinstance(node.slice, ast.Constant):
                    yield from _variable(cell, node.lineno, node.slice.value)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                yield from _literal(cell, node.lineno, node.value)

    def _call(self, cell: int, node: ast.Call) -> Iterator[Cause]:
        name, line = self._dotted(node.func), node.lineno
        first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        make = _maker(cell, line)
        if name in _DURATIONS or (name in _NOW and id(node) in self._measuring):
            yield make(Kind.CLOCK, f"{name} measures a duration", "show no durations", varies=True, quiet=True)
        elif name in _NOW and not (name in TIMED_BY_ARGUMENT and has_own_time(node, name)):
            yield make(Kind.CLOCK, f"{name} reads the current time", RUN_DATE, varies=True)
        elif name in _NAMED_NOW and first in ("now", "today"):
            yield make(Kind.CLOCK, f"{name}({first!r}) reads the current time", RUN_DATE, varies=True)
        elif name in _LOCAL_TIME and not _is_given(node, "tz", 2):
            yield make(
                Kind.CLOCK, f"{name} uses the machine's time zone", "pass a time zone, such as tz=UTC", varies=True
            )
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "astimezone" and not node.args:
            yield make(
                Kind.CLOCK, "astimezone() uses the machine's time zone", "pass a time zone, such as UTC", varies=True
            )
        elif name in GENERATORS and (not (node.args or node.keywords) or (node.args and _is_none(node.args[0]))):
            yield make(Kind.RANDOM, f"{name}() has no seed", f"pass a seed: {name}(0)", varies=True)
        elif name in _PROCESS:
            yield make(
                Kind.OUTPUT, f"{name} differs in each process", "do not show or store it", varies=True, quiet=True
            )
        elif name in UNIQUE:
            yield make(
                Kind.RANDOM, f"{name} returns another value each time", "make it a parameter, or derive it", varies=True
            )
        elif name == "locale.setlocale" and (len(node.args) > 1 or node.keywords):
            value = node.args[1] if len(node.args) > 1 else node.keywords[0].value
            given = value.value if isinstance(value, ast.Constant) else "…"
            if given == "":
                yield make(Kind.LOCALE, "locale.setlocale takes the locale of the user", _NO_LOCALE)
            elif isinstance(given, str) and given.partition(".")[0] not in ("C", "POSIX"):
                yield make(Kind.LOCALE, f"locale {given} may be missing on the scheduler's machine", _NO_LOCALE)
        elif name in _LOCALE:
            yield make(Kind.LOCALE, f"{name} depends on the locale of the user", _NO_LOCALE)
        elif name in _USER or (isinstance(node.func, ast.Attribute) and node.func.attr == "expanduser"):
            what = name if name in _USER else "expanduser"
            yield make(Kind.HOME, f"{what} depends on the user or the machine", _OWN_HOME)
        elif name in ("os.getenv", "os.environ.get") and first is not None:
            yield from _variable(cell, line, first)
        elif name in _RUNNERS or name.startswith("get_ipython.") or dotted_parts(node.func)[-1] in _SHELLS:
            text = " ".join(
                each.value
                for each in ast.walk(ast.Tuple(node.args, ast.Load()))
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )
            for number, part in enumerate(text.split("\n")):
                yield from _shell(cell, line + number, part)

    def _dotted(self, node: ast.expr) -> str:
        first, *rest = dotted_parts(node)
        return ".".join([self._imports.get(first, first), *rest]) if first else ""

    def _measuring_nodes(self) -> set[int]:
        """Return the ids of the calls whose result is only subtracted, as in `time.time() - start`."""
        subtracted: set[int] = set()
        loads: dict[str, list[int]] = {}
        assigned: dict[int, list[str]] = {}
        for tree in self._trees:
            for node in ast.walk(tree):
                match node:
                    case ast.BinOp(op=ast.Sub(), left=left, right=right):
                        subtracted |= {id(left), id(right)}
                    case ast.Assign(targets=targets, value=ast.Call() as value):
                        assigned[id(value)] = [each.id for each in targets if isinstance(each, ast.Name)]
                    case ast.Name(id=name, ctx=ast.Load()):
                        loads.setdefault(name, []).append(id(node))
        only_subtracted = {
            call
            for call, names in assigned.items()
            if names and all(loads.get(name) and set(loads[name]) <= subtracted for name in names)
        }
        return subtracted | only_subtracted


def draw_lines(codes: Mapping[int, str], generator: str) -> dict[int, int]:
    """Return the cells whose code may draw from a global generator, each with the first such line."""
    kind = BY_KEY[f"{generator.partition('.')[0]}/generator"]
    found: dict[int, int] = {}
    for cell, used in library_uses(codes).items():
        lines = [line for use, line in used.items() if use not in _NO_CALL and kind.is_observed_by(use, perhaps=True)]
        if lines:
            found[cell] = min(lines)
    return found


def _maker(cell: int, line: int) -> Callable[..., Cause]:
    def make(kind: Kind, message: str, remedy: str, *, varies: bool = False, quiet: bool = False) -> Cause:
        return Cause(kind=kind, cell=cell, line=line, message=message, remedy=remedy, varies=varies, quiet=quiet)

    return make


def _literal(cell: int, line: int, text: str) -> Iterator[Cause]:
    make = _maker(cell, line)
    if found := _SERVICE.match(text):
        yield make(Kind.NETWORK, f"the cell names the service {found[1]}", _REACHABLE)
    elif text.startswith("~/"):
        yield make(Kind.HOME, f"{text[:60]} is in the user's home", _OWN_HOME)
    elif _WINDOWS_PATH.fullmatch(text):
        yield make(Kind.PATH, f"{text[:60]} is an absolute path", _RELATIVE)
    elif _UNIX_PATH.fullmatch(text) and not text.startswith(_DEVICES):
        message = f"{text[:60]} is an absolute path"
        yield Cause(kind=Kind.PATH, cell=cell, line=line, message=message, remedy=_RELATIVE, path=text)


def _variable(cell: int, line: int, name: object) -> Iterator[Cause]:
    make = _maker(cell, line)
    if name in _USER_VARIABLES:
        yield make(Kind.HOME, f"the variable {name} depends on the user or the machine", _OWN_HOME)
    elif isinstance(name, str) and _LOCALE_VARIABLE.fullmatch(name):
        yield make(Kind.LOCALE, f"the variable {name} depends on the locale of the user", _NO_LOCALE)


def _shell(cell: int, line: int, text: str) -> Iterator[Cause]:
    make = _maker(cell, line)
    if found := _INSTALL.search(text):
        words = [word for word in found["what"].split() if not word.startswith("-")]
        yield make(Kind.PACKAGE, f"the notebook installs {' '.join(words) or 'packages'} when it runs", _INSTALL_FIRST)
    for found in _URL.finditer(text):
        yield make(Kind.NETWORK, f"a command contacts {found[1]}", _REACHABLE)
    if _HOME_IN_SHELL.search(text):
        yield make(Kind.HOME, "a command uses the user's home", _OWN_HOME)


def _is_given(node: ast.Call, name: str, position: int) -> bool:
    return len(node.args) >= position or any(each.arg == name for each in node.keywords)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
