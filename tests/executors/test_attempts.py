"""One attempt in a real kernel: its inputs, its outputs, and its result."""

from __future__ import annotations

import json
import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

from nbdag.core.model.cell_tags import TASK, tags_of
from nbdag.core.model.job import StoredInput
from nbdag.core.model.states import TaskState
from nbdag.values import ValueStore

SUCCESS, FAILED, SKIPPED = TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED


def value(bench, result, name: str):
    (digest,) = {output.digest for output in result.outputs if output.name == name}
    return ValueStore(str(bench.folder / "values")).load(digest)[name]


@pytest.fixture(params=["warm", "fresh"])
def both(bench, request):
    bench.kernels = request.param
    return bench


@pytest.mark.slow
def test_values_pass_from_task_to_task(both) -> None:
    one = both.make("import numpy\nx = numpy.arange(5); y = [1]; unread = 5", exports=(("x",), ("y",)), name="one")
    assert one.state is SUCCESS, one
    assert [(output.name, output.type, output.summary) for output in one.outputs] == [
        ("x", "numpy.ndarray", "5 int64: [0, 1, 2, 3, 4]"),
        ("y", "list", "[1]"),
    ]
    two = both.make("y.append(int(x.sum()))", given={"x": one, "y": one}, changes=("y",), exports=(("y",),), name="two")
    assert two.state is SUCCESS, two
    assert two.notes == ()
    assert value(both, two, "y") == [1, 10]
    assert value(both, one, "y") == [1]
    assert two.started < two.ended


def test_the_order_is_parameters_injected_setup_definitions_inputs_cell(bench) -> None:
    one = bench.make("b = 'from the task'", exports=(("b",),), name="one")
    result = bench.make(
        "r = (a, b, f(), SEEN)",
        setup=("b = 'from setup'; SEEN = a",),
        definitions=("def f():\n    return a + b",),
        given={"b": one},
        parameter_cells=("a = 'default'",),
        parameters={"a": "injected"},
        exports=(("r",),),
    )
    assert value(bench, result, "r") == ("injected", "from the task", "injectedfrom the task", "injected")


def test_parameters_without_a_parameters_cell_are_injected_first(bench) -> None:
    result = bench.make("r = alpha", setup=("alpha = alpha + 1",), parameters={"alpha": 1}, exports=(("r",),))
    assert value(bench, result, "r") == 2


def test_parameters_that_are_no_numbers_of_json_are_null_in_the_notebook(bench) -> None:
    given = {"rate": float("nan"), "limits": [1.0, float("inf")]}
    result = bench.make("r = rate != rate, limits[1] > 1e308", parameters=given, exports=(("r",),), name="limited")
    assert value(bench, result, "r") == (True, True)
    nb = json.loads(Path(bench.job("", name="limited").path).read_text(), parse_constant=pytest.fail)
    assert nb["metadata"]["papermill"]["parameters"] == {"rate": None, "limits": [1.0, None]}


def test_nbdag_adds_only_two_names_to_the_namespace(both) -> None:
    code = "known = set(get_ipython().user_ns_hidden) | {'x'}\nr = sorted(set(globals()) - known)"
    one = both.make("x = 1", exports=(("x",),), name="one")
    result = both.make(
        code, given={"x": one}, definitions=("def f(): pass",), exports=(("r",),), options={"check": ("True",)}
    )
    assert [name for name in value(both, result, "r") if not re.fullmatch(r"_i?\d+", name)] == [
        "_nbdag",
        "dag_run",
        "f",
        "known",
    ]


def test_dag_run_describes_the_run(bench) -> None:
    said = {
        "dag_id": "d",
        "run_id": "r1",
        "try_number": 2,
        "logical_date": "2026-01-02T03:00:00+00:00",
        "params": {"a": 1},
    }
    code = "r = (dag_run.run_id, dag_run.try_number, dag_run.logical_date, dag_run.params['a'], dag_run.task_id)"
    result = bench.make(code, context=said, exports=(("r",),))
    assert value(bench, result, "r") == ("r1", 2, datetime(2026, 1, 2, 3, tzinfo=UTC), 1, "task")


def test_the_notebook_holds_the_cell_as_written(bench) -> None:
    code = "# %%task task\n%time y = 1\n!echo hello\nimport asyncio\nawait asyncio.sleep(0)\ny + 1"
    result = bench.make(code, setup=("print('in setup')",))
    assert result.state is SUCCESS, result
    nb = nbformat.read(bench.folder / "tasks/task/1.ipynb", as_version=4)
    nbformat.validate(nb)
    (cell,) = [cell for cell in nb.cells if "nbdag-task" in cell.metadata.tags]
    assert cell.source == code
    assert cell.execution_count == 2  # after setup: nbdag's own steps do not count
    assert cell.outputs[-1].data["text/plain"] == "2"
    assert cell.metadata.papermill.status == "completed"
    assert "hello" in bench.log()
    assert "in setup" not in bench.log(), "setup prints it in every task"


