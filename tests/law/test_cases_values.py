"""Notebooks whose values once lost their identity, or lost a part, on the way from task to task."""

from __future__ import annotations

import gc
import textwrap
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from preloading import share_one_server

import nbdag
from nbdag.home import Home
from nbdag.values import UnstorableError

from .driver import attempts, headless, notebook, plain, warnings

# A temporary directory that a case leaves is deleted whenever its object is.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Implicitly cleaning up", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module", autouse=True)
def no_files_of_cases() -> Iterator[None]:
    """Delete the temporary files that cases leave, before a test of another module is warned of them."""
    yield
    gc.collect()


NODE = "class Node:\n    pass"

EQUAL: dict[str, list[tuple[str, str]]] = {
    "an exception with a cause and a context": [
        ("a", "try:\n    try:\n        1 / 0\n    except ZeroDivisionError as cause:\n        raise ValueError('v') from cause\n"
              "except ValueError as each:\n    error = each\nerror.add_note('n')\nerror.code = 3"),
        ("b", "found = repr(error.__cause__), error.__cause__ is error.__context__, error.__suppress_context__, error.code"),
    ],
    "attributes of the members of an enum, and its aliases": [
        ("setup", "import enum\nclass E(enum.IntFlag):\n    A = 1\n    B = 2\n    AB = 3"),
        ("a", "E.A.label = 'first'\nx = {E.A: 1}"),
        ("b", "found = E.A.label, x[E.A], E.AB, [*E.__members__]"),
    ],
    "a counter that a class or a default holds": [
        (
            "setup",
            "import itertools\nfrom collections import deque\nclass T:\n    ids = itertools.count(1)\n    log = deque()\n"
            "    def __init__(self):\n        self.id = next(T.ids)\n        T.log.append(self.id)\n"
            "def number(_numbers=itertools.count()):\n    return next(_numbers)",
        ),
        ("a", "x = T(), number()"),
        ("b", "found = T().id, list(T.log), number(), x[0].id, isinstance(x[0], T)"),
    ],
    "an object as a key": [
        ("k1", f"{NODE}\nstart = Node()"),
        ("k2", "graph = {start: 'v'}\nseen = {start}"),
        ("k3", "found = graph.get(start), start in seen"),
    ],
    "an object as a key of a value made two tasks later": [
        ("k1", f"{NODE}\nstart = Node()"),
        ("k2", "graph = {start: 'v'}"),
        ("k3", "wrapped = [graph]"),
        ("k4", "found = wrapped[0].get(start), wrapped[0] is graph"),
    ],
    "a sentinel of a task": [
        ("a", "MISSING = object()"),
        ("b", "row = {'x': MISSING}"),
        ("c", "found = row['x'] is MISSING"),
    ],
    "a sentinel and its holder made in one task": [
        ("a", "MISSING = object()\nrow = {'x': MISSING}"),
        ("c", "found = row['x'] is MISSING"),
    ],
    "a sentinel of setup": [
        ("setup", "MISSING = object()"),
        ("b", "row = {'x': MISSING}"),
        ("c", "found = row['x'] is MISSING"),
    ],
    "an object of setup inside two values": [
        ("setup", f"{NODE}\nroot = Node()"),
        ("a", "left = [root]"),
        ("b", "right = {root: 1}"),
        ("c", "found = left[0] is root, right.get(root), right.get(left[0])"),
    ],
    "a class with a cached property, which a task changes": [
        (
            "setup",
            "import functools\nclass Area:\n    calls = []\n    @functools.cached_property\n    def size(self):\n"
            "        return 3",
        ),
        ("a", "one = Area()"),
        ("b", "Area.calls.append(one.size)"),
        ("c", "found = one.size, Area.calls, type(one) is Area"),
    ],
    "an abstract class, to which a task registers another": [
        ("setup", "import abc\nclass Shape(abc.ABC): pass"),
        ("a", "Shape.register(int)\ndone = True"),
        ("b", "found = isinstance(1, Shape)"),
    ],
    "NaN by identity": [
        ("a", "nan = float('nan')"),
        ("b", "d = {nan: 1}"),
        ("c", "found = d.get(nan), nan in [nan]"),
    ],
    "NaN of a module": [
        ("setup", "import math"),
        ("a", "xs = [math.nan, 1.0]"),
        ("b", "found = math.nan in xs, float('nan') in xs"),
    ],
    "NaN made with its holder": [
        ("a", "nan = float('nan')\nd = {nan: 1}"),
        ("c", "found = d.get(nan)"),
    ],
    "a default that a task made": [
        ("a", f"{NODE}\nstart = Node()"),
        ("b", "def f(x=start):\n    return x"),
        ("c", "found = f() is start"),
    ],
    "a default made in the same task": [
        ("a", f"{NODE}\nstart = Node()\ndef f(x=start):\n    return x"),
        ("c", "found = f() is start"),
    ],
    "an object that was changed in between": [
        ("a", f"{NODE}\nstart = Node()\nstart.n = 0"),
        ("b", "start.n = 1\ngraph = {start: 'v'}"),
        ("c", "found = graph.get(start), [key.n for key in graph]"),
    ],
    "a part of a value": [
        ("a", f"{NODE}\nnodes = [Node(), Node()]"),
        ("b", "first = nodes[0]"),
        ("c", "found = first is nodes[0], nodes.index(first)"),
    ],
    "a part of a value whose other part was changed": [
        ("a", f"{NODE}\nnodes = [Node(), Node()]"),
        ("b", "best = {nodes[0]: 1}"),
        ("c", "nodes[1].x = 1"),
        ("d", "found = best.get(nodes[0]), nodes[1].x"),
    ],
    "a closure with state in two values": [
        ("a", "def counter():\n    n = 0\n    def step():\n        nonlocal n\n        n += 1\n        return n\n    return step\nstep = counter()"),
        ("b", "steps = [step]"),
        ("c", "found = steps[0] is step"),
    ],
    "the traceback of an exception": [
        ("setup", "import traceback"),
        ("a", "def f(n):\n    return 1 / n\ntry:\n    f(0)\nexcept ZeroDivisionError as e:\n    errors = [e, e]"),
        ("b", "other = errors[1]"),
        ("c", "found = [(each.name, each.lineno) for each in traceback.extract_tb(errors[0].__traceback__)], other is errors[0]"),
    ],
    "a name that is passed on unchanged": [
        ("a", "xs = [1]"),
        ("b", "if len(xs) > 5:\n    xs.append(2)"),
        ("c", "ys = xs"),
        ("d", "found = ys is xs"),
    ],
    "objects of setup that share one that is unchanged": [
        ("setup", "xs = [1]\nd = {'l': [3], 'n': 4}\nd['l'] = xs\nzs = d.get('l', [])"),
        ("t0", "d['n'] = 2"),
        ("t1", "def f(v=1):\n    return zs\ns = [f(xs), 2]"),
        ("t2", "xs.reverse()\nd, xs = xs, d\nzs.append(5)\nfound = list(d), list(zs), s[0] is zs, xs['n']"),
    ],
    "a generator of random numbers inside another object": [
        ("setup", "import random"),
        ("a", "rng = random.Random(0)\nsampler = {'rng': rng}"),
        ("b", "found = sampler['rng'] is rng"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_objects_stay_the_same_objects(name: str, tmp_path: Path) -> None:
    dag = notebook(*EQUAL[name])
    assert not dag.errors
    last = dag.order[-1]
    assert headless(dag, dag.order, str(tmp_path))[last]["found"] == plain(dag)[last]["found"]


REFUSED: dict[str, tuple[str, str]] = {
    # code of the first task, which leaves x; a part of the message
    "an open file": ("x = open(__file__) if False else open('/dev/null', 'w')", "open it in each task that uses it"),
    "an open file in a dict": ("x = {'f': open('/dev/null', 'rb')}", "the open file /dev/null belongs to"),
    "a logger with a handler": (
        "import logging\nx = logging.getLogger('case')\nx.addHandler(logging.NullHandler())",
        "logger case has a handler that exists only",
    ),
    "a view of a dict": ("d = {1: 2}\nx = d.keys()", "pass list(…) of it"),
    "a view of memory": ("x = memoryview(bytearray(3))", "pass bytes(…) of it"),
    "a temporary directory": ("import tempfile\nx = tempfile.TemporaryDirectory()", "tempfile.mkdtemp()"),
    "a path in a temporary directory": (
        "import tempfile, pathlib\ntmp = tempfile.TemporaryDirectory()\nx = pathlib.Path(tmp.name) / 'f'",
        "is deleted when the task that created it ends",
    ),
    "the name of a temporary file": (
        "import tempfile\ntmp = tempfile.NamedTemporaryFile()\nx = tmp.name",
        "is deleted when the task that created it ends",
    ),
    "an exception that cannot be loaded": (
        "class Bad(Exception):\n    def __init__(self, code, text):\n        super().__init__(text)\n        self.code = code\n"
        "x = Bad(3, 'oops')",
        "it cannot be loaded from its pickle: TypeError: Bad.__init__() missing 1 required positional argument",
    ),
    "an array with an attribute": (
        "import numpy as np\nclass Named(np.ndarray):\n    pass\nx = np.zeros(3).view(Named)\nx.unit = 'm'",
        "the pickle of a Named drops its attribute unit",
    ),
    "a masked array with an attribute": (
        "import numpy as np\nx = np.ma.masked_equal([1, 2], 1)\nx.note = 'n'",
        "keep note in a separate variable",
    ),
    "a frame with an attribute": (
        "import pandas as pd\nx = pd.DataFrame({'a': [1]})\nx.note = 'raw'", "pandas does not store its attribute note",
    ),
    "a future": ("from concurrent.futures import Future\nx = Future()", "create it in a %%setup cell, or create and use"),
    "a thread": ("import threading\nx = threading.Thread()", "create it in a %%setup cell, or create and use"),
    "a lock": ("import threading\nx = [threading.Lock()]", "create it in a %%setup cell, or create and use"),
    "a generator": ("x = (n for n in range(3))", "create it in a %%setup cell, or create and use"),
    "a socket": ("import socket\nx = socket.socket()\nx.close()", "create it in a %%setup cell, or create and use"),
    "a cursor": ("import sqlite3\nx = sqlite3.connect(':memory:').cursor()", "create it in a %%setup cell, or create and"),
    "a memory map": ("import mmap\nx = mmap.mmap(-1, 10)", "create it in a %%setup cell, or create and use"),
    "a process": (
        "import subprocess\nx = subprocess.Popen(['true'])\n_ = x.wait()", "create it in a %%setup cell, or create and use",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_cannot_cross_is_refused_where_it_is_made(name: str, tmp_path: Path) -> None:
    code, part = REFUSED[name]
    with pytest.raises(UnstorableError) as caught:
        headless(notebook(("maker", code), ("user", "print(x)")), ["maker"], str(tmp_path))
    message = str(caught.value)
    assert message.startswith("'x', which task user needs, is a ")
    assert part in message


KEPT: dict[str, str] = {
    "a file in memory": "import io\nx = io.StringIO('a\\nb')",
    "a logger with handlers of setup": "import logging\nx = logging.getLogger('of setup')",
    "a path beside a temporary directory": "import tempfile\nt = tempfile.TemporaryDirectory()\nx = '/tmp/elsewhere'\nt.cleanup()",
    "an exception": "x = ValueError('a', 1)",
    "a class with its own state": (
        "class C:\n    def __init__(self):\n        self.n, self.cache = 1, {}\n"
        "    def __getstate__(self):\n        return {'n': self.n}\nx = C()"
    ),
    "an enum": "import enum\nclass E(enum.Enum):\n    A = 1\nx = E.A",
    "results of functions that use a lock": (
        "import asyncio, threading\nfrom concurrent.futures import ThreadPoolExecutor, as_completed\n"
        "lock, slots = threading.Lock(), asyncio.Semaphore(2)\n"
        "def double(n):\n    with lock:\n        return n * 2\n"
        "async def triple(n):\n    async with slots:\n        return n * 3\n"
        "async def main():\n    return await asyncio.gather(*map(triple, [1, 2]))\n"
        "with ThreadPoolExecutor(2) as pool:\n"
        "    futures = {pool.submit(double, n): n for n in [1, 2]}\n"
        "    done = {futures[each]: each.result() for each in as_completed(futures)}\n"
        "    x = list(map(double, [1, 2])), list(pool.map(double, [3])), sorted([2, 1], key=double), done, asyncio.run(main())"
    ),
    "a frozen dataclass": "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass P:\n    a: int\nx = {P(1): 2}",
}


@pytest.mark.parametrize("name", KEPT)
def test_what_can_cross_is_not_refused(name: str, tmp_path: Path) -> None:
    setup = "import logging\nlogging.getLogger('of setup').addHandler(logging.NullHandler())"
    dag = notebook(("setup", setup), ("maker", KEPT[name]), ("user", "found = type(x).__name__"))
    assert headless(dag, dag.order, str(tmp_path))["user"]["found"] == plain(dag)["user"]["found"]
    assert not warnings(dag, str(tmp_path))


def test_what_setup_makes_is_never_to_be_made_in_setup(tmp_path: Path) -> None:
    dag = notebook(
        ("setup", "import threading\nlocks = [threading.Lock()]"), ("a", "locks.append(1)"), ("b", "print(locks)")
    )
    with pytest.raises(UnstorableError) as caught:
        headless(dag, ["a"], str(tmp_path))
    assert "create it in a %%setup cell" not in str(caught.value)
    assert "setup creates the object for every task" in str(caught.value)


def test_a_change_of_an_object_of_setup_that_cannot_be_pickled_is_reported(tmp_path: Path) -> None:
    setup = textwrap.dedent("""
        import threading
        class Counter:
            def __init__(self):
                self.lock, self.n = threading.Lock(), 0
            def bump(self):
                self.n += 1
                return self.n
        counter = Counter()
    """)
    dag = notebook(("setup", setup), ("a", "x = getattr(counter, 'bump')()"), ("b", "y = counter.n"))
    assert warnings(dag, str(tmp_path)) == {"a": [("NB402", "counter")]}


def test_the_advice_for_a_change_names_all_that_share_the_object(tmp_path: Path) -> None:
    dag = notebook(
        ("a", "part = [1]\nbox = {'part': part}"),
        ("b", "n = len(part.__iadd__([2]))"),
        ("c", "m = part, box"),
    )
    notes = [note for _, _, report in attempts(dag, dag.order, str(tmp_path)) for note in report.notes]
    (note,) = [note for note in notes if note.code == "NB401"]
    assert "--change part box" in note.message


@pytest.mark.parametrize(
    ("made", "codes"),
    [
        ("st = set(range(0, 1000, 7))\nfor v in list(st):\n    if v not in (7, 994): st.discard(v)", []),
        ("st = set(range(0, 1000, 7))", []),
        ("st = set('abcdefgh')\nst.discard('a')", []),
        ("st = {str(n) for n in range(99)} | {str(n) for n in range(300)}\nfor v in list(st)[::3]: st.remove(v)", []),
        ("st = frozenset(range(0, 90_000, 997)) - {997}", ["NB421"]),
    ],
    ids=["numbers that were left", "numbers", "texts", "texts that were left", "a frozenset"],
)
def test_a_set_keeps_its_order_or_is_reported(made: str, codes: list[str], tmp_path: Path) -> None:
    dag = notebook(("a", f"{made}\nfound = list(st)"), ("b", "found = list(st)"))
    notes = []
    orders = []
    for _, seen, report in attempts(dag, dag.order, str(tmp_path)):
        notes += report.notes
        orders.append(seen["found"])
    assert [note.code for note in notes] == codes
    assert (orders[0] == orders[1]) == (not codes)


@pytest.mark.parametrize("made", ["{float('nan'), 1.0, 2.0}", "{'x': [frozenset(range(0, 90_000, 997)) - {997}]}"])
def test_a_set_whose_order_cannot_be_restored_is_reported(made: str, tmp_path: Path) -> None:
    dag = notebook(("a", f"sets = {made}"), ("b", "found = sets"))
    notes = [note for _, _, report in attempts(dag, dag.order, str(tmp_path)) for note in report.notes]
    assert [note.code for note in notes] == ["NB421"]


@pytest.mark.parametrize(
    ("code", "attributes"),
    [
        ("    def __reduce__(self): return C, (self.n,)\nx = C(1)\nx.found.append(2)", "C.found"),
        (
            "    def __getstate__(self): return {'n': self.n}\n"
            "    def __setstate__(self, state): self.__init__(state['n'])\nx = [C(1)]\nx[0].total = 7",
            "C.total",
        ),
        ("    def __reduce__(self): return C, (self.n,)\nx = C(1)", ""),
        ("    def __reduce__(self): return C, (self.n,)\nx = C(1)\nx._cache[1] = 2", ""),
        ("    def __getstate__(self): return dict(vars(self))\nx = C(1)\nx.total = 7", ""),
    ],
)
def test_attributes_that_a_class_does_not_pickle_are_reported(code: str, attributes: str, tmp_path: Path) -> None:
    start = "class C:\n    def __init__(self, n): self.n, self.found, self.total, self._cache = n, [], 0, {}\n"
    dag = notebook(("a", start + code), ("b", "print(x)"))
    notes = [note for _, _, report in attempts(dag, dag.order, str(tmp_path)) for note in report.notes]
    assert [note.code for note in notes] == ["NB422"] * bool(attributes)
    assert all(f"does not keep the values of {attributes}, so b gets" in note.message for note in notes)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = object()\nh = hash(x)", "h contains the hash of an object (object), which has another address in task b"),
        ("x = C()\nh = {hash(x): 1}", "h contains the hash of an object (C)"),
        ("x = C()\nh = key(x)", "h contains the hash of an object (C)"),
        ("x = C()\nh = [x.__hash__()]", "h contains the hash of an object (C)"),
        ("x = [C()]\nh = {name(x[0]): 1}", "h contains the id of an object (C)"),
        ("x = C()\nh = {repr(x): x}", "h contains the repr of an object (C)"),
        ("x = key\nh = hash(x)", "h contains the hash of an object (function)"),
        ("x = 'abc'\nh = hash(x), hash((1, 'a')), hash(2**80), 1_764_428_400_000, 1_764_428_400_000_000", ""),
        ("x = C()\nh = 'text', str(3), [n * 2**40 for n in range(300)]", ""),
    ],
)
def test_an_address_that_is_kept_for_a_later_task_is_reported(code: str, message: str, tmp_path: Path) -> None:
    setup = "class C: pass\ndef key(obj): return hash(obj)\nname = id"
    dag = notebook(("setup", setup), ("a", code), ("b", "y = h, x"))
    notes = [note for _, _, report in attempts(dag, dag.order, str(tmp_path)) for note in report.notes]
    assert [note.code for note in notes] == ["NB423"] * bool(message)
    assert all(message in note.message for note in notes)


@pytest.mark.parametrize(
    ("code", "codes"),
    [
        ("class C:\n    def __del__(self): log.append(1)\nx = [C()]", ["NB424"]),
        ("import weakref\nclass C: pass\nx = C()\nend = weakref.finalize(x, log.append, 1)\ndel end", ["NB424"]),
        ("class C: pass\nx = [C()]", []),
    ],
    ids=["__del__", "weakref.finalize", "no finaliser"],
)
def test_an_object_with_a_finaliser_is_reported(code: str, codes: list[str], tmp_path: Path) -> None:
    dag = notebook(("a", f"log = []\n{code}"), ("b", "y = x"))
    notes = [note for _, _, report in attempts(dag, dag.order, str(tmp_path)) for note in report.notes]
    assert [note.code for note in notes] == codes


def test_a_sentinel_of_an_imported_module_stays_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "case_module.py").write_text("MISSING = object()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    dag = notebook(
        ("setup", "import case_module"),
        ("a", "row = {'x': case_module.MISSING}"),
        ("b", "found = row['x'] is case_module.MISSING"),
    )
    assert headless(dag, dag.order, str(tmp_path / "values"))["b"]["found"] is True


@pytest.mark.parametrize("order", ["a b c", "b a c"])
def test_a_change_of_an_object_that_another_object_of_setup_holds_is_reported(order: str, tmp_path: Path) -> None:
    setup = "import law_module\nrng, sampler = law_module.make(1)"
    dag = notebook(("setup", setup), ("a", "d = {'s': sampler}"), ("b", "x = rng.random()"), ("c", "found = d"))
    notes = [note for _, _, report in attempts(dag, order.split(), str(tmp_path)) for note in report.notes]
    assert [(note.code, note.name) for note in notes] == [("NB401", "sampler")]
    assert "d may hold the same object" in notes[0].message


def test_an_object_with_slots_of_an_imported_class_is_seen_to_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slots_module.py").write_text(
        "import random\n"
        "class Sampler:\n"
        "    __slots__ = ('rng',)\n"
        "    def __init__(self, rng):\n"
        "        self.rng = rng\n"
        "    def draw(self):\n"
        "        return self.rng.random()\n"
        "def make(seed):\n"
        "    rng = random.Random(seed)\n"
        "    return rng, Sampler(rng)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    dag = notebook(
        ("setup", "import slots_module"),
        ("a", "rng, sampler = slots_module.make(0)"),
        ("b", "found = sampler.rng is rng"),
        ("c", "rng.seed(1)"),
        ("d", "last = sampler.draw()"),
    )
    assert headless(dag, dag.order, str(tmp_path / "values"))["b"]["found"] is True
    notes = [note for _, _, report in attempts(dag, dag.order, str(tmp_path / "values")) for note in report.notes]
    assert [(note.code, note.name) for note in notes] == [("NB401", "rng")]
    assert "which use it under the name sampler" in notes[0].message
    assert "--change rng sampler" in notes[0].message


def test_a_value_of_an_unchanged_name_keeps_its_digest(tmp_path: Path) -> None:
    dag = notebook(("a", "xs = [1]"), ("b", "if len(xs) > 5:\n    xs.append(2)"), ("c", "n = len(xs)"))
    outputs = {task: report.outputs for task, _, report in attempts(dag, dag.order, str(tmp_path))}
    assert outputs["a"][0].digest == outputs["b"][0].digest


def book(path: Path, *cells: str) -> Path:
    """Write a notebook of these cells."""
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


def printed(run: nbdag.Run, task: str) -> str:
    """Return what a task printed."""
    cells = nbformat.read(run[task].notebook, as_version=4).cells
    return "".join(each.text for cell in cells for each in cell.get("outputs", ()) if each.get("name") == "stdout")


@pytest.mark.slow
def test_cases_of_values_in_real_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    share_one_server(monkeypatch)
    path = book(
        tmp_path / "cases.ipynb",
        "import joblib, tempfile, os, pathlib, matplotlib.pyplot as plt\nfrom sklearn.base import BaseEstimator",
        "%%task k1\nclass Node: pass\nstart = Node()",
        "%%task k2\ngraph = {start: 'v'}\nseen = {start}",
        "%%task k3\nprint(graph.get(start), start in seen)",
        "%%task e1\nclass Bad(Exception):\n    def __init__(self, code, text):\n        super().__init__(text)\n"
        "        self.code = code\ntry:\n    raise Bad(3, 'oops')\nexcept Bad as ex:\n    err = ex",
        "%%task e2\nprint(err.code, err)",
        "%%task f1\nfh = open('log.txt', 'w+')\nfh.write('one\\n')\nfh.flush()",
        "%%task f2\nfh.write('two\\n')\nfh.close()",
        "%%task td1\ntmp = tempfile.TemporaryDirectory()\np = pathlib.Path(tmp.name) / 'f'\np.write_text('data');",
        "%%task td2\nprint(os.listdir(tmp.name))",
        "%%task tr\nclass Half(BaseEstimator):\n    def __init__(self, k=2): self.k = k",
        "%%task dumpj\njoblib.dump(Half(5), 'm.joblib');",
        "%%task loadj --after dumpj\nh5 = joblib.load('m.joblib')",
        "%%task g1\nfig, ax = plt.subplots()\nplt.close(fig)",
        "%%task g2\nax.plot([1, 2], [3, 4])",
        "%%task g3\nprint(len(fig.axes[0].lines), fig.axes[0] is ax)",
        "%%task u1\nfrom __future__ import annotations\nimport typing\n"
        "if typing.TYPE_CHECKING:\n    from decimal import Decimal",
        "%%task u2\ndef f(x: Decimal) -> NotThere:\n    return x\nprint(f(1), f.__annotations__)",
    )
    run = nbdag.run(path, jobs=2, home=Home(tmp_path / ".nbdag"))
    assert printed(run, "k3") == "v True\n"
    assert printed(run, "u2") == "1 {'x': 'Decimal', 'return': 'NotThere'}\n"
    errors = {task.id: task.error or "" for task in run}
    assert errors["e1"].startswith("'err', which task e2 needs, is a Bad and cannot be stored (it cannot be loaded")
    assert errors["f1"].startswith("'fh', which task f2 needs, is a ")
    assert errors["f1"].endswith(": open it in each task that uses it")
    assert "which task td2 needs" in errors["td1"]
    assert "tempfile.mkdtemp()" in errors["td1"]
    assert "the file contains an object of Half" in errors["loadj"]
    assert "define it in a %%setup cell" in errors["loadj"]
    assert "Hint: the file contains an object of Half" in (run["loadj"].traceback or "")
    (note,) = [note for note in run["g2"].warnings if note.code == "NB401"]
    assert "--change ax fig" in note.message


def test_a_declared_change_that_a_stored_value_does_not_see_is_reported(tmp_path: Path) -> None:
    dag = notebook(
        ("a", f"{NODE}\nfrom argparse import Namespace\nbox = Namespace(nodes=[Node()])"),
        ("b", "first = next(iter(vars(box)['nodes']))"),
        ("c", "first.x = 1"),
        ("d", "found = vars(box.nodes[0])"),
    )
    notes = [note for _, _, report in attempts(dag, dag.order, str(tmp_path)) for note in report.notes]
    assert [(note.code, note.name) for note in notes] == [("NB403", "box")]
    assert plain(dag)["d"]["found"] != headless(dag, dag.order, str(tmp_path))["d"]["found"]
