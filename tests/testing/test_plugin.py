"""The pytest plugin: fixtures that run a task or a notebook, items for notebooks, snapshots, coverage."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

# Imported before pytester runs tests in this process, because pytester forgets what they import.
import IPython.core.magics  # noqa: F401
import pytest
from explained_examples import notebook

import nbdag.operators.python
import nbdag.operators.tasks  # noqa: F401
from nbdag import runs
from nbdag.testing import items, notebook_run, run_task, snapshots  # noqa: F401

for _name in runs.__all__:
    getattr(runs, _name)  # imports its module

pytest_plugins = "pytester"

CHURN = """%load_ext nbdag
%dag churn
# %%
%%setup
import statistics
def mean(values):
    return statistics.mean(values)
# %%
%%params
limit: int = 2
# %%
%%task load
orders = [3, 1, 2]
# %%
%%task total --out average large
print("adding")
display("shown")
average = mean(orders)
large = [each for each in orders if each > limit]
orders.append(0)
{"average": average}
# %%
%%task fails
assert sum(orders) > 100, "too few orders"
# %%
%%task after --after fails
print("after")
"""
GOOD = CHURN.partition("# %%\n%%task fails")[0]


@pytest.fixture
def tests(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with notebooks, whose tests use the plugin."""
    if not any(each.value == "nbdag.testing.plugin" for each in entry_points(group="pytest11")):
        pytester.plugins.append("nbdag.testing.plugin")  # this environment is older than the entry point
    folder = pytester.mkdir("notebooks")
    for name, text in (("churn", CHURN), ("good", GOOD), ("plain", "x = 1\n# %%\nprint(x)")):
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook(text)))
    return pytester


def run(tests: pytest.Pytester, code: str, *words: str) -> pytest.RunResult:
    tests.makepyfile(code)
    return tests.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", *words)