def test_the_log_has_what_setup_printed_before_it_failed(bench) -> None:
    result = bench.make("x = 1", setup=("print('first')", "print('before the error')\nraise ValueError('bad')"))
    assert (result.state, result.error) == (FAILED, "ValueError: bad")
    assert "before the error" in bench.log()
    assert "first" not in bench.log()


def test_a_traceback_shows_the_users_lines(bench) -> None:
    code = "# %%task train --retries 2\nx = 1\nraise ValueError(\n  'bad')"
    result = bench.make(code)
    assert (result.state, result.error, result.final) == (FAILED, "ValueError: bad", False)
    assert result.traceback is not None
    assert "----> 3 raise ValueError(" in result.traceback
    assert "\x1b" not in result.traceback
    assert "ValueError: bad" in bench.log()
    nb = nbformat.read(bench.folder / "tasks/task/1.ipynb", as_version=4)
    assert any("papermill-error-cell" in cell.source for cell in nb.cells)


def test_a_traceback_through_a_replayed_definition_shows_its_line(bench) -> None:
    result = bench.make("f(0)", definitions=("def f(x):\n    # why\n    return 1 / x",))
    assert result.error == "ZeroDivisionError: division by zero"
    assert "<cell 2>:7" in result.traceback.replace(", line ", ":")
    assert "return 1 / x" in result.traceback


@pytest.mark.parametrize(
    ("code", "options", "error"),
    [
        ("a = 0.5", {"check": ("a > 0.9",)}, "--check a > 0.9 is false, with a = 0.5"),
        ("a = 0.5", {"check": ("a < 1", "a > b")}, "cannot evaluate --check a > b: NameError: name 'b' is not defined"),
        ("import nbdag.errors\nraise nbdag.errors.Fail('no good')", {}, "no good"),
    ],
)
def test_a_deliberate_failure_is_final(bench, code: str, options: dict, error: str) -> None:
    result = bench.make(code, options=options, exports=(("a",),))
    assert (result.state, result.error, result.final, result.outputs) == (FAILED, error, True, ())


@pytest.mark.parametrize(
    ("code", "options", "why", "short"),
    [
        ("from nbdag.errors import Skip\nraise Skip('no files')", {}, "no files", False),
        ("1 / 0", {"when": "n > 1"}, "--when n > 1 is false", False),
        ("1 / 0", {"when": "n > 1", "short_circuit": True}, "--when n > 1 is false", True),
    ],
)
def test_a_skipped_task_reports_its_reason(bench, code: str, options: dict, why: str, short: bool) -> None:
    result = bench.make(code, setup=("n = 1",), options=options)
    assert (result.state, result.error, result.short_circuit, result.traceback) == (SKIPPED, why, short, None)
    nb = nbformat.read(bench.folder / "tasks/task/1.ipynb", as_version=4)
    assert not any("papermill-error-cell" in cell.source for cell in nb.cells)


@pytest.mark.parametrize(
    ("code", "state", "outputs"),
    [
        ("import sys\nx = 1\nsys.exit()", SUCCESS, ["x"]),
        ("import sys\nx = 1\nsys.exit(0)", SUCCESS, ["x"]),
        ("import sys\nx = 1\nsys.exit(3)", FAILED, []),
        ("x = 1\nraise KeyboardInterrupt", FAILED, []),
        ("def f(:", FAILED, []),
        ("if False:\n  x = 1", SUCCESS, []),
        ("x = 1\ndel x", SUCCESS, []),
        ("", SUCCESS, []),
    ],
)
def test_the_end_of_a_cell_decides_the_state(bench, code: str, state: TaskState, outputs: list[str]) -> None:
    result = bench.make(code, exports=(("x",),))
    assert (result.state, [output.name for output in result.outputs]) == (state, outputs), result


def test_an_error_in_setup_fails_the_task_before_its_cell(bench) -> None:
    for setup in ("1 / 0", "import sys; sys.exit(2)"):
        result = bench.make("print('ran')", setup=(setup,))
        assert result.state is FAILED
        assert "ran" not in bench.log().splitlines()


