"""The body of a `%%dag` cell becomes cells, such as a person could have written."""

import collections
import datetime
import functools
import math
import textwrap
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from nbdag import operators
from nbdag.core.cells.cells import RawCell
from nbdag.notebooks import read_cells
from nbdag.operators import Bash, Operator, OperatorError, Python, Sensor, chain
from nbdag.operators.build import Build, building

SETUP = {"__name__": "__main__", "math": math, "np": np}
exec("def fit(X, depth=1, *, timeout=None): ...\ndef load(): ...\ndef pick(models): ...", SETUP)


def build(body: str, setup: dict | None = None) -> list[RawCell]:
    """The cells that a body makes; its first line is line 2, below the header."""
    code = "# %%dag\n" + textwrap.dedent(body).strip("\n")
    namespace = {**operators.offered(lambda name: True), **SETUP, **(setup or {})}
    with building(namespace, code) as made:
        exec(compile(code, "<the body>", "exec"), namespace)
    return made.cells()


def texts(body: str, **setup: object) -> list[str]:
    return [cell.source for cell in build(body, setup)]


CELLS = [
    # a text and its options
    ("Python('a', 'x = 1')", ["%%task a\nx = 1"]),
    ("Python('a', '''\n    x = 1\n    if x:\n        y = 2\n''')", ["%%task a\nx = 1\nif x:\n    y = 2"]),
    ("Python('a', 'x', retries=2, timeout='10m')", ["%%task a --retries 2 --timeout 10m\nx"]),
    ("Python('a', 'x', timeout=90, retry_delay=0.5)", ["%%task a --retry-delay 0.5s --timeout 1m30s\nx"]),
    ("Python('a', 'x', timeout=None, doc=None)", ["%%task a --timeout none\nx"]),
    (
        "from datetime import timedelta\nPython('a', 'x', timeout=timedelta(minutes=5))",
        ["%%task a --timeout 5m\nx"],
    ),
    ("Python('a', 'x', cache=True, zip=False)", ["%%task a --cache --no-zip\nx"]),
    ("Python('a', 'x', check='x > 1', when=\"d == 'a b'\")", ["%%task a --when 'd == '\"'\"'a b'\"'\"'' --check 'x > 1'\nx"]),
    ("Python('a', 'x', check=['x > 1', 'x < 9'])", ["%%task a --check 'x > 1' --check 'x < 9'\nx"]),
    ("Python('a', 'x', out='x', change=['y', 'z'])", ["%%task a --out x --change y z\nx"]),
    ("Python('a', 'x', map={'x': 'xs', 'y': [1, 2]})", ["%%task a --map x=xs 'y=[1, 2]'\nx"]),
    ("Python('a', 'x', doc='says \"so\"', trigger='all-done')", ["%%task a --trigger all_done --doc 'says \"so\"'\nx"]),
    ("Bash('a', 'ls -l')", ["%%task a --operator bash\nls -l"]),
    ("Bash(task_id='a', bash_command='ls -l')", ["%%task a --operator bash\nls -l"]),
    ("Sensor('a', 'there', poke='5s')", ["%%task a --operator sensor --poke 5s\nthere"]),
    ("Sql('a', 'SELECT 1', out='x', connection='sqlite:///x.db', autocommit=True)",
     ["%%task a --operator sql --out x --connection sqlite:///x.db --autocommit\nSELECT 1"]),
    ("SqlSensor('a', 'SELECT 1', poke=5)", ["%%task a --operator sql-sensor --poke 5s\nSELECT 1"]),
    ("Http('a', 'GET https://x', out='x', accept=[404, 410], answer_within='5s', tries=2)",
     ["%%task a --operator http --out x --tries 2 --answer-within 5s --accept 404 410\nGET https://x"]),
    ("FileSensor('a', '*.csv', least=2, reschedule=True)", ["%%task a --operator file-sensor --reschedule --least 2\n*.csv"]),
    ("Notebook('a', 'b.ipynb\\nx = 1', jobs=2, out=['x', 'y'])", ["%%task a --operator notebook --out x y --jobs 2\nb.ipynb\nx = 1"]),
    ("Trigger('a', 'b', wait=True)", ["%%task a --operator trigger --wait\nb"]),
    ("Email('a', 'hi', to='a@b.c', subject='It\\'s {x}')", ["%%task a --operator email --to a@b.c --subject 'It'\"'\"'s {x}'\nhi"]),
    ("Empty('a')", ["%%task a --operator empty\n"]),
    # order
    ("a = Python('a', '1')\nb = Python('b', '2')\na >> b", ["%%task a\n1", "%%task b --after a\n2"]),
    ("a = Python('a', '1')\nb = Python('b', '2')\nb << a", ["%%task a\n1", "%%task b --after a\n2"]),
    ("a = Python('a', '1')\nb = Python('b', '2')\nb >> a", ["%%task b\n2", "%%task a --after b\n1"]),
    (
        "a, b, c = (Python(each, '1') for each in 'abc')\n[a, b] >> c",
        ["%%task a\n1", "%%task b\n1", "%%task c --after a b\n1"],
    ),
    (
        "a, b, c, d = (Python(each, '1') for each in 'abcd')\na >> [b, c] >> d",
        ["%%task a\n1", "%%task b --after a\n1", "%%task c --after a\n1", "%%task d --after b c\n1"],
    ),
    (
        "a, b, c, d = (Python(each, '1') for each in 'abcd')\nd << [b, c] << a",
        ["%%task a\n1", "%%task b --after a\n1", "%%task c --after a\n1", "%%task d --after b c\n1"],
    ),
    (
        "a, b, c, d, e = (Python(each, '1') for each in 'abcde')\nchain(a, [b, c], [d, e])",
        ["%%task a\n1", "%%task b --after a\n1", "%%task c --after a\n1", "%%task d --after b\n1", "%%task e --after c\n1"],
    ),
    ("a = Python('a', '1')\nPython('b', '2', after=[a, 'load'])", ["%%task a\n1", "%%task b --after a load\n2"]),
    ("'load' >> Python('a', '1') >> 'report' >> Python('b', '2')",
     ["%%task a --after load\n1", "%%task b --after report\n2", "%edges a >> report"]),
    # functions of setup
    ("Python('a', load)", ["%%task a\na_result = load()"]),
    ("Python('a', fit, [1, 'b'], depth=3, retries=1)", ["%%task a --retries 1\na_result = fit([1, 'b'], depth=3)"]),
    ("Python('a', fit, 1, timeout=3)", ["%%task a --timeout 3s\na_result = fit(1)"]),
    ("Python('a', fit, 1, op_kwargs={'timeout': 3})", ["%%task a\na_result = fit(1, timeout=3)"]),
    ("Python('a', python_callable=fit, op_args=[1])", ["%%task a\na_result = fit(1)"]),
    ("Python('a', fit, ['{{ ds }}', {'x': (1, '{{ ts }}')}])",
     ["%%task a\na_result = fit([dag_run.render('{{ ds }}', what='argument 1[0]'), "
      "{'x': (1, dag_run.render('{{ ts }}', what=\"argument 1[1]['x'][1]\"))}])"]),
    ("a = Python('a', load)\nPython('b', fit, ['{{ ds }}', a.output])",
     ["%%task a\na_result = load()",
      "%%task b --after a\nb_result = fit([dag_run.render('{{ ds }}', what='argument 1[0]'), a_result])"]),
    ("Python('a-b', load)", ["%%task a-b\na_b_result = load()"]),
    ("Python('a', load, out='X y')", ["%%task a --out X y\nX, y = load()"]),
    ("Python('a', math.sqrt, 2)", ["%%task a\na_result = math.sqrt(2)"]),
    ("Python('a', max, 1, 2)", ["%%task a\na_result = max(1, 2)"]),
    ("Python('a', partial(fit, 1, depth=2))", ["%%task a\na_result = fit(1, depth=2)"]),
    ("Python('a', kinds[0], 'x')", ["%%task a\na_result = __import__('collections', fromlist=['']).Counter('x')"]),
    # what one task leaves, passed to another
    (
        "a = Python('a', load)\nPython('b', fit, a.output, depth=a)",
        ["%%task a\na_result = load()", "%%task b --after a\nb_result = fit(a_result, depth=a_result)"],
    ),
    (
        "a = [Python(f'a{n}', load) for n in (1, 2)]\nPython('b', pick, [each.output for each in a])",
        ["%%task a1\na1_result = load()", "%%task a2\na2_result = load()",
         "%%task b --after a1 a2\nb_result = pick([a1_result, a2_result])"],
    ),
    (
        "a = Python('a', 'X = 1', out='X')\nPython('b', f'y = {a.output} + 1')",
        ["%%task a --out X\nX = 1", "%%task b\ny = X + 1"],
    ),
    # what the body itself defines
    (
        "import math as m\nLIMIT = 3\ndef half(x):\n    return m.floor(x / 2) + LIMIT\nPython('a', half, 5)",
        ["%%setup\nimport math as m\nLIMIT = 3\ndef half(x):\n    return m.floor(x / 2) + LIMIT", "%%task a\na_result = half(5)"],
    ),
    (
        "def one(): ...\n@np.vectorize\ndef two(): return one()\nclass Model:\n    def __init__(self, x): ...\nPython('a', Model, two)",
        ["%%setup\ndef one(): ...\n@np.vectorize\ndef two(): return one()\nclass Model:\n    def __init__(self, x): ...", "%%task a\na_result = Model(two)"],
    ),
    (
        "xs = [1]\nxs.append(2)\nLOW, HIGH = 1, 2\ndef f(): return xs, HIGH\nPython('a', f)",
        ["%%setup\nxs = [1, 2]\nHIGH = 2\ndef f(): return xs, HIGH", "%%task a\na_result = f()"],
    ),
    (
        "rng = np.random.default_rng(0)\ndef f(): return rng.normal()\nPython('a', f)",
        ["%%setup\nrng = np.random.default_rng(0)\ndef f(): return rng.normal()", "%%task a\na_result = f()"],
    ),
    ("async def f(): ...\nPython('a', f)", ["%%setup\nasync def f(): ...", "%%task a\na_result = await f()"]),
    ("for f in (load, pick):\n    if f is load: Python('a', f)", ["%%task a\na_result = load()"]),
    ("def unused(): ...\nPython('a', '1')", ["%%task a\n1"]),
    ("def one(): ...\nx = 2; Python('a', one, op_kwargs={})", ["%%setup\ndef one(): ...", "%%task a\na_result = one()"]),
    ("LOW = 1; HIGH = 2\ndef one(): return LOW\nPython('a', one)",
     ["%%setup\nLOW = 1\ndef one(): return LOW", "%%task a\na_result = one()"]),
    # nothing
    ("for n in range(0): Python(f'a{n}', '1')", []),
]  # fmt: skip


