"""`runs.clear`, `mark`, `resume` and `cancel`: what a person does to a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nbdag
import nbdag.store
from nbdag import runs
from nbdag.core.model.states import RunState, TaskState
from nbdag.home import Home
from nbdag.runs.actions.clear import NothingToClearError, clear, mark
from nbdag.runs.actions.deploy import deploy
from nbdag.runs.actions.resume import RunSucceededError, resume
from nbdag.scheduler import new_instance
from nbdag.store.rows import NewRun

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]

PIPELINE = (
    "from pathlib import Path",
    "%%task extract\nrows = [1, 2, 3]",
    "%%task train\nmodel = sum(rows) if Path('ready').exists() else 1 / 0",
    "%%task report\nprint(model)",
    "%%task apart\nother = 1",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def states(run: nbdag.Run) -> dict[str, str]:
    return {task.id if task.map_index < 0 else f"{task.id}[{task.map_index}]": task.state.value for task in run}


def test_a_cleared_task_and_its_downstream_tasks_run_again(write: Write, home: Home) -> None:
    failed = nbdag.run(write(*PIPELINE), home=home)
    assert states(failed) == {"extract": "success", "train": "failed", "report": "upstream_failed", "apart": "success"}
    cleared = clear(failed, only_failed=True)
    assert (cleared.tasks, cleared.queued_again, cleared.owner) == (("train", "report"), True, "")
    assert cleared.run.state is RunState.QUEUED
    assert (cleared.run["train"].state, cleared.run["train"].error) == (TaskState.NONE, None)
    Path("ready").touch()
    done = resume(failed)
    assert (done.state, done.id, done["train"].tries, done["extract"].tries) == (RunState.SUCCESS, failed.id, 2, 1)
    assert done.value("model") == 6


def test_a_clear_keeps_attempts_and_resets_the_count_of_retries(write: Write, home: Home) -> None:
    cells = (*PIPELINE[:2], "%%task train --retries 1 --retry-delay 0\nmodel = 1 / 0")
    failed = nbdag.run(write(*cells), home=home)
    assert failed["train"].tries == 2
    clear(failed, ["train"])
    again = resume(failed)
    assert (again.state, again["train"].tries) == (RunState.FAILED, 4)
    for number in range(1, 5):
        assert runs.logs(again, "train", number).read_text() == "train begins\n"


@pytest.mark.parametrize(
    ("tasks", "more", "cleared"),
    [
        ([], {}, ("extract", "train", "report", "apart")),
        (["train"], {}, ("train",)),
        (["train"], {"upstream": True}, ("extract", "train")),
        (["train"], {"downstream": True}, ("train", "report")),
        (["extract"], {"downstream": True, "only_failed": True}, ("train", "report")),
    ],
)
def test_what_is_cleared_is_what_was_asked_for(write: Write, home: Home, tasks, more, cleared) -> None:
    failed = nbdag.run(write(*PIPELINE), home=home)
    assert clear(failed, tasks, dry_run=True, **more).tasks == cleared
    assert runs.find_run(home=home).state is RunState.FAILED
    assert clear(failed, tasks, **more).tasks == cleared


def test_the_deployed_notebook_is_taken_if_asked(write: Write, home: Home) -> None:
    failed = nbdag.run(write(*PIPELINE), home=home)
    deploy(write(*PIPELINE[:2], "%%task train --out model\nmodel = 7"), home=home)
    clear(failed, ["train"], downstream=True, deployed=True)
    done = resume(failed)
    assert (done.state, done.value("model")) == (RunState.SUCCESS, 7)
    assert states(done)["report"] == "removed"


def test_a_task_that_is_marked_a_success_lets_what_follows_run(write: Write, home: Home) -> None:
    failed = nbdag.run(write("%%task a\n1 / 0", "%%task b --after a\nx = 1"), home=home)
    marked = mark("success", failed, ["a"])
    assert (marked.tasks, marked.queued_again) == (("a",), True)
    done = resume(failed)
    assert (done.state, states(done)) == (RunState.SUCCESS, {"a": "success", "b": "success"})
    assert (done["a"].tries, done["b"].tries) == (1, 1)


def test_impossible_requests_are_rejected_with_a_reason(write: Write, home: Home) -> None:
    done = nbdag.run(write("%%task a\nx = 1"), home=home)
    with pytest.raises(NothingToClearError, match=r"nothing to clear: no task of run \S+ has failed"):
        clear(done, only_failed=True)
    with pytest.raises(runs.TaskNotInRunError, match=r"has no task 'b'; its tasks are a"):
        clear(done, ["b"])
    with pytest.raises(
        runs.UnknownStateError, match=r"unknown state 'sucess' \(did you mean 'success'\?\); expected one of"
    ):
        mark("sucess", done, ["a"])
    with pytest.raises(
        runs.UnknownStateError, match=r"unknown state 'running'; expected one of success, failed, skipped"
    ):
        mark(TaskState.RUNNING, done, ["a"])
    with pytest.raises(runs.UnknownStateError, match=r"unknown state 'canceled' .*'cancelled'"):
        runs.list_runs(state="canceled", home=home)
    with pytest.raises(RunSucceededError, match="succeeded, so it has no task to run"):
        resume(done)


def test_a_run_that_somebody_drives_is_not_driven_twice(write: Write, home: Home) -> None:
    resuming = f"resume(home=Home(Path({str(home.root)!r})))"
    cell = f"from pathlib import Path\nfrom nbdag.home import Home\nfrom nbdag.runs.actions.resume import resume\n{resuming}"
    run = nbdag.run(write(f"%%task a\n{cell}"), home=home)
    assert run.state is RunState.FAILED
    assert "is owned by process" in str(run["a"].error)


def test_a_run_that_waits_for_nobody_is_cancelled_at_once(write: Write, home: Home) -> None:
    done = nbdag.run(write("%%task a\nx = 1"), home=home)
    clear(done)
    assert runs.cancel(done).state is RunState.CANCELLED
    again = resume(done)
    assert again.state is RunState.SUCCESS


def test_a_run_that_was_only_recorded_is_resumed(write: Write, home: Home) -> None:
    done = nbdag.run(write("%%task a\nx = 1"), home=home)
    store = nbdag.store.open(home)
    dag = nbdag.read(str(done.source))
    digest = store.runs()[0].digest
    new = NewRun(
        dag="churn", name="m", digest=digest, path="churn.ipynb", cwd=".", created=1.0,
        logical_date=1.0, interval_start=1.0, interval_end=1.0,
    )  # fmt: skip
    store.create_run(new, [new_instance(dag, "a")])
    store.close()
    assert resume("m", home=home).state is RunState.SUCCESS


@pytest.mark.parametrize("again", [resume, lambda run: resume(clear(run).run)])
def test_the_kernel_that_a_run_was_asked_to_use_is_not_forgotten(
    write: Write,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_process: Any,
    again: Callable[[runs.Run], runs.Run],
) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "other"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["other"], "display_name": "Other"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    used: list[str] = []
    submit = in_process.submit
    monkeypatch.setattr(in_process, "submit", lambda self, job: (used.append(job.kernel_name), submit(self, job)))
    failed = nbdag.run(write("%%task a\n1 / 0"), kernel_name="other", home=home)
    again(failed)
    assert used == ["other", "other"]
    nbdag.run(write("%%task a\n1 / 0"), home=home)
    assert used[2:] == ["python3"]
