"""Statements about everything that a pickle, an analysis or a kernel of its own may lose.

Objects of a module's classes, of C types and with slots; sentinels; generators of random numbers; functions that keep
values; the state of modules and of the interpreter; objects that cannot be pickled; changes that the code hides. A
headless run may differ from a plain one here, but it must say so.
"""

from __future__ import annotations

import array
import collections
import io
import random
import types

import numpy as np
from hypothesis import strategies as st

from .notebooks import EVERY, FUNCTIONS, LISTS, NUMBERS, OBJECTS, RESULTS, Cells, Writer, notebooks

MIXED, GENERATORS, SENTINELS = ("c", "b"), ("rng", "draws"), ("MISSING", "nan")
WIDE = (*EVERY, *MIXED, *GENERATORS, *SENTINELS)

IMPORTS = """\
import array, collections, decimal, functools, heapq, io, itertools, os, random, threading, types
import numpy as np
import law_module
from law_module import Item, Locked, Pair, Sampler, Slotted, push"""

_MODULE_CLASSES = ("Item", "Slotted", "Locked", "Pair", "Sampler")


class WideWriter(Writer):
    """Draws statements of the ordinary kind, and of the kinds of this module."""

    names_used = WIDE
    statements = (2, 9)

    def beginning(self) -> list[str]:
        more = [
            "o = Item(xs)",
            "p = Slotted([1])",
            "MISSING = object()",
            "rng, s = law_module.make(1)",
            "c = collections.deque([xs])",
            "b = np.arange(3)",
            self.keepers(),
        ]
        return [*super().beginning(), *(line for line in more if self.draw(st.booleans()))]

    def look(self) -> str:
        names = [name for name in WIDE if name in self.names and self.draw(st.integers(0, 2)) == 0]
        state = [
            "law_module.N",
            "len(law_module.STATE)",
            "Item.made",
            "law_module.TABLE.get('k')",
            "law_module.fresh()",
        ]
        seen = [*names, *(each for each in state if self.draw(st.integers(0, 3)) == 0)]
        return "\n".join(f"seen{number} = {each}" for number, each in enumerate(seen))

    def statement(self, depth: int = 0) -> str:
        ordinary = lambda: super(WideWriter, self).statement(depth)  # noqa: E731
        kinds = [
            ordinary,
            ordinary,
            self.mixed,
            self.change_mixed,
            self.change_mixed,
            self.instances,
            self.instances,
            self.generators,
            self.sentinels,
            self.module_state,
            self.hidden,
        ]
        if depth == 0:
            kinds += [self.keepers, self.keepers, self.slotted, self.process_state, self.unstorable]
        return self.draw(st.sampled_from(kinds))()  # type: ignore[no-any-return]

    def instance(self) -> str:
        found = [
            name
            for name in WIDE
            if type(self.names.get(name)).__name__ in _MODULE_CLASSES or type(self.names.get(name)).__name__ in "AB"
        ]
        return self.pick(*(found or OBJECTS))

    def one_of(self) -> str:
        """A name with a value that can be changed."""
        kinds = (list, dict, set, collections.deque, np.ndarray, array.array, types.SimpleNamespace, bytearray)
        found = [name for name in WIDE if isinstance(self.names.get(name), kinds)]
        return self.pick(*(found or LISTS))

    def mixed(self) -> str:
        name = self.target(MIXED)
        return self.pick(
            f"{name} = collections.deque({self.list()})",
            f"{name} = collections.deque([{self.list()}], maxlen=3)",
            f"{name} = array.array('q', [1, {self.number()}])",
            f"{name} = bytearray(b'ab')",
            f"{name} = collections.OrderedDict(l={self.list()})",
            f"{name} = collections.defaultdict(list, l={self.list()})",
            f"{name} = collections.Counter('aab')",
            f"{name} = np.arange({self.number()} + 2)",
            f"{name} = np.array([{self.list()}, None], dtype=object)",
            f"{name} = types.SimpleNamespace(xs={self.list()}, n={self.number()})",
            f"{name} = io.StringIO('one')",
            f"{name} = {{1, {self.number()}}}",
            f"{name} = iter({self.list()})",
            f"{name} = itertools.count({self.number()})",
            f"{name} = [Item({self.list()})]",
            f"{name} = ({self.list()}, {self.anything()})",
            f"{name} = types.MappingProxyType({self.dict()})",
            f"{name} = collections.ChainMap({self.dict()}, {{'n': 0}})",
            f"{name} = {self.anything()}",
        )

    def change_mixed(self) -> str:
        name = self.pick(*[each for each in WIDE if each in self.names] or MIXED)
        value, number = self.names.get(name), self.number()
        result = self.target(RESULTS)
        if isinstance(value, collections.deque):
            return self.pick(
                f"{name}.append({number})",
                f"{name}.rotate(1)",
                f"{result} = {name}.popleft()",
                f"{name}[0].append({number})",
                f"{self.target(LISTS)} = {name}[0]",
            )
        if isinstance(value, np.ndarray):
            other = self.target(MIXED)
            return self.pick(
                f"{name}[0] = {number}",
                f"{name} += 1",
                f"{other} = {name}[1:]",
                f"{other} = {name}.reshape(-1, 1)",
                f"{other} = {name}.copy()",
                f"{name}.sort()",
                f"np.add({name}, 1, out={name})",
                f"{result} = int({name}.sum())",
                f"{name}[0].append({number})",
            )
        if isinstance(value, types.SimpleNamespace):
            return self.pick(
                f"{name}.n += {number}",
                f"{name}.xs.append({number})",
                f"{self.target(LISTS)} = {name}.xs",
                f"{result} = vars({name})['n']",
                f"vars({name})['n'] = {number}",
            )
        if isinstance(value, io.StringIO):
            return self.pick(f"{name}.write('two')", f"{result} = {name}.getvalue()", f"{result} = {name}.read()")
        if isinstance(value, collections.Counter):
            return self.pick(f"{name}['a'] += 1", f"{name}.update('ab')", f"{result} = {name}.most_common(1)")
        if isinstance(value, dict):
            return self.pick(
                f"{name}[{number}] = {self.list()}",
                f"{self.target(LISTS)} = {name}['l']",
                f"{name}['l'].append({number})",
                f"{self.target(MIXED)} = {name}.items()",
            )
        if isinstance(value, set):
            return self.pick(f"{name}.add({number})", f"{name} |= {{{number}}}", f"{result} = {number} in {name}")
        if isinstance(value, array.array | bytearray):
            return self.pick(
                f"{name}.append({number})", f"{name}[0] = {number}", f"{self.target(MIXED)} = memoryview({name})"
            )
        if hasattr(value, "__next__"):
            return self.pick(f"{result} = next({name})", f"{result} = list(itertools.islice({name}, 1))")
        return self.pick(
            f"{self.target(LISTS)} = {name}[0]",
            f"{result} = {name}['l']",
            f"{result} = ({name}, {self.list()})",
            f"{result} = len({name})",
        )

    def instances(self) -> str:
        one, result = self.instance(), self.target(RESULTS)
        name = self.target(OBJECTS)
        kind = self.pick(*_MODULE_CLASSES[:2], *_MODULE_CLASSES[:2], *_MODULE_CLASSES[:4])
        return self.pick(
            f"{name} = {kind}({self.list()})",
            f"{name} = {kind}({self.list()})",
            f"{name} = Pair({self.anything()}, {self.anything()})",
            f"{one}.grow({self.number()})",
            f"{result} = {one}.grow({self.number()})",
            f"{self.target(LISTS)} = {one}.part()",
            f"{one}.xs.append({self.number()})",
            f"{one}.xs = {self.list()}",
            f"{one}.n = {self.number()}",
            f"{one}.swap()",
            f"{result} = {one}.swap()",
            f"{result} = {one}.one",
            f"{one}.other = {self.anything()}",
            f"{one}.one.append({self.number()})",
            f"{self.target(MIXED)} = [{one}, {one}]",
            f"{self.dict()}['n'] = {one}",
            f"{result} = {one} is {self.anything()}",
            f"{result} = Item.made",
            f"{result} = isinstance({one}, Item)",
        )

    def slotted(self) -> str:
        name = self.pick("A", "B")
        base = self.pick("", "(Item)", "(Slotted)", "(Slotted)")
        return (
            f"class {name}{base}:\n    __slots__ = ('extra',)\n"
            f"    def __init__(self, xs):\n        {'super().__init__(xs)' if base else 'pass'}\n        self.extra = xs\n"
            f"    def add(self, v):\n        self.extra.append(v)\n        return {self.pick('self', 'self.extra', 'v')}\n"
            f"    def get(self, v=1):\n        return {self.pick('self.extra', 'list(self.extra)')}"
        )

    def generators(self) -> str:
        names = (random.Random, np.random.Generator)
        name, made, result = self.a(names, GENERATORS), self.target(GENERATORS), self.target(RESULTS)
        return self.pick(
            f"{made} = random.Random({self.number()})",
            f"{made} = np.random.default_rng({self.number()})",
            f"rng, {self.target(OBJECTS)} = law_module.make({self.number()})",
            f"{result} = {name}.random()",
            f"{result} = {name}.random()",
            f"{name}.shuffle({self.list()})",
            f"{self.target(OBJECTS)} = Sampler({name})",
            f"{result} = {self.instance()}.draw()",
            f"{self.instance()}.draw()",
            f"{self.target(LISTS)} = [{name}.random() for _ in range(2)]",
            f"{self.dict()}['rng'] = {name}",
            f"{name}.seed({self.number()})",
            f"def {self.pick(*FUNCTIONS)}(v=1):\n    return {name}.random()",
        )

    def sentinels(self) -> str:
        name, result, one = self.pick(*SENTINELS), self.target(RESULTS), self.dict()
        return self.pick(
            "MISSING = object()",
            "MISSING = law_module.MISSING",
            "nan = float('nan')",
            f"{one}['n'] = {name}",
            f"{one}[{name}] = {self.number()}",
            f"{self.list()}.append({name})",
            f"{result} = {one}['n'] is {name}",
            f"{result} = {one}.get({name})",
            f"{result} = {name} in {self.list()}",
            f"{result} = {self.anything()} is {self.anything()}",
            f"{result} = [{name}, {{{name}: 1}}]",
            f"{result} = {self.pick(*RESULTS)}[1].get({name})",
            f"def {self.pick(*FUNCTIONS)}(v={name}):\n    return v is {name}",
            f"def {self.pick(*FUNCTIONS)}(v=1, missing={name}):\n    return missing is {name}, missing in {self.list()}",
        )

    def keepers(self) -> str:
        name, shared = self.pick(*FUNCTIONS), self.pick(*LISTS)
        return self.pick(
            f"def {name}(v=1, seen=[]):\n    seen.append(v)\n    return list(seen)",
            f"def {name}(v=1, into={self.list()}):\n    into.append(1)\n    return len(into)",
            f"def {name}(v=1, *, into={self.anything()}):\n    return into",
            f"def {name}(v=1):\n    {name}.calls = getattr({name}, 'calls', 0) + 1\n    return {name}.calls",
            f"{self.function()}.calls = {self.number()}",
            f"{self.target(RESULTS)} = getattr({self.function()}, 'calls', None)",
            f"@functools.lru_cache\ndef {name}(v=1):\n    return [{self.pick(*NUMBERS)}]",
            f"@functools.cache\ndef {name}(v=1):\n    return {shared}",
            f"@functools.cache\ndef {name}(v=1):\n    {shared}.append(1)\n    return len({shared})",
            f"{name} = functools.partial(push, {self.list()})",
            f"{name} = (lambda box: lambda v=1: box.append(v) or len(box))([])",
            f"def {name}(v=1):\n    law_module.STATE.append(1)\n    return len(law_module.STATE)",
            f"def {name}(v=1):\n    return Item([v])",
            f"{name} = {self.instance()}.grow",
        )

    def module_state(self) -> str:
        result = self.target(RESULTS)
        return self.pick(
            f"law_module.STATE.append({self.number()})",
            f"law_module.N = {self.number()} + 1",
            "law_module.N += 1",
            f"law_module.TABLE['k'] = {self.list()}",
            f"{result} = law_module.grow()",
            f"law_module.configure({self.number()} + 1)",
            f"{result} = law_module.N",
            f"{result} = len(law_module.STATE)",
            f"{self.target(LISTS)} = law_module.STATE",
            f"{result} = law_module.TABLE.get('k')",
            f"{result} = law_module.remember('k', {self.list()})",
            f"{result} = law_module.fresh()",
            "Item.made += 1",
            f"{result} = Item.made",
            f"Item.common = {self.list()}",
            f"{result} = getattr(Item, 'common', None)",
        )

    def process_state(self) -> str:
        result = self.target(RESULTS)
        draws = [f"{result} = random.random()", f"{result} = np.random.rand()"] if "seeded" in self.names else []
        return self.pick(
            *draws,
            *draws,
            f"random.seed({self.number()})\nnp.random.seed({self.number()})\nseeded = 1",
            f"decimal.getcontext().prec = {self.number()} + 3",
            f"{result} = str(decimal.Decimal(1) / 3)",
            f"os.environ['LAW'] = str({self.number()})",
            f"{result} = os.environ.get('LAW')",
        )

    def unstorable(self) -> str:
        name = self.target(MIXED)
        return self.pick(
            f"{name} = threading.Lock()",
            f"{name} = (v for v in list({self.list()}))",
            f"{name} = Locked({self.list()})",
            f"{name} = types.SimpleNamespace(lock=threading.Lock(), n=0, xs={self.list()})",
            f"{name} = {self.dict()}.keys()",
            f"{self.target(RESULTS)} = next({name})",
            f"{self.target(RESULTS)} = {name}.locked()",
            f"{self.target(RESULTS)} = {name}.acquire(blocking=False)",
        )

    def hidden(self) -> str:
        one, number = self.one_of(), self.number()
        return self.pick(
            f"push({one}, {number})",
            f"getattr({one}, 'app' + 'end')({number})",
            f"list(map({one}.append, [{number}]))",
            f"vars({self.instance()})['n'] = {number}",
            f"[each for each in [{one}]][0].append({number})",
            f"{{**{{'x': {one}}}}}['x'].append({number})",
            f"heapq.heappush({one}, {number})",
            f"next(iter([{one}])).append({number})",
            f"exec('{one}.append({number})')",
            f"law_module.remember('k', {one})",
            f"setattr({self.instance()}, 'n', {number})",
        )


def wide_notebooks() -> st.SearchStrategy[Cells]:
    """Notebooks of all kinds of statements."""
    return notebooks(WideWriter, (("setup", IMPORTS),))
