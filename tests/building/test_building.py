"""Notebooks with a `%%dag` cell, built: the real process, what it sees, and what it is answered with."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from patience import limits, until

import nbdag
from nbdag import building, notebooks
from nbdag.building import BuiltNotebook
from nbdag.building.process import LIMIT

Write = Callable[..., Path]
TASK = "%%task extract\nX = [1, 2, 3]"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A notebook in the test's folder; a cell that begins with #params has papermill's tag."""

    def write(*cells: str, minor: int = 5, kernel: str = "python3") -> Path:
        made = []
        for cell in cells:
            kind = nbformat.v4.new_markdown_cell if cell.startswith("# ") else nbformat.v4.new_code_cell
            made.append(kind(cell))
            if cell.startswith("#params"):
                made[-1].metadata["tags"] = ["parameters"]
        spec = {"name": kernel, "display_name": kernel, "language": "python"}
        nb = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": spec})
        nb.nbformat_minor = minor
        if minor < 5:
            for cell in nb.cells:
                del cell["id"]
        path = tmp_path / "sweep.ipynb"
        path.write_text(json.dumps(nb))
        return path

    return write


def problems(dag: nbdag.Dag) -> list[tuple[str, int, int]]:
    return [(each.code, each.place.cell, each.place.line) for each in dag.problems if each.place is not None]


SWEEP = (
    "# A sweep",
    "#params\nn = 2",
    "def fit(X, depth): return sum(X) * depth",
    TASK,
    "%%dag sweep --retries 1 --owner ml\n"
    "names = [f'm{depth}' for depth in range(n)]\n"
    "fits = [Python(f'fit_{depth}', f'm{depth} = fit(X, {depth})', timeout='1m') for depth in range(n)]\n"
    "Python('best', f'best = max({\", \".join(names)}, 0)') << fits",
    "best",
    "%%task report\nprint(best)",
)


def test_a_built_notebook_is_an_ordinary_notebook(write: Write) -> None:
    dag = nbdag.read(write(*SWEEP))
    assert dag.problems == ()
    assert (dag.id, dag.options.owner, dag.unbuilt) == ("sweep", "ml", False)
    assert list(dag.tasks) == ["extract", "fit_0", "fit_1", "best", "report"]
    assert {(edge.source, edge.target, edge.declared) for edge in dag.edges} == {
        ("extract", "fit_0", False), ("extract", "fit_1", False), ("fit_0", "best", True), ("fit_1", "best", True),
        ("best", "report", False),
    }  # fmt: skip
    assert (dag.tasks["fit_1"].options.retries, dag.tasks["fit_1"].options.timeout) == (1, 60.0)
    # What stands below the %%dag cell and is no task is scratch, whether or not a task of the file's own is above.
    assert [cell.kind.value for cell in dag.cells if cell.source == "best"] == ["scratch"]


def test_parameters_decide_the_shape(write: Write) -> None:
    built = building.read_built(write(*SWEEP), parameters={"n": 4})
    assert [task for task in built.dag.tasks if task.startswith("fit")] == ["fit_0", "fit_1", "fit_2", "fit_3"]


def test_places_refer_to_the_file(write: Write) -> None:
    """A built task is where it was made; what stands below it is where the file has it."""
    dag = nbdag.read(write(*SWEEP, "%%task last\nprint(nosuch)"))
    assert problems(dag) == [("NB201", 7, 2)]
    at = {task.id: dag.cells[task.cell].at(1) for task in dag.tasks.values()}
    assert {id: (place.cell, place.line) for id, place in at.items()} == {
        "extract": (3, 1), "fit_0": (4, 3), "fit_1": (4, 3), "best": (4, 4), "report": (6, 1), "last": (7, 1),
    }  # fmt: skip
    (use,) = next(edge.names for edge in dag.edges if edge.target == "report")
    assert (use.written_at.cell, use.written_at.line, use.read_at.cell, use.read_at.line) == (4, 4, 6, 2)


@pytest.mark.slow
def test_built_cells_are_marked_and_the_notebook_is_valid(write: Write) -> None:
    for minor in (2, 5):
        path = write(*SWEEP, minor=minor)
        built = building.read_built(path)
        nb = nbformat.reads(built.text.decode(), as_version=4)
        nbformat.validate(nb)
        assert built.source == path.read_bytes()
        assert [cell.metadata.get("nbdag") for cell in nb.cells][4:8] == [
            {"built": 0}, {"built": 3}, {"built": 3}, {"built": 4},
        ]  # fmt: skip
        assert notebooks.read_text(built.text, name="sweep.ipynb") == built.dag
        assert building.read_built(path).text == built.text  # the same again, so that it is stored once


