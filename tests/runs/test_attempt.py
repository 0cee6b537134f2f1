"""`nbdag.runs.attempt`: single attempts, as another scheduler starts them, give the values of a run of nbdag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nbdag import runs
from nbdag.core.cells.code_version import code_version
from nbdag.core.model.states import TaskState
from nbdag.errors import NbdagError
from nbdag.notebooks import read
from nbdag.values import ValueStore

pytestmark = pytest.mark.usefixtures("in_process")
Attempt = Callable[..., runs.FinishedAttempt]
SUCCESS, FAILED, SKIPPED = TaskState.SUCCESS, TaskState.FAILED, TaskState.SKIPPED


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def attempt(storage: Path, tmp_path: Path) -> Attempt:
    def execute(task: str, **options: Any) -> runs.FinishedAttempt:
        return runs.attempt(tmp_path / "churn.ipynb", task, **{"run": "r1", "storage": str(storage), **options})

    return execute


def values(storage: Path, task: str) -> Mapping[str, Any]:
    """Return the values that the latest attempt of a task has stored."""
    record = msgspec.json.decode((storage / "runs" / "churn" / "r1" / "tasks" / task / "outcome.json").read_bytes())
    store = ValueStore(str(storage / "values"))
    return {each["name"]: store.load(each["digest"])[each["name"]] for each in record["outcome"]["outputs"]}


def test_values_pass_from_attempt_to_attempt(write, attempt: Attempt, storage: Path) -> None:
    write("%%params\nn = 2", "%%task a\nrows = [1] * n", "%%task b --out total\ntotal = sum(rows)")
    assert attempt("a", parameters={"n": 3}).state is SUCCESS
    assert attempt("b").state is SUCCESS
    assert values(storage, "b")["total"] == 3
    assert not list(storage.rglob("*.db"))


def test_runs_do_not_share_values(write, attempt: Attempt) -> None:
    write("%%task a\nx = 1", "%%task b\ny = x")
    attempt("a")
    other = attempt("b", run="r2")
    assert other.state is FAILED
    assert "name 'x' is not defined" in str(other.error)


def test_a_mapped_task_runs_one_attempt_per_element(write, attempt: Attempt, storage: Path) -> None:
    write("%%task a\nxs = [4, 5]", "%%task m --map x=xs\ny = x * 10", "%%task b --out z\nz = y")
    attempt("a")
    assert attempt("m", elements=True).answer == [{"NBDAG_MAP_INDEX": "0"}, {"NBDAG_MAP_INDEX": "1"}]
    for index in (1, 0):
        assert attempt("m", map_index=index).state is SUCCESS
    attempt("b")
    assert values(storage, "b")["z"] == [40, 50]
    with pytest.raises(NbdagError, match="m has no element 2 in this run"):
        attempt("m", map_index=2)


BRANCH = (
    "%%params\nchoice = 'a'",
    "%%task gate --branch\nchoice",
    "%%task a --after gate\nsaid = 'a'",
    "%%task b --after gate\nsaid = 'b'",
    "%%task join --after a b --trigger none_failed_min_one_success --out result\nresult = said",
)


def test_an_attempt_reads_each_outcome_above_it_once(
    write, attempt: Attempt, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("%%task a\nxs = [4, 5]", "%%task m --map x=xs\ny = x\nz = x", "%%task b\nboth = xs, y, z")
    attempt("a")
    attempt("m", elements=True)
    for index in (0, 1):
        attempt("m", map_index=index)
    read_bytes, read = Path.read_bytes, Counter[str]()

    def counted(path: Path) -> bytes:
        read[path.parent.name] += path.name == "outcome.json"
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert attempt("b").state is SUCCESS
    assert {name: count for name, count in read.items() if count and name != "b"} == dict.fromkeys(
        ("a", "m", "m.0", "m.1"), 1
    )


def test_a_branch_names_the_tasks_that_follow_and_skips_the_others(write, attempt: Attempt, storage: Path) -> None:
    write(*BRANCH)
    assert attempt("gate").answer == ["a"]
    assert (attempt("a").state, attempt("b").state) == (SUCCESS, SKIPPED)
    attempt("join")
    assert values(storage, "join")["result"] == "a"


def test_a_value_from_before_a_run_was_cleared_is_not_used(write, attempt: Attempt, storage: Path) -> None:
    write(*BRANCH)
    for task in ("gate", "b", "a"):
        attempt(task, parameters={"choice": "b"})
    assert attempt("gate", parameters={"choice": "a"}).answer == ["a"]  # b is not started again, its outcome remains
    attempt("a")
    attempt("join")
    assert values(storage, "join")["result"] == "a"


def test_a_false_short_circuit_skips_all_tasks_below_whatever_their_rules(write, attempt: Attempt) -> None:
    write(
        "%%task big --short-circuit\n1 > 2", "%%task a --after big\nx = 1", "%%task b --after a --trigger all_done\n1"
    )
    assert attempt("big").answer is False
    assert attempt("b").state is SKIPPED


def test_a_false_condition_skips_the_task(write, attempt: Attempt) -> None:
    write("%%task a --when '1 > 2'\nx = 1")
    assert attempt("a").state is SKIPPED


def test_a_failed_check_is_not_tried_again(write, attempt: Attempt, tmp_path: Path) -> None:
    executed = tmp_path / "executed"
    write(
        f"%%task a --check 'x > 1' --retries 2\nwith open({str(executed)!r}, 'a') as file:\n    file.write('x')\nx = 1"
    )
    first, second = attempt("a"), attempt("a", try_number=2)
    assert (first.state, second.state) == (FAILED, FAILED)
    assert "x > 1" in str(second.error)
    assert executed.read_text() == "x"
    attempt("a", try_number=3, max_tries=4)  # another series of tries, after the run was cleared
    assert executed.read_text() == "xx"


def test_an_error_that_retry_on_does_not_name_is_not_tried_again(write, attempt: Attempt) -> None:
    write("%%task a --retries 2 --retry-on KeyError\nraise ValueError('no')")
    first, second = attempt("a"), attempt("a", try_number=2)
    assert str(second.error) == str(first.error)
    assert str(second.error).endswith("(not retried: --retry-on KeyError does not name this error)")


def test_another_error_is_tried_again(write, attempt: Attempt, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    write(f"from pathlib import Path\nflag = Path({str(flag)!r})", "%%task a --retries 1\nassert flag.exists()")
    assert attempt("a").state is FAILED
    flag.touch()
    assert attempt("a", try_number=2).state is SUCCESS


@pytest.mark.parametrize(
    ("run", "begin"),
    [("scheduled__2026-01-05T06:00:00+00:00", datetime(2026, 1, 2, 6, tzinfo=UTC)), ("manual__1", None)],
)
def test_a_scheduled_run_has_the_data_interval_of_the_schedule(run: str, begin: Any, write, attempt: Attempt) -> None:
    date = datetime(2026, 1, 5, 6, tzinfo=UTC)
    write(
        "%dag --schedule '0 6 * * 1-5'",
        f"%%task a\nassert dag_run.data_interval_start.isoformat() == {(begin or date).isoformat()!r}\n"
        f"assert (dag_run.run_id, dag_run.logical_date.isoformat()) == ({run!r}, {date.isoformat()!r})",
    )
    done = attempt("a", run=run, logical_date=date)
    assert (done.state, done.error) == (SUCCESS, None)


def test_runs_whose_ids_are_no_file_names_have_folders_of_their_own(write, attempt: Attempt, storage: Path) -> None:
    write("%%task a\nx = 1")
    for run in ("2026-01-01T06:00:00+00:00", "2026-01-01T06:00:00-00:00", "../up"):
        assert attempt("a", run=run).state is SUCCESS
    assert len(list((storage / "runs" / "churn").iterdir())) == 3


def test_only_the_exported_version_of_the_code_runs(write, attempt: Attempt) -> None:
    path = write("%%task a\nx = 1")
    version = code_version(read(path))
    assert attempt("a", version=version).state is SUCCESS
    write("%%task a\nx = 2")
    with pytest.raises(NbdagError, match=f"but version {version} was exported"):
        attempt("a", version=version)


def test_outputs_prose_and_scratch_cells_do_not_change_the_version(write) -> None:
    before = code_version(read(write("%%task a\nx = 1")))
    assert code_version(read(write("%%task a\nx = 1", "%%skip\nx"))) == before
    assert code_version(read(write("%%task a --retries 1\nx = 1"))) != before


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("aa", {}, r"unknown task 'aa' \(did you mean 'a'\?\)"),
        ("a", {"map_index": 0}, "a has no --map; omit --elements and --map-index"),
        ("m", {}, "m is mapped; pass --elements"),
        ("m", {"map_index": 0, "elements": True}, "m takes either --elements or --map-index, not both"),
        ("a", {"parameters": {"k": 1}}, "churn has no parameters cell, so it has no parameter 'k'"),
        ("a", {"cwd": "/nowhere"}, "the working directory /nowhere does not exist"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(
    task: str, options: Mapping[str, Any], message: str, write, attempt: Attempt
) -> None:
    write("%%task a\nx = 1", "%%task m --map i='[1]'\ni")
    with pytest.raises(NbdagError, match=message):
        attempt(task, **options)
