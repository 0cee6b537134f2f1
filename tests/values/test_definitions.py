"""Functions and classes of a notebook mean the same in another notebook."""

from __future__ import annotations

import pytest

MODEL = """
class Model:
    scale = 2
    def __init__(self, x): self.x = x
    def score(self): return helper(self.x) * self.scale
def helper(n): return n + 1
"""


def test_an_object_keeps_its_class_if_setup_defines_it(notebook) -> None:
    here, there = notebook(MODEL, "m = Model(3)"), notebook(MODEL)
    there.load(here.save("m"))
    there.run("ok = isinstance(m, Model) and type(m) is Model and m.score() == 8")
    assert there.names["ok"]


def test_an_object_brings_its_class_if_the_notebook_lacks_it(notebook) -> None:
    here, there = notebook(MODEL, "m = Model(3)"), notebook()
    there.load(here.save("m"))
    there.run("score = m.score()")
    assert there.names["score"] == 8


def test_a_different_class_of_the_same_name_is_not_used(notebook) -> None:
    here, there = notebook(MODEL, "m = Model(3)"), notebook(MODEL.replace("scale = 2", "scale = 10"))
    there.load(here.save("m"))
    there.run("scores = m.score(), Model(3).score()")
    assert there.names["scores"] == (8, 40)


def test_objects_of_separate_values_share_their_class(notebook) -> None:
    here, there = notebook(MODEL, "a = Model(1); b = Model(2)"), notebook()
    there.load(here.save("a"))
    there.load(here.save("b"))
    there.run("same = type(a) is type(b)")
    assert there.names["same"]


def test_a_function_reads_names_of_the_loading_notebook(notebook) -> None:
    here = notebook("k = 1", "f = lambda x: x + k")
    there = notebook("k = 100")
    there.load(here.save("f"))
    there.run("first = f(1); k = 5; second = f(1)")
    assert (there.names["first"], there.names["second"]) == (101, 6)


def test_a_function_brings_the_names_that_are_not_set(notebook) -> None:
    here = notebook("import math", "k = 3", "def g(x): return math.floor(x)", "f = lambda x: g(x) + k")
    there = notebook()
    there.load(here.save("f"))
    there.run("r = f(1.5)")
    assert there.names["r"] == 4


def test_a_function_is_stored_without_large_data(notebook) -> None:
    here = notebook("big = list(range(1_000_000))", "f = lambda n: big[n]")
    saved = here.store.save({"f": here.names["f"]}, namespace=here.names).outputs[0]
    assert saved.bytes < 10_000
    there = notebook()
    there.load(saved.digest)
    assert "big" not in there.names
    there.run("big = [7]; r = f(0)")
    assert there.names["r"] == 7


def test_a_function_that_uses_an_unstorable_value_can_be_stored(notebook) -> None:
    here = notebook("import threading", "lock = threading.Lock()", "def f():\n  with lock: return 1", "fs = [f]")
    there = notebook("import threading", "lock = threading.Lock()")
    there.load(here.save("fs"))
    there.run("r = fs[0]()")
    assert there.names["r"] == 1


RECURSIVE = "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)"


def test_functions_that_call_each_other_are_stored_together(notebook) -> None:
    here, there = notebook(RECURSIVE, "fs = {'even': even}"), notebook()
    there.load(here.save("fs"))
    there.run("r = fs['even'](10), fs['even'](7)")
    assert there.names["r"] == (True, False)


def test_a_function_in_two_values_is_loaded_once(notebook) -> None:
    here = notebook("def f(): return 1", "a = [f]; b = [f]")
    there = notebook()
    there.load(here.save("a"))
    there.load(here.save("b"))
    there.run("same = a[0] is b[0]")
    assert there.names["same"]


def test_a_definition_of_the_notebook_is_used_by_name(notebook) -> None:
    here, there = notebook("def f(): return 1", "a = [f]"), notebook("# a comment moves it\n\n\ndef f(): return 1")
    there.load(here.save("a"))
    there.run("same = a[0] is f")
    assert there.names["same"]


def test_a_closure_keeps_its_variables(notebook) -> None:
    here = notebook("def make(n):\n  def add(x): return x + n + k\n  return add", "k = 1; add = make(10)")
    there = notebook("k = 100")
    there.load(here.save("add"))
    there.run("r = add(1)")
    assert there.names["r"] == 111


@pytest.mark.parametrize(
    ("source", "expression"),
    [
        ("import enum\nclass Color(enum.Enum):\n  RED = 1", "x is Color.RED"),
        ("import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass P:\n  a: int = 1", "x == P(1) and type(x) is P"),
        ("import collections\nP = collections.namedtuple('P', 'a b')", "x == (1, 2) and x.a == 1"),
        ("class A: pass\nclass B(A):\n  def __init__(self): super().__init__()", "isinstance(x, A) and type(x) is B"),
        ("class S:\n  __slots__ = ('a',)\n  def __init__(self): self.a = 1", "x.a == 1 and type(x) is S"),
        ("class E(Exception): pass", "type(x) is E and x.args == (1,)"),
        ("import abc\nclass I(abc.ABC):\n  @abc.abstractmethod\n  def f(self): ...\nclass J(I):\n  def f(self): return 1", "type(x) is J"),
        ("import functools\ndef f(a, b): return a + b", "x(1) == 4 and x.func is f"),
        ("class M:\n  def f(self): return self.n", "x() == 5"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("defined_there", [True, False])
def test_every_kind_of_definition_can_be_stored(notebook, source: str, expression: str, defined_there: bool) -> None:
    made = {
        "Color": "Color.RED", "dataclasses": "P(1)", "namedtuple": "P(1, 2)", "class B": "B()", "class S": "S()",
        "class E(Exc": "E(1)", "abc": "J()", "functools": "functools.partial(f, 3)", "class M": "M()",
    }  # fmt: skip
    make = next(code for key, code in made.items() if key in source)
    here = notebook(source, f"x = {make}")
    if "class M" in source:
        here.run("x.n = 5; x = x.f")
    there = notebook(source) if defined_there else notebook()
    there.load(here.save("x"))
    if defined_there:
        there.run(f"ok = {expression}")
        assert there.names["ok"]
    else:
        assert there.names["x"] is not None


def test_another_process_uses_its_own_class(notebook, elsewhere) -> None:
    here = notebook(MODEL, "import enum", "class Color(enum.Enum):\n  RED = 1", "x = (Model(3), Color.RED, {'a', 'b'})")
    digest = here.save("x")
    said = elsewhere(
        "import enum\n# elsewhere\nclass Color(enum.Enum):\n  RED = 1\n"
        + MODEL
        + f"""
from nbdag.values import ValueStore
m, red, s = ValueStore({here.store.root!r}).load({digest!r})["x"]
print(type(m) is Model, m.score(), red is Color.RED, sorted(s))
"""
    )
    assert said == "True 8 True ['a', 'b']"


def test_loading_leaves_the_namespace_unchanged(notebook) -> None:
    here, there = (
        notebook("def f(): return 1", "x = [lambda: 1, f]"),
        notebook("import builtins", "__builtins__ = builtins"),
    )
    before = dict(there.names)
    there.load(here.save("x"))
    del there.names["x"]
    assert there.names == before
