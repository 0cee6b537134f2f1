"""Notebooks made by chance: cells of deterministic code over a few names, each statement known to run.

A statement is drawn for the names that are bound when it is reached in a run from top to bottom, and left out if it
raises there. So the notebooks are as tangled as one likes, and still run.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from .driver import main_namespace, notebook, rightly_refused

NUMBERS, LISTS, DICTS = ("n", "m", "k"), ("xs", "ys", "zs"), ("d", "e")
FUNCTIONS, CLASSES, OBJECTS, RESULTS = ("f", "g", "h"), ("A", "B"), ("o", "p"), ("r", "s")
EVERY = (*NUMBERS, *LISTS, *DICTS, *FUNCTIONS, *CLASSES, *OBJECTS, *RESULTS)

_MORE = 200_000_000  # bytes that a statement may take

Draw = Callable[[st.SearchStrategy[Any]], Any]
Cells = list[tuple[str, str]]


class Writer:
    """Draws statements for a namespace."""

    names_used = EVERY
    statements = (1, 6)  # how many statements a cell is drawn from; those that raise are left out

    def __init__(self, draw: Draw, names: Mapping[str, Any]) -> None:
        self.draw = draw
        self.names = names

    def pick(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))  # type: ignore[no-any-return]

    def a(self, kind: type | tuple[type, ...], otherwise: tuple[str, ...]) -> str:
        """A name that is bound to such a value, if there is one."""
        found = [name for name in self.names_used if isinstance(self.names.get(name), kind)]
        return self.pick(*(found or otherwise))

    def number(self) -> str:
        return self.pick(str(self.draw(st.integers(0, 3))), self.a(int, NUMBERS))

    def list(self) -> str:
        return self.a(list, LISTS)

    def dict(self) -> str:
        return self.a(dict, DICTS)

    def function(self) -> str:
        return self.a(types.FunctionType, FUNCTIONS)

    def cls(self) -> str:
        return self.a(type, CLASSES)

    def object(self) -> str:
        found = [name for name in self.names_used if type(self.names.get(name)).__name__ in CLASSES]
        return self.pick(*(found or OBJECTS))

    def anything(self) -> str:
        found = [name for name in self.names_used if name in self.names]
        return self.pick(*(found or self.names_used))

    def target(self, usual: tuple[str, ...]) -> str:
        return self.pick(*usual, *usual, *usual, self.pick(*RESULTS))

    def beginning(self) -> list[str]:
        """Something to work with."""
        return ["n = 1", "xs = [1]", "ys = [2]", "d = {'l': [3], 'n': 4}", self.definition(), self.class_()]

    def look(self) -> str:
        """The code of a last task that reads some of what is there; "" for none."""
        return ""

    def statement(self, depth: int = 0) -> str:
        kinds = [self.numbers, self.lists, self.lists, self.dicts, self.calls, self.calls, self.objects, self.aliases]
        if depth == 0:
            kinds += [self.definition, self.definition, self.class_, self.compound, self.compound, self.odd]
        return self.draw(st.sampled_from(kinds))()  # type: ignore[no-any-return]

    def numbers(self) -> str:
        name = self.target(NUMBERS)
        return self.pick(
            f"{name} = {self.number()}",
            f"{name} = {self.number()} + {self.number()}",
            f"{self.a(int, NUMBERS)} += {self.number()}",
            f"{name} = len({self.list()})",
            f"{name} = sum({self.list()})",
            f"{name} = {self.list()}.pop()",
            f"{name} = {self.list()}[0]",
        )

    def lists(self) -> str:
        name, one, other = self.target(LISTS), self.list(), self.list()
        return self.pick(
            f"{name} = [{self.number()}]",
            f"{name} = []",
            f"{one}.append({self.number()})",
            f"{one}.append({self.number()})",
            f"{one} += [{self.number()}]",
            f"{one}[0] = {self.number()}",
            f"{one}.extend({other})",
            f"{one}.reverse()",
            f"{name} = {one} + {other}",
            f"{name} = list({one})",
            f"{name} = {one}[:]",
            f"{name} = [v + {self.number()} for v in {one}]",
            f"{name} = sorted({one}, key=lambda v: v * {self.number()})",
            f"del {one}[0]",
            f"{name} = [{one}, {other}]",
            f"{one}.append({other})",
            f"[v.append({self.number()}) for v in [{one}, {other}]]",
        )

    def dicts(self) -> str:
        name, one = self.target(DICTS), self.dict()
        return self.pick(
            f"{name} = {{'l': {self.list()}, 'n': {self.number()}}}",
            f"{one}['l'] = {self.list()}",
            f"{one}['n'] = {self.number()}",
            f"{one}['l'].append({self.number()})",
            f"{self.target(LISTS)} = {one}['l']",
            f"{one}.setdefault('l', []).append({self.number()})",
            f"{self.target(LISTS)} = {one}.get('l', [])",
            f"{one}.update(l={self.list()})",
            f"{name} = dict({one})",
            f"{self.target(RESULTS)} = sorted({one})",
            f"for key in sorted({one}):\n    {self.target(RESULTS)} = {one}[key]",
        )

    def aliases(self) -> str:
        one, other = self.anything(), self.anything()
        return self.pick(
            f"{self.pick(*self.names_used)} = {one}",
            f"{self.target(LISTS)} = {self.list()}",
            f"{self.target(LISTS)} = {self.list()} if {self.number()} else {self.list()}",
            f"{self.target(LISTS)} = {self.list()} or {self.list()}",
            f"{one}, {other} = {other}, {one}",
            f"{self.target(LISTS)} = {self.target(LISTS)} = {self.list()}",
            f"({self.pick(*RESULTS)} := {one})",
            f"{self.target(RESULTS)} = {self.list()} is {self.list()}",
        )

    def calls(self) -> str:
        function = self.function()
        call = self.pick(f"{function}()", f"{function}({self.number()})", f"{function}({self.list()})")
        return self.pick(
            f"{self.target(RESULTS)} = {call}",
            f"{self.target(LISTS)} = {call}",
            call,
            f"{self.target(FUNCTIONS)} = {function}",
            f"{self.target(RESULTS)} = list(map({function}, {self.list()}))",
            f"{self.target(RESULTS)} = [{call}, {self.number()}]",
        )

    def objects(self) -> str:
        name, one = self.target(OBJECTS), self.object()
        return self.pick(
            f"{name} = {self.cls()}({self.list()})",
            f"{name} = {self.cls()}([])",
            f"{one}.add({self.number()})",
            f"{self.target(RESULTS)} = {one}.add({self.number()})",
            f"{self.target(RESULTS)} = {one}.get()",
            f"{self.target(LISTS)} = {one}.get()",
            f"{one}.xs.append({self.number()})",
            f"{one}.xs = {self.list()}",
            f"{self.target(LISTS)} = {one}.xs",
            f"{self.cls()}.made += 1",
            f"{self.target(NUMBERS)} = {one}.made",
            f"{self.target(RESULTS)} = isinstance({one}, {self.cls()})",
            f"{self.target(FUNCTIONS)} = {one}.get",
        )

    def definition(self) -> str:
        name, free, shared = self.pick(*FUNCTIONS), self.pick(*NUMBERS), self.pick(*LISTS)
        other = self.function()
        return self.pick(
            f"def {name}(v=1):\n    return {free}",
            f"def {name}(v=1):\n    return {shared}",
            f"def {name}(v=1):\n    {shared}.append(v)\n    return len({shared})",
            f"def {name}(v=1):\n    global {free}\n    {free} += 1\n    return {free}",
            f"def {name}(v=1):\n    global {free}\n    {free} = {self.number()}",
            f"def {name}(v=()):\n    v.append({free})\n    return v",
            f"def {name}(v=()):\n    return [v, {free}]",
            f"def {name}(v=1):\n    return {other}(v)",
            f"def {name}(v=1):\n    def inner(w=1):\n        return [v, {free}]\n    return inner",
            f"def {name}(v=1):\n    box = [v]\n    def inner(w=1):\n        box.append({free})\n        return list(box)\n    return inner",
            f"def {name}(v=1):\n    if v:\n        return {shared}\n    return {self.pick(*self.names_used)}",
            f"def {name}(v=1):\n    return {self.pick(*CLASSES)}({shared})",
            f"def {name}(v=1):\n    return {self.pick(*OBJECTS)}.add({free})",
            f"def {name}(v=1):\n    for each in list({shared}):\n        yield each",
            f"{name} = lambda v=1: [{free}, {shared}]",
            f"{name} = lambda v=1: {shared}.append({free})",
            f"def {name}(v=1):\n    part = {self.pick(*DICTS)}['l']\n    part.append({free})\n    return part",
        )

    def class_(self) -> str:
        name, free, shared = self.pick(*CLASSES), self.pick(*NUMBERS), self.pick(*LISTS)
        base = self.pick("", "", f"({self.cls()})")
        init = self.pick("self.xs = xs", "self.xs = list(xs)", f"self.xs = xs\n        {name}.made += 1")
        add = self.pick(
            "self.xs.append(v)",
            f"self.xs.append(v + {free})",
            f"{shared}.append(v)",
            f"inner = self.xs\n        inner.append({free})",
            "self.common.append(v)",
        )
        result = self.pick("self", "self.xs", "v", f"len({shared})")
        got = self.pick("self.xs", f"[{free}, len(self.xs)]", "list(self.common)", f"self.xs + {shared}")
        return (
            f"class {name}{base}:\n    made = 0\n    common = []\n    def __init__(self, xs):\n        {init}\n"
            f"    def add(self, v):\n        {add}\n        return {result}\n    def get(self, v=1):\n        return {got}"
        )

    def compound(self) -> str:
        inner = self.statement(1).replace("\n", "\n    ")
        other = self.statement(1).replace("\n", "\n    ")
        name = self.pick(*self.names_used)
        return self.pick(
            f"if {self.number()}:\n    {inner}\nelse:\n    {other}",
            f"if {self.number()} > 1:\n    {inner}",
            f"for i in range({self.number()}):\n    {inner}",
            f"for v in list({self.list()}):\n    {inner}",
            f"try:\n    {name}\nexcept NameError:\n    {inner}",
            f"try:\n    {inner}\nexcept Exception as error:\n    {other}",
            f"try:\n    {inner}\n    raise ValueError\nexcept ValueError:\n    {other}",
            f"while True:\n    {inner}\n    break",
            f"for v in list({self.list()}):\n    if v:\n        break\n    {inner}",
            f"match {self.anything()}:\n    case [{self.pick(*RESULTS)}, *{self.pick(*LISTS)}]:\n        pass\n    case {self.pick(*RESULTS)}:\n        pass",
        )

    def odd(self) -> str:
        return self.pick(
            f"del {self.anything()}",
            f"import math\n{self.target(NUMBERS)} = math.floor(2.5)",
            f"from math import floor as {self.pick(*FUNCTIONS)}",
            f"{self.pick(*RESULTS)} = f'{{{self.anything()}!s:.3}}'",
            f"{self.pick(*LISTS)}, *{self.pick(*RESULTS)} = [{self.list()}, {self.number()}, {self.list()}]",
            f"if {self.number()}:\n    del {self.anything()}",
        )


@st.composite
def notebooks(draw: Draw, writer: type[Writer] = Writer, first: Sequence[tuple[str, str]] = ()) -> Cells:
    """The cells of a notebook, as the driver takes them; `first` are the cells that each notebook begins with."""
    cells: Cells = [*first]
    if draw(st.booleans()):
        cells.append(("parameters", "\n".join(f"{name} = {draw(st.integers(0, 3))}" for name in NUMBERS[:2])))
    if draw(st.booleans()):
        cells.append(("setup", _cell(draw, writer, "setup", cells)))
    # Something to work with, in setup or in a task.
    kind = draw(st.sampled_from(["first", "first", "setup"]))
    cells.append((kind, _cell(draw, writer, kind, cells, beginning=True)))
    for number in range(draw(st.integers(3, 8))):
        cells.append((f"t{number}", _cell(draw, writer, f"t{number}", cells)))
        if draw(st.integers(0, 7)) == 0:
            cells.append(("setup", _cell(draw, writer, "setup", cells)))
    if not _runs(cells):
        reject()  # what it does depends on chance
    with main_namespace() as names:
        for _, code in cells:
            exec(code, names)
        look = writer(draw, names).look()
    if look and not _refused([*cells, ("look", look)]):
        cells.append(("look", look))
    return cells


def _cell(draw: Draw, writer: type[Writer], kind: str, above: Cells, beginning: bool = False) -> str:
    lines: list[str] = []
    if beginning:
        lines = [line for line in writer(draw, {}).beginning() if draw(st.integers(0, 3))]
    kept: list[str] = []
    with ExitStack() as stack:
        names: dict[str, Any] | None = None
        for number in range(len(lines) + draw(st.integers(*writer.statements))):
            if names is None:  # at the beginning, and after a statement that raised
                names = stack.enter_context(main_namespace())
                for _, code in above:
                    exec(code, names)
                exec("\n".join(kept), names)
            statement = lines[number] if number < len(lines) else writer(draw, names).statement()
            try:
                with _little_memory():
                    exec(statement, names)
                small = _size(list(names.values())) < 300
            except Exception:
                small = False
            if small:
                kept.append(statement)
            else:
                stack.close()
                names = None
    if kept and _refused([*above, (kind, "\n".join(kept))]):
        statements, kept = kept, []
        for statement in statements:
            if _runs([*above, (kind, "\n".join([*kept, statement]))]):
                kept.append(statement)
    return "\n".join(kept) or "pass"


def _runs(cells: Cells) -> bool:
    """Whether a plain run reaches the end, and analysis has nothing against it."""
    with main_namespace() as names:
        try:
            for _, code in cells:
                exec(code, names)
        except Exception:
            return False
    return not _refused(cells)


@contextmanager
def _little_memory() -> Iterator[None]:
    """A statement that goes on for ever, such as a loop over what it appends to, raises in the end, as others do."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before, most = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _MORE, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))


def _size(value: Any, depth: int = 0) -> int:
    if depth > 6 or isinstance(value, str | types.ModuleType):
        return 1
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return 1 + sum(_size(each, depth + 1) for each in list(inside)[:400])


def _refused(cells: Cells) -> bool:
    dag = notebook(*cells)
    try:
        return bool(dag.errors) and rightly_refused(dag)
    except Exception:  # what it does depends on chance
        return True
