"""What is wrong is said in one sentence, before anything is written or started."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

import nbdag
from nbdag import runs
from nbdag.core.cells.parameter_types import ParameterTypeError
from nbdag.home import Home, NotAFolderError
from nbdag.runs.creation.prepare import new_name, prepare
from nbdag.store.database import StoreReadOnlyError

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]
TASK = "%%task a\nx = 1"

REFUSED: list[tuple[tuple[str, ...], dict[str, Any], type[Exception], str, int]] = [
    (("x = 1",), {}, runs.NotebookProblemsError, r"churn.ipynb cannot run: .*NB107", 1),
    ((TASK, TASK), {}, runs.NotebookProblemsError, r"churn.ipynb cannot run: cell 2, line 1: .*NB102", 1),
    ((TASK,), {"only": ["b"]}, runs.UnknownTaskError, r"unknown task 'b'; the tasks are a", 2),
    ((TASK,), {"jobs": 0}, runs.JobsError, r"invalid number of jobs 0; expected a number from 1 to 100000", 2),
    ((TASK,), {"output": "none/out.ipynb"}, runs.OutputError, r"written to none/out.ipynb: no folder .*none", 2),
    ((TASK,), {"output": "."}, runs.OutputError, r"the path is a folder; choose a file in it", 2),
    ((TASK,), {"cwd": "none"}, runs.FolderMissingError, r"the working directory none does not exist", 2),
    ((TASK,), {"parameters": {"f": open}}, runs.ParameterValueError, r"'f' is a builtin_function_or_method, which", 2),
    ((TASK,), {"values_from": "r1", "only": ["a"]}, runs.UnknownRunError, r"unknown run 'r1'", 1),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "said", "kind", "match", "code"), REFUSED)
def test_what_is_wrong_is_refused_and_leaves_nothing_behind(
    write: Write, home: Home, monkeypatch: pytest.MonkeyPatch,
    cells: tuple[str, ...], said: dict[str, Any], kind: type[nbdag.NbdagError], match: str, code: int,
) -> None:  # fmt: skip
    path = write(*cells)
    monkeypatch.chdir(path.parent)
    with pytest.raises(kind, match=match) as caught:
        nbdag.run(path.name, home=home, **said)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)
    assert runs.list_runs(home=home) == []


def test_several_problems_are_listed(write: Write, home: Home) -> None:
    with pytest.raises(runs.NotebookProblemsError, match=r"for 2 reasons:\n  cell 1") as caught:
        nbdag.run(write("%%task a --retreis 1\nx = 1", "%%task b --operator nope\npass"), home=home)
    assert len(caught.value.problems) == 2


def test_a_missing_file_is_reported(tmp_path: Path, home: Home) -> None:
    with pytest.raises(nbdag.NbdagError, match=r"nothing\.ipynb"):
        nbdag.run(tmp_path / "nothing.ipynb", home=home)
    assert not home.root.exists()


def test_a_kernel_that_is_not_installed_is_named_with_those_that_are(write: Write, home: Home) -> None:
    with pytest.raises(runs.KernelMissingError, match=r"'fortran77' is not installed \(installed: .*python3.*\)"):
        nbdag.run(write(TASK, kernel="fortran77"), home=home)
    assert not home.root.exists()


def test_a_home_that_cannot_be_created_is_reported(write: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotAFolderError, match=r"file/\.nbdag is not a folder, so .*NBDAG_HOME"):
        nbdag.run(write(TASK), home=Home(tmp_path / "file" / ".nbdag"))


def test_a_store_that_cannot_be_opened_is_reported(write: Write, home: Home) -> None:
    home.database.mkdir(parents=True)
    with pytest.raises(StoreReadOnlyError, match="cannot be written"):
        nbdag.run(write(TASK), home=home)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (Path("/data/x.csv"), "/data/x.csv"),
        (PurePosixPath("x"), "x"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
        ((1, [2.5, None]), [1, [2.5, None]]),
        ({"a": True, 1: "x"}, {"a": True, "1": "x"}),
        (np.float64(0.5), 0.5),
        (np.int32(7), 7),
    ],
)
def test_a_parameter_is_kept_as_plain_data(write: Write, given: object, kept: object) -> None:
    found = prepare(write("%%params\np = None", TASK), parameters={"p": given}).parameters["p"]
    assert found == kept
    assert type(found) is type(kept)


KINDS = [
    ("[2]", "[1, 2]", r"parameter p is a list, but its value is the text '\[1, 2\]'; write -y 'p: \[1, 2\]'"),
    ("(2,)", "x", r"parameter p is a tuple, .* write -y 'p: \[1, 2\]'"),
    ("dict(a=1)", "{a: 2}", r"parameter p is a dict, .* write -y 'p: {a: 2}'"),
    ("{}", "a", r"parameter p is a dict, .* write -y 'p: {name: value}'"),
    ("[1, 2]", 5, r"parameter p is a list, but its value is 5; write -y 'p: \[1, 2\]'"),
    ("[1, 2]", {"a": 1}, r"parameter p is a list, but its value is {'a': 1}; write"),
    ("{}", [1], r"parameter p is a dict, but its value is \[1\]; write"),
    ("True", "no", r"parameter p is a bool, but its value is the text 'no'; write true or false"),
    ("False", 0, r"parameter p is a bool, but its value is 0; write true or false"),
]


@pytest.mark.parametrize(("default", "said", "match"), KINDS)
@pytest.mark.parametrize("below", [TASK, "%%dag\nraise SystemExit('it ran')"])
def test_a_value_of_another_kind_than_the_default_is_refused_before_anything_runs(
    write: Write, default: str, said: object, match: str, below: str
) -> None:
    with pytest.raises(ParameterTypeError, match=match):
        prepare(write(f"%%params\np = {default}", below), parameters={"p": said})


@pytest.mark.parametrize(
    ("default", "code"), [("2", "NB416"), ("-0.5", "NB416"), ("None", ""), ("'a'", ""), ("abs(2)", "")]
)
def test_a_text_for_a_number_is_asked_about(write: Write, default: str, code: str) -> None:
    notes = prepare(write(f"%%params\np = {default}", TASK), parameters={"p": "x"}).notes
    assert [note.code for note in notes] == ([code] if code else [])


def test_a_task_runs_in_the_notebooks_folder_by_default(write: Write, tmp_path: Path) -> None:
    assert prepare(write(TASK)).cwd == tmp_path
    assert prepare(write(TASK), cwd=tmp_path.parent).cwd == tmp_path.parent


def test_a_runs_id_sorts_by_time_and_may_be_a_folder_anywhere() -> None:
    names = [new_name(datetime(2026, 11, 22, 16, 3, second, 123456, UTC)) for second in (9, 10)]
    assert names == ["manual__2026-11-22T16-03-09.123456Z", "manual__2026-11-22T16-03-10.123456Z"]
    assert sorted(names) == names
    assert not set(names[0]) & set('<>:"/\\|?*')


def test_an_unknown_pool_is_reported_and_lets_one_task_run(write: Write, home: Home) -> None:
    run = nbdag.run(write("%%task a --pool gpu --slots 2\nx = 1", "%%task b --pool gpu\ny = 1"), home=home, jobs=2)
    assert run.state.value == "success"
    (warning,) = run.warnings
    assert (warning.code, warning.name) == ("NB414", "gpu")
    assert "run one at a time" in warning.message
    assert run["b"].started is not None and run["a"].ended is not None and run["b"].started >= run["a"].ended


def test_a_task_that_needs_more_than_its_pool_has_is_refused(write: Write, home: Home) -> None:
    with pytest.raises(nbdag.NbdagError, match=r"a needs 129 slots of pool default_pool, which has only 128"):
        nbdag.run(write("%%task a --slots 129\nx = 1"), home=home)
    assert runs.list_runs(home=home) == []
