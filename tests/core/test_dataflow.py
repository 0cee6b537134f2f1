"""Which task takes what from which, and what is wrong with a notebook."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import pytest

from nbdag.core.dataflow.graph import dag_from_cells
from nbdag.core.model.dag import Cell, CellKind, Dag, Place
from nbdag.core.model.problems import TABLE
from nbdag.core.options.options import DagOptions, TaskOptions


def notebook(*cells: tuple[str, str], **said: Mapping[str, Any] | DagOptions) -> Dag:
    """A notebook of (kind or task, code); options by task's name, and `dag` for the notebook's own."""
    dag = said.pop("dag", DagOptions())
    assert isinstance(dag, DagOptions)
    made, options = [], {}
    for index, (kind, text) in enumerate(cells):
        code = textwrap.dedent(text).strip("\n")
        if kind in set(CellKind):
            made.append(Cell(index=index, kind=CellKind(kind), source=code, code=code))
        else:
            made.append(Cell(index=index, kind=CellKind.TASK, source=code, code=code, task=kind))
            options[index] = TaskOptions(**said.get(kind, {}))  # type: ignore[arg-type]
    return dag_from_cells(made, dag_id="nb", options=dag, task_options=options)


def arrows(dag: Dag) -> list[str]:
    return [f"{edge.source}>{edge.target}" for edge in dag.edges]


def codes(dag: Dag) -> list[str]:
    return [problem.code for problem in dag.problems]


EDGES: dict[str, tuple[list[tuple[str, str]], str]] = {
    "the nearest writer above": ([("a", "x = 1"), ("b", "x = 2"), ("c", "x")], "b>c"),
    "siblings that change one list run one after the other": (
        [("a", "xs = []"), ("b", "xs.append(1)"), ("c", "xs.append(2)"), ("d", "print(xs)")],
        "a>b b>c c>d",
    ),
    "siblings that only look are independent": (
        [("a", "m = f()"), ("b", "p = m.predict(1)"), ("c", "q = m.predict(2)"), ("setup", "def f(): pass")],
        "a>b a>c",
    ),
    "an alias that nobody changes adds nothing": ([("a", "x = []"), ("b", "y = x"), ("c", "x")], "a>b a>c"),
    "an alias of what is changed later": (
        [("a", "x = []"), ("b", "y = x"), ("c", "x.append(1)"), ("d", "y")],
        "a>b b>c c>d",
    ),
    "a change of another object": ([("a", "x = []"), ("b", "y = x[:]"), ("c", "y.append(1)"), ("d", "x")], "a>b a>d b>c"),
    "a conditional write": ([("a", "x = 1"), ("b", "if y: x = 2"), ("c", "x"), ("setup", "y = 1")], "a>b b>c"),
    "a conditional write that nobody reads": ([("a", "x = 1"), ("b", "if y: x = 2"), ("setup", "y = 1")], ""),
    "loop variables do not tie tasks together": (
        [("a", "for i in range(n): pass"), ("b", "for i in range(n): pass"), ("setup", "n = 3")],
        "",
    ),
    "a function's free names, where it is called": (
        [("a", "def f(): return x"), ("b", "x = 1"), ("c", "f()"), ("d", "x = 2"), ("e", "f()")],
        "a>c a>e b>c d>e",
    ),
    "a setup function's free names": (
        [("setup", "def f(): return g()\ndef g(): return x"), ("a", "x = 1"), ("b", "f()")],
        "a>b",
    ),
    "a function that changes a global": (
        [("setup", "c = 0\ndef f():\n    global c\n    c += 1"), ("a", "f()"), ("b", "f()"), ("d", "c")],
        "a>b b>d",
    ),
    "a method's free names, through an instance": (
        [("a", "class M:\n    def go(self): return k"), ("b", "m = M()"), ("c", "k = 1"), ("d", "m.go()")],
        "a>b b>d c>d",
    ),
    "setup in between is the nearest writer": (
        [("a", "x = 1"), ("setup", "x = 2"), ("b", "x"), ("c", "x += 1"), ("d", "x")],
        "c>d",
    ),
    "parameters and setup make no edges": ([("parameters", "p = 1"), ("setup", "q = p"), ("a", "p + q"), ("b", "q")], ""),
    "a deletion reads what it deletes": ([("a", "x = 1"), ("b", "del x"), ("c", "x = 2"), ("d", "x")], "a>b c>d"),
    "an optional read": ([("a", "x = 1"), ("b", "try:\n    x\nexcept NameError:\n    x = 0")], "a>b"),
    "an import": ([("a", "import math"), ("b", "math.pi")], "a>b"),
    "a name of an import *": ([("a", "from math import *"), ("b", "pi")], "a>b"),
    "a shell line": ([("a", "x = 1"), ("b", "!echo {x}"), ("c", "!echo $x")], "a>b a>c"),
    "a query": ([("a", "t = 1"), ("b", "df.query('a > @t')"), ("setup", "df = 1")], "a>b"),
    "a scratch cell does not run": ([("a", "x = 1"), ("scratch", "x = 2"), ("b", "x")], "a>b"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_a_value_that_flows_makes_an_edge(name: str) -> None:
    cells, expected = EDGES[name]
    dag = notebook(*cells)
    assert not dag.errors
    assert arrows(dag) == expected.split()


PIPELINE = [
    ("setup", "import pandas as pd\nimport numpy as np\nimport matplotlib.pyplot as plt\n"
              "from sklearn.ensemble import RandomForestClassifier\nfrom sklearn.metrics import accuracy_score, roc_auc_score\n"
              "from sklearn.model_selection import train_test_split\nfrom sklearn.preprocessing import StandardScaler\n"
              "def clean(df):\n    df = df.dropna()\n    return df[df['age'] > min_age]"),
    ("parameters", "path = 'd.csv'\nmin_age = 18\nseed = 0"),
    ("extract", "df = pd.read_csv(path)\ndf.head()"),
    ("describe", "summary = df.describe()\nprint(df.shape)\ndf.info()"),
    ("plot", "fig, ax = plt.subplots()\nax.hist(df['age'])\nplt.title('ages')\nplt.savefig('ages.png')\nfig"),
    ("prep", "data = clean(df)\ny = data['target']\nX = data.drop(columns=['target'])\n"
             "X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed)"),
    ("scale", "scaler = StandardScaler()\nZ_train = scaler.fit_transform(X_train)\nZ_test = scaler.transform(X_test)"),
    ("balance", "y.mean()"),
    ("forest", "forest = RandomForestClassifier(random_state=seed)\nforest.fit(Z_train, y_train)"),
    ("deep", "deep = RandomForestClassifier(max_depth=20).fit(Z_train, y_train)"),
    ("score_forest", "forest_score = accuracy_score(y_test, forest.predict(Z_test))"),
    ("auc_forest", "auc = roc_auc_score(y_test, forest.predict_proba(Z_test)[:, 1])"),
    ("score_deep", "deep_score = accuracy_score(y_test, deep.predict(Z_test))"),
    ("report", "best = forest if forest_score >= deep_score else deep\nprint(f'{forest_score:.3f} {deep_score:.3f} {auc}')"),
    ("deploy", "import joblib\njoblib.dump({'scaler': scaler, 'model': best}, 'model.joblib')"),
]  # fmt: skip


def test_tasks_that_draw_from_a_generator_of_torch_are_ordered() -> None:
    dag = notebook(
        ("setup", "import torch"),
        ("a", "g = torch.Generator().manual_seed(0)"),
        ("b", "x = torch.rand(2, generator=g)"),
        ("c", "y = torch.rand(2, generator=g)"),
    )
    assert dag.upstream == {"a": (), "b": ("a",), "c": ("b",)}


def test_a_machine_learning_notebook_has_the_edges_that_a_person_draws() -> None:
    dag = notebook(*PIPELINE)
    assert codes(dag) == []
    assert set(arrows(dag)) == {
        "extract>describe",
        "extract>plot",
        "extract>prep",
        "prep>scale",
        "prep>balance",
        "prep>forest",
        "prep>deep",
        "scale>forest",
        "scale>deep",
        "scale>score_forest",
        "scale>auc_forest",
        "scale>score_deep",
        "prep>score_forest",
        "prep>auc_forest",
        "prep>score_deep",
        "forest>score_forest",
        "forest>auc_forest",
        "deep>score_deep",
        "score_forest>report",
        "score_deep>report",
        "auc_forest>report",
        "forest>report",
        "deep>report",
        "scale>deploy",
        "report>deploy",
    }


ETL = [
    ("setup", "import pandas as pd, sqlite3\nfrom pathlib import Path\nraw = Path('raw')\nlog = []"),
    ("orders", "orders = pd.concat(pd.read_csv(p) for p in sorted(raw.glob('orders*.csv')))"),
    ("customers", "customers = pd.read_csv(raw / 'customers.csv')"),
    ("clean_orders", "orders = orders.drop_duplicates()\norders['day'] = pd.to_datetime(orders.date).dt.date"),
    ("clean_customers", "customers['name'] = customers.name.str.strip()\ncustomers.drop(columns='fax', inplace=True)"),
    ("join", "sales = orders.merge(customers, on='customer')"),
    ("by_day", "daily = sales.groupby('day').amount.sum()\ndaily.to_csv('daily.csv')\ndaily.plot()"),
    ("by_customer", "top = sales.groupby('name').amount.sum().nlargest(10)\ntop"),
    ("quality", "assert not sales.isna().any().any(), sales.isna().sum()"),
    ("load", "with sqlite3.connect('sales.db') as db:\n    sales.to_sql('sales', db, if_exists='replace')\n"
             "    daily.to_sql('daily', db, if_exists='replace')"),
]  # fmt: skip


def test_an_etl_notebook_has_the_edges_that_a_person_draws() -> None:
    dag = notebook(*ETL, load={"after": ("quality",)})
    assert codes(dag) == []
    assert set(arrows(dag)) == {
        "orders>clean_orders",
        "customers>clean_customers",
        "clean_orders>join",
        "clean_customers>join",
        "join>by_day",
        "join>by_customer",
        "join>quality",
        "join>load",
        "by_day>load",
        "quality>load",
    }


def test_an_edge_names_its_variables_and_their_places() -> None:
    dag = notebook(("a", "\nx = 1\ny = 2"), ("b", "z = 1\nz + y\nx"))
    (edge,) = dag.edges
    assert [(use.name, use.read_at, use.written_at) for use in edge.names] == [
        ("x", Place(cell=1, line=3), Place(cell=0, line=1)),
        ("y", Place(cell=1, line=2), Place(cell=0, line=2)),
    ]


def test_a_task_lists_its_reads_writes_and_changes() -> None:
    task = notebook(("setup", "k = 1"), ("a", "xs = []"), ("b", "xs.append(k)\ny = len(xs)\nif y: z = 1")).tasks["b"]
    assert (task.reads, task.writes, task.changes) == (("xs", "k"), ("y", "z"), ("xs",))
    task = notebook(("a", "x = 1"), ("b", "x += 1")).tasks["b"]
    assert (task.reads, task.writes, task.changes) == (("x",), ("x",), ("x",))


def test_only_names_that_some_later_task_reads_are_exported() -> None:
    dag = notebook(("a", "x = 1\ny = 2\nz = 3"), ("b", "x"), a={"out": ("z",)})
    assert dag.tasks["a"].exports == (("x",), ("z",))
    assert dag.tasks["b"].exports == ()


def test_names_of_one_object_are_exported_together() -> None:
    dag = notebook(("a", "x = []"), ("b", "y = x\nz = 1"), ("c", "y.append(1)"), ("d", "x, y, z"))
    assert dag.tasks["b"].exports == (("x", "y"), ("z",))
    assert dag.tasks["c"].exports == (("x", "y"),)
    assert {each.name: each.sources for each in dag.tasks["d"].inputs} == {"x": ("c",), "y": ("c",), "z": ("b",)}


LOCKED = """
import asyncio, functools, itertools, re, threading
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from multiprocessing.pool import ThreadPool
import numpy as np
import pandas as pd
import more
from tqdm.auto import tqdm
lock = threading.Lock()
xs = [1, 2]
def f(x, y=0):
    with lock:
        return x * 2