class TestHiddenChanges:
    """A change that analysis does not know of is reported with the remedy."""

    def test_an_undeclared_change_of_an_input_is_reported(self, bench) -> None:
        one = bench.make("xs = [3, 1]; big = list(range(5))", exports=(("xs",), ("big",)), name="one")
        result = bench.make("sort = xs.sort\nsort()\nlen(big)", given={"xs": one, "big": one}, name="two")
        (note,) = result.notes
        assert (note.code, note.name) == ("NB401", "xs")
        assert "add `--change xs` to `%%task two`" in note.message

    def test_a_declared_change_is_not_reported(self, bench) -> None:
        one = bench.make("xs = [3, 1]", exports=(("xs",),), name="one")
        code = "f = xs.sort\nf()"
        assert bench.make(code, given={"xs": one}, changes=("xs",), exports=(("xs",),)).notes == ()
        assert bench.make(code, given={"xs": one}, options={"change": ("xs",)}, exports=(("xs",),)).notes == ()

    def test_reading_a_frame_is_not_a_change(self, bench) -> None:
        code = "import pandas as pd, numpy as np\ndf = pd.DataFrame({'a': np.zeros(5000)}); df['b'] = 1.0"
        one = bench.make(code, exports=(("df",),), name="one")
        code = "df._consolidate_inplace()\nr = df.describe(), df.values, df.groupby('a').sum()"
        result = bench.make(code, given={"df": one}, name="two")
        assert (result.state, result.notes) == (SUCCESS, ())

    def test_rebinding_a_name_is_not_a_change(self, bench) -> None:
        one = bench.make("xs = [3, 1]", exports=(("xs",),), name="one")
        assert bench.make("xs = sorted(xs)", given={"xs": one}, exports=(("xs",),), name="two").notes == ()

    def test_an_undeclared_change_of_a_setup_object_is_reported(self, bench) -> None:
        said = {"setup": ("import random\nrng = random.Random(0)\nlimit = 3",), "reads": ("rng", "limit")}
        (note,) = bench.make("x = rng.random()", **said).notes
        assert (note.code, note.name) == ("NB402", "rng")
        assert "create it in a task" in note.message
        assert bench.make("x = rng.random()", held={"limit": ("limit",)}, **said).notes == ()

    def test_a_shared_object_that_a_later_task_changes_is_reported(self, bench) -> None:
        one = bench.make("xs = [1]", exports=(("xs",),), name="one")
        result = bench.make(
            "box = {'xs': xs}", given={"xs": one}, exports=(("box",),), changed_later={"xs": "grow"}, name="two"
        )
        (note,) = result.notes
        assert (note.code, note.name) == ("NB403", "box")
        assert "add `--change box` to `%%task grow`" in note.message


def test_an_unstorable_value_with_a_reader_fails_the_task(both) -> None:
    code = "import sqlite3\ndb = sqlite3.connect(':memory:')"
    result = both.make(code, exports=(("db",),), readers={"db": "report"})
    assert result.state is FAILED
    assert result.error.startswith("'db', which task report needs, is a sqlite3.Connection and cannot be stored")
    assert "\n" not in result.error
    assert both.make(code).state is SUCCESS  # it has no reader


def test_an_unstorable_value_without_a_reader_is_omitted(bench) -> None:
    code = "import sqlite3\ndb = sqlite3.connect(':memory:')\nrows = 3"
    said = {"exports": (("db", "rows"),), "options": {"check": ("db", "rows == 3")}}
    result = bench.make(code, **said)
    assert (result.state, [output.name for output in result.outputs]) == (SUCCESS, ["rows"])
    said["options"] = {"check": ("db", "rows == 3"), "out": ("db",)}
    assert "cannot be stored" in (bench.make(code, name="declared", **said).error or "")


def test_a_missing_value_fails_the_task_with_one_sentence(bench) -> None:
    one = bench.make("x = 1", exports=(("x",),), name="one")
    for path in Path(bench.folder / "values").rglob(one.outputs[0].digest):
        path.unlink()
    result = bench.make("x", given={"x": one}, name="two")
    assert result.state is FAILED
    assert "clear the task that wrote it" in result.error


class TestMapped:
    def test_an_expansion_stores_each_element(self, bench) -> None:
        options = {"map": (("a", "xs"), ("b", "'pq'"))}
        result = bench.make("never = 1/0", options=options, setup=("xs = [1, 2]",), expand=True)
        assert (result.state, result.length) == (SUCCESS, 4), result
        store = ValueStore(str(bench.folder / "values"))
        rows = [{name: store.load(digest)[name] for name, digest in row.items()} for row in result.elements]
        assert rows == [{"a": a, "b": b} for a in (1, 2) for b in "pq"]

    @pytest.mark.parametrize(
        ("options", "length", "error"),
        [
            ({"map": (("a", "[1, 2]"), ("b", "[3, 4]")), "zip": True}, 2, None),
            ({"map": (("a", "[1, 2]"), ("b", "[3]")), "zip": True}, None, "--zip needs maps of equal length"),
            ({"map": (("a", "[]"),)}, 0, None),
            (
                {"map": (("a", "range(5)"),), "max_map_length": 4},
                None,
                "--map makes 5 instances, more than the limit of 4",
            ),
            ({"map": (("a", "5"),)}, None, "TypeError"),
            ({"map": (("a", "{'k': 1}"),)}, 1, None),
        ],
    )
    def test_the_maps_decide_the_number_of_instances(
        self, bench, options: dict, length: int | None, error: str | None
    ) -> None:
        result = bench.make("", options=options, expand=True)
        assert result.length == length
        assert (error or "") in (result.error or "")
        assert result.state is (FAILED if error else SUCCESS)

    def test_an_instance_receives_its_element(self, bench) -> None:
        options = {"map": (("a", "[{'n': 7}]"),)}
        expansion = bench.make("", options=options, expand=True)
        result = bench.make("r = a['n']", options=options, element=dict(expansion.elements[0]), exports=(("r",),))
        assert value(bench, result, "r") == 7

    def test_outputs_of_instances_form_a_list(self, bench) -> None:
        digests = [bench.make(f"y = {n}", exports=(("y",),)).outputs[0].digest for n in range(3)]
        given = StoredInput(name="y", source="m", digests=tuple(digests), is_list=True)
        result = bench.make("r = y", inputs=(given,), exports=(("r",),), name="after")
        assert value(bench, result, "r") == [0, 1, 2]


