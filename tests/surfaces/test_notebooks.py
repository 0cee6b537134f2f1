import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag import operators
from nbdag.core.model.dag import CellKind
from nbdag.core.model.problems import TABLE
from nbdag.core.model.states import TaskState
from nbdag.notebooks import NotebookError, read, read_text, without_built
from nbdag.reports import TaskOutcome, report


def cell(source, *, type="code", tags=None, **more):
    extra = {"outputs": [], "execution_count": None} if type == "code" else {}
    return {"cell_type": type, "metadata": {"tags": tags} if tags else {}, "source": source, **extra, **more}


def text_of(*cells, minor=5, **more):
    made = [each if isinstance(each, dict) else cell(each) for each in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": made, **more})


def dag_of(*cells, name="x.ipynb", **more):
    return read_text(text_of(*cells, **more), name=name)


def kinds(dag):
    return [each.kind.value for each in dag.cells]


def structural(dag):
    return [each for each in dag.problems if each.code.startswith("NB1")]


TASK = "%%task a\nx = 1"

# -- kinds -------------------------------------------------------------------------------------------------------------

KINDS = [
    (["import os", TASK, "x"], ["setup", "task", "scratch"]),
    (["%load_ext nbdag\n%dag a --retries 1", TASK], ["control", "task"]),
    (["%load_ext nbdag", "# only a remark", TASK], ["control", "setup", "task"]),
    (["%load_ext nbdag\nimport os", TASK], ["setup", "task"]),
    (["%load_ext nbdag\n# a remark\n", TASK, "%edges a >> a2", "%dag"], ["control", "task", "control", "control"]),
    (["%nbdag check x.ipynb", TASK], ["control", "task"]),
    (["%load_ext autoreload", TASK], ["setup", "task"]),
    (["%%params\nn = 1", TASK], ["parameters", "task"]),
    ([cell("n = 1", tags=["parameters"]), TASK], ["parameters", "task"]),
    (
        [cell("n = 1", tags=["parameters"]), cell("n = 2", tags=["injected-parameters"]), TASK],
        ["parameters"] * 2 + ["task"],
    ),
    ([cell("%%params\nn = 1", tags=["parameters", "other"]), TASK], ["parameters", "task"]),
    ([TASK, "%%setup\nimport os", "%%skip\nplot(x)"], ["task", "setup", "scratch"]),
    (["%%skip\nx = 0", TASK], ["scratch", "task"]),
    (["%task a\nx = 1", "y"], ["task", "scratch"]),
    (["%setup\ny = 1", "%params\nn = 2", "%skip\n1", TASK], ["setup", "parameters", "scratch", "task"]),
    (["\n\n  \n%%task a\nx = 1"], ["task"]),
    (["  %%task a\n  x = 1"], ["task"]),
    (["%%task a"], ["task"]),
    (["%%time\nx = 1", TASK, "%%bash\nls"], ["setup", "task", "scratch"]),
    ([cell("# Title", type="markdown"), TASK, cell("raw", type="raw")], ["prose", "task", "prose"]),
    (["", TASK, ""], ["setup", "task", "scratch"]),
    (["x = 1", "%%dag\nPython('b', '1')", "x", TASK], ["setup", "builder", "scratch", "task"]),
]


@pytest.mark.parametrize(("cells", "expected"), KINDS)
def test_the_kind_of_a_cell_follows_from_its_magic_tag_or_position(cells, expected):
    dag = dag_of(*cells)
    assert kinds(dag) == expected
    assert [each.index for each in dag.cells] == list(range(len(cells)))
    assert [each for each in structural(dag) if each.severity == "error"] == []


CODE = [
    ("%%task a --retries 2\nx = 1\n", "# %%task a --retries 2\nx = 1\n"),
    ("%%task a \\\n  --retries 2\nx = 1", "# %%task a \\\n# --retries 2\nx = 1"),
    ("%task a\nx = 1\n%dag\nx", "# %task a\nx = 1\n# %dag\nx"),
    ("%%task a\nif x:\n    %dag\n", "# %%task a\nif x:\n    pass  # %dag\n"),
    ('%%task a\nx = """\n%dag b\n%%task c\n"""', '# %%task a\nx = """\n%dag b\n%%task c\n"""'),
    ("%%task a\n%%time\nx = 1", "\n%%time\nx = 1"),
    ("%%task a\n\n%%capture out\n%dag\nx = 1", "\n\n%%capture out\n%dag\nx = 1"),
    ("%%task a\n# a remark\n%%time\nx = 1", "\n\n%%time\nx = 1"),
    ("%%task a\n!echo don't\n%dag", "# %%task a\n!echo don't\n# %dag"),
    (
        "%%task a\nx = (1 +\n  2)\n%edges a >> b \\\n  >> c\ny",
        "# %%task a\nx = (1 +\n  2)\n# %edges a >> b \\\n# >> c\ny",
    ),
    ("%%task a\nx = 7 % dag", "# %%task a\nx = 7 % dag"),
    ("%%task a\n%%dag", "# %%task a\n# %%dag"),
    ("%%task a\r\nx = 1\r\n", "# %%task a\nx = 1\n"),
    ("%%task a\nx = (", "# %%task a\nx = ("),
]


@pytest.mark.parametrize(("source", "code"), CODE)
def test_lines_of_nbdag_become_comments_and_other_lines_keep_their_numbers(source, code):
    dag = dag_of(source)
    assert dag.cells[0].source == source
    assert dag.cells[0].code == code
    assert code.count("\n") == source.count("\n")


def test_headers_are_parsed_into_options():
    dag = dag_of("%dag churn --retries 2 --tags a b --task-timeout 1m", "%%task a --timeout none\nx = 1", "%%task b\nx")
    assert (dag.id, dag.options.tags) == ("churn", ("a", "b"))
    assert (dag.tasks["a"].options.retries, dag.tasks["a"].options.timeout) == (2, None)
    assert dag.tasks["b"].options.timeout == 60.0
    assert dag.problems == ()


def test_declared_edges_have_a_place():
    dag = dag_of(TASK, "%%task b\ny = 2", "# order\n%edges a >> b")
    assert [(edge.source, edge.target, edge.declared) for edge in dag.edges] == [("a", "b", True)]


PARAMETERS = [
    (
        ["%%params\nn = 1\nname: str = 'a'  # which\nx = y = [1,\n 2]"],
        {"n": "1", "name": "'a'", "x": "[1, 2]", "y": "[1, 2]"},
    ),
    (["%%params\nn = 1", cell("n = 2", tags=["injected-parameters"])], {"n": "2"}),
    (["%%params\nn: int\na, b = 1, 2\nn += 1\nx.y = 3"], {}),
    (["%%params\nn = ("], {}),
    (["n = 1"], {}),
]


@pytest.mark.parametrize(("cells", "expected"), PARAMETERS)
def test_parameters_have_the_source_of_their_defaults(cells, expected):
    assert dag_of(*cells, TASK).parameters == expected


# -- ids ---------------------------------------------------------------------------------------------------------------

IDS = [
    ("churn.ipynb", "churn"),
    ("some/folder/my report v1.2.ipynb", "my_report_v1.2"),
    ("01-clean.ipynb", "_01-clean"),
    ("Été.ipynb", "Ete"),
    (".ipynb", "_"),
    ("a" * 300 + ".ipynb", "a" * 250),
    ("churn", "churn"),
]


@pytest.mark.parametrize(("name", "id"), IDS)
def test_the_id_of_an_unnamed_dag_is_the_name_of_its_file(name, id):
    assert dag_of(TASK, name=name).id == id


def test_a_file_name_that_is_not_a_valid_id_is_a_problem():
    dag = dag_of(TASK, name="日本.ipynb")
    assert [each.code for each in structural(dag)] == ["NB113"]
    assert structural(dag_of("%dag japan", TASK, name="日本.ipynb")) == []


# -- problems ----------------------------------------------------------------------------------------------------------

PROBLEMS = [
    (["%%task a --retires 2\nx = 1", "%%task b\nx"], "NB101", 0, 1, "unknown option --retires", "--retries?"),
    (["\n%%task 2x\nx = 1"], "NB101", 0, 2, "'2x' is not a valid name", "use letters"),
    (["%%task\nx = 1"], "NB101", 0, 1, "the task has no name", "%%task NAME"),
    (["%%setup now\nimport os", TASK], "NB101", 0, 1, "unexpected 'now'", "takes no name"),
    (["import os\n%dag x --tz Mars", TASK], "NB101", 0, 2, "--tz Mars is not a time zone", ""),
    ([TASK, "%edges a >>"], "NB101", 1, 1, "an edge needs a task on both sides", "%edges"),
    (["%%edges a >> b\nb >> c", TASK], "NB101", 0, 1, "%%edges is not a cell magic", "one percent sign"),
    ([TASK, "%%task a\ny = 1"], "NB102", 1, 1, "a second task is named 'a'; the first is cell 1", "rename one of them"),
    (["# load\n%%task a\nx = 1", TASK], "NB103", 0, 2, "%%task is not the first line", "above the comment"),
    (["# load\n%task a\nx = 1", TASK], "NB103", 0, 2, "%task is not the first line", "above the comment"),
    (["import os\n%%task b\nx = 1", TASK], "NB103", 0, 2, "%%task is not the first line", "start of a new cell"),
    (["%%task b\nx = 1\n%%setup\ny = 1"], "NB103", 0, 3, "%%setup is not the first line", "start of a new cell"),
    (["%%time\n%%task b\nx = 1", TASK], "NB103", 0, 2, "%%task is not the first line", "put it above %%time"),
    (["import os\n%%task b\nx = 1"], "NB103", 0, 2, "%%task is not the first line", "start of a new cell"),
    (["%%tsk b\nx = 1"], "NB104", 0, 1, "unknown magic %%tsk", "did you mean %%task?"),
    (["%%tsk b --timout 5m\nx = 1", TASK], "NB104", 0, 1, "unknown magic %%tsk", "did you mean %%task?"),
    (["%dag x --retry 2", TASK], "NB101", 0, 1, "unknown option --retry", "did you mean --retries?"),
    (["%dag x --retry ValueError", TASK], "NB101", 0, 1, "unknown option --retry", "did you mean --retry-on?"),
    (["%%taks b\nx = 1", TASK], "NB104", 0, 1, "unknown magic %%taks", "did you mean %%task?"),
    (["%%Task b --retries 1\nx = 1", TASK], "NB104", 0, 1, "unknown magic %%Task", "did you mean %%task?"),
    ([" %%task b\nx = 1", TASK], "NB103", 0, 1, "%%task is indented, so Jupyter does not", "remove the blanks"),
    (["%% task b\nx = 1", TASK], "NB104", 0, 1, "unknown magic %% task", "did you mean %%task?"),
    (["%% task b --timeout x\ny = 1", TASK], "NB104", 0, 1, "unknown magic %% task", "did you mean %%task?"),
    (["%% setup\nimport os", TASK], "NB104", 0, 1, "unknown magic %% setup", "did you mean %%setup?"),
    (["%%  params\nx = 1", TASK], "NB104", 0, 1, "unknown magic %%  params", "did you mean %%params?"),
    ([TASK, "%% skip\nprint(1)"], "NB104", 1, 1, "unknown magic %% skip", "did you mean %%skip?"),
    (["%% dag x\nx = 1", TASK], "NB104", 0, 1, "unknown magic %% dag", "did you mean %%dag?"),
    (["import os\n% dag x", TASK], "NB104", 0, 2, "unknown magic % dag", "did you mean %dag?"),
    (["%%%task b\nx = 1", TASK], "NB104", 0, 1, "unknown magic %%%task", "did you mean %%task?"),
    (["%%task: b\nx = 1", TASK], "NB104", 0, 1, "unknown magic %%task:", "did you mean %%task?"),
    (["%%param\nx = 1", TASK], "NB104", 0, 1, "unknown magic %%param", "did you mean %%params?"),
    (["%edge a >> b", TASK], "NB104", 0, 1, "unknown magic %edge", "did you mean %edges?"),
    (["%dag x", "\n%dag y", TASK], "NB105", 1, 2, "the first is in cell 1, line 1", "put all options into one line"),
    (["%dag x", "%%dag y\nPython('b', '1')", TASK], "NB105", 1, 1, "the first is in cell 1, line 1", "%%dag alone"),
    (["import os\n%%dag b\nx = 1", TASK], "NB103", 0, 2, "%%dag is not the first line", "start of a new cell"),
    (["%%daag x\nx = 1", TASK], "NB104", 0, 1, "unknown magic %%daag", "did you mean %%dag?"),
    (["%%dag x --retires 2\nx = 1", TASK], "NB101", 0, 1, "unknown option --retires", "--retries?"),
    ([TASK, "%%task b --operator bsh\nls"], "NB108", 1, 1, "unknown operator 'bsh'", "did you mean bash?"),
    ([TASK, "%%task b --operator sensor\nx\ny = 1\n"], "NB109", 1, 3, "must end with an expression", "end the cell"),
    ([TASK, "%%task b \\\n --operator sensor\nx;"], "NB109", 1, 3, "ends with ;", "remove the ;"),
    ([TASK, "%%params\nn = 1", "%%params\nm = 1"], "NB111", 2, 1, "the first is cell 2", "merge the cells"),
    ([cell(TASK, tags=["parameters"])], "NB112", 0, 1, "tag parameters and is %%task, too", "remove the tag"),
]


@pytest.mark.parametrize(("cells", "code", "index", "line", "message", "hint"), PROBLEMS)
def test_each_problem_is_reported_once_with_its_place(cells, code, index, line, message, hint):
    found = structural(dag_of(*cells))
    assert [each.code for each in found] == [code]
    assert found[0].severity == TABLE[code].severity
    assert (found[0].place.cell, found[0].place.line) == (index, line)
    assert message in found[0].message
    assert hint in found[0].hint


@pytest.mark.parametrize("source", ["\n%%task b\nx = 1", "  %%task b \\\n    --retries 1\n  x = 1"])
def test_blank_lines_and_the_indentation_of_a_whole_cell_are_ignored_as_in_jupyter(source):
    dag = dag_of(source)
    assert structural(dag) == [] and dag.errors == ()
    assert list(dag.tasks) == ["b"]


NOT_OURS = [
    "%% time\nx = 1",
    "%%ask what is a task?",
    "%%taks is not a header",
    "%%script bash\nls",
    "%setup_env x",
    "%tag",
    "%%task?",
    "%dag?",
]


@pytest.mark.parametrize("source", NOT_OURS)
def test_magics_of_other_packages_are_ignored(source):
    dag = dag_of(source, TASK)
    assert structural(dag) == []
    assert dag.cells[0].code == source


def test_an_invalid_header_still_defines_a_task_and_is_only_one_problem():
    dag = dag_of("%%task a --retires 2\nx = 1", "%%task b\ny = x")
    assert list(dag.tasks) == ["a", "b"]
    assert [each.code for each in dag.problems] == ["NB101"]
    assert dag.problems[0].task == "a"


@pytest.mark.parametrize(
    ("cells", "message"),
    [([], "no code"), ([""], "no code"), ([cell("# T", type="markdown")], "no code"), (["x = 1"], "no task")],
)
def test_a_notebook_without_tasks_gets_a_hint_how_to_tag_one(cells, message):
    dag = dag_of(*cells)
    assert [each.code for each in dag.problems] == ["NB107"]
    assert message in dag.problems[0].message
    assert "%%task NAME" in dag.problems[0].hint


def test_a_notebook_in_another_language_is_a_single_problem():
    dag = dag_of("x <- 1", "%%task a\ny <- 2", metadata={"kernelspec": {"name": "ir", "language": "R"}})
    assert [each.code for each in dag.problems] == ["NB110"]
    assert (dag.tasks, dag.language, dag.kernel_name) == ({}, "r", "ir")
    assert {each.kind for each in dag.cells} == {CellKind.SCRATCH}


# -- odd files that are fine -------------------------------------------------------------------------------------------

ODD = [
    text_of(TASK, minor=0),
    text_of(TASK, minor=4),
    text_of(TASK, minor=9),
    text_of(cell(TASK, id="same"), cell("%%task b\nx", id="same")),
    text_of(cell(["%%task a\n", "x = 1"])),
    text_of(cell([])),
    json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": TASK}]}),
    json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": TASK, "metadata": {"tags": "parameters"}}]}),
    text_of(
        TASK,
        metadata={"kernelspec": {"name": "python3", "display_name": "Python"}, "language_info": {"name": "python"}},
    ),
    text_of(TASK, metadata={"kernelspec": "odd", "widgets": {"x": [1]}, "papermill": None}),
    text_of(TASK, metadata=None),
    text_of(TASK, metadata={"nbdag": "mine"}),
    text_of(cell(TASK, metadata=None)),
    text_of(cell(TASK, metadata={"nbdag": "mine", "tags": None})),
    text_of(cell(TASK, metadata={"nbdag": {"built": "mine"}})),
    text_of(TASK, extra="ignored"),
    text_of(cell("# T", type="markdown", attachments={"a.png": {}}), cell("", type="raw")),
    "\ufeff" + text_of(TASK),
]


@pytest.mark.parametrize("text", ODD)
def test_unusual_notebooks_of_format_4_are_read(text, tmp_path):
    file = tmp_path / "odd.ipynb"
    file.write_text(text, encoding="utf-8")
    dag = read(file)
    assert dag.id == "odd"
    assert [each.code for each in dag.errors] in ([], ["NB107"])
    assert without_built(text, name="odd.ipynb")
    bare = json.loads(text.removeprefix("\ufeff"))
    shown = [TaskOutcome(task=task, state=TaskState.SUCCESS, started=1.0, ended=2.0) for task in dag.tasks]
    nb = report(json.dumps(bare), dag, shown)
    assert [each["metadata"]["nbdag"]["task"] for each in nb["cells"] if "nbdag" in each["metadata"]] == list(dag.tasks)


def test_reading_a_notebook_emits_no_warning(recwarn):
    dag_of("%%task a --check \"x is 1\"\nx = '\\d'")
    assert list(recwarn) == []


# -- files that are refused --------------------------------------------------------------------------------------------

REFUSED = [
    (b"", "is empty"),
    (b"  \n", "is empty"),
    (b"\xef\xbb\xbf", "is empty"),
    (b"print('x')", "is not valid JSON (line 1, column 1"),
    (b'{"nbformat": 4,\n "cells": [}', "is not valid JSON (line 2, column 12"),
    (b'{"nbformat": 4,\n<<<<<<< HEAD\n "cells": []}', "resolve the merge conflict"),
    (b"[" * 100_000, "is not valid JSON"),
    (b'{"nbformat": ' + b"1" * 5000 + b"}", "is not valid JSON"),
    ('{"nbformat": 4}'.encode("utf-16"), "is not UTF-8 text (byte 0)"),
    (b'{"nbformat": 4, "cells": ["\xff"]}', "is not UTF-8 text (byte 27)"),
    (b"[]", "is JSON but not a notebook"),
    (b"null", "is JSON but not a notebook"),
    (b'{"cells": []}', "is JSON but not a notebook"),
    (b'{"nbformat": "4", "cells": []}', "is JSON but not a notebook"),
    (b'{"nbformat": true, "cells": []}', "is JSON but not a notebook"),
    (b'{"nbformat": 3, "worksheets": []}', "jupyter nbconvert --to notebook --nbformat 4"),
    (b'{"nbformat": 5, "cells": []}', "has notebook format 5"),
    (b'{"nbformat": 4}', "without a list of cells"),
    (b'{"nbformat": 4, "cells": {}}', "without a list of cells"),
    (b'{"nbformat": 4, "cells": [1]}', "invalid cell (0, counted from 0): it is not a JSON object"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "sql", "source": ""}]}', "unknown type 'sql'"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}', "its source is not text"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}', "its source is not text"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "\\ud800"}]}', "half of a character"),
]