@pytest.mark.slow
def test_a_built_notebook_can_be_built_again(write: Write) -> None:
    path = write(*SWEEP)
    built = building.read_built(path)
    path.write_bytes(built.text)
    again = building.read_built(path, parameters={"n": 1})
    assert list(again.dag.tasks) == ["extract", "fit_0", "best", "report"]
    assert building.read_built(path).text == built.text


@pytest.mark.slow
def test_a_copied_built_cell_is_an_ordinary_cell(write: Write) -> None:
    path = write(*SWEEP)
    nb = nbformat.reads(building.read_built(path).text.decode(), as_version=4)
    (fit,) = [cell for cell in nb.cells if cell.source.startswith("%%task fit_1")]
    copied = nbformat.from_dict({**fit, "id": "copied", "source": fit.source.replace("fit_1", "mine")})
    note = nbformat.v4.new_markdown_cell("A report has such beside a task that failed.")
    nb.cells = [*nb.cells[:6], note, *nb.cells[6:], copied]
    path.write_text(json.dumps(nb))
    dag = nbdag.read(path)
    assert list(dag.tasks) == ["extract", "fit_0", "fit_1", "best", "report", "mine"]
    place = dag.cells[dag.tasks["mine"].cell].at(1)
    assert (place.cell, place.line) == (8, 1)  # the copy, below the note


def test_a_notebook_without_a_dag_cell_is_unchanged(write: Write) -> None:
    built = building.read_built(write("%dag x", TASK, "# as %%dag would"))
    assert built.text is built.source


def built(write: Write, *cells: str, **said: Any) -> BuiltNotebook:
    return building.read_built(write(*cells), **said)


# -- what the code sees ------------------------------------------------------------------------------------------------


def test_only_the_needed_cells_run_before_the_body(write: Write, tmp_path: Path) -> None:
    made = built(
        write,
        "from pathlib import Path",
        "Path('touched').touch()\nheavy = 1",
        "#params\ncount = 1",
        "limit = count + 1",
        "%%dag\nfor n in range(limit): Python(f'a{n}', '1')",
    )
    assert list(made.dag.tasks) == ["a0", "a1"]
    assert not (tmp_path / "touched").exists()


def test_it_runs_in_the_notebooks_folder_beside_its_modules(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from nbdag.operators import Bash\n"
        "class Fetch(Bash):\n"
        "    def __init__(self, task_id, url, **options):\n"
        "        super().__init__(task_id, f'curl {url}', **options)\n"
        "def load(path): ...\n"
    )
    (tmp_path / "a.csv").touch()
    (tmp_path / "json.py").write_text("raise SystemExit('it hides a module of Python's own')")
    made = built(
        write,
        "%%dag\nfrom pathlib import Path\nfrom mine import Fetch, load\nFetch('fetch', 'x')\n"
        "for path in Path().glob('*.csv'): Python(path.stem, load, path)",
    )
    assert made.dag.problems == ()
    assert [task.options.operator for task in made.dag.tasks.values()] == ["bash", "python"]
    setup = [cell.source for cell in made.dag.cells if cell.kind.value == "setup"]
    assert setup == ["%%setup\nfrom mine import Fetch, load"]


def test_the_body_may_use_ipythons_syntax(write: Write) -> None:
    body = "%%dag\nfiles = !echo a b\nimport asyncio\nawait asyncio.sleep(0)\n%time Python('a', '1')\nPython(files[0].split()[1], '2')"
    assert list(built(write, body).dag.tasks) == ["a", "b"]


def test_the_output_of_the_body_is_kept_with_the_cell(write: Write) -> None:
    made = built(write, "%%dag\nprint('three')\n!echo four\nPython('a', '1')")
    assert made.printed == "three\nfour\n"
    nb = nbformat.reads(made.text.decode(), as_version=4)
    assert nb.cells[0].outputs == [{"output_type": "stream", "name": "stdout", "text": "three\nfour\n"}]


@pytest.mark.parametrize("end", ["1 / 0", "import os; os._exit(3)"])
def test_the_output_of_a_failed_body_is_reported(end: str, write: Write) -> None:
    made = built(write, f"%%dag\nprint('three', flush=True)\n{end}")
    assert (made.printed, made.dag.unbuilt) == ("three\n", True)


@pytest.mark.slow
def test_the_kept_output_is_limited(write: Write) -> None:
    assert len(built(write, "%%dag\nfor n in range(30_000): print('x' * 9)\nPython('a', '1')").printed) == 100_000


def test_two_cells_may_build(write: Write) -> None:
    made = built(write, "%%dag x\na = Python('a', 'v = 1')", TASK, "%%dag\nb = Python('b', 'print(v)')\na >> b")
    assert made.dag.problems == ()
    assert list(made.dag.tasks) == ["a", "extract", "b"]
    assert made.dag.upstream["b"] == ("a",)