HELD = {"partial": functools.partial, "kinds": [collections.Counter]}


@pytest.mark.parametrize(("body", "cells"), CELLS)
def test_a_body_is_translated_into_cells(body, cells):
    assert texts(body, **HELD) == cells


@pytest.mark.parametrize(("body", "cells"), CELLS)
def test_built_cells_have_valid_headers(body, cells):
    dag = read_cells([RawCell("%%dag", built=0), *build(body, HELD)], name="nb")
    assert [each for each in dag.problems if each.code < "NB107"] == []


VALUES = [
    None, True, 3, -2.5, float("inf"), "it's", b"x", ..., [1, (2,), (), {"a": {3}}], frozenset({1}), set(),
    datetime.date(2026, 1, 31), datetime.datetime(2026, 1, 31, 6, tzinfo=datetime.UTC), datetime.timedelta(minutes=5),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_a_written_value_evaluates_to_the_same_value(value):
    (cell,) = build("Python('a', fit, value)", {"value": value})
    seen = []
    exec(cell.source.split("\n", 1)[1], {"fit": seen.append})
    assert seen == [value]
    assert type(seen[0]) is type(value)


@pytest.mark.parametrize("value", [np.float64(0.5), np.int64(3), np.bool_(True), np.str_("a")])
def test_numpys_numbers_are_written_as_pythons(value):
    (cell,) = build("Python('a', fit, value)", {"value": value})
    assert cell.source.endswith(f"fit({value.item()!r})")


def test_an_object_of_setup_is_written_by_its_name():
    assert texts("Python('a', fit, frame)", frame=np.zeros(3)) == ["%%task a\na_result = fit(frame)"]


ERRORS = [
    ("Python('a', 'x', retires=2)", 2, "unknown keyword retires for Python", "did you mean retries?"),
    ("Bash('a', 'x', execution_timeout=2)", 2, "unknown keyword execution_timeout for Bash", "did you mean timeout?"),
    ("Python('a', fit, 1, dept=2)", 2, "unknown keyword dept for fit", "did you mean depth?"),
    ("Python('a', 'x', operator='bash')", 2, "unknown keyword operator for Python", ""),
    ("\nPython('a', 'x', timeout='soon')", 3, "timeout='soon' is not a duration", "write 90, 30s"),
    ("Python('a', 'x', retries=-1)", 2, "retries=-1 is too small", ""),
    ("Python('a', 'x', cache='yes')", 2, "cache='yes' is not a bool", ""),
    ("Python('a', 'x', map=['xs'])", 2, "map=['xs'] is not a mapping", "map={'x': 'xs'}"),
    ("Python('a', 'x', check='x >')", 2, "check='x >' is not a Python expression", ""),
    ("Python('a', 'x', after=3)", 2, "3 is not a task", "ids of tasks"),
    ("Python('2a', 'x')", 2, "'2a' is not a valid id", "use letters"),
    ("Python()", 2, "a task created by Python needs an id", "Python('train', …)"),
    ("Python('a')", 2, "a has no body", "write Python('a', 'its code')"),
    ("Bash('a', '\\n  ')", 2, "a has no body", ""),
    ("Bash('a', max)", 2, "the body of a is a builtin_function_or_method, not text", "only Python takes a function"),
    ("Python('a', 'x', 1)", 2, "only a function takes arguments", "write the arguments into the text"),
    ("Python('a', '1')\n\nPython('a', '2')", 4, "task a already exists, created in line 2", "use different ids"),
    ("a = Python('a', '1')\na >> a", 3, "task a depends on itself", "remove this dependency"),
    ("a = Python('a', '1')\na >> 3", 3, "3 is not a task", "ids of tasks"),
    ("a = Python('a', '1')\na >> 'b c'", 3, "'b c' is not a valid id", ""),
    ("chain(['a', 'b'], ['c'])", 2, "chain has adjacent lists of lengths 2 and 1", "use lists of equal length"),
    ("Python('a', 'x = 1').output", 2, "a declares no result", "with out="),
    ("Python('a', 'x', out='x y').output", 2, "a has several results (x, y)", "with out="),
    ("Python('a', fit)", 2, "fit cannot be called with these arguments: missing a required argument: 'X'", "model = fit(X)"),
    ("Python('a', fit, object())", 2, "a object cannot be written", "create it in setup or in a task"),
    ("Python('a', lambda: 1)", 2, "a lambda has no name", "define it with def"),
    ("def make():\n    def inner(): ...\n    return inner\nPython('a', make())", 5, "has no name in the notebook", "as arguments"),
    ("Python('a-b', load)\nPython('a_b', load)", 3, "a-b and a_b have the same result a_b_result", "out=…"),
    # said when the body is through
    ("for n in (1, 2):\n    def f(): return n\n    Python(f'a{n}', f)", 2, "f is defined in a loop", "pass the differences"),
    ("n = 1\nn = 2\ndef f(): return n\nPython('a', f)", 3, "f reads n, which %%dag sets more than once", "n=n)"),
    ("for n in (1, 2):\n    pass\ndef f(): return n\nPython('a', f)", 2, "f reads n, which %%dag sets in a loop", "n=n)"),
    ("rng = np.random.default_rng(0)\nrng.normal()\ndef f(): return rng\nPython('a', f)", 3, "f reads rng, which %%dag changes in line 3", "in setup"),
    ("def make():\n    return Python('a', load)\nmake()\nPython('b', make)", 2, "make creates tasks", "use another function for the task"),
    ("class Odd(Operator):\n    def source(self, body, options): return 1 / 0\n\nOdd('a', 'x')", 5, "Odd failed to create the source of a (ZeroDivisionError", ""),
    ("class Odd(Operator):\n    def source(self, body, options): raise KeyError(body)\n\nOdd('a', 'x')", 5, "(KeyError: 'x')", ""),
    ("a = Python('a', load)\ndef f(): return a\nPython('b', f)", 2, "f reads a, which creates tasks", "as an argument"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "line", "message", "hint"), ERRORS)
def test_an_error_of_a_body_has_its_line_and_a_next_step(body, line, message, hint):
    code = f"# %%dag\n{body}"
    namespace = {**operators.offered(lambda name: True), **SETUP}
    with building(namespace, code) as made:
        try:
            exec(compile(code, "<the body>", "exec"), namespace)
            cells = made.cells()
        except OperatorError as error:
            at = made.line_of(error) or error.line
            assert message in error.message
            assert hint in error.hint
            assert at == line
        else:
            pytest.fail(f"nothing is said, and there are {cells}")


def test_a_built_cell_records_the_line_of_the_body():
    body = """
    def make(n):
        return Python(f"a{n}", "1")

    make(1)
    Bash(
        "b", "ls",
    )
    """
    assert [(cell.source.split()[1], cell.built) for cell in build(body)] == [("a1", 3), ("b", 6)]


def test_a_cycle_is_reported_by_the_analysis_of_the_cells():
    cells = build("a = Python('a', '1')\nb = Python('b', '2')\na >> b >> a")
    dag = read_cells([RawCell("%%dag", built=0), *cells], name="nb")
    assert [(each.code, each.place.line) for each in dag.problems] == [("NB202", 2)]


class Rows(Operator):
    """An operator of a notebook's own."""

    def __init__(self, task_id, query, *, connection="warehouse", **options):
        super().__init__(task_id, query, **options)
        self.connection = connection

    def source(self, body, options):
        return f"{options.out[0]} = {self.connection}.execute({body!r})"


class Fetch(Bash):
    """One that only makes its body."""

    def __init__(self, task_id, url, **options):
        super().__init__(task_id, f"curl -fsSO {url}", **options)


class Landed(Sensor):
    """A sensor that makes its question."""

    def source(self, body, options):
        return f"Path({body!r}).exists()"


def test_an_operator_defined_in_the_notebook_needs_no_installation():
    cells = texts(
        "Rows('a', 'SELECT 1', out='rows', connection='lake', retries=1)\nFetch('b', 'https://x')\nLanded('c', 'in.csv')",
        Rows=Rows,
        Fetch=Fetch,
        Landed=Landed,
    )
    assert cells == [
        "%%task a --retries 1 --out rows\nrows = lake.execute('SELECT 1')",
        "%%task b --operator bash\ncurl -fsSO https://x",
        "%%task c --operator sensor\nPath('in.csv').exists()",
    ]


def test_an_operator_of_a_package_is_written_by_its_name(monkeypatch):
    monkeypatch.setattr(operators, "entry_points_of_this_test", Fetch, raising=False)
    point = EntryPoint("fetch", "nbdag.operators:entry_points_of_this_test", operators.GROUP)
    monkeypatch.setattr(operators.registry, "_installed", lambda: {"fetch": point})
    assert operators.offered(lambda name: name == "entry_points_of_this_test") == {"entry_points_of_this_test": Fetch}
    monkeypatch.setattr(Fetch, "source", Bash.source)
    assert texts("entry_points_of_this_test('a', 'x')") == ["%%task a --operator fetch\ncurl -fsSO x"]


def test_outside_of_a_dag_cell_no_task_is_created():
    with pytest.raises(OperatorError, match="tasks can be created only in a %%dag cell"):
        Python("a", "x = 1")
    with pytest.raises(OperatorError, match="tasks can be created only in a %%dag cell"):
        chain("a", "b")


def test_a_build_ends_with_its_body():
    with pytest.raises(ZeroDivisionError), building({}, "1 / 0"):
        1 / 0
    with pytest.raises(OperatorError):
        Python("a", "x = 1")


def test_invalid_code_has_no_setup_cell():
    assert Build({}, "x = (").cells() == []
