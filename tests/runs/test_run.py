"""`nbdag.run`, from the notebook's file to the values that it leaves."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import LONG, until

import nbdag
from nbdag import runs
from nbdag.core.model.events import Event
from nbdag.core.model.states import RunState, TaskState
from nbdag.errors import NbdagError
from nbdag.home import Home
from nbdag.runs.actions.clear import mark
from nbdag.runs.queries.why import why, why_not_started

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]

PIPELINE = (
    "%%params\nalpha = 2",
    "%%task extract\nrows = [1, 2, 3]",
    "%%task prep\nscaled = [alpha * row for row in rows]",
    "%%task train\nmodel = sum(scaled)",
    "%%task validate\naccuracy = model / 12",
)


def test_a_notebook_runs_and_leaves_what_later_tasks_read(write: Write, home: Home) -> None:
    run = nbdag.run(write(*PIPELINE), home=home)
    assert run.state is RunState.SUCCESS
    assert [(task.id, task.state, task.tries) for task in run] == [
        (name, TaskState.SUCCESS, 1) for name in ("extract", "prep", "train", "validate")
    ]
    assert run.value("model") == 12
    assert (run.dag, run.source, run.only) == ("churn", home.root.parent / "churn.ipynb", None)
    assert run.duration is not None and run["train"].duration is not None
    assert repr(run) == f"<Run {run.id} of churn: success (4 success)>"


def test_the_run_can_be_found_again(write: Write, home: Home) -> None:
    made = nbdag.run(write(*PIPELINE), home=home)
    assert runs.find_run(home=home) == made
    assert runs.find_run(made.id, home=home) == made
    assert runs.find_run(made.id[:20], "churn", home=home) == made
    assert runs.list_runs(home=home) == [made]
    assert runs.list_runs("churn", "failed", home=home) == []


def test_parameters_take_the_place_of_the_notebooks_own(write: Write, home: Home) -> None:
    run = nbdag.run(write(*PIPELINE), parameters={"alpha": 10}, home=home)
    assert run.value("model") == 60
    assert run.parameters == {"alpha": 10}
    assert run.warnings == ()


def test_a_parameter_that_the_notebook_does_not_have_is_rejected_with_the_nearest(write: Write, home: Home) -> None:
    with pytest.raises(runs.UnknownParameterError, match="sets no 'alhpa'; did you mean 'alpha'"):
        nbdag.run(write(*PIPELINE), parameters={"alhpa": 10}, home=home)
    with pytest.raises(runs.UnknownParameterError):
        runs.plan_run(write(*PIPELINE), parameters={"alhpa": 10}, home=home)
    assert not home.exists


def test_an_unknown_parameter_is_passed_with_a_warning_if_allowed(write: Write, home: Home) -> None:
    told: list[Event] = []
    path = write(*PIPELINE)
    run = nbdag.run(path, parameters={"alhpa": 10}, allow_unknown=True, home=home, on_event=told.append)
    (warning,) = run.warnings
    assert (warning.code, warning.name) == ("NB411", "alhpa")
    assert "did you mean 'alpha'?" in warning.message
    assert told[0].message == warning.message


def test_what_fails_keeps_what_follows_from_running_and_nothing_else(write: Write, home: Home) -> None:
    run = nbdag.run(
        write("%%task a\nx = 1", "%%task b\ny = x / 0", "%%task c\nz = y", "%%task d\nw = x + 1", "%%task e\nprint(w)"),
        home=home,
    )
    assert run.state is RunState.FAILED
    assert [task.state.value for task in run] == ["success", "failed", "upstream_failed", "success", "success"]
    assert run["b"].error == "ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in (run["b"].traceback or "")
    assert run.error is not None and "b failed" in run.error


def test_a_skip_is_no_failure_and_a_fail_is_final(write: Write, home: Home) -> None:
    run = nbdag.run(
        write(
            "import nbdag",
            "%%task a\nraise nbdag.Skip('nothing new')",
            "%%task b --retries 3\nraise nbdag.Fail('no use')",
        ),
        home=home,
    )
    assert [(task.state.value, task.tries, task.error) for task in run] == [
        ("skipped", 1, "nothing new"),
        ("failed", 1, "no use"),
    ]


def test_a_task_is_tried_again(write: Write, home: Home) -> None:
    cell = """
        %%task a --retries 2 --retry-delay 0s
        import pathlib
        mark = pathlib.Path(where)
        seen = int(mark.read_text()) if mark.exists() else 0
        mark.write_text(str(seen + 1))
        assert seen == 2, f"only {seen}"
        """
    path = write("%%params\nwhere = ''", cell)
    run = nbdag.run(path, parameters={"where": home.root.parent / "mark"}, home=home)
    assert (run.state, run["a"].tries, run["a"].error) == (RunState.SUCCESS, 3, None)


def test_events_come_in_order_from_the_thread_that_called(write: Write, home: Home) -> None:
    told: list[tuple[str, str]] = []
    threads = set()

    def listen(event: Event) -> None:
        told.append((event.task or "run", event.state.value))
        threads.add(threading.current_thread())

    nbdag.run(write("%%task a\nx = 1", "%%task b\nprint(x)"), home=home, on_event=listen)
    assert told == [
        ("run", "running"), ("a", "running"), ("a", "success"), ("b", "running"), ("b", "success"), ("run", "success"),
    ]  # fmt: skip
    assert threads == {threading.current_thread()}


def test_a_listener_that_fails_ends_the_run(write: Write, home: Home) -> None:
    def listen(event: Event) -> None:
        if event.task == "b":
            raise RuntimeError("the terminal is gone")

    with pytest.raises(RuntimeError, match="the terminal is gone"):
        nbdag.run(write("%%task a\nx = 1", "%%task b\ny = x", "%%task c\nprint(y)"), home=home, on_event=listen)
    assert runs.find_run(home=home).state is RunState.CANCELLED


def test_ctrl_c_ends_what_runs_and_records_the_run_as_cancelled(write: Write, home: Home) -> None:
    cell = "%%task a\nimport time\nwhile True: time.sleep(0.005)"

    def listen(event: Event) -> None:
        if event.task == "a" and event.state is TaskState.RUNNING:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        nbdag.run(write(cell, "%%task b --after a\npass"), home=home, on_event=listen)
    assert signal.getsignal(signal.SIGINT) is before
    run = runs.find_run(home=home)
    assert run.state is RunState.CANCELLED
    assert [task.state.value for task in run] == ["failed", "skipped"]
    assert run.task_counts == {"cancelled": 1, "skipped": 1}
    assert runs.run_details(run.id, run.dag, home=home).entry.tasks == run.task_counts
    assert run["a"].error == "the attempt was terminated: the run was cancelled" and run["a"].ended is not None
    assert why(run, "b")[0].reasons == ("did not start: the run was cancelled",)
    assert why_not_started(run) == {("b", -1): "the run was cancelled"}


def test_somebody_else_may_cancel_a_run_and_follow_it(write: Write, home: Home) -> None:
    cell = "%%task a\nimport time\nwhile True: time.sleep(0.005)"
    began = threading.Event()
    followed: list[tuple[str, str]] = []

    def meddle() -> None:
        assert began.wait(LONG)
        asked = runs.cancel("latest", home=home)
        followed.extend((event.task or "run", event.state.value) for event in runs.follow(asked, home=home))

    other = threading.Thread(target=meddle)
    other.start()
    run = nbdag.run(write(cell), home=home, on_event=lambda event: began.set() if event.task == "a" else None)
    other.join()
    assert run.state is RunState.CANCELLED
    assert followed[-1] == ("run", "cancelled")
    assert ("a", "failed") in followed
    with pytest.raises(runs.RunEndedError, match="has already ended"):
        runs.cancel(run, home=home)


def test_runs_side_by_side_in_one_home_do_not_disturb_one_another(write: Write, home: Home) -> None:
    paths = [write(*PIPELINE, name=f"n{n}.ipynb") for n in range(4)]
    found: list[Any] = []
    threads = [threading.Thread(target=lambda path=path: found.append(nbdag.run(path, home=home))) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((run.dag, run.state.value, run.value("model")) for run in found) == [
        (f"n{n}", "success", 12) for n in range(4)
    ]


def test_the_source_is_pinned_so_a_later_edit_does_not_change_the_record(write: Write, home: Home) -> None:
    run = nbdag.run(write(*PIPELINE), home=home)
    write("%%task other\npass")
    assert nbdag.load("churn", task="train", home=home) == {"scaled": [2, 4, 6], "model": 12}
    assert len(list((home.root / "notebooks").iterdir())) == 1
    assert run.value("rows") == [1, 2, 3]


def test_a_value_that_was_not_stored_is_answered_with_how_to_store_it(write: Write, home: Home) -> None:
    run = nbdag.run(write(*PIPELINE), home=home)
    with pytest.raises(
        runs.ValueNotStoredError, match=r"did not store 'accuracy'.*`--out accuracy` to `%%task validate`"
    ):
        run.value("accuracy")
    with pytest.raises(
        runs.ValueNotStoredError, match=r"no task of run .* sets 'nothing'; stored names: model, rows, scaled"
    ):
        run.value("nothing")


def test_what_was_checked_is_kept_and_a_value_of_a_task_that_failed_is_not(write: Write, home: Home) -> None:
    run = nbdag.run(
        write('%%task good --check "score > 1"\nscore = 2', "%%task bad\nloss = 1\n1 / 0", "%%task last\nprint(loss)"),
        home=home,
    )
    assert run.value("score") == 2
    with pytest.raises(NbdagError, match=r"has no 'loss': task bad, which sets it, is failed; `nbdag why"):
        run.value("loss")


def test_a_run_as_json_has_the_promised_shape(write: Write, home: Home) -> None:
    told = nbdag.run(write(*PIPELINE), home=home).to_dict()
    assert set(told) >= {"run_id", "dag", "state", "started", "ended", "duration", "notebook", "tasks"}
    task = told["tasks"][0]
    assert set(task) == {
        "id", "map_index", "state", "tries", "started", "ended", "duration", "outputs", "warnings", "notebook", "error",
        "cached",
        "host",
        "metrics",
        "chosen",
    }  # fmt: skip
    (output,) = task["outputs"]
    assert output["name"] == "rows" and output["type"] == "list" and output["bytes"] > 0 and output["summary"]


def test_a_log_is_found_for_each_try(write: Write, home: Home) -> None:
    run = nbdag.run(write(*PIPELINE, "%%task z --trigger all_failed\npass"), home=home)
    assert runs.logs(run, "prep").read_text() == "prep begins\n"
    with pytest.raises(runs.NoLogError, match=r"no log of prep in run \S+: the task is success and has no try 2"):
        runs.logs(run.id, "prep", 2, home=home)
    with pytest.raises(runs.TaskNotInRunError, match=r"has no task 'nope'; its tasks are extract, prep"):
        runs.logs(run, "nope", home=home)


def test_there_is_nothing_to_list_in_a_new_home_and_looking_makes_nothing(home: Home) -> None:
    assert runs.list_runs(home=home) == []
    with pytest.raises(runs.UnknownRunError, match=r"no run of churn in .* yet; create one"):
        runs.find_run(dag="churn", home=home)
    with pytest.raises(runs.UnknownRunError, match=r"unknown run 'x' in"):
        runs.find_run("x", home=home)
    assert not home.root.exists()


def test_the_report_holds_the_notebook_and_the_graph_as_it_ended(write: Write, home: Home, tmp_path: Path) -> None:
    path = write(*PIPELINE, "%dag")
    run = nbdag.run(path, home=home, output=tmp_path / "out.ipynb")
    report = json.loads(run.notebook.read_text())
    assert [cell["source"] for cell in report["cells"]] == [
        cell["source"] for cell in json.loads(path.read_text())["cells"]
    ]
    ((drawn,),) = [cell["outputs"] for cell in report["cells"] if cell["source"] == "%dag"]
    assert set(drawn["data"]) == {"text/html", "image/svg+xml", "text/plain"}
    assert drawn["data"]["text/plain"].count("done") == 4
    assert (report["metadata"]["nbdag"]["run_id"], report["metadata"]["nbdag"]["state"]) == (run.id, "success")
    assert json.loads((tmp_path / "out.ipynb").read_text()) == report


def test_the_report_is_there_while_the_run_goes_on(write: Write, home: Home, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    cell = f"%%task b --after a\nimport pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)"
    seen: list[str] = []

    def look(event: Event) -> None:
        if event.task == "b" and event.state is TaskState.RUNNING:
            threading.Thread(target=wait, daemon=True).start()

    def wait() -> None:
        try:
            (found,) = until(lambda: list(home.root.glob("runs/churn/*/notebook.ipynb")), "the report is written")
            seen.append(json.loads(found.read_text())["metadata"]["nbdag"]["state"])
        finally:
            gate.touch()

    nbdag.run(write("%%task a\nx = 1", cell), home=home, on_event=look)
    assert seen == ["running"]


def test_a_late_follower_gets_the_original_times(write: Write, home: Home) -> None:
    run = nbdag.run(write("%%task a --retries 1 --retry-delay 1s\nimport time\n1 / 0", "%%task b\ny = 1"), home=home)
    told = {event.task: (event.state, event.at) for event in runs.follow(run, home=home) if event.kind == "task"}
    assert told == {task.id: (task.state, task.ended) for task in run}


def test_a_retry_shows_its_time(write: Write, home: Home) -> None:
    said: list[str] = []
    nbdag.run(
        write("%%task a --retries 1 --retry-delay 1s\n1 / 0"), home=home,
        on_event=lambda event: said.append(event.message) if event.state is TaskState.UP_FOR_RETRY else None,
    )  # fmt: skip
    assert said == ["ZeroDivisionError: division by zero (next try in 1s)"]


def test_a_task_that_has_not_started_shows_the_reason(write: Write, home: Home) -> None:
    run = nbdag.run(
        write("%dag --fail-fast", "%%task a\n1 / 0", "%%task b --after a\n1", "%%task c\n1"), home=home, jobs=1
    )
    assert why_not_started(run) == {("b", -1): "a failed", ("c", -1): "a failed, and the run fails fast"}


def test_a_marked_task_shows_the_mark_instead_of_its_failure(write: Write, home: Home) -> None:
    run = nbdag.run(write("%%task a\n1 / 0"), home=home)
    assert run["a"].error is not None
    marked = mark("success", run, ["a"], home=home).run["a"]
    assert (marked.by_hand, marked.error, marked.traceback) == (True, None, None)
