import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nbdag import operators
from nbdag.core.options.options import TaskOptions
from nbdag.operators import OperatorError, UnknownOperatorError


@pytest.fixture(autouse=True)
def nothing_else_registered(monkeypatch):
    monkeypatch.setattr(operators, "_registered", {})


def installed(monkeypatch, **points):
    made = {name: EntryPoint(name, value, operators.GROUP) for name, value in points.items()}
    monkeypatch.setattr(operators, "_installed", lambda: made)


class Upper:
    def source(self, body, options):
        return f"print({body.upper()!r})"


class Broken:
    def source(self, body, options):
        if body == "number":
            return 3
        raise KeyError(body)


def test_python_is_its_own_source():
    assert operators.source("x = 1\n\n%time y", TaskOptions()) == "x = 1\n\n%time y"


@pytest.mark.parametrize("operator", [Upper, Upper()])
def test_an_operator_registered_as_a_class_or_an_instance_works(operator):
    assert operators.register("upper")(operator) is operator
    assert operators.source("a", TaskOptions(operator="upper")) == "print('A')"
    assert operators.names() == ("bash", "python", "sensor", "upper")


def test_an_operator_of_a_package_works(monkeypatch):
    monkeypatch.setattr(operators, "entry_points_of_this_test", Upper, raising=False)
    installed(monkeypatch, upper="nbdag.operators:entry_points_of_this_test")
    assert operators.source("a", TaskOptions(operator="upper")) == "print('A')"
    assert "upper" in operators.names()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("bahs", "did you mean bash?"),
        ("Python", "did you mean python?"),
        ("qqq", "expected one of bash, python, sensor"),
    ],
)
def test_an_unknown_operator_suggests_the_nearest(name, hint):
    with pytest.raises(UnknownOperatorError, match=f"unknown operator '{name}'") as caught:
        operators.source("", TaskOptions(operator=name))
    assert hint in str(caught.value)


def test_an_operator_that_cannot_be_loaded_names_its_package(monkeypatch):
    installed(monkeypatch, gone="no_such_package.operators:Gone")
    with pytest.raises(OperatorError, match=r"'gone' cannot be loaded \(ModuleNotFoundError.*no_such_package"):
        operators.source("", TaskOptions(operator="gone"))


@pytest.mark.parametrize(
    ("body", "told"), [("x", r"'broken' failed \(KeyError: 'x'\)"), ("number", "returned int, not source")]
)
def test_an_error_inside_an_operator_is_reported_as_its_own(body, told):
    operators.register("broken")(Broken)
    with pytest.raises(OperatorError, match=told):
        operators.source(body, TaskOptions(operator="broken"))


def test_the_package_declares_the_built_in_operators():
    project = tomllib.loads(Path(__file__, "../../../pyproject.toml").resolve().read_text())
    assert project["project"]["entry-points"][operators.GROUP] == operators.BUILT_IN


SENSORS = [
    "x",
    "import os\nos.path.exists('a')\n\n",
    "(\n  x and\n  y\n)  # so",
    "%time y\nx > 1",
    "await look()",
    "x = (",
]


@pytest.mark.parametrize("body", SENSORS)
def test_a_sensor_is_its_body(body):
    assert operators.source(body, TaskOptions(operator="sensor")) == body


@pytest.mark.parametrize(("body", "line"), [("x = 1", 1), ("x\ny = 2\n\n", 2), ("x;", 1), ("", 1), ("# so\n", 1)])
def test_a_sensor_without_a_final_expression_is_rejected(body, line):
    with pytest.raises(OperatorError) as caught:
        operators.source(body, TaskOptions(operator="sensor"))
    assert caught.value.line == line


def test_the_docstring_s_example_is_an_operator(monkeypatch):
    example = operators.__doc__.split("    class Sql", 1)[1].split("\n\nAn entry point", 1)[0]
    names = {"Operator": operators.Operator}
    exec("class Sql" + example.replace("\n    ", "\n"), names)
    operators.register("sql")(names["Sql"])
    made = operators.source("SELECT 1\nFROM t", TaskOptions(operator="sql", out=("rows",)))
    compile(made, "cell", "exec")
    assert made.count("\n") == 1
