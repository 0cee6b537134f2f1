"""Changes that the code hides: wherever a plain run shows what a headless run does not, that is said, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from nbdag.core.options.options import TaskOptions

from .driver import attempts, headless, notebook, plain, warnings, wrong

Cells = list[tuple[str, str]]
HIDDEN = "getattr(xs, 'app' + 'end')(2)"
SET = "put = getattr(__import__('builtins'), 'set' + 'attr')"
CLASS = ("a", "class Cfg:\n    n = 0\ndef f():\n    pass\nf.calls = 0")
DRAW = "getattr(rng, 'ran' + 'dom')()"
RNG = ("setup", "from random import Random\nrng = Random(0)\nagain = rng")

# The notebook, and what a task is warned of: the two ways differ there.
SAID: dict[str, tuple[Cells, Mapping[str, list[tuple[str, str]]]]] = {
    "a change of an input": (
        [("a", "xs = [1]"), ("b", HIDDEN), ("c", "n = len(xs)")],
        {"b": [("NB401", "xs")]},
    ),
    "and the name is bound anew, with another on the object": (
        [("a", "xs = [1]\nys = xs"), ("b", f"{HIDDEN}\nxs = None"), ("c", "n = len(ys)")],
        {"b": [("NB401", "xs")]},
    ),
    "of a part that another name has": (
        [("a", "xs = [1]\nbox = [xs]"), ("b", f"{HIDDEN}\ndel xs"), ("c", "n = len(box[0])")],
        {"b": [("NB401", "xs")]},
    ),
    "and only another name is read below": (
        [("a", "xs = [1]\nys = xs"), ("b", HIDDEN), ("c", "n = len(ys)")],
        {"b": [("NB401", "xs")]},
    ),
    "of an object of setup that only another one holds below": (
        [
            ("setup", "from argparse import Namespace\nxs = [1]\nbox = Namespace(xs=xs)"),
            ("a", HIDDEN),
            ("b", "n = len(box.xs)"),
        ],
        {"a": [("NB402", "box")]},
    ),
    "what setup makes": (
        [RNG, ("a", f"u = {DRAW}"), ("b", f"v = {DRAW}")],
        {"a": [("NB402", "rng")], "b": [("NB402", "rng")]},
    ),
    "what setup makes, by another name": (
        [RNG, ("a", f"u = {DRAW}\nrng = 1"), ("c", "v = again.getrandbits(9)")],
        {"a": [("NB402", "rng")]},
    ),
    "a class and a function": (
        [CLASS, ("b", f"{SET}\nput(Cfg, 'n', 5)\nput(f, 'calls', 7)"), ("c", "n = Cfg.n, f.calls")],
        {"b": [("NB402", "Cfg"), ("NB401", "f")]},
    ),
    "a generator that a class of setup has": (
        [
            (
                "setup",
                "from random import Random\nclass Dice:\n    rng = Random(0)\n    def roll(self): return self.rng.random()",
            ),
            ("a", "u = Dice().roll()"),
            ("b", "v = Dice().roll()"),
        ],
        {"a": [("NB402", "Dice")]},
    ),
    "a queue of setup": (
        [("setup", "import queue\nq = queue.Queue()"), ("a", "getattr(q, 'put')(1)"), ("b", "n = q.qsize()")],
        {"a": [("NB402", "q")]},
    ),
    "a weak set of a class": (
        [
            (
                "setup",
                "import weakref\nclass N:\n    every = weakref.WeakSet()\n    def __init__(self): N.every.add(self)",
            ),
            ("a", "one = N()"),
            ("b", "n = len(N.every)"),
        ],
        {"a": [("NB402", "N")]},
    ),
    "tables of a database in memory": (
        [
            ("setup", "import sqlite3\nc = sqlite3.connect(':memory:')\ndef sql(q): return list(c.execute(q))"),
            ("a", "getattr(c, 'execute')('create table t (x)')"),
            ("b", "n = sql('select * from sqlite_master')"),
        ],
        {"a": [("NB402", "c")]},
    ),
    "a class of setup": (
        [("setup", CLASS[1]), ("b", f"{SET}\nput(Cfg, 'n', 5)"), ("c", "n = Cfg.n")],
        {"b": [("NB402", "Cfg")]},
    ),
    "what code in a text changes": (
        [RNG, ("a", "eval('rng.random()')"), ("b", "u = rng.random()")],
        {"a": [("NB402", "rng")]},
    ),
    "a result in a cache of setup": (
        [
            ("setup", "from functools import lru_cache\n@lru_cache\ndef f():\n    return [0]\nf()"),
            ("a", "getattr(f(), 'app' + 'end')(1)"),
            ("b", "n = len(f())"),
        ],
        {"a": [("NB402", "f")]},
    ),
    "a result in a cache without a limit": (
        [
            ("setup", "from functools import cache\n@cache\ndef f(n):\n    return {'n': n}\nf(1)"),
            ("a", "getattr(f(1), 'up' + 'date')(n=2)"),
            ("b", "n = f(1)['n']"),
        ],
        {"a": [("NB402", "f")]},
    ),
    "a default that a function of setup keeps": (
        [
            ("setup", "def f(x, seen=[]):\n    getattr(seen, 'app' + 'end')(x)\n    return list(seen)"),
            ("a", "n = f(1)"),
            ("b", "m = f(2)"),
        ],
        {"a": [("NB402", "f")], "b": [("NB402", "f")]},
    ),
}

# Nothing differs, and nothing is said.
SILENT: dict[str, Cells] = {
    "a name that is bound anew, and nothing else": [
        ("a", "xs = [1]\nys = xs"), ("b", "xs = xs + [2]"), ("c", "n = len(xs) + len(ys)"),
    ],
    "a change of an object that nobody else has": [("a", "xs = [1]"), ("b", f"{HIDDEN}\nxs = None"), ("c", "n = xs")],
    "the last reader's change": [("a", "xs = [1]"), ("b", "n = len(xs)"), ("c", HIDDEN)],
    "a name that is made anew below": [("a", "xs = [1]"), ("b", HIDDEN), ("c", "xs = [3]"), ("d", "n = len(xs)")],
    "a generator of setup that two tasks draw from": [RNG, ("a", "u = rng.random()"), ("b", "v = again.random()")],
    "a generator that a function draws from": [
        ("a", "import random\nrng = random.Random(1)\ndef draw(source):\n    return source.random()"),
        ("b", "u = draw(rng)"),
        ("c", "v = draw(rng)"),
        ("d", "w = [rng.random() for _ in range(3)]"),
    ],
    "a generator in an attribute": [
        ("a", "import random\nclass Model:\n    def __init__(self):\n        self.rng = random.Random(1)\nm = Model()"),
        ("b", "u = m.rng.random()"),
        ("c", "v = m.rng.random()"),
    ],
    "a generator that a library's function draws from": [
        ("a", "import random, copy\nrng = random.Random(1)\nxs = list(range(9))"),
        ("b", "rng.shuffle(xs)"),
        ("c", "v = (rng.random(), xs)"),
    ],
    "an iterator that two tasks consume": [
        ("a", "it = iter(range(9))"),
        ("b", "first = next(it)"),
        ("c", "second = [n for _, n in zip(range(2), it)]"),
        ("d", "for rest in it:\n    break"),
        ("e", "left = list(it)"),
    ],
    "a cache that only saves time": [
        ("setup", "from functools import cache, lru_cache\n@cache\ndef f(n):\n    return [n]\n@lru_cache\ndef g(n):\n    return {n: n}"),
        ("a", "x = f(1), g(1)"),
        ("b", "y = f(1), f(2), g(1), g(2)"),
    ],
    "defaults, closures and attributes of functions": [
        (
            "setup",
            "def f(x, seen=[]):\n    seen.append(x)\n    f.calls = getattr(f, 'calls', 0) + 1\n    return list(seen), f.calls\n"
            "def counter():\n    n = 0\n    def count():\n        nonlocal n\n        n += 1\n        return n\n    return count\n"
            "count = counter()",
        ),
        ("a", "p = f(1), count()"),
        ("b", "q = f(2), count()"),
    ],
    "a name that is bound anew before it is changed": [
        ("a", "xs = [[1]]\nbox = list(xs)"), ("b", "xs = [9]"), ("c", "xs.append(3)"), ("d", "xs.append(4)"), ("e", "n = xs, box"),
    ],
    "iterators of tee": [
        ("a", "import itertools\none, two = itertools.tee(range(5))"), ("b", "x = next(one)"), ("c", "y = list(two), x"), ("d", "z = list(one)"),
    ],
    "a copy of an iterator of tee": [
        ("a", "import copy, itertools\n(one,) = itertools.tee(range(5), 1)"), ("b", "again = copy.copy(one)\nx = next(again), next(again)"),
        ("c", "y = list(again)"), ("d", "z = list(one)"),
    ],
    "a list that grows beside another with the same parts": [
        ("a", "xs = [[1], [2]]\nys = list(xs)\nrow = {'first': xs[0]}"), ("b", "xs.append([3])"), ("c", "n = xs, ys, row"),
    ],
    "a class that is only used": [CLASS, ("b", "c = Cfg()\nf()"), ("c", "n = Cfg.n, f.calls, c.n")],
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_hidden_change_that_another_task_would_miss_is_reported(tmp_path: Path, name: str) -> None:
    cells, expected = SAID[name]
    dag = notebook(*cells)
    assert not dag.errors
    assert wrong(headless(dag, dag.order, str(tmp_path)), plain(dag))
    assert warnings(dag, str(tmp_path)) == expected


@pytest.mark.parametrize("name", SILENT)
def test_a_hidden_change_that_no_task_would_miss_is_not_reported(tmp_path: Path, name: str) -> None:
    dag = notebook(*SILENT[name])
    assert not dag.errors
    assert not wrong(headless(dag, dag.order, str(tmp_path)), plain(dag))
    assert warnings(dag, str(tmp_path)) == {}


@pytest.mark.parametrize("name", [name for name, (cells, _) in SAID.items() if cells[0][0] != "setup"])
def test_the_suggested_remedy_works(tmp_path: Path, name: str) -> None:
    cells, said = SAID[name]
    options = {task: TaskOptions(change=tuple(name for _, name in notes)) for task, notes in said.items()}
    dag = notebook(*cells, options=options)
    assert not wrong(headless(dag, dag.order, str(tmp_path)), plain(dag))
    assert warnings(dag, str(tmp_path)) == {}


def test_a_cached_result_keeps_the_warning_for_later_readers(tmp_path: Path) -> None:
    dag = notebook(("a", "xs = [1]"), ("b", HIDDEN), options={"b": TaskOptions(cache=True)})
    assert warnings(dag, str(tmp_path)) == {"b": [("NB401", "xs")]}


@pytest.mark.parametrize("order", ["abcd", "acbd"])  # the change comes after the other value was stored, or before
def test_a_hidden_change_of_an_object_that_another_stored_value_holds_is_reported(tmp_path: Path, order: str) -> None:
    cells = [
        ("a", "class Node:\n    pass\nstart = Node()"),
        ("b", "graph = {start: 1}"),
        ("c", "vars(start)['x'] = 1"),
        ("d", "n = [vars(each) for each in graph]"),
    ]
    dag = notebook(*cells)
    assert wrong(headless(dag, order, str(tmp_path)), plain(dag))
    notes = {task: report.notes for task, _, report in attempts(dag, order, str(tmp_path)) if report.notes}
    assert [(note.code, note.name) for note in notes.pop("c")] == [("NB401", "start")]
    assert not notes
    dag = notebook(*cells, options={"c": TaskOptions(change=("start", "graph"))})
    assert not wrong(headless(dag, dag.order, str(tmp_path)), plain(dag))
    assert warnings(dag, str(tmp_path)) == {}