def test_edges_to_tasks_of_the_file_may_go_both_ways(write: Write) -> None:
    dag = built(write, TASK, "%%dag\n'extract' >> Python('a', '1') >> 'report'", "%%task report\n1").dag
    assert dag.problems == ()
    assert {(edge.source, edge.target) for edge in dag.edges} == {("extract", "a"), ("a", "report")}


# -- what goes wrong ---------------------------------------------------------------------------------------------------

WRONG = [
    # cells, then code, cell, line, message, hint
    (["%%dag x\n1 / 0"], "NB114", 0, 2, "ZeroDivisionError: division by zero", ""),
    (["def f():\n    1 / 0", "%%dag\nx = 1\nf()"], "NB114", 1, 3, "ZeroDivisionError", ""),
    (["x = 1\n1 / 0", "%%dag\nprint(x)"], "NB114", 0, 2, "a setup cell that %%dag needs failed: ZeroDivision", ""),
    (["%%dag\nPython('a', '1', retires=2)"], "NB114", 0, 2, "unknown keyword retires for Python", "did you mean retries?"),
    (["%%dag\n\nfor n in (1, 2): task(n)"], "NB114", 0, 3, "NameError: name 'task'", "set task in setup"),
    (["%%dag\npython('a', '1')"], "NB114", 0, 2, "NameError: name 'python'", "did you mean Python?"),
    ([TASK, "%%dag\nfor x in X: Python('a', '1')"], "NB114", 1, 2, "NameError: name 'X'", "task extract sets X"),
    (["%%dag\nprint(dag_run.logical_date)"], "NB114", 0, 2, "NameError", "cannot use dag_run"),
    (["%%dag\nfor n in (1, 2):\n    def f(): ...\n    Python(f'a{n}', f)"], "NB114", 0, 2, "f is defined in a loop", ""),
    (["%%dag x\n# nothing"], "NB114", 0, 1, "no code below %%dag", "with one percent sign"),
    (["%%dag x\nPython('a', '1'"], "NB208", 0, 2, "invalid syntax", "correct the cell"),
    (["x = (", "%%dag x\nprint(x)"], "NB208", 0, 1, "syntax error", ""),
    (["%%dag\nraise SystemExit(3)"], "NB114", 0, 2, "SystemExit: 3", ""),
    (["%%dag\nimport os\nprint('last words')\nos._exit(3)"], "NB114", 0, 1, "ended with exit code 3", ""),
    (["%%dag\nimport os\nos.kill(os.getpid(), 9)"], "NB114", 0, 1, "ended by SIGKILL", ""),
    (["%%dag\nx = 1"], "NB107", None, None, "the code of %%dag created no task", "create one there"),
    ([TASK, "%%dag\nPython('extract', '1')"], "NB102", 1, 2, "a second task is named 'extract'; the first is cell 1", ""),
    (["%%dag\nPython('extract', '1')", TASK], "NB102", 1, 1, "the first is built by cell 1, line 2", ""),
    (["%%dag\nx = 1\nPython('a', 'y = (')"], "NB208", 0, 3, "line 1 of a", ""),
    (["%%dag\nPython('a', '''x = 1\nnosuch''')"], "NB201", 0, 2, "sets nosuch (line 2 of a)", ""),
    (["%%dag\nPython('a', '1', after='nosuch')"], "NB203", 0, 2, "unknown task nosuch", ""),
    (["%%dag\na = Python('a', '1')\nb = Python('b', '1')\na >> b >> a"], "NB202", 0, 2, "a circle: a -> b -> a", ""),
    (["%%dag x\nPython('a', '1')", "%dag y"], "NB105", 1, 1, "the first is in cell 1, line 1", "%%dag alone"),
    (["%%dag --retires 2\nPython('a', '1')"], "NB101", 0, 1, "unknown option --retires", ""),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "code", "cell", "line", "message", "hint"), WRONG)
def test_an_error_is_one_problem_with_its_place(write, cells, code, cell, line, message, hint) -> None:
    (found,) = nbdag.read(write(*cells)).errors
    assert found.code == code
    assert (found.place and found.place.cell, found.place and found.place.line) == (cell, line)
    assert message.replace("a circle", "form a cycle") in found.message
    assert hint in found.hint


def test_missing_tasks_cause_no_further_problems(write: Write) -> None:
    dag = nbdag.read(write("%%dag\n1 / 0", "%%task report --after best\nprint(best)"))
    assert [each.code for each in dag.problems] == ["NB114"]
    assert dag.unbuilt