@pytest.mark.parametrize(("content", "words_of_it"), REFUSED)
def test_invalid_notebook_text_is_rejected_in_one_sentence(content, words_of_it, tmp_path):
    file = tmp_path / "bad.ipynb"
    file.write_bytes(content)
    with pytest.raises(NotebookError) as caught:
        read(file)
    told = str(caught.value)
    assert told.startswith(str(file))
    assert words_of_it in told
    assert "\n" not in told
    assert "; " in told
    assert caught.value.exit_code == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
odd_cells = st.fixed_dictionaries(
    {},
    optional={
        "cell_type": st.sampled_from(["code", "markdown"]) | json_values,
        "source": st.sampled_from([TASK, ["x\n", "y"]]) | json_values,
        "metadata": st.fixed_dictionaries({}, optional={"tags": json_values}) | json_values,
    },
)
odd_notebooks = st.fixed_dictionaries(
    {"nbformat": st.just(4) | json_values, "cells": st.lists(odd_cells | json_values, max_size=3) | json_values},
    optional={"metadata": st.dictionaries(st.sampled_from(["kernelspec", "language_info"]), json_values) | json_values},
)


@given(st.binary(max_size=20) | (json_values | odd_notebooks).map(lambda value: json.dumps(value).encode()))
def test_any_file_is_read_or_rejected(content):
    with contextlib.suppress(NotebookError):
        read_text(content, name="x.ipynb")