def test_the_plugin_is_an_entry_point_that_imports_nothing_heavy() -> None:
    code = (
        "import pytest, sys; before = set(sys.modules); import nbdag.testing.plugin; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"nbdag", "nbdag.testing", "nbdag.testing.marks", "nbdag.testing.plugin"}
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'pytest11]\nnbdag = "nbdag.testing.plugin"' in text


def test_a_task_runs_with_given_inputs(tests: pytest.Pytester) -> None:
    done = run(
        tests,
        """
        import os, pytest, sys
        from nbdag.testing import TaskTestError

        def test_outputs(task):
            here, main = os.getcwd(), sys.modules["__main__"]
            done = task("notebooks/churn.ipynb", "total", inputs={"orders": [4, 6]})
            assert done["average"] == 5 and done["large"] == [4, 6]
            assert done["orders"] == [4, 6, 0], "changed in place"
            assert done.value == {"average": 5}
            assert [str(each) for each in done.displays] == ["'shown'", "{'average': 5}"]
            assert (done.stdout, done.stderr, done.skipped) == ("adding\\n", "", None)
            assert (os.getcwd(), sys.modules["__main__"]) == (here, main)
            with pytest.raises(KeyError, match="did you mean average"):
                done["averag"]

        def test_parameters(task):
            assert task("notebooks/churn.ipynb", "total", inputs={"orders": [1]}, parameters={"limit": 0})["large"] == [1]

        def test_a_name_of_setup_can_be_replaced(task):
            done = task("notebooks/churn.ipynb", "total", inputs={"orders": [1], "mean": lambda values: 7})
            assert done["average"] == 7

        @pytest.mark.parametrize(("words", "message"), [
            (("total", {}), "task total needs orders of load; pass inputs={\\"orders\\": …}"),
            (("total", {"ordrs": 1}), "task total does not read ordrs; did you mean orders?"),
            (("totl", {}), "unknown task 'totl'; did you mean total?"),
        ])
        def test_mistakes(task, words, message):
            with pytest.raises(TaskTestError) as found:
                task("notebooks/churn.ipynb", words[0], inputs=words[1])
            assert message in str(found.value)

        def test_an_unknown_parameter(task):
            with pytest.raises(TaskTestError, match="unknown parameter limt; did you mean limit"):
                task("notebooks/churn.ipynb", "total", inputs={"orders": [1]}, parameters={"limt": 0})

        def test_no_notebook(task):
            with pytest.raises(Exception, match="churm.ipynb does not exist; did you mean"):
                task("notebooks/churm.ipynb", "total")
        """,
    )
    done.assert_outcomes(passed=8)


def test_an_error_of_a_cell_shows_the_line_of_the_cell(tests: pytest.Pytester) -> None:
    done = run(tests, "def test_it(task): task('notebooks/churn.ipynb', 'fails', inputs={'orders': [1]})")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*assert sum(orders) > 100, *too few orders*", "*churn.ipynb?fails?:2: AssertionError"])
    assert "shell.py" not in done.stdout.str(), "only frames of the test and of the cell are shown"


def test_what_cells_may_contain(tests: pytest.Pytester) -> None:
    cells = [
        "%%task magic\n%time x = 1\nfiles = !echo hello\nawait_me = 1",
        "%%task waits\nimport asyncio\nawait asyncio.sleep(0)\ny = 2",
        "%%task skips\nimport nbdag\nraise nbdag.Skip('nothing new')",
        "%%task never --when False\nz = 1",
        "%%task checked --check 'z > 1'\nz = 1",
        "%%task each --map n=files\nm = n * 2",
        "%%task pulls\nq = dag_run.ti.xcom_pull('waits', key='y')\ndag_run.ti.xcom_push('k', q)",
        "%%task choose --branch\n'left'",
        "%%task left --after choose\nclass C: pass\nc = C()",
        "%%task uses\nassert isinstance(c, C)\nget_ipython().user_ns['c'] is c",
    ]
    (tests.path / "cells.ipynb").write_text(json.dumps(notebook("\n# %%\n".join(cells))))
    done = run(
        tests,
        """
        import nbdag, pytest
        @pytest.fixture
        def cell(task):
            return lambda name, **inputs: task("cells.ipynb", name, inputs=inputs)

        def test_magics(cell): assert list(cell("magic")["files"]) == ["hello"]
        def test_await(cell): assert cell("waits")["y"] == 2
        def test_skip(cell): assert cell("skips").skipped == "nothing new"
        def test_when(cell): assert cell("never").skipped == "--when False is false"
        def test_check(cell):
            with pytest.raises(nbdag.Fail, match="z = 1"): cell("checked")
        def test_map(cell):
            assert cell("each", n=4)["m"] == 8
            with pytest.raises(Exception, match="is mapped over n"): cell("each")
        def test_pull(cell):
            done = cell("pulls", y=5)
            assert done["q"] == 5 and done.pushed == {"k": 5}
        def test_branch(cell): assert cell("choose").chosen == ("left",)
        def test_definitions_of_other_tasks(task):
            with pytest.raises(AssertionError): task("cells.ipynb", "uses", inputs={"c": 1})
        """,
    )
    done.assert_outcomes(passed=9)


def test_notebooks_are_checked_and_their_tasks_left_out_unless_asked_for(tests: pytest.Pytester) -> None:
    (tests.path / "notebooks" / "wrong.ipynb").write_text(json.dumps(notebook("%%task a\nprint(missing)")))
    (tests.path / "notebooks" / "broken.ipynb").write_text("{")
    (tests.path / "notebooks" / ".ipynb_checkpoints").mkdir()
    (tests.path / "notebooks" / ".ipynb_checkpoints" / "x-checkpoint.ipynb").write_text("{")
    done = tests.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "--nbdag", "notebooks")
    done.assert_outcomes(errors=1, deselected=7)
    done.stdout.fnmatch_lines(["*broken.ipynb is not valid JSON*"])
    (tests.path / "notebooks" / "broken.ipynb").unlink()
    done = tests.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "--nbdag", "-v", "notebooks")
    done.assert_outcomes(passed=2, failed=1, deselected=7)
    done.stdout.fnmatch_lines(["wrong.ipynb: cell 1, line 2: NB201 error: no cell above sets missing*"])
    assert "plain.ipynb" not in done.stdout.str(), "a notebook without tasks is no pipeline"
    assert tests.runpytest_inprocess("-p", "no:cacheprovider", "notebooks").ret == pytest.ExitCode.NO_TESTS_COLLECTED


TEXT = "# %%\n# %%task load\norders = [3]\n# %%\n# %%task total\nprint(sum(ordres))\n"
MYST = "---\njupytext:\n  formats: md:myst\n---\n\n```{code-cell} python\n%%task load\norders = [3]\n```\n"


def test_text_notebooks_are_checked(tests: pytest.Pytester) -> None:
    folder = tests.path / "texts"
    folder.mkdir()
    (folder / "sales.py").write_text(TEXT)
    (folder / "good.md").write_text(MYST)
    (folder / "README.md").write_text("Prose.\n\n```python\n%%task load\nprint(missing)\n```\n")
    (folder / "helpers.py").write_text("raise ValueError('imported')\n")
    (folder / "test_it.py").write_text(f'"""\n{TEXT}"""\ndef test_it(): pass\n')
    for names in (["texts"], ["texts/sales.py", "texts/good.md", "texts/test_it.py"]):
        done = tests.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "--nbdag", "-v", *names)
        done.assert_outcomes(passed=2, failed=1, deselected=3)
        done.stdout.fnmatch_lines(["nbdag: the notebooks are checked, but not run; -m nbdag_task runs their tasks (3)"])
        done.stdout.fnmatch_lines(["sales.py: line 6: NB201 error: no cell above sets ordres*did you mean orders*"])