class TestSensor:
    CODE = "seen = globals().get('seen', 0) + 1\nseen > 2"

    def test_a_sensor_polls_until_it_is_true(self, bench) -> None:
        result = bench.make(self.CODE, options={"operator": "sensor", "poke": 0.05}, exports=(("seen",),))
        assert (result.state, value(bench, result, "seen")) == (SUCCESS, 3)

    def test_a_rescheduling_sensor_releases_its_slot(self, bench) -> None:
        result = bench.make(self.CODE, options={"operator": "sensor", "reschedule": True})
        assert result.state is TaskState.UP_FOR_RESCHEDULE


def test_an_unknown_kernel_is_reported_with_the_installed_ones(bench) -> None:
    result = bench.make("1", kernel_name="julia-9")
    assert result.state is FAILED
    assert result.error.startswith("unknown kernel 'julia-9' (installed: ")
    assert "python3" in result.error


def test_a_missing_folder_fails_with_one_sentence(bench) -> None:
    result = bench.make("1", cwd=str(bench.folder / "gone"))
    assert result.state is FAILED
    assert str(bench.folder / "gone") in result.error


def test_an_unwritable_path_fails_with_one_sentence(bench) -> None:
    (bench.folder / "file").write_text("")
    result = bench.make("1", path=str(bench.folder / "file" / "1.ipynb"))
    assert result.state is FAILED
    assert "not a directory" in result.error or "file exists" in result.error


@pytest.mark.parametrize("name", ["with space", "bra{ce}s", "ünï"])
def test_a_path_may_contain_any_characters(bench, name: str) -> None:
    folder = bench.folder / name
    folder.mkdir()
    result = bench.make(
        "from pathlib import Path\nr = str(Path.cwd())",
        cwd=str(folder),
        path=str(folder / "1.ipynb"),
        exports=(("r",),),
    )
    assert value(bench, result, "r") == str(folder)
    assert json.loads((folder / "1.ipynb").read_text())["cells"]


def test_modules_beside_the_notebook_are_imported(both) -> None:
    (both.folder / "mine.py").write_text("answer = 42")
    result = both.make("import mine\nr = mine.answer", exports=(("r",),))
    assert value(both, result, "r") == 42
    (both.folder / "mine.py").write_text("answer = 'changed'")
    result = both.make("import mine\nr = mine.answer", exports=(("r",),))
    assert value(both, result, "r") == "changed"


def test_the_last_output_of_a_subprocess_belongs_to_its_cell(new_bench) -> None:
    bench = new_bench(1)
    bench.make(
        "import os\ntext = ''.join(f'{n}\\n' for n in range(1, 2_001))\n_ = os.write(1, text.encode()), os.write(2, b'last\\n')"
    )
    nb = nbformat.read(bench.folder / "tasks/task/1.ipynb", as_version=4)
    (cell,) = (each for each in nb.cells if TASK in tags_of(each))
    said = {name: "".join(each.text for each in cell.outputs if each.name == name) for name in ("stdout", "stderr")}
    assert said["stdout"].split() == [str(n) for n in range(1, 2_001)]
    assert said["stderr"] == "last\n"


def test_the_files_of_attempts_are_private_also_if_a_worker_executes_several(new_bench) -> None:
    bench = new_bench(1)
    before = os.umask(0o022)
    try:
        for name in ("first", "second", "third"):
            assert bench.make("print(1)", name=name).state is SUCCESS
    finally:
        os.umask(before)
    modes = {path: oct(stat.S_IMODE(path.stat().st_mode)) for path in bench.folder.glob("tasks/*/*")}
    assert len(modes) >= 6 and set(modes.values()) == {"0o600"}, modes