@pytest.mark.parametrize(
    ("path", "words_of_it"),
    [
        ("chrun.ipynb", "does not exist; did you mean {}/churn.ipynb?"),
        ("churn", "does not exist; did you mean {}/churn.ipynb?"),
        ("zzz.ipynb", "does not exist; its folder has churn.ipynb"),
        ("nowhere/churn.ipynb", "does not exist; folder {}/nowhere does not exist"),
        ("churn.ipynb/x.ipynb", "does not exist; part of its path is a file"),
        (".", "is a folder; name a notebook in it, such as {}/churn.ipynb"),
        ("x\0.ipynb", "cannot be read"),
    ],
)
def test_a_missing_path_is_rejected_with_the_nearest_existing_one(path, words_of_it, tmp_path):
    (tmp_path / "churn.ipynb").write_text(text_of(TASK))
    with pytest.raises(NotebookError) as caught:
        read(f"{tmp_path}/{path}" if path != "." else str(tmp_path))
    assert words_of_it.format(tmp_path) in str(caught.value)


# -- operators ---------------------------------------------------------------------------------------------------------


def test_reads_of_a_shell_task_are_found_in_its_python_code():
    dag = dag_of("%%task a\nurl = 'x'", "%%task b --operator bash\ncurl $url\n%dag is no magic here")
    assert dag.tasks["b"].reads == ("url",)
    assert [(edge.source, edge.target) for edge in dag.edges] == [("a", "b")]
    assert dag.tasks["b"].code.count("\n") == 2
    assert dag.problems == ()


