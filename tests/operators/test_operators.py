import ast
import textwrap
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from nbdag import operators
from nbdag.core.cells import header as headers
from nbdag.core.cells.cells import RawCell
from nbdag.core.cells.describe import describe
from nbdag.core.model.job import Job, Key
from nbdag.core.options.options import TaskOptions
from nbdag.core.planning.cache_key import cache_key
from nbdag.graphs.labels import option_lines
from nbdag.notebooks import read_cells
from nbdag.operators import OperatorError, UnknownOperatorError
from nbdag.operators.build import building


@pytest.fixture(autouse=True)
def nothing_else_registered(monkeypatch):
    monkeypatch.setattr(operators.registry, "_registered", {})


def installed(monkeypatch, **points):
    made = {name: EntryPoint(name, value, operators.GROUP) for name, value in points.items()}
    monkeypatch.setattr(operators.registry, "_installed", lambda: made)


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
    assert operators.names() == tuple(sorted([*operators.BUILT_IN, "upper"]))


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
        ("qqq", "expected one of bash, email, empty, file-sensor, http, notebook, python, sensor, sql, sql-sensor"),
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


def test_the_docstring_s_example_is_an_operator(capsys):
    example = operators.__doc__.split("own option `times` says:", 1)[1].split("An entry point", 1)[0]
    names = {}
    exec(textwrap.dedent(example), names)
    operators.register("shout")(names["Shout"])
    header = headers.parse("%%task a --operator shout --times 2")
    made = operators.source("hi\nyou", headers.task_options({}, header.options))
    exec(compile(made, "cell", "exec"))
    assert capsys.readouterr().out == "HI\nYOUHI\nYOU\n"
    assert made.count("\n") == 1


# -- options that one operator declares ---------------------------------------------------------------------------------


class Shout(operators.Operator):
    summary = "Prints its body."
    own_options = (
        operators.option("times", operators.kinds.integer(1), "how often; default once", default=1),
        operators.option("to-whom", operators.kinds.VARIABLES, "who hears it", default=()),
        operators.option("quiet", operators.kinds.FLAG, "in small letters", default=False),
    )

    def source(self, body, options):
        return repr(self.given(options))


@pytest.fixture
def shout():
    operators.register("shout")(Shout)


@pytest.mark.usefixtures("shout")
class TestAnOptionOfAnOperator:
    def test_is_parsed_and_formatted_wherever_the_operator_is_named(self):
        for line in (
            "%%task a --times 3 --operator shout --to-whom x y",
            "%%task a --operator=shout --times=3 --to-whom x,y",
        ):
            header = headers.parse(line)
            assert header.options["operator_options"] == (("times", 3), ("to_whom", ("x", "y")))
            assert headers.format(header) == "%%task a --operator shout --times 3 --to-whom x y"
            assert headers.parse(headers.format(header)) == header

    def test_reaches_the_operator_with_the_defaults_of_the_others(self):
        header = headers.parse("%%task a --operator shout --quiet")
        made = operators.source("", headers.task_options({}, header.options))
        assert ast.literal_eval(made) == {"times": 1, "to_whom": (), "quiet": True}

    def test_is_valid_if_dag_sets_the_operator_even_below_the_task(self):
        dag = read_cells([RawCell("%%task a --times 2\nx"), RawCell("%dag x --operator shout")], name="nb")
        assert dag.errors == ()
        assert dag.tasks["a"].options.operator_options == (("times", 2),)

    @pytest.mark.parametrize(
        ("line", "message", "hint"),
        [
            ("%%task a --times 3", "--times is an option of the operator shout, but the operator of this task is python", "did you mean --timeout?"),
            ("%%task a --operator bash --to-whom x", "of the operator shout, but the operator of this task is bash", "%%task? lists all options"),
            ("%%task a --operator shout --tmies 3", "unknown option --tmies", "did you mean --times?"),
            ("%%task a --operator shout --times 0", "--times 0 is too small", "the minimum is 1"),
            ("%dag x --times 3", "unknown option --times", "--times belongs to %%task NAME --operator shout"),
        ],
    )  # fmt: skip
    def test_is_an_error_of_check_where_it_does_not_belong(self, line, message, hint):
        (problem, *_) = read_cells([RawCell(f"{line}\nx")], name="nb").errors
        assert problem.code == "NB101"
        assert message in problem.message
        assert hint in problem.hint

    def test_is_in_the_help_and_completed(self):
        text = headers.help("task")
        assert "Operator shout\n  Prints its body.\n  --times N                   how often; default once\n" in text
        assert headers.complete("%%task a --operator shout --ti", 30) == ["--timeout", "--times"]
        assert headers.complete("%%task a --ti --operator shout", 13) == ["--timeout", "--times"]
        assert headers.complete("%%task a --ti", 13) == ["--timeout"]

    def test_changes_the_cache_key_and_is_described(self):
        dags = [
            read_cells([RawCell(f"%%task a --operator shout {extra}\nx")], name="nb") for extra in ("", "--times 2")
        ]
        keys = {
            cache_key(
                Job(
                    key=Key(dag="d", run="r", task="a"),
                    task=dag.tasks["a"],
                    path="",
                    values="",
                    cwd="",
                    kernel_name="k",
                ),
                {},
                "3",
            )
            for dag in dags
        }
        assert len(keys) == 2
        assert describe(dags[1])["tasks"][0]["options"]["operator_options"] == {"times": 2}

    def test_is_a_keyword_of_its_class_in_a_dag_cell(self):
        namespace = {"Shout": Shout}
        code = "Shout('a', 'hi', times=2, quiet=True, retries=1)"
        with building(namespace, code) as made:
            exec(code, namespace)
        # Only this process knows the class, so the cell has the source instead of the operator.
        assert [cell.source for cell in made.cells()] == [
            "%%task a --retries 1\n{'times': 2, 'to_whom': (), 'quiet': True}"
        ]
        with (
            pytest.raises(OperatorError, match=r"unknown keyword tmies for Shout; did you mean times?"),
            building(namespace, code),
        ):
            exec("Shout('a', 'hi', tmies=2)", namespace)


def test_an_operator_may_not_declare_an_option_of_every_task():
    @operators.register("loud")
    class Loud(operators.Operator):
        own_options = (operators.option("retries", operators.kinds.TEXT, "how"),)

    with pytest.raises(OperatorError, match="declares --retries, which every task has"):
        operators.source("x", TaskOptions(operator="loud"))


def test_passwords_in_options_are_masked_where_options_are_shown():
    cells = [
        "%%task a --operator sql --connection postgresql://me:hidden@host/db\nSELECT 1",
        "%%task b --operator email --to slack://hidden/token\nhi",
    ]
    dag = read_cells([RawCell(cell) for cell in cells], name="nb")
    described = [task["options"]["operator_options"] for task in describe(dag)["tasks"]]
    assert described == [{"connection": "postgresql://me:***@host/db"}, {"to": ["slack://***"]}]
    assert "connection postgresql://me:***@host/db" in option_lines(dag.tasks["a"].options)


def test_every_built_in_operator_is_explained_with_an_example_that_works():
    for name in operators.BUILT_IN:
        help = operators.help_of(name)
        assert help is not None
        assert help.summary.endswith(".")
        if help.example:
            header, _, body = help.example.partition("\n")
            options = headers.task_options({}, headers.parse(header).options)
            assert options.operator == name
            assert compile(operators.source(body, options, {"orders", "day", "since", "url"}), name, "exec")
