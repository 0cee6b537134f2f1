"""Tasks that wait for a person or for something to be there, and what they keep meanwhile."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import until

from nbdag import runs
from nbdag.core.model.states import RunState, TaskState
from nbdag.home import Home
from nbdag.task_api.asset_facts import InletEvents

DEPLOY = (
    "%%task train\naccuracy = 0.914",
    "%%task deploy --approve 'Ship {accuracy:.1%}?'\nopen('deployed', 'a').write('x')",
    "%%task tell --after deploy\ny = 1",
)


def executed(path: Path, home: Home) -> tuple[threading.Thread, list[runs.Run]]:
    """Run a notebook in a thread; the list gets the run when it has ended."""
    ended: list[runs.Run] = []
    thread = threading.Thread(target=lambda: ended.append(runs.run(path, home=home)))
    thread.start()
    return thread, ended


@pytest.mark.parametrize(("yes", "states"), [(True, "success success success"), (False, "success skipped skipped")])
def test_a_person_decides_whether_a_task_runs(
    yes: bool,
    states: str,
    write: Callable[..., Path],
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NBDAG_URL", "https://hub.example.org/user/ada/nbdag/")
    thread, ended = executed(write(*DEPLOY), home)
    (question,) = until(lambda: runs.questions(home=home), "the task asks")
    assert (question.text, question.task, question.until) == ("Ship 91.4%?", "deploy", None)
    page = f"https://hub.example.org/user/ada/nbdag/dags/{question.dag}/runs/{question.run}/tasks/deploy"
    assert question.url == page
    assert runs.why(question.run, "deploy", home=home)[0].reasons == ("waits for approval: Ship 91.4%?",)
    assert not list(tmp_path.rglob("deployed"))
    runs.answer(question.run, "deploy", yes, why="looks fine", by="ann", home=home)
    thread.join()
    (run,) = ended
    assert " ".join(task.state.value for task in run.tasks) == states
    assert len(list(tmp_path.rglob("deployed"))) == yes
    log = runs.logs(run, "deploy").read_text()
    assert f"{'approved' if yes else 'rejected'} by ann: looks fine" in log
    assert runs.questions(home=home) == []
    with pytest.raises(runs.NoQuestionError):
        runs.answer(run, "deploy", True)


@pytest.mark.slow
def test_only_approvers_may_answer_and_a_question_times_out(write: Callable[..., Path], home: Home) -> None:
    path = write("%%task deploy --approve 'Ship?' --approvers ann, bob --approve-timeout 3s\nx = 1")
    thread, ended = executed(path, home)
    (question,) = until(lambda: runs.questions(home=home), "the task asks")
    with pytest.raises(runs.NotApproverError) as refused:
        runs.answer(question.run, "deploy", True, home=home)
    assert str(refused.value) == f"{getpass.getuser()} may not answer for deploy; ann, bob may"
    thread.join()
    assert ended[0].state is RunState.FAILED
    assert "nobody has answered 'Ship?' in time" in str(ended[0]["deploy"].error)


def test_a_task_waits_for_a_file_without_a_process(write: Callable[..., Path], home: Home) -> None:
    path = write("%%task load\nimport nbdag\nnbdag.wait_for('orders.csv', poll='1s')\nx = open('orders.csv').read()")
    thread, ended = executed(path, home)

    def waits() -> bool:
        found = runs.list_runs(home=home)
        return bool(found) and found[0]["load"].state is TaskState.UP_FOR_RESCHEDULE

    until(waits, "the task waits")
    (path.parent / "orders.csv").write_text("1")
    thread.join()
    assert ended[0].state is RunState.SUCCESS
    assert ended[0]["load"].tries == 1


def test_facts_outlive_a_try_and_a_run(write: Callable[..., Path], home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        "%%task load --retries 1 --retry-delay 0s --out seen\n"
        "import nbdag\n"
        "seen = dict(nbdag.state), dict(nbdag.state.across_runs)\n"
        "nbdag.state['cursor'] = seen[0].get('cursor', 0) + 1\n"
        "nbdag.state.across_runs['runs'] = seen[1].get('runs', 0) + 1\n"
        "if not seen[0]: raise ValueError('first try')"
    )
    assert runs.run(path, home=home).value("seen") == ({"cursor": 1}, {"runs": 1})
    run = runs.run(path, home=home)
    assert run.value("seen") == ({"cursor": 1}, {"runs": 3})
    # As `wait_for(dag=…)` asks in a task of another pipeline.
    monkeypatch.setenv("NBDAG_HOME", str(home.root))
    assert runs.has_succeeded(run.dag, run.created)
    assert not runs.has_succeeded(run.dag, run.created + 1)


def test_a_task_gets_the_events_of_an_asset_with_airflows_names(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDAG_HOME", str(home.root))
    for rows in (1, 2):
        runs.emit_asset("s3://lake/orders", extra={"rows": rows}, home=home)
    events = InletEvents()
    assert [each.extra for each in events["s3://lake/orders"]] == [{"rows": 1}, {"rows": 2}]
    assert events["s3://lake/others"] == runs.events_for_task("s3://lake/others") == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("nbdag.state['x'] = object()", "nbdag.state cannot keep 'x': Object of type object is not JSON serializable"),
        ("nbdag.state['x'] = 'y' * 2_000_000", "more than 1 MB; write a file and keep its path"),
        ("nbdag.wait_for(dag='chrun')", "no pipeline 'chrun' to wait for: it is not deployed, and it has not run"),
        ("nbdag.wait_for()", "wait_for needs one condition"),
        ("nbdag.wait_for(3)", "wait_for got 3; pass a path"),
        ("nbdag.wait_for('x', poll='soon')", "wait_for got poll='soon', which is not a duration"),
        ("from datetime import datetime\nnbdag.wait_for(datetime(2030, 1, 1))", "which has no time zone"),
    ],
)
def test_mistakes_are_reported_in_one_sentence(code: str, words: str, write: Callable[..., Path], home: Home) -> None:
    run = runs.run(write(f"%%task a\nimport nbdag\n{code}"), home=home)
    assert run.state is RunState.FAILED
    assert words in str(run["a"].error)


def test_a_task_that_is_cleared_or_cancelled_while_it_waits_ends_its_attempt(
    write: Callable[..., Path], home: Home
) -> None:
    thread, ended = executed(write(*DEPLOY), home)
    (question,) = until(lambda: runs.questions(home=home), "the task asks")
    runs.clear(question.run, ["deploy"], home=home)
    (again,) = until(
        lambda: [each for each in runs.questions(home=home) if each.asked > question.asked], "the task asks again"
    )
    runs.cancel(again.run, home=home)
    thread.join()
    assert ended[0].state is RunState.CANCELLED
    attempts = [each for each in runs.list_attempts(again.run, again.dag, home=home) if each.task == "deploy"]
    assert [(each.try_number, each.state) for each in attempts] == [(1, TaskState.FAILED), (2, TaskState.SKIPPED)]
    assert "cleared while it waited" in str(attempts[0].error)
    assert runs.questions(home=home) == []
    with pytest.raises(runs.NoQuestionError):
        runs.answer(again.run, "deploy", True, home=home)


@pytest.mark.slow
def test_a_timeout_limits_the_wait_and_each_poll_may_use_files(write: Callable[..., Path], home: Home) -> None:
    path = write(
        "%%task load --timeout 4s\nimport nbdag\nopen('config.json').read()\nnbdag.wait_for('orders.csv', poll='1s')"
    )
    (path.parent / "config.json").write_text("{}")
    run = runs.run(path, home=home)
    assert run["load"].state is TaskState.FAILED
    assert "timed out after 4 s" in str(run["load"].error)
    assert run["load"].tries == 1