def test_dag_can_set_a_default_operator_for_all_tasks():
    dag = dag_of("%dag x --operator bash", "%%task a\necho {1..3}\n%dag", "%%task b --operator python\nx = 1")
    assert dag.tasks["a"].code.startswith("# %%task a\n__import__")
    assert dag.tasks["b"].code == "# %%task b --operator python\nx = 1"


def test_the_code_of_a_custom_operator_is_analysed(monkeypatch):
    monkeypatch.setattr(operators.registry, "_registered", {})

    @operators.register("shout")
    class Shout:
        def source(self, body, options):
            return "\n".join(f"{options.out[0]} = {line.strip()}.upper()" for line in body.split("\n"))

    dag = dag_of("%%task a\nword = 'x'", "%%task b --operator shout --out loud\nword", "%%task c\nprint(loud)")
    assert [(edge.source, edge.target) for edge in dag.edges] == [("a", "b"), ("b", "c")]
    assert dag.problems == ()


def test_variables_of_a_script_are_reads_only_if_a_cell_sets_them():
    dag = dag_of(
        "%%params\nday = 1", "%%task a\nurl = f = 'x'",
        "%%task b --operator bash\ncurl $url $day {url}\nawk '{print}' x | jq '{id}' $ulr\nfor f in *; do echo $f; done",
    )  # fmt: skip
    assert [(each.code, each.place.line, each.hint) for each in dag.problems] == [
        ("NB116", 2, 'write "$url"'), ("NB116", 3, "did you mean $url?"),
    ]  # fmt: skip
    assert dag.tasks["b"].reads == ("url", "day")
    below = dag_of("%%task b --operator bash\ncurl $url", "%%task a\nurl = 'x'")
    assert [each.code for each in below.errors] == ["NB201"]