@pytest.mark.slow
def test_notebooks_run_in_homes_of_their_own_and_once_for_all_items_under_xdist(tests: pytest.Pytester) -> None:
    counting = CHURN.replace("orders = [3, 1, 2]", "orders = [3, 1, 2]\nopen('count.txt', 'a').write('x')")
    (tests.path / "notebooks" / "churn.ipynb").write_text(json.dumps(notebook(counting)))
    tests.makepyfile(
        """
        import pytest
        def test_good(nbdag_run):
            run = nbdag_run("notebooks/good.ipynb", parameters={"limit": 0})
            assert run.value("average") == 2 and run.value("large") == [3, 1, 2]
        def test_failure(nbdag_run):
            with pytest.raises(AssertionError, match="task fails: AssertionError: too few orders"):
                nbdag_run("notebooks/churn.ipynb")
        """
    )
    words = ("--nbdag", "-rs", "-m", "nbdag_task or not nbdag_task", "--deselect", "notebooks/good.ipynb")
    done = tests.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2", *words)
    done.assert_outcomes(passed=5, failed=1, skipped=1)
    done.stdout.fnmatch_lines(["*AssertionError: too few orders*", "*SKIPPED*task after: upstream*"])
    assert (tests.path / "notebooks" / "count.txt").read_text() == "xx", "once for the items, once for test_failure"
    assert not (tests.path / ".nbdag").exists() and not (tests.path / "notebooks" / ".nbdag").exists()


def test_a_task_test_takes_less_than_a_second_once_the_process_is_warm(tests: pytest.Pytester) -> None:
    path = tests.path / "notebooks" / "good.ipynb"
    run_task(path, "total", inputs={"orders": [1]})
    begun = time.process_time()
    for _ in range(10):
        run_task(path, "total", inputs={"orders": [1]})
    assert (time.process_time() - begun) / 10 < 1


SNAPSHOT = """
import pytest
VALUE = 1.0

def test_it(task, nbdag_snapshot):
    done = task("notebooks/good.ipynb", "total", inputs={"orders": [1.5, 2.5]})
    nbdag_snapshot(done)
    nbdag_snapshot({"value": VALUE, "set": {2, 1}, "object": object()}, "others")
"""


def test_snapshots_are_written_on_request_and_compared(tests: pytest.Pytester) -> None:
    missing = run(tests, SNAPSHOT)
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*there is no snapshot *test_it.json yet; write it with: pytest --nbdag-update"])
    run(tests, SNAPSHOT, "--nbdag-update").assert_outcomes(passed=1)
    run(tests, SNAPSHOT).assert_outcomes(passed=1)
    run(tests, SNAPSHOT.replace("VALUE = 1.0", "VALUE = 1.0 + 1e-12")).assert_outcomes(passed=1)
    changed = run(tests, SNAPSHOT.replace("VALUE = 1.0", "VALUE = 2.0"))
    changed.assert_outcomes(failed=1)
    changed.stdout.fnmatch_lines(["*test_it.others.json differs; *", "*value: 1.0 became 2.0"])


def test_tests_of_two_classes_with_one_name_have_two_snapshots(tests: pytest.Pytester) -> None:
    body = "    def test_it(self, nbdag_snapshot): nbdag_snapshot({})\n"
    both = f"class TestA:\n{body.format(1)}class TestB:\n{body.format(2)}"
    run(tests, both, "--nbdag-update").assert_outcomes(passed=2)
    run(tests, both).assert_outcomes(passed=2)


@pytest.mark.slow
def test_coverage_measures_the_lines_of_cells(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        "def test_it(task): task('notebooks/good.ipynb', 'total', inputs={'orders': []}) if 0 else task('notebooks/good.ipynb', 'load')"
    )
    command = [sys.executable, "-m", "coverage", "run", "--source", "notebooks", "-m", "pytest", "-q"]
    subprocess.run(command, cwd=tests.path, check=True, capture_output=True, text=True)
    command = [sys.executable, "-m", "coverage", "report", "-m"]
    report = subprocess.run(command, cwd=tests.path, check=True, capture_output=True, text=True).stdout
    lines = {line.split()[0]: line.split()[1:] for line in report.splitlines() if ".py" in line}
    assert lines["notebooks/__nbdag__/good/load.py"][:3] == ["1", "0", "100%"]
    assert lines["notebooks/__nbdag__/good/cell_2.py"][-1] == "4", "the function of setup that load does not call"
    assert (tests.path / "notebooks" / "__nbdag__" / ".gitignore").read_text() == "*\n"
