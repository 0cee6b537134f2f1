"""The names that a cell reads, binds and changes: Python's own scoping, and what calls do."""

from __future__ import annotations

import ast
import symtable
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag.core.analysis.names import CellUses, uses
from nbdag.core.analysis.scopes import names_of
from nbdag.core.cells.source import Python, to_python


def read(source: str) -> CellUses:
    python = to_python(source)
    assert isinstance(python, Python), python
    return uses(python)


# source: what it reads, and what it binds on every way
SCOPING = [
    ("y = x", "x", "y"),
    ("x = 1; y = x", "", "x y"),
    ("y = x; x = 1", "x", "x y"),
    ("a = b = c", "c", "a b"),
    ("a, *b = c", "c", "a b"),
    ("(a, [b, *c]), d.e, f[g] = h", "d f g h", "a b c"),
    ("x: int = y", "y", "x"),
    ("x: 'Foo' = 1", "", "x"),
    ("x: int", "", ""),
    ("for i in xs: pass\nelse: y = 1", "xs", "y"),
    ("for i in range(3): y = i", "", "i y"),
    ("for i in [1]:\n    if i: break\n    y = 1\nz = 2", "", "i z"),
    ("while True:\n    x = 1\n    break\ny = x", "", "x y"),
    ("while f():\n    x = 1\ny = 1", "f", "y"),
    ("with open(p) as f, g() as (a, b): pass", "p g", "f a b"),
    ("import a.b", "", "a"),
    ("import a.b as c, d", "", "c d"),
    ("from a import b as c, d", "", "c d"),
    ("if x:\n    y = 1\nelse:\n    y = 2\nz = y", "x", "y z"),
    ("if x:\n    raise E\nelse:\n    y = 2\nz = y", "x E", "y z"),
    ("if y := x: pass", "x", "y"),
    ("[y for y in xs if z]", "xs z", ""),
    ("[y := x for x in xs]", "xs", ""),
    ("{k: v + w for k, v in d.items()}", "d w", ""),
    ("[a for a in b for b in a]", "b", ""),
    ("[[j for j in i] for i in n]", "n", ""),
    ("sum(x * k for x in xs)", "xs k", ""),
    ("lambda a, *b, c=d, **e: a + b + c + e + f", "d", ""),
    ("(lambda: x)()", "x", ""),
    ("sorted(xs, key=lambda v: v + k)", "xs k", ""),
    ("def f(a, b=c, *d, e: g = h) -> i:\n    return a + j", "c g h i", "f"),
    ("def f():\n    return x\nf()", "x", "f"),
    ("def f():\n    x = 1\n    return x\nf()", "", "f"),
    ("def f():\n    def g():\n        return x\n    return g()\nf()", "x", "f"),
    ("x = 1\ndef f():\n    return x\nf()", "", "x f"),
    ("def f():\n    global c\n    c = 1\nf()\nd = c", "", "f c d"),
    ("def f():\n    return g()\ndef g():\n    return x\nf()", "x", "f g"),
    ("def f(n):\n    return f(n - 1) + x\nf(1)", "x", "f"),
    ("@deco(a)\ndef f(): pass", "deco a", "f"),
    ("async def f():\n    return x\nawait f()", "", "f"),
    ("await f(x)", "f x", ""),
    ("async for i in xs: pass", "xs", ""),
    ("@d\nclass A(B, metaclass=M):\n    x = y\n    z = x\n    def f(self):\n        return w", "d B M y", "A"),
    ("class A:\n    k = 1\n    ys = [k for _ in range(3)]", "k", "A"),
    ("class A:\n    k = 1\n    ys = [i for i in range(k)]", "", "A"),
    ("class A:\n    k = 1\n    def f(self):\n        return k\nA().f()", "k", "A"),
    ("class A:\n    x = x", "x", "A"),
    ("class A:\n    global g\n    g = 1\ny = g", "", "A g y"),
    ("try:\n    x = 1\nexcept E as e:\n    print(e)\ny = 1", "E", "y"),
    ("try:\n    x = f()\nfinally:\n    y = 1", "f", "x y"),
    ("match p:\n    case {'a': u, **rest}: pass\n    case A(b=v) | [v, *_]: pass\n    case _: z = 1", "p A", ""),
    ("match p:\n    case 1: z = 1\n    case _: z = 2\ny = z", "p", "z y"),
    ("f'{a:{w}} {b=} {c!r}'", "a w b c", ""),
    ("print(x)", "x", ""),
    ("del x", "x", ""),
    ("x = 1; del x", "", ""),
    ("display(x); get_ipython(); In; Out; _", "x", ""),
    ("assert x, y", "x", ""),
    ("a.b.c", "a", ""),
    ("x[i:j]", "x i j", ""),
    ("df.query('a > @t and b < @u')", "df t u", ""),
    ("df.eval(f'a + {b} + @t')", "df b t", ""),
    ("from __future__ import annotations\ndef f(x: A) -> B: pass\ny: C = 1", "", "annotations f y"),
    ("if True:\n    x = 1\ny = x", "", "x y"),
    ("dag_run.logical_date", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("source", "reads", "writes"), SCOPING)
def test_a_cell_reads_what_it_does_not_bind_first(source: str, reads: str, writes: str) -> None:
    found = read(source)
    assert sorted(found.reads) == sorted(reads.split())
    assert sorted(found.writes) == sorted(writes.split())


# source: what it reads if it is there, and what it binds on some ways
MAYBE = [
    ("if flag: x = 1\nx", "x", "x"),
    ("try:\n    x\nexcept NameError:\n    x = 0", "x", "x"),
    ("try:\n    x\nexcept (KeyError, Exception):\n    x = 0\nx", "x", "x"),
    ("try:\n    x\nexcept:\n    pass", "x", ""),
    ("import contextlib\nwith contextlib.suppress(NameError):\n    y = x", "x", "y"),
    ("for i in xs: y = i", "", "i y"),
    ("a and (b := 1)", "", "b"),
    ("[y := x for x in xs]", "", "y"),
    ("try:\n    x = f()\nexcept E:\n    pass", "", "x"),
    ("while f():\n    x = 1\nx", "x", "x"),
    ("match p:\n    case [a]: pass\n    case b: pass", "", "a b"),
    ("def f():\n    return x\ng = [f]", "x", ""),
    ("df?", "df", ""),
]


@pytest.mark.parametrize(("source", "optional", "maybe"), MAYBE)
def test_a_name_bound_on_some_paths_is_also_read_from_above(source: str, optional: str, maybe: str) -> None:
    found = read(source)
    assert sorted(found.optional) == sorted(optional.split())
    assert sorted(found.maybe_writes) == sorted(maybe.split())


# source: whose objects it changes
CHANGES = [
    ("x += 1", "x"),
    ("x[0] = 1", "x"),
    ("x.a = 1", "x"),
    ("x.a[0].b += 1", "x"),
    ("del x[0]", "x"),
    ("del x.a", "x"),
    ("x.append(1)", "x"),
    ("a.b[0].append(1)", "a"),
    ("x.sort();", "x"),
    ("x.pop()", "x"),
    ("y = x.pop()", "x"),
    ("d.setdefault('k', []).append(1)\n1", "d"),
    ("model.fit(X, y)", "model"),
    ("model = model.fit(X, y)", "model"),
    ("Z = scaler.fit_transform(X)", "scaler"),
    ("model.train()\n1", "model"),
    ("model.train();", "model"),
    ("df.drop(columns='a', inplace=True)", "df"),
    ("y = df.dropna(inplace=True)", "df"),
    ("df.drop(columns='a', inplace=False)", ""),
    ("[xs.append(i) for i in range(3)]", "xs"),
    ("ok and xs.append(1)", "xs"),
    ("for x.a in y: pass", "x"),
    ("next(it)", "it"),
    ("import random\nrandom.shuffle(xs)", "xs"),
    ("import heapq\nheapq.heappush(xs, 1)", "xs"),
    ("import numpy as np\nnp.add(a, b, out=c)", "c"),
    ("setattr(x, 'a', 1)", "x"),
    ("y = x\ny.append(1)", "x"),
    ("y = x if a else z\ny.append(1)", "x z"),
    ("y = x or z\ny.append(1)", "x z"),
    ("a, b = x, y\na.append(1)", "x"),
    ("for r in [x, y]:\n    r.append(1)", "x y"),
    ("rows = [x, y]\nrows[0].append(1)", "x y"),
    ("d = {'x': x, 'y': y}\nd['x'].append(1)", "x"),
    ("part = x['k']\npart.append(1)", "x"),
    ("with lock as held:\n    pass", ""),
    ("def f(v):\n    v.append(1)\nf(x)", "x"),
    ("def f(v):\n    return v\nf(x).append(1)\n1", "x"),
    ("def f(v=x):\n    v.append(1)\nf()", "x"),
    ("def f(*vs):\n    for v in vs:\n        v.append(1)\nf(x, y)", "x y"),
    ("def f(v):\n    g(v)\ndef g(v):\n    v.append(1)\nf(x)", "x"),
    ("def f():\n    total.append(1)\nf()", "total"),
    ("def f():\n    global c\n    c += 1\nf()", "c"),
    ("list(map(lambda v: v.append(1), [x, y]))", "x y"),
    ("class A:\n    def __init__(self, v):\n        self.v = v\n    def go(self):\n        self.v.append(1)\nA(x).go()", "x"),
    ("df.head()", ""),
    ("df.head();", ""),
    ("df.describe()\n1", ""),
    ("df.to_csv('f.csv')\n1", ""),
    ("df.plot()", ""),
    ("print(x)", ""),
    ("y = df.mean()", ""),
    ("y = model.predict(X)", ""),
    ("df = df.append(row)", ""),
    ("import matplotlib.pyplot as plt\nplt.plot(x)\nplt.rcParams['a'] = 1", ""),
    ("from sklearn import metrics\nmetrics.report(x)\n1", ""),
    ("x = []\nx.append(1)", ""),
    ("y = x[:]\ny.append(1)", ""),
    ("y = list(x)\ny.append(1)", ""),
    ("y = x.copy()\ny.append(1)", ""),
    ("df['b'] = df['a']", "df"),
    ("late = df[df.a > 1]\nlate['b'] = 1", ""),
    ("class A:\n    def look(self):\n        return self.v\na = A()\na.look()\n1", ""),
    ("import logging\nlog = logging.getLogger()\nlog.info(x)\n1", ""),
]  # fmt: skip


@pytest.mark.parametrize(("source", "changes"), CHANGES)
def test_a_change_in_place_is_seen_under_every_name_of_the_object(source: str, changes: str) -> None:
    assert sorted(read(source).changes) == sorted(changes.split())


IPYTHON = [
    ("%time y = f(x)", "f x", "y"),
    ("%time f(x)", "f x", ""),
    ("%timeit -n 10 y = f(x)", "f x", ""),
    ("%%time\ny = f(x)", "f x", "y"),
    ("%%timeit y = 1\nz = y + x", "x", ""),
    ("%%capture out\ny = x", "x", "y out"),
    ("%%capture --no-stderr out\ny = x", "x", "y out"),
    ("%%prun -s cumulative\ny = f(x)", "f x", "y"),
    ("%%bash --out o\necho $HOME {x}", "", "o"),
    ("%%bash -s {x} $y\necho", "x y", ""),
    ("%%writefile f.py\nimport a\nb = c", "", ""),
    ("%%html\n<b>{x}</b>", "", ""),
    ("!echo {x} {y.z[0]}", "x y", ""),
    ("files = !ls {x}", "x", "files"),
    ("%matplotlib inline\ny = x", "x", "y"),
    ("%env A=1", "", ""),
    ("%store x", "x", ""),
    ("y = %sql select {x}", "", "y"),
    ("if True:\n    !echo {x}", "x", ""),
]


@pytest.mark.parametrize(("source", "reads", "writes"), IPYTHON)
def test_ipython_code_follows_the_same_rules(source: str, reads: str, writes: str) -> None:
    found = read(source)
    assert sorted(found.reads) == sorted(reads.split())
    assert sorted(found.writes) == sorted(writes.split())


ALIASES = [
    ("b = a", [("a", "b")]),
    ("b = c = a", [("a", "b", "c")]),
    ("b = []\nc = b", [("b", "c")]),
    ("a, b = b, a", []),
    ("b = a if c else d", [("a", "b"), ("b", "d")]),
    ("(b := a)", [("a", "b")]),
    ("b = a + c", []),
    ("b = 1\nc = b", []),
    ("def f(v):\n    return v\nb = f(a)", [("a", "b")]),
]


@pytest.mark.parametrize(("source", "aliases"), ALIASES)
def test_names_of_one_object_are_aliases(source: str, aliases: list[tuple[str, ...]]) -> None:
    assert list(read(source).aliases) == aliases


NOTES = [
    ("from m import *", "star"),
    ("eval('x')", "opaque"),
    ("exec(code)", "opaque"),
    ("globals()['x'] = 1", "opaque"),
    ("%run other.ipynb", "opaque"),
    ("def f():\n    exec(code)\nf()", "opaque"),
    ("import numpy as np\nnp.random.seed(0)", "numpy/generator"),
    ("from random import seed\nseed(0)", "random/generator"),
    ("import os\nos.environ['A'] = 'b'", "os/environment"),
    ("import os\nos.chdir('..')", "os/directory"),
    ("%cd ..", "os/directory"),
    ("%env A=b", "os/environment"),
    ("import pandas as pd\npd.options.display.max_rows = 4", "pandas/settings"),
    ("from pandas import set_option\nset_option('display.max_rows', 4)", "pandas/settings"),
    ("import decimal\ndecimal.getcontext().prec = 4", "decimal/context"),
    ("import logging as log\nlog.getLogger('a').setLevel(10)", "logging/settings"),
    ("import sys\nsys.path.insert(0, 'x')", "sys/path"),
    ("import matplotlib.pyplot as plt\nplt.rcParams['figure.dpi'] = 50", "matplotlib/settings"),
    ("import duckdb\nduckdb.sql('create table t (a int)')", "duckdb/default"),
    ("%precision 2", "ipython/settings"),
    ("import m\nm.N = 5", "module"),
    ("import m\nm.STATE.append(1)", "module"),
    ("import math\nsetattr(math, 'tau', 6)", "module"),
    ("x = _", "history"),
    ("x = Out.get(1)", "history"),
]


@pytest.mark.parametrize(("source", "kind"), NOTES)
def test_hidden_effects_and_unnamed_state_are_noted(source: str, kind: str) -> None:
    assert [note.kind for note in read(source).notes] == [kind]


@pytest.mark.parametrize(
    "source",
    [
        "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')",
        "import decimal\nwith decimal.localcontext() as c:\n    c.prec = 4",
        "import duckdb\nduckdb.sql('select 1')",
        "%precision",
        "%reset -f",
        "for _ in range(3):\n    pass\nx = _",
        "import numpy as np\nnp.random.default_rng(0).normal()",
    ],
)
def test_state_that_is_restored_or_only_read_is_not_noted(source: str) -> None:
    assert read(source).notes == ()


def test_a_read_after_a_deletion_in_the_same_cell_is_recorded() -> None:
    assert read("x = 1\ndel x\ny = x").deleted_reads == (("x", 3, 2),)


def test_lines_are_those_of_the_first_strict_read() -> None:
    found = read("\n\ndef f():\n    return y\n\nf()\nx = y")
    assert found.reads == {"y": 6}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
@pytest.mark.parametrize(
    ("source", "reads", "writes"),
    [
        ("type A[T] = list[T]", "", "A"),
        ("def f[T: B](x: T) -> T:\n    return x", "", "f"),
        ("class C[T](D[T]): pass", "D", "C"),
    ],
)
def test_type_parameters_are_local(source: str, reads: str, writes: str) -> None:
    found = read(source)
    assert sorted(found.reads) == sorted(reads.split())
    assert sorted(found.writes) == sorted(writes.split())


STATEMENTS = st.sampled_from(
    [
        "a = b", "a += 1", "for a in b: c = d", "with b as a: pass", "import a", "from c import d as a", "del a",
        "def a(b): return c", "class a: b = c", "[a for a in b]", "[(c := a) for a in b]", "lambda a: b",
        "try:\n        b\n    except c as a: pass", "a: b = 1", "a, *b = c", "global a", "x = (a := b)",
        "match b:\n        case [a, *c]: pass\n        case {'k': d, **a}: pass", "print(a, b)", "a.b = c", "a[b] = c",
    ]
)  # fmt: skip


@given(st.lists(STATEMENTS, min_size=1, max_size=4))
def test_a_functions_own_names_are_those_of_symtable(statements: list[str]) -> None:
    statements.sort(key=lambda each: not each.startswith("global"))  # a declaration comes before any use
    source = "def function():\n    " + "\n    ".join(statements)
    try:
        (table,) = symtable.symtable(source, "<cell>", "exec").get_children()
    except SyntaxError:
        return
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert names_of(function.body).bound == {each.get_name() for each in table.get_symbols() if each.is_local()}