async def g(x):
    async with lock:
        return x * 2
def steps(xs):
    for x in xs:
        with lock:
            yield x * 2
df = pd.DataFrame({"a": xs})
ex = ThreadPoolExecutor(2)
"""

# code that follows LOCKED, whose result r holds neither f nor g nor steps
RESULTS_ONLY = [
    "r = list(map(f, xs))",
    "r = set(map(f, xs))",
    "r = [y for y in map(f, xs)]",
    "r = []\nfor y in map(f, xs): r.append(y)",
    "r = []\nr.extend(map(f, xs))",
    "r = []\nr += map(f, xs)",
    "r = [*map(f, xs)]",
    "r, *_ = map(f, xs)",
    "r = next(map(f, xs))",
    "r = max(map(f, xs))",
    "r = dict(zip(xs, map(f, xs)))",
    "r = [y for i, y in enumerate(map(f, xs))]",
    "r = list(tqdm(ex.map(f, xs), total=2))",
    "r = ', '.join(map(f, xs))",
    "r = pd.DataFrame(map(f, xs))",
    "r = list(map(functools.partial(f, y=1), xs))",
    "r = list(map(lambda x: (lock.acquire(), x, lock.release())[1], xs))",
    "def each(f, xs): return list(map(f, xs))\nr = each(f, xs)",
    "def each(f, xs):\n    found = []\n    for y in map(f, xs): found.append(y)\n    return found\nr = each(f, xs)",
    "r = sorted(xs, key=f)",
    "r = max(xs, key=f)",
    "r = list(filter(f, xs))",
    "r = functools.reduce(f, xs)",
    "r = functools.reduce(f, map(f, xs))",
    "r = list(itertools.starmap(f, [(1, 2)]))",
    "r = list(itertools.accumulate(xs, f))",
    "r = [(k, list(v)) for k, v in itertools.groupby(xs, f)]",
    "r = list(steps(xs))",
    "r = re.sub('a', f, 'aa')",
    "r = re.compile('a').sub(f, 'aa')",
    "r = np.apply_along_axis(f, 0, np.array([xs]))",
    "r = df.apply(f)",
    "r = df[df.a > 1].copy()\nr['b'] = r['a'].map(f)",
    "r = df.groupby('a').apply(f).reset_index()",
    "r = df.assign(b=lambda d: f(d.a))",
    "r = list(ex.map(f, xs))",
    "with ThreadPoolExecutor() as e: r = list(e.map(f, xs))",
    "def each(f, xs):\n    with ThreadPoolExecutor() as e: return list(e.map(f, xs))\nr = each(f, xs)",
    "r = [each.result() for each in [ex.submit(f, x) for x in xs]]",
    "fs = {ex.submit(f, x): x for x in xs}\nr = {fs[each]: each.result() for each in as_completed(fs)}",
    "done, _ = wait([ex.submit(f, x) for x in xs])\nr = [each.result() for each in done]",
    "with ThreadPool(2, initializer=f) as pool: r = pool.map(f, xs)",
    "with ThreadPool(2) as pool: r = pool.map_async(f, xs).get()",
    "r = list(more.pool().map(f, xs))",
    "r = await g(1)",
    "r = [await g(x) for x in xs]",
    "r = asyncio.run(g(1))",
    "r = await asyncio.wait_for(g(1), 3)",
    "r = await asyncio.gather(*[g(x) for x in xs])",
    "r = await asyncio.gather(*map(g, xs))",
    "async def main(): return await asyncio.gather(*(g(x) for x in xs))\nr = await main()",
    "ts = [asyncio.create_task(g(x)) for x in xs]\nr = [await t for t in ts]",
    "async with asyncio.TaskGroup() as group: ts = [group.create_task(g(x)) for x in xs]\nr = [t.result() for t in ts]",
    "r = [await each for each in asyncio.as_completed([g(x) for x in xs])]",
    "r = await asyncio.to_thread(f, 1)",
    "r = await asyncio.get_running_loop().run_in_executor(None, f, 1)",
]  # fmt: skip


@pytest.mark.parametrize("code", RESULTS_ONLY)
def test_the_results_of_a_function_do_not_hold_the_function(code: str) -> None:
    dag = notebook(("a", LOCKED + code), ("b", "print(r)"))
    assert dag.tasks["a"].exports == (("r",),)


@pytest.mark.parametrize(
    "code",
    [
        "r = f",
        "r = map(f, xs)",
        "r = [map(f, xs)]",
        "r = g(1)",
        "r = functools.partial(f, 1)",
        "r = list(filter(callable, [f]))",
        "r = sorted([f], key=id)",
        "r = functools.reduce(lambda u, v: u, xs, f)",
        "r = list(map(lambda x: f, xs))",
        "r = list(map(lambda x: lambda: f(x), xs))",
        "r = list(map(functools.partial(lambda u, x: u, f), xs))",
        "r = ex.submit(lambda u: u, f).result()",
        "async def h(u): return u\nr = await asyncio.gather(h(f))",
        "class K:\n    def use(self): return f(1)\nr = list(ex.map(lambda x: K(), xs))",
        "class K:\n    def __init__(self, x): pass\n    def use(self): return f(1)\nr = list(map(K, xs))",
        "r = df.style.apply(f)",
        "r = df.groupby(f)",
        "r = df.pipe(more.wrap, f)",
        "r = more.frame().apply(f)",
        "r = more.frame().map(f)",
    ],
)
def test_an_object_that_may_hold_a_function_needs_what_the_function_reads(code: str) -> None:
    dag = notebook(("a", LOCKED + code), ("b", "print(r)"))
    assert ("lock",) in dag.tasks["a"].exports


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("for y in ex.map(lambda x: x.copy(), rows): y.append(1)", ()),
        ("for y in ex.map(lambda x: x, rows): y.append(1)", ("rows",)),
        ("for y in map(lambda x: x, rows): y.append(1)", ("rows",)),
    ],
)
def test_a_change_of_a_result_is_a_change_of_an_argument_only_if_it_may_be_one(
    code: str, changes: tuple[str, ...]
) -> None:
    dag = notebook(("setup", "import lib"), ("a", "rows = [[1]]"), ("b", f"ex = lib.pool()\n{code}"))
    assert dag.tasks["b"].changes == changes


RETURNS_SHARED = (
    "import asyncio, concurrent.futures\nex = concurrent.futures.ThreadPoolExecutor()\nxs, kept = [1], [[0]]\n"
)


@pytest.mark.parametrize(
    "code",
    [
        "r = list(map(lambda x: kept, xs))",
        "r = list(ex.map(lambda x: kept, xs))",
        "r = [ex.submit(lambda x: kept, 1).result()]",
        "import functools\nr = [functools.reduce(lambda x, y: kept, xs)]",
        "r = sorted(kept, key=len)",
        "async def g(x): return kept\nr = await asyncio.gather(*[g(x) for x in xs])",
        "async def g(x): return kept\nr = asyncio.run(g(1))",
        "xs = []\nlate = map(lambda x: x, xs)\nkept = [0]\nxs.append(kept)\nr = list(late)",
    ],
)
def test_results_of_a_function_that_a_library_calls_share_objects_with_it(code: str) -> None:
    dag = notebook(("a", RETURNS_SHARED + code), ("b", "r[0].append(1)\n1"), ("c", "print(kept)"), ("d", "print(r)"))
    assert any({"r", "kept"} <= set(names) for names in dag.tasks["a"].exports)


@pytest.mark.parametrize(
    ("checks", "code", "exports"),
    [
        (("acc >= floor and len(df)",), "acc = score(1)", (("acc",),)),
        (("ok(1)", "floor"), "def ok(x): return x\nrows = []", ()),
        (("x > 0", "y"), "if floor: x = 1\ny = [1]\nz = 2", (("x",), ("y",))),
    ],
)
def test_a_value_that_its_own_check_uses_is_exported(
    checks: tuple[str, ...], code: str, exports: tuple[tuple[str, ...], ...]
) -> None:
    dag = notebook(("setup", "def score(x): return x\nfloor = 0\ndf = []"), ("a", code), a={"check": checks})
    assert dag.tasks["a"].exports == exports


# what may be skipped: the options of b, and the sources of c's x
SKIPPABLE = [
    ({}, ("b",)),
    ({"when": "flag"}, ("b", "a")),
    ({"map": (("i", "[1, 2]"),)}, ("b", "a")),
    ({"operator": "sensor"}, ("b", "a")),
    ({"trigger": "one_failed", "after": ("s",)}, ("b", "a")),
    ({"after": ("s",)}, ("b", "a")),
    ({"after": ("s",), "trigger": "all_done"}, ("b",)),
]


@pytest.mark.parametrize(("options", "sources"), SKIPPABLE)
def test_a_task_that_may_be_skipped_is_not_the_only_source(options: dict[str, Any], sources: tuple[str, ...]) -> None:
    dag = notebook(
        ("setup", "flag = True\nfrom nbdag import Skip"),
        ("a", "x = 1"),
        ("s", "raise Skip()"),
        ("b", "x = 2"),
        ("c", "x"),
        b=options,
    )
    assert dag.tasks["c"].inputs[0].sources == sources


def test_a_header_s_expressions_are_reads() -> None:
    dag = notebook(
        ("a", "xs = [1]\nready = True\nlimit = 3"),
        ("b", "y = x"),
        ("c", "y"),
        b={"when": "ready", "map": (("x", "xs"),), "check": ("y < limit",)},
    )
    assert not dag.errors
    assert sorted(dag.tasks["b"].reads) == ["limit", "ready", "xs"]
    assert dag.tasks["b"].writes == ("y",)


def test_a_check_may_read_what_its_task_writes() -> None:
    assert not notebook(("a", "y = 1"), a={"check": ("y > 0",)}).errors


def test_a_declared_change_is_a_change() -> None:
    dag = notebook(("setup", "from m import f"), ("a", "x = []"), ("b", "f(x)"), ("c", "x"), b={"change": ("x",)})
    assert arrows(dag) == ["a>b", "b>c"]
    assert dag.tasks["b"].changes == ("x",)


DEFINITIONS: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "a function": ([("a", "@d\ndef f(p=1):\n    return p"), ("setup", "d = 1"), ("z", "f()")], ["@d\ndef f(p=1):\n    return p"]),
    "an import": ([("a", "import a.b as c, d.e\nfrom f import g as h, i"), ("z", "c, d, h")], ["import a.b as c", "import d.e", "from f import g as h"]),
    "what it calls": ([("a", "def f():\n    return g()\ndef g(): pass"), ("z", "f()")], ["def f():\n    return g()", "def g(): pass"]),
    "its base": ([("a", "class A: pass\nclass B(A): pass"), ("z", "B()")], ["class A: pass", "class B(A): pass"]),
    "the class of an instance": ([("a", "class A: pass"), ("b", "o = A()"), ("z", "o")], ["class A: pass"]),
    "what a partial calls": (
        [("setup", "from functools import partial"), ("a", "def f(p): return p"), ("b", "h = partial(f, 1)"), ("z", "h()")],
        ["def f(p): return p"],
    ),
    "not one with a default that a task made": ([("a", "k = []"), ("b", "def f(p=k): pass"), ("z", "f()")], []),
    "not one that is bound twice": ([("a", "def f(): pass"), ("b", "def f(): return 1"), ("z", "f()")], []),
    "not one that only some ways define": ([("a", "if x:\n    def f(): pass"), ("setup", "x = 1"), ("z", "f()")], []),
    "not one that is changed": ([("a", "class A: n = 0"), ("b", "A.n += 1"), ("z", "A")], []),
    "not what setup defines": ([("setup", "def f(): pass"), ("z", "f()")], []),
    "one module imported twice": ([("a", "import os"), ("b", "import os"), ("z", "os")], ["import os", "import os"]),
    "two modules of one package": ([("a", "import a.b"), ("b", "import a.c"), ("z", "a")], ["import a.b", "import a.c"]),
    "a star": ([("a", "from math import *"), ("z", "pi")], ["from math import *"]),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFINITIONS)
def test_definitions_travel_as_source(name: str) -> None:
    cells, sources = DEFINITIONS[name]
    dag = notebook(*cells)
    assert [each.source for each in dag.tasks["z"].definitions] == sources
    travelling = {each.name for each in dag.tasks["z"].definitions}
    assert not travelling & {each.name for each in dag.tasks["z"].inputs}


PROBLEMS: dict[str, tuple[list[tuple[str, str]], str, str, str]] = {
    "a name that nothing sets": ([("a", "accuracy = 1"), ("b", "\nacuracy")], "NB201", "no cell above sets acuracy", "accuracy"),
    "a name that only scratch sets": ([("scratch", "x = 1"), ("a", "x")], "NB201", "scratch", "%%task"),
    "a name that is set below": ([("a", "x"), ("b", "x = 1")], "NB201", "below, by task b", "move cell 2"),
    "a name read before the cell sets it": ([("a", "x + 1\nx = 1")], "NB201", "only later", "above line 1"),
    "a name that a function needs": ([("setup", "def f(): return y"), ("a", "f()")], "NB201", "sets y", ""),
    "a lambda's typo": ([("a", "t = 1\nsorted([], key=lambda v: v + tt)")], "NB201", "tt", ""),
    "setup that reads what a task makes": ([("a", "x = 1"), ("setup", "y = x")], "NB204", "task a sets", "make this cell a task"),
    "setup that changes what a task made": ([("a", "xs = []"), ("setup", "xs.append(1)")], "NB204", "xs", ""),
    "setup that may override a task": ([("setup", "x = 0"), ("a", "x = 1"), ("setup", "if 1 > x: pass"), ("b", "x")], "NB204", "x", ""),
    "a deleted name": ([("a", "x = 1"), ("b", "\ndel x"), ("c", "x")], "NB205", "cell 2, line 1 (task b) deletes it", ""),
    "a name deleted in its cell": ([("a", "x = 1\ndel x\nx")], "NB205", "line 2", ""),
    "a deleted name that setup makes anew": (
        [("setup", "x = 1"), ("a", "del x"), ("b", "try:\n    x\nexcept NameError:\n    x = 2")],
        "NB205", "setup sets it in every task", "do not delete it",
    ),
    "a syntax error": ([("a", "x = 1\ny = (")], "NB208", "syntax error", ""),
    "import *": ([("a", "from m import *\nanything")], "NB301", "from m import * sets unknown names", ""),
    "exec": ([("a", "exec('x = 1')")], "NB302", "exec()", "--out"),
    "a seed in setup": ([("setup", "import random\nrandom.seed(0)"), ("a", "x = random.random()"), ("b", "y = random.random()")], "NB303", "random.seed", "in the task"),
    "an id that each task makes for itself": (
        [("setup", "import uuid\nRUN = uuid.uuid4().hex\nOUT = f'out/{RUN}'"), ("a", "x = OUT"), ("b", "y = OUT")],
        "NB308", "OUT has a different value in each task that reads it (a, b)", "create OUT in a task",
    ),
    "the id of an object": (
        [("a", "xs = [[1]]\nseen = {id(x) for x in xs}"), ("b", "n = len(xs)"), ("c", "n = [id(x) in seen for x in xs]")],
        "NB309", "another id in c", "the object itself",
    ),
    "ids that a task adds": (
        [("a", "xs, names = [[1]], {}\nnames[id(xs)] = 'xs'"), ("b", "n = names[id(xs)]")], "NB309", "in b", "key",
    ),
    "data that setup draws without a seed": (
        [("setup", "import numpy as np\nrng = np.random.default_rng()\nX = rng.normal(size=3)"), ("a", "x = X"), ("b", "y = X")],
        "NB308", "calls rng.normal", "",
    ),
    "a cache for a function that prints": (
        [
            ("setup", "import functools\n@functools.cache\ndef f(x):\n    print(x)\n    return x"),
            ("a", "x = f(1)"),
            ("b", "y = f(1)"),
        ],
        "NB464", "calls print again", "call f in one task",
    ),
    "a cache for a function that changes a name": (
        [
            ("setup", "import functools\ncalls = []\n@functools.cache\ndef f(x):\n    calls.append(x)\n    return x"),
            ("a", "x = f(1)"),
            ("b", "y = f(1), calls"),
        ],
        "NB464", "each of a, b has a cache of its own and changes calls again", "call f in one task",
    ),
    "a cache for a method that counts": (
        [
            (
                "setup",
                "import functools\nclass C:\n    n = 0\n    @functools.lru_cache(9)\n    def f(self, x):\n"
                "        known = {}\n        known[x] = 1\n        self.n += 1\n        return x\nc = C()",
            ),
            ("a", "x = c.f(1)"),
            ("b", "y = c.f(1), c.n"),
        ],
        "NB464", "changes self again", "call f in one task",
    ),
    "a registry of a library": (
        [("a", "import csv\ncsv.register_dialect('mine')"), ("b", "import csv\nprint(csv.list_dialects())")],
        "NB462", "csv.register_dialect", "",
    ),
    "the namespace of the shell": ([("a", "get_ipython().user_ns['x'] = 1")], "NB302", "user_ns", ""),
    "a function for the end of the process": (
        [("a", "import atexit\natexit.register(print, 'end')"), ("b", "x = 1")], "NB460", "atexit.register", "last task",
    ),
    "subclasses of another task": (
        [("setup", "class P: pass"), ("a", "class One(P): pass"), ("b", "found = P.__subclasses__()")],
        "NB302", "does not return One, which only task a defines", "%%setup",
    ),
    "subclasses that a method lists": (
        [
            ("setup", "class P:\n    @classmethod\n    def all(cls):\n        return cls.__subclasses__()"),
            ("a", "class One(P): pass"),
            ("b", "found = P.all()"),
        ],
        "NB302", "which only task a defines", "name them",
    ),
    "an environment that a task changes": ([("a", "import os\nos.environ['A'] = '1'"), ("b", "x = 1")], "NB304", "environment", "%%setup"),
    "a directory that a task changes": ([("a", "%cd /tmp"), ("b", "x = 1")], "NB304", "directory", ""),
    "a seed in a task": (
        [("setup", "import numpy as np"), ("a", "np.random.seed(1)"), ("b", "x = np.random.rand()")],
        "NB461", "numpy.random.seed", "generator",
    ),
    "settings in a task": (
        [("a", "import pandas as pd\npd.set_option('display.max_rows', 4)\ndf = pd.DataFrame()"), ("b", "df.head()")],
        "NB460", "b runs without", "%%setup",
    ),
    "a module that a task changes": (
        [("a", "import m\nm.STATE.append(1)"), ("b", "import m\nprint(m.STATE)")], "NB462", "m.STATE", "%%setup",
    ),
    "a module that a function of setup changes": (
        [("setup", "import m\ndef f():\n    m.N = 5"), ("a", "f()"), ("b", "print(m.N)")], "NB462", "m.N", "%%setup",
    ),
    "a result in a cache that a task changes": (
        [
            ("setup", "from functools import lru_cache\n@lru_cache\ndef f():\n    return [0]"),
            ("a", "xs = f()\nxs.append(1)"),
            ("b", "n = len(f())"),
        ],
        "NB464", "a result cached by f", "copy",
    ),
    "results in a cache that are stale": (
        [
            ("setup", "from functools import cache\nk = 1\n@cache\ndef f():\n    return k"),
            ("a", "p = f()\nk = 2"),
            ("b", "q = f()"),
        ],
        "NB464", "f caches results computed from k", "argument",
    ),
    "eval in a method that display calls": (
        [
            ("setup", "class A:\n    def __repr__(self):\n        return str(eval('k'))\nx = A()"),
            ("a", "k = 5"),
            ("b", "x"),
        ],
        "NB302", "eval()", "--after",
    ),
    "what the cell above displayed": ([("a", "40 + 2"), ("b", "x = _")], "NB463", "_", "to a variable"),
    "what a cell displayed": ([("a", "40 + 2"), ("b", "print(Out.get(1))")], "NB463", "Out", "to a variable"),
    "setup that stands too low": ([("a", "f()"), ("setup", "def f(): pass")], "NB305", "cell 2", "above"),
    "setup too low for a guarded read": ([("a", "try: f()\nexcept NameError: pass"), ("setup", "def f(): pass")], "NB305", "may read f, but does not see it: setup sets it in cell 2", "above"),
    "setup too low for a read that may not happen": ([("setup", "x = 1"), ("a", "if x > 1: print(k)\ny = x"), ("setup", "k = 2\nx = 5")], "NB305", "may read k, but does not see it: setup sets it in cell 3", "above"),
    "setup too low for a function's read": ([("setup", "def g(v): return f()"), ("a", "r = list(map(g, [1]))"), ("setup", "def f(): pass")], "NB305", "may read f, but does not see it: setup sets it in cell 3", "above"),
    "a function with a typo that nobody calls": ([("a", "limit = 1\ndef f(): return limt")], "NB306", "limt", "limit"),
}  # fmt: skip


@pytest.mark.parametrize(
    "setup",
    [
        "from datetime import datetime\nX = datetime.now().strftime('%Y-%m-%d')",
        "from datetime import date\nX = date.today()",
        "import numpy as np\nrng = np.random.default_rng(0)\nX = rng.normal()",
        "import time\nX = 1\nstart = time.time()\ndef elapsed():\n    return time.time() - start",
        "from functools import cache\n@cache\ndef f(x):\n    return x\nX = f(1)",
    ],
)
def test_setup_that_makes_the_same_values_in_every_task_is_not_reported(setup: str) -> None:
    uses = "; elapsed()" if "elapsed" in setup else ""
    assert notebook(("setup", setup), ("a", f"x = X{uses}"), ("b", f"y = X{uses}")).problems == ()


@pytest.mark.parametrize(
    ("options", "option"),
    [({"when": "x >"}, "--when"), ({"check": ("x >",)}, "--check"), ({"map": (("y", "x >"),)}, "--map")],
)
def test_an_option_that_is_not_an_expression_is_reported_with_its_name(options: dict[str, Any], option: str) -> None:
    (problem,) = notebook(("a", "x = 1"), a=options).problems
    assert problem.code == "NB208"
    assert problem.message.startswith(f"{option} 'x >' is not a Python expression: ")
    assert problem.hint == "quote the whole expression"


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_has_a_code_a_place_a_sentence_and_a_hint(name: str) -> None:
    cells, code, message, hint = PROBLEMS[name]
    dag = notebook(*cells)
    assert codes(dag) == [code]
    (problem,) = dag.problems
    assert message in problem.message
    assert hint in problem.hint
    assert problem.hint
    assert problem.severity == TABLE[code].severity
    assert problem.place is not None


FINE = {
    "ids that are only compared or shown": [
        ("a", "xs = []\nsame = id(xs) == id(xs)\nprint(id(xs), f'{id(xs)}')"),
        ("b", "n = same, xs"),
    ],
    "ids that no other task reads": [("a", "xs = []\nseen = {id(xs)}\nn = len(xs)"), ("b", "m = n, xs")],
    "a name id of the notebook": [("setup", "def id(x): return x"), ("a", "n = id(3)"), ("b", "m = n")],
    "builtins and IPython's own names": [("a", "print(len(__name__), display, get_ipython(), dag_run)")],
    "a seed in a task, where nobody draws later": [
        ("a", "import random\nrandom.seed(0)\nx = random.random()"),
        ("b", "print(x)"),
    ],
    "a seed in each task that draws": [
        ("a", "import random\nrandom.seed(0)\nx = random.random()"),
        ("b", "import random\nrandom.seed(1)\ny = random.random()"),
    ],
    "a seed in setup, where one task draws": [
        ("setup", "import numpy as np\nnp.random.seed(0)"),
        ("a", "x = np.random.rand()"),
        ("b", "print(np.mean(x))"),
    ],
    "settings that are restored": [
        ("a", "import pandas as pd\nwith pd.option_context('display.max_rows', 4):\n    print(pd.DataFrame())"),
        ("b", "import pandas as pd\npd.DataFrame()"),
    ],
    "warnings filters in the last task": [("a", "x = 1"), ("b", "import warnings\nwarnings.simplefilter('ignore')")],
    "a state that nbdag keeps outside of the kernel": [
        ("a", "import nbdag\nnbdag.state['n'] = 1\nnbdag.state.across_runs.update(n=1)"),
        ("b", "from nbdag import state\nprint(state['n'])"),
    ],
    "an order for a module that a function of setup uses": [
        ("setup", "import numpy as np\ndef mix(x):\n    np.random.shuffle(x)\n    return x"),
        ("a", "y = mix([1, 2])"),
        ("b", "z = mix([3, 4])"),
    ],
    "a loop variable called _": [("a", "for _ in range(3):\n    pass\nprint(_)"), ("b", "xs = [_ for _ in 'ab']")],
    "a translation called _": [("setup", "from gettext import gettext as _"), ("a", "print(_('x'))")],
    "a seed in a task": [("a", "import random\nrandom.seed(0)")],
    "a function whose globals come later": [("a", "def f(): return x"), ("b", "x = 1\nf()")],
    "an except clause's own name": [("a", "try:\n    1\nexcept Exception as e:\n    print(e)"), ("b", "e = 1\ne")],
    "a name under an import *": [("setup", "from m import *"), ("a", "anything")],
    "a setup function that reads what tasks make": [
        ("a", "x = 1"),
        ("setup", "def f(): return x\nfs = [f]"),
        ("b", "f()"),
    ],
    "a name that exec may have set": [("a", "exec('x = 1')\nprint(x)")],
    "a name that setup hides": [("setup", "globals().update(x=1)"), ("a", "print(x)")],
    "a branch that is never taken": [("a", "if False:\n    nowhere")],
}


@pytest.mark.parametrize("name", FINE)
def test_code_that_works_in_a_plain_run_is_no_error(name: str) -> None:
    assert not [each for each in notebook(*FINE[name]).problems if each.code == "NB462" or each.severity == "error"]


def test_out_declares_the_names_that_an_opaque_task_sets() -> None:
    cells = [("a", "exec('x = 1')"), ("b", "x")]
    assert [problem.hint for problem in notebook(*cells).errors] == ["if task a sets it, add --out x to its header"]
    dag = notebook(*cells, a={"out": ("x",)})
    assert not dag.errors
    assert arrows(dag) == ["a>b"]


LONG = {
    "terms": "x = " + " + ".join(["y"] * 800),
    "calls": "x = y" + ".f(1)" * 150,
    "branches": "if y: x = 1\n" + "".join(f"elif y == {n}: x = {n}\n" for n in range(300)),
    "brackets": "x = " + "[" * 90 + "y" + "]" * 90,
    "functions": "".join(f"def f{n}(): return f{n + 1}() + y\n" for n in range(400)) + "def f400(): pass\nf0()",
}


@pytest.mark.parametrize("name", LONG)
def test_very_long_code_is_analysed(name: str) -> None:
    dag = notebook(("setup", "y = 1"), ("a", LONG[name]))
    assert not dag.errors
    assert "y" in dag.tasks["a"].reads or dag.tasks["a"].opaque


def test_a_cycle_is_reported_with_its_path() -> None:
    dag = notebook(("a", "x = 1"), ("b", "y = x"), ("c", "y"), a={"after": ("c",)})
    (problem,) = dag.errors
    assert problem.code == "NB202"
    assert "a -(x)-> b -(y)-> c -> a" in problem.message
    assert dag.order == ()


def test_an_unknown_task_is_reported_with_the_nearest_name() -> None:
    dag = notebook(("extract", ""), ("b", ""), b={"after": ("extrct",)})
    (problem,) = dag.errors
    assert (problem.code, problem.task, problem.hint) == ("NB203", "b", "did you mean extract?")


def test_a_task_cannot_come_after_itself() -> None:
    assert codes(notebook(("a", ""), a={"after": ("a",)})) == ["NB207"]


def test_without_inference_only_declared_ancestors_give_values() -> None:
    cells = [("a", "x = 1"), ("b", "x = 2"), ("c", "x")]
    off = DagOptions(infer=False)
    dag = notebook(*cells, dag=off, c={"after": ("a",)})
    assert arrows(dag) == ["a>c"]
    assert dag.tasks["c"].inputs[0].sources == ("a",)
    assert not dag.errors
    dag = notebook(*cells, dag=off)
    assert codes(dag) == ["NB206"]
    assert dag.problems[0].hint == "add --after b"


def test_free_tasks_run_in_notebook_order() -> None:
    assert notebook(("a", ""), ("b", ""), ("c", ""), b={"after": ("c",)}).order == ("a", "c", "b")


def test_a_mapped_task_gives_a_list() -> None:
    dag = notebook(("a", "xs = [1]"), ("b", "ys = []\nys.append(x)"), ("c", "ys.append(1)"), b={"map": (("x", "xs"),)})
    assert arrows(dag) == ["a>b", "b>c"]
    assert not dag.errors


def test_setup_cells_above_a_task_are_its_setup() -> None:
    dag = notebook(("setup", "x = 1"), ("a", "x"), ("setup", "y = 1"), ("b", "y"))
    assert (dag.tasks["a"].setup, dag.tasks["b"].setup) == ((0,), (0, 2))


def test_parameters_have_the_source_of_their_defaults() -> None:
    dag = notebook(("parameters", "a = 1 + 2\nb: str = 'x'\nprint(a)"), ("t", "a"))
    assert dag.parameters == {"a": "1 + 2", "b": "'x'"}


def test_a_notebook_in_another_language_has_only_declared_edges() -> None:
    cells = [
        Cell(index=n, kind=CellKind.TASK, source="x <- 1", code="x <- 1", task=name) for n, name in enumerate("ab")
    ]
    dag = dag_from_cells(cells, dag_id="r", declared=[("a", "b", Place(cell=0, line=1))], language="R")
    assert arrows(dag) == ["a>b"]
    assert not dag.problems
    assert all(task.opaque for task in dag.tasks.values())


def test_a_name_read_by_nothing_but_a_deleted_branch_keeps_its_value() -> None:
    dag = notebook(("setup", "flag = 0"), ("a", "x = 1"), ("b", "if flag:\n    del x"), ("c", "x"))
    assert not dag.errors
    assert [(each.sources, each.optional) for each in dag.tasks["c"].inputs] == [(("b",), True)]


def test_a_module_that_functions_use_orders_nothing() -> None:
    dag = notebook(*FINE["an order for a module that a function of setup uses"])
    assert dag.edges == ()


def test_a_plot_of_a_frame_is_no_change_of_it() -> None:
    plots = "fig, ax = plt.subplots()\ndf.hist(ax=ax)\ndf.plot(ax=ax)\ndf.boxplot(column='x')\ndf.groupby('g').x.plot()"
    dag = notebook(
        ("setup", "import pandas as pd\nimport matplotlib.pyplot as plt"),
        ("load", "df = pd.DataFrame()"),
        ("a", f"{plots}\nplt.show()"),
        ("b", f"{plots}\ndf.plot.bar(x='x')"),
    )
    assert [(edge.source, edge.target) for edge in dag.edges] == [("load", "a"), ("load", "b")]
    assert dag.problems == ()


@pytest.mark.parametrize(
    ("setup", "found"),
    [
        ("def tell(context): ...", []),
        ("from team import *", []),
        ("def tel(context): ...", [("NB321", "did you mean :tel?")]),
        ("x = 1", [("NB321", "write def tell(context): … in a setup cell")]),
    ],
)
def test_a_recipient_names_a_function_of_setup(setup: str, found: list[tuple[str, str]]) -> None:
    dag = notebook(("setup", setup), ("a", "1"), dag=DagOptions(on_failure=("mailto://a:b@c", ":tell")))
    assert [(each.code, each.hint) for each in dag.problems if each.code == "NB321"] == found


def test_each_recipient_of_a_flag_is_checked() -> None:
    dag = notebook(("setup", "def tell(context): ..."), ("a", "1"), dag=DagOptions(on_failure=(":tel", ":tell")))
    assert [each.hint for each in dag.problems if each.code == "NB321"] == ["did you mean :tell?"]