@pytest.mark.slow
def test_endless_code_is_killed_with_its_children(write: Write, monkeypatch, tmp_path: Path) -> None:
    path = write(
        "%%dag\nimport subprocess, sys\nsubprocess.Popen(['sleep', '987'], start_new_session=True)\n"
        "open('begun', 'w').close()\nwhile True: pass"
    )
    for limit in limits(0.8):
        monkeypatch.setenv(LIMIT, str(limit))
        (found,) = nbdag.read(path).errors
        message = f"the code of %%dag was killed after {limit:g} s of processor time"
        assert (found.code, found.message) == ("NB114", message)
        assert "move slow work into tasks" in found.hint
        until(lambda: not _left(tmp_path), "no process is left")
        if (tmp_path / "begun").exists():
            break


@pytest.mark.slow
def test_code_that_waits_is_not_charged_for_it(write: Write, monkeypatch) -> None:
    first = "from nbdag.operators.python import Python\nimport time\n"
    path = write(f"%%dag\n{first}time.sleep(2)\nPython('one', 'x = 1')")
    for limit in limits(0.8):  # processor time for the imports, on any machine; the code waits longer than the first
        monkeypatch.setenv(LIMIT, str(limit))
        dag = nbdag.read(path)
        if not dag.errors:
            break
        assert "of processor time" in dag.errors[0].message
    assert list(dag.tasks) == ["one"]


@pytest.mark.slow
def test_code_that_waits_for_ever_is_killed(write: Write, monkeypatch) -> None:
    monkeypatch.setenv(LIMIT, "0.5")
    monkeypatch.setattr("nbdag.building.process._processor_time", lambda pid: 0.0)
    (found,) = nbdag.read(write("%%dag\nimport time\ntime.sleep(1000)")).errors
    assert found.message == "the code of %%dag was killed after 5 s"


def _left(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid != os.getpid()
                and Path(process.cwd()) == folder
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_remaining_child_processes_are_killed(write: Write, tmp_path: Path) -> None:
    made = built(write, "%%dag\nimport subprocess\nsubprocess.Popen(['sleep', '987'])\nPython('a', '1')")
    assert list(made.dag.tasks) == ["a"]
    until(lambda: not _left(tmp_path), "no process is left")


@pytest.mark.parametrize("said", ["soon", "-1", "0"])
def test_an_invalid_time_limit_is_rejected(said: str, write: Write, monkeypatch) -> None:
    monkeypatch.setenv(LIMIT, said)
    assert "not a number of seconds" in nbdag.read(write("%%dag\nPython('a', '1')")).errors[0].message


def test_it_runs_with_the_python_of_the_notebooks_kernel(write: Write, monkeypatch, tmp_path: Path) -> None:
    """Its command and its environment are the specification's."""
    folder = tmp_path / "jupyter" / "kernels" / "mine"
    folder.mkdir(parents=True)
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nWRAPPED=yes exec {sys.executable} "$@"\n')
    script.chmod(0o755)
    argv = ["{resource_dir}/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    told = {"argv": argv, "display_name": "mine", "language": "python", "env": {"TOLD": "so"}}
    (folder / "kernel.json").write_text(json.dumps(told))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = write("%%dag\nimport os\nPython(os.environ['WRAPPED'] + os.environ['TOLD'], '1')", kernel="mine")
    assert list(nbdag.read(path).tasks) == ["yesso"]


def test_a_python_without_nbdag_is_reported(write: Write, monkeypatch, tmp_path: Path) -> None:
    folder = tmp_path / "jupyter" / "kernels" / "bare"
    folder.mkdir(parents=True)
    argv = [sys.executable, "-I", "-S", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "bare", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    (found,) = nbdag.read(write("%%dag\nPython('a', '1')", kernel="bare")).errors
    assert "does not have nbdag" in found.message


def test_reading_without_building_runs_nothing(write: Write, tmp_path: Path) -> None:
    dag = notebooks.read(write("%%dag\nopen('ran', 'w')\nPython('a', '1')", TASK))
    assert dag.unbuilt
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("body", "code", "hint"),
    [
        ("a = Python('a', 'x = 1')\nb = Python('b', 'y = x')\nb >> a", "NB202", "remove the declaration that puts a after b"),
        ("a = Python('a', 'x = 1', out='x')\nb = Python('b', abs, a.output, out='y')\nb >> a", "NB202",
         "remove the declaration that puts a after b"),
        ("b = Python('b', 'y = x')\na = Python('a', 'x = 1')", "NB201", "create a before b, or add the dependency a >> b"),
    ],
)  # fmt: skip
def test_a_cycle_is_reported_with_its_path(write: Any, body: str, code: str, hint: str) -> None:
    (found,) = building.read_built(write(f"%%dag\n{body}")).dag.errors
    assert (found.code, found.hint) == (code, hint)
