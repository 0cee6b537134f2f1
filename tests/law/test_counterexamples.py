"""Notebooks that once broke the law, or might: each with a name, all held to it."""

from __future__ import annotations

import random
import textwrap
from pathlib import Path

import pytest

from .driver import headless, notebook, orders, plain, wrong

CASES: dict[str, list[tuple[str, str]]] = {
    "a conditional write keeps the old value": [
        ("a", "x = [1]\nflag = False"),
        ("b", "if flag:\n    x = [2]"),
        ("c", "y = x"),
    ],
    "siblings that append to one list": [
        ("a", "xs = []"),
        ("b", "xs.append(1)"),
        ("c", "xs.append(2)"),
        ("d", "total = sum(xs)"),
    ],
    "an alias made before a change sees it": [
        ("a", "xs = []"),
        ("b", "ys = xs"),
        ("c", "xs.append(1)"),
        ("d", "n = len(ys)"),
        ("e", "same = xs is ys"),
    ],
    "a function reads its globals when it is called": [
        ("a", "def f():\n    return x"),
        ("b", "x = 1"),
        ("c", "y = f()"),
        ("d", "x = 2"),
        ("e", "z = f()"),
    ],
    "a function that changes a global": [
        ("a", "count = 0\ndef bump():\n    global count\n    count += 1\n    return count"),
        ("b", "bump()"),
        ("c", "p = bump()"),
        ("d", "q = count"),
    ],
    "a class and its instances": [
        ("k", "rate = 2"),
        ("a", "class M:\n    def __init__(self):\n        self.xs = []\n    def add(self, v):\n        self.xs.append(v * rate)\n        return self"),
        ("b", "m = M()"),
        ("c", "m.add(1)"),
        ("d", "rate = 5"),
        ("e", "n = m.add(2)"),
        ("f", "same = n is m\nys = m.xs"),
    ],
    "a class that counts its instances": [
        ("a", "class C:\n    made = 0\n    def __init__(self):\n        C.made += 1"),
        ("b", "p = C()"),
        ("c", "q = C()"),
        ("d", "n = C.made, p.made"),
    ],
    "a mutable class attribute": [
        ("a", "class C:\n    items = []"),
        ("b", "p = C()"),
        ("c", "q = C()"),
        ("d", "p.items.append(1)"),
        ("e", "n = list(q.items) + C.items"),
    ],
    "a mutable default": [
        ("a", "def f(v, acc=[]):\n    acc.append(v)\n    return list(acc)"),
        ("b", "x = f(1)"),
        ("c", "y = f(2)"),
    ],
    "a closure with state": [
        ("a", "def counter():\n    n = 0\n    def step():\n        nonlocal n\n        n += 1\n        return n\n    return step"),
        ("b", "c = counter()"),
        ("d", "x = c()"),
        ("e", "y = c()"),
    ],
    "an object inside another": [
        ("a", "xs = [1]"),
        ("b", "box = {'xs': xs, 'n': 1}"),
        ("c", "xs.append(2)"),
        ("d", "n = list(box['xs'])"),
        ("e", "box['xs'].append(3)"),
        ("f", "m = list(xs)"),
    ],
    "a part of an object": [
        ("a", "d = {'k': [1]}"),
        ("b", "part = d['k']"),
        ("c", "part.append(2)"),
        ("e", "n = list(d['k'])"),
    ],
    "a function that returns its argument": [
        ("setup", "def add(xs, v):\n    xs.append(v)\n    return xs"),
        ("a", "xs = []"),
        ("b", "ys = add(xs, 1)"),
        ("c", "zs = add(ys, 2)"),
        ("d", "n = list(xs)"),
    ],
    "setup in between": [
        ("setup", "x = 1"),
        ("a", "x = 2"),
        ("b", "y = x"),
        ("setup", "x = 3"),
        ("c", "z = x"),
        ("d", "x = x + 1"),
        ("e", "w = x"),
    ],
    "what setup made is changed by tasks": [
        ("setup", "xs = []\nys = xs"),
        ("a", "xs.append(1)"),
        ("b", "n = list(ys)"),
        ("c", "ys.append(2)"),
        ("d", "m = list(xs)"),
    ],
    "a function defined twice": [
        ("a", "def f():\n    return 1"),
        ("b", "g = f"),
        ("c", "def f():\n    return 2"),
        ("d", "x = f(), g()"),
    ],
    "a lambda reads its globals when it is called": [
        ("a", "k = 1\nh = lambda: k"),
        ("b", "x = h()"),
        ("c", "k = 2"),
        ("d", "y = h()"),
    ],
    "deleted and set again": [
        ("a", "x = [1]\ny = x"),
        ("b", "del x"),
        ("c", "y.append(2)"),
        ("d", "x = list(y)"),
        ("e", "z = x"),
    ],
    "an optional read": [
        ("a", "try:\n    x\nexcept NameError:\n    x = 0"),
        ("b", "x = x + 1"),
        ("c", "try:\n    x\nexcept NameError:\n    x = 0"),
        ("d", "y = x"),
    ],
    "a list that is popped where its result is used": [
        ("a", "xs = [1, 2, 3]"),
        ("b", "p = xs.pop()"),
        ("c", "q = xs.pop()"),
        ("d", "n = list(xs)"),
    ],
    "names swapped": [
        ("a", "p = [1]\nq = [2]"),
        ("b", "p, q = q, p"),
        ("c", "p.append(3)"),
        ("d", "n = p + q"),
    ],
    "a loop variable that is read below": [
        ("a", "i = 7\nxs = []"),
        ("b", "for i in xs:\n    pass"),
        ("c", "y = i"),
    ],
    "a decorated function": [
        ("a", "calls = []\ndef log(f):\n    def g(*args):\n        calls.append(args)\n        return f(*args)\n    return g"),
        ("b", "@log\ndef add(p, q):\n    return p + q"),
        ("c", "x = add(1, 2)"),
        ("d", "n = len(calls)"),
    ],
    "a generator": [
        ("a", "base = [1, 2]"),
        ("b", "def each():\n    for b in base:\n        yield b"),
        ("c", "base.append(3)"),
        ("d", "x = list(each())"),
    ],
    "a property and a class method": [
        ("a", "class P:\n    made = []\n    def __init__(self, v):\n        self.v = v\n    @property\n    def twice(self):\n        return self.v * k\n    @classmethod\n    def new(cls, v):\n        cls.made.append(v)\n        return cls(v)"),
        ("b", "k = 2"),
        ("c", "p = P.new(1)"),
        ("d", "k = 3"),
        ("e", "x = p.twice"),
        ("f", "n = list(P.made)"),
    ],
    "an update by keyword stores the value": [
        ("a", "d = {'l': [3]}\nys = []"),
        ("b", "d.update(l=ys)"),
        ("c", "ys.append(0)"),
        ("e", "n = list(d['l'])"),
    ],
    "a starred capture of a pattern": [
        ("a", "inner = [1]\nxs = [0, inner]"),
        ("b", "match xs:\n    case [head, *rest]:\n        pass"),
        ("c", "last = rest.pop()"),
        ("d", "inner.append(2)"),
        ("e", "n = list(last)"),
    ],
    "an alias made on some ways only": [
        ("a", "xs = []\nys = []\nflag = 1"),
        ("b", "if flag:\n    ys = xs"),
        ("c", "xs.append(1)"),
        ("d", "n = list(ys)"),
    ],
    "a name that stops being an alias": [
        ("a", "xs = []\nys = xs"),
        ("b", "xs.append(1)\nxs = None"),
        ("c", "n = list(ys)"),
    ],
    "an alias that changes its name before it is changed": [
        ("a", "xs = [1]\nd = {}"),
        ("b", "ys = xs"),
        ("c", "d, xs = xs, d"),
        ("e", "ys.append(2)"),
        ("f", "n = list(d)"),
    ],
    "a sum of lists holds what they hold": [
        ("a", "ys = [2]\nm = [ys]"),
        ("b", "xs = m + []"),
        ("c", "ys.append(1)"),
        ("d", "n = list(xs[0])"),
    ],
    "a function that makes a list of what another holds": [
        ("setup", "def f(v):\n    return v[:] + list(v)"),
        ("a", "ys = [2]\nm = [ys]"),
        ("b", "xs = f(m)"),
        ("c", "ys.append(1)"),
        ("d", "n = list(xs[1])"),
    ],
    "an inner function that makes a list of what it closes over": [
        ("setup", "def h(v):\n    def inner():\n        return [v, ws]\n    return inner"),
        ("a", "ws = [0]\nys = [1]"),
        ("b", "s = h(ys)"),
        ("c", "r = s()"),
        ("d", "ys.append(2)"),
        ("e", "ws.append(3)"),
        ("f", "n = [list(each) for each in r]"),
    ],
    "an optional read of a name that only setup below sets": [
        ("setup", "r = 2"),
        ("a", "ys = []\ntry:\n    f\nexcept NameError:\n    ys.append(r)"),
        ("b", "n = len(ys)"),
        ("setup", "def f(v=()):\n    return [v]"),
    ],
    "a function whose optional read only setup below could serve": [
        ("setup", "def g():\n    try:\n        return f()\n    except NameError:\n        return 0"),
        ("a", "x = g()"),
        ("b", "y = f() if x else x"),
        ("setup", "def f():\n    return 1"),
        ("c", "z = g()"),
    ],
    "a method that nobody calls reads what only setup below sets": [
        ("setup", "m = 1"),
        ("a", "class B:\n    def add(self):\n        return k"),
        ("b", "class A(B):\n    pass\nr = [A(), m]"),
        ("setup", "m += m\nk = 1"),
        ("c", "x = r[0].add() + m"),
    ],
    "a read of setup below that does not happen": [
        ("setup", "x = 1"),
        ("a", "if x > 1:\n    print(k)\ny = x"),
        ("setup", "k = 2\nx = 5"),
        ("b", "z = x, y, k"),
    ],
    "a caching function that replaces another function": [
        ("a", "from functools import lru_cache\ndef f(v=1):\n    return v\nn = 1"),
        ("b", "@lru_cache(maxsize=5)\ndef f(v=1):\n    return [n, v]"),
        ("c", "x = f(2), f(2) is f(2)"),
        ("d", "fs = [f]\ny = fs[0](3)"),
    ],
    "inheritance": [
        ("a", "class A:\n    def go(self):\n        return self.step()\n    def step(self):\n        return base"),
        ("b", "class B(A):\n    def step(self):\n        log.append(1)\n        return super().step() + 1"),
        ("c", "base = 1\nlog = []"),
        ("d", "o = B()"),
        ("e", "x = o.go()"),
        ("f", "n = len(log)"),
    ],
    "a part of an object of setup that a task names and another changes": [
        ("setup", "d = {'l': [3]}"),
        ("a", "xs = d['l']"),
        ("b", "xs.append(2)\nn = len(d['l'])"),
    ],
    "two objects of setup that share a part, one of them changed": [
        ("setup", "part = [3]\none = [part]\nother = [part]"),
        ("a", "one.append(1)"),
        ("b", "one[0].append(2)\nn = len(other[0])\nsame = one[0] is other[0]"),
    ],
    "a copy of a list that contains itself": [
        ("a", "xs = [1]\nxs.append(xs)"),
        ("b", "ys = xs[:]"),
        ("c", "xs.append(2)"),
        ("d", "n = len(ys[1])"),
    ],
    "a copy of a dict that a function stores in itself": [
        ("setup", "def tie(v):\n    v['me'] = v\n    return v"),
        ("a", "d = tie({})"),
        ("b", "e = {**d}"),
        ("c", "d['x'] = 2"),
        ("d", "n = len(e['me'])"),
    ],
    "an instance that a method stores in its own attribute": [
        ("a", "class Node:\n    def tie(self):\n        self.next = self\nn = Node()\nn.tie()"),
        ("b", "m = n.next"),
        ("c", "n.v = 3"),
        ("d", "x = m.v"),
    ],
    "a copy of an instance that setattr stores in itself": [
        ("a", "class Node:\n    pass\nn = Node()\nsetattr(n, 'me', n)"),
        ("setup", "import copy"),
        ("b", "m = copy.copy(n)"),
        ("c", "n.v = 3"),
        ("d", "x = m.me.v"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_headless_run_gives_the_values_of_a_plain_run(name: str, tmp_path: Path) -> None:
    dag = notebook(*[(kind, textwrap.dedent(code)) for kind, code in CASES[name]])
    assert not dag.errors, dag.errors
    expected = plain(dag)
    for number, order in enumerate(orders(dag, random.Random(0), 3)):
        assert not wrong(headless(dag, order, str(tmp_path / str(number))), expected), order
