"""The wrong example of each code that a run reports has exactly this problem, and the right one has none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from explained_examples import modules, steps, write

import nbdag
import nbdag.executors.dask
import nbdag.executors.local
from nbdag import runs
from nbdag.cli import main
from nbdag.core.model.problems import LATER
from nbdag.core.planning.resources import Offers
from nbdag.linting.explanations import Explanation, all_explanations, explain
from nbdag.testing import InProcessExecutor

OF_RUNS = [each for each in all_explanations() if each.code in LATER - {"NB115", "NB117", "NB123", "NB470"}]


# Reported without a kernel: by the start of a run, by the scheduler, or by the notification of a run.
WITHOUT_KERNEL = {"NB411", "NB412", "NB413", "NB414", "NB415", "NB416", "NB417", "NB418", "NB480"}


class Cluster(InProcessExecutor):
    """A cluster that a worker with a GPU joins after its resources were read once."""

    _hosts = ({"cpu": 2.0},)

    def __init__(self, slots: int | None = None, *, address: str) -> None:
        super().__init__(slots)

    @property
    def offers(self) -> Offers:
        found, self._hosts = self._hosts, ({"cpu": 2.0}, {"gpu": 1.0})
        return Offers(found, may_grow=True)


def reported(text: str, folder: Path) -> set[str]:
    """Return the codes that the last command of an example reports."""
    for name, code in modules(text).items():
        (folder / name).write_text(code)
    for command, content in steps(text):
        if content is not None:
            path = write(folder, "notebook.ipynb", content)
        done = CliRunner().invoke(main, command, prog_name="nbdag")
        assert done.exit_code == 0, done.output
    run = runs.find_run("latest")
    dag = runs.remember_files(nbdag.read(path))
    return {note.code for each in run.tasks for note in each.warnings} | {
        each.code for each in (*run.warnings, *dag.problems)
    }


def shortened(example: str) -> str:
    """Return an example with a value of 1 MB instead of 1.25 GB, and with a smaller limit for the search in its kernel."""
    if "250_000_000" not in example:
        return example
    limit = "%%setup\nimport nbdag.values.sharing\nnbdag.values.sharing.MAX_PICKLES = 1 << 19\n# %%\n"
    return example.replace("250_000_000", "200_000").replace("%%task load", f"{limit}%%task load")


def test_the_examples_of_a_run_and_of_a_later_check_are_the_same() -> None:
    one, other = explain("NB313"), explain("NB470")
    assert (one.wrong, one.right) == (other.wrong, other.right)


@pytest.mark.slow
@pytest.mark.parametrize("explanation", OF_RUNS, ids=lambda each: each.code)
def test_the_wrong_example_has_this_problem_and_the_right_one_has_none(
    explanation: Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if explanation.code in WITHOUT_KERNEL:
        monkeypatch.setattr(nbdag.executors.local, "LocalExecutor", InProcessExecutor)
        monkeypatch.setattr(nbdag.executors.dask, "DaskExecutor", Cluster)
    found = []
    for name in ("wrong", "right"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("NBDAG_HOME", str(folder / "home"))
        text = getattr(explanation, name)
        with monkeypatch.context() as patched:
            for variable, value in re.findall(r"^# \$ (\w+)=(\S+) nbdag", text, re.MULTILINE):
                patched.setenv(variable, value)
            found.append(reported(shortened(text), folder))
    # The run reports NB470, and with the same example a later check reports NB313.
    together = {"NB313", "NB470"} if explanation.code == "NB313" else {explanation.code}
    assert found == [together, set()]


@pytest.mark.slow
def test_a_comment_ignores_a_warning_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    wrong = explain("NB472").wrong
    assert reported(wrong.replace("sys.exit()", "sys.exit()  # nbdag: ignore[NB472]"), tmp_path) == set()