USELESS = {
    "--zip without --map": ("%%task a --zip\n1", "--zip pairs maps"),
    "--poke without a sensor": ("%%task a --poke 3s\n1", "--poke is for sensors"),
    "--max-map-length without --map": ("%%task a --max-map-length 3\n1", "there is no --map"),
    "--reschedule without a sensor": ("%%task a --reschedule\n1", "--reschedule is for sensors"),
}


@pytest.mark.parametrize("name", USELESS)
def test_an_option_without_effect_is_an_error(name):
    header, sentence = USELESS[name]
    (error,) = dag_of(header).errors
    assert error.code == "NB314" and sentence in error.message and error.hint


@pytest.mark.parametrize(
    "cells",
    [
        ["%%task a --map x=[1] --map y=[2] --zip\n1"],
        ["%%task a --operator sensor --reschedule\n1"],
        ["%dag --reschedule", "%%task a\n1", "%%task b --operator sensor\n1"],
    ],
)
def test_an_option_with_its_partner_is_no_error(cells):
    assert not dag_of(*cells).errors


class Wait(operators.Sensor):
    """A sensor of the user's."""


def test_a_sensor_is_known_by_its_class_under_any_name(monkeypatch):
    monkeypatch.setattr(operators.registry, "_registered", {})
    operators.register("wait_for")(Wait)
    dag = dag_of("%%task a --operator wait_for --reschedule\n1 == 2", "%%task b\n1")
    assert not dag.errors
    assert (dag.tasks["a"].polls, dag.tasks["b"].polls) == (True, False)
