"""Whole runs with branches, short circuits, setup and teardown, retries by kind of error, and deadlines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from patience import until

import nbdag
from nbdag import runs
from nbdag.core.model.states import RUN_FINISHED, RunState, TaskState
from nbdag.home import Home
from nbdag.runs.execution import notify
from nbdag.runs.queries.why import why

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]


def states(run: runs.Run) -> dict[str, str]:
    return {task.id: task.state.value for task in run}


GATE = (
    "%%params\nbest = 0.8",
    "%%task validate\nreason = 'first'\naccuracy = 0.9",
    "%%task choose --branch\n'ship' if accuracy > best else 'notify'",
    "%%task ship.deploy --after choose\nreason = f'deployed {accuracy}'",
    "%%task notify --after choose\nreason = f'kept {best}'",
    "%%task report --after ship notify --trigger none_failed_min_one_success --out said\nsaid = reason",
)


@pytest.mark.parametrize(
    ("best", "chosen", "skipped", "said"),
    [(0.8, "ship.deploy", "notify", "deployed 0.9"), (0.95, "notify", "ship.deploy", "kept 0.95")],
)
def test_a_branch_decides_which_tasks_run_and_whose_value_the_join_reads(
    write: Write, home: Home, best: float, chosen: str, skipped: str, said: str
) -> None:
    path = write(*(cell.replace("--branch\n'ship'", "--branch\n'ship'") for cell in GATE))
    run = nbdag.run(path, parameters={"best": best}, home=home)
    assert run.state is RunState.SUCCESS
    assert states(run) == {
        "validate": "success", "choose": "success", chosen: "success", skipped: "skipped", "report": "success",
    }  # fmt: skip
    assert run.value("said") == said
    assert run["choose"].chosen == ("ship",) if chosen == "ship.deploy" else ("notify",)
    group = "ship" if chosen.startswith("ship") else "notify"
    assert why(run, skipped, home=home)[0].reasons == (f"was skipped: choose chose {group}",)
    assert why(run, "choose", home=home)[0].reasons == (f"succeeded (try 1), and chose {group}",)
    # A branch that is cleared decides anew.
    cleared = runs.clear(run, ["choose"], downstream=True, home=home)
    assert set(cleared.tasks) == {"choose", "ship.deploy", "notify", "report"}
    again = runs.resume(run, home=home)
    assert states(again) == states(run)


def test_a_false_last_expression_skips_all_descendants_whatever_their_rules(write: Write, home: Home) -> None:
    run = nbdag.run(
        write(
            "%%task new --short-circuit\nrows = []\nlen(rows) > 0",
            "%%task a\nprint(rows)",
            "%%task b --after a --trigger all_done\n1",
            "%%task other\n1",
        ),
        home=home,
    )
    assert states(run) == {"new": "success", "a": "skipped", "b": "skipped", "other": "success"}
    assert run.state is RunState.SUCCESS
    assert why(run, "b", home=home)[0].reasons == ("was skipped: new is false with --short-circuit",)


CLUSTER = (
    "%%params\nbroken = ''\nfolder = '.'",
    "import pathlib\ndef log(word):\n    with open(pathlib.Path(folder, 'log.txt'), 'a') as file:\n        file.write(word + ' ')",
    "%%task start --setup\nif broken == 'start': 1 / 0\nlog('start')\ncluster = 'c1'",
    "%%task work\nif broken == 'work': 1 / 0\nlog('work ' + cluster)",
    "%%task stop --teardown-for start\nif broken == 'stop': 1 / 0\nlog('stop ' + cluster)",
)


@pytest.mark.parametrize(
    ("broken", "state", "log"),
    [
        ("", RunState.SUCCESS, "start work c1 stop c1 "),
        ("work", RunState.FAILED, "start stop c1 "),
        ("start", RunState.FAILED, ""),
        ("stop", RunState.SUCCESS, "start work c1 "),
    ],
)
@pytest.mark.parametrize("fail_fast", [False, True])
def test_a_teardown_releases_what_its_setup_prepared(
    write: Write, home: Home, tmp_path: Path, broken: str, state: RunState, log: str, fail_fast: bool
) -> None:
    given = {"broken": broken, "folder": str(tmp_path)}
    run = nbdag.run(write(*CLUSTER), parameters=given, fail_fast=fail_fast, home=home)
    assert run.state is state
    assert (tmp_path / "log.txt").read_text() if log else not (tmp_path / "log.txt").exists()
    assert not log or (tmp_path / "log.txt").read_text() == log


def test_clearing_a_task_runs_its_setup_and_teardown_again(write: Write, home: Home, tmp_path: Path) -> None:
    run = nbdag.run(write(*CLUSTER), parameters={"folder": str(tmp_path)}, home=home)
    assert runs.clear(run, ["work"], home=home).tasks == ("start", "work", "stop")
    assert runs.resume(run, home=home).state is RunState.SUCCESS
    assert (tmp_path / "log.txt").read_text() == "start work c1 stop c1 " * 2


def test_a_partial_run_prepares_and_releases_what_its_task_uses(write: Write, home: Home, tmp_path: Path) -> None:
    planned = runs.plan_run(write(*CLUSTER), only=["work"], home=home)
    assert [each.task for each in planned] == ["start", "work", "stop"]
    run = nbdag.run(write(*CLUSTER), only=["work"], parameters={"folder": str(tmp_path)}, home=home)
    assert (run.state, (tmp_path / "log.txt").read_text()) == (RunState.SUCCESS, "start work c1 stop c1 ")


def test_a_group_can_be_run_and_cleared_as_a_whole(write: Write, home: Home) -> None:
    path = write("%%task a\nx = 1", "%%task eu.b\ny = x", "%%task eu.c\nprint(y)", "%%task us.d --after eu\n1")
    run = nbdag.run(path, home=home)
    assert runs.clear(run, ["eu"], home=home).tasks == ("eu.b", "eu.c")
    assert states(nbdag.run(path, only=["eu"], home=home)) == {"eu.b": "success", "eu.c": "success"}


@pytest.mark.parametrize(
    ("options", "error", "tries", "words"),
    [
        ("--retry-on ConnectionError", "ConnectionResetError('x')", 3, ""),
        ("--retry-on ConnectionError", "ValueError('x')", 1, "not retried: --retry-on ConnectionError does not name"),
        ('--retry-if "error.args[0] == 429"', "OSError(429)", 3, ""),
        (
            '--retry-if "error.args[0] == 429"',
            "OSError(404)",
            1,
            "not retried: --retry-if error.args[0] == 429 is false",
        ),
    ],
)
def test_a_task_is_retried_by_the_kind_of_its_error(
    write: Write, home: Home, options: str, error: str, tries: int, words: str
) -> None:
    told: list[str] = []
    path = write(f"%%task a --retries 2 --retry-delay 0s {options}\nraise {error}")
    run = nbdag.run(path, home=home, on_event=lambda event: told.append(event.message))
    assert (run["a"].tries, run["a"].state) == (tries, TaskState.FAILED)
    assert any(words in message for message in told)
    assert not words or any(words in reason for reason in why(run, "a", home=home)[0].reasons)


def test_a_missed_deadline_is_notified_once_and_ends_nothing(
    write: Write, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = tmp_path / "heard.txt"

    def send(recipient: str, message: Mapping[str, Any], **_: object) -> str:
        with heard.open("a") as file:
            file.write(f"{recipient} {message['event']} {message['task']} {message['title']}\n")
        return ""

    monkeypatch.setattr(notify, "send", send)
    wait = "while not heard.exists() or len(heard.read_text().splitlines()) < 2:\n    time.sleep(0.01)"
    run = nbdag.run(
        write(
            "%dag churn --deadline +0.5s --on-deadline team:tell",
            f"import time, pathlib\nheard = pathlib.Path({str(heard)!r})",
            f"%%task a --timeout 60 --deadline +0.2s\n{wait}",
            "%%task b --after a\n1",
        ),
        home=home,
    )
    assert run.state is RunState.SUCCESS
    told = sorted(heard.read_text().splitlines())
    assert [line.partition(" (")[0] for line in told] == [
        "team:tell deadline None churn: the run missed its deadline +0.5s",
        "team:tell deadline a churn: a missed its deadline +0.2s",
    ]
    notes = runs.find_run(run.id, home=home).warnings
    assert sorted((note.code, note.name) for note in notes) == [("NB480", ""), ("NB480", "a")]  # "" is the run


def test_a_queued_run_misses_its_deadline(
    write: Write,
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheduler: Callable[..., AbstractContextManager[None]],
) -> None:
    heard: list[Mapping[str, Any]] = []
    monkeypatch.setattr(notify, "send", lambda recipient, message, **_: heard.append(message) or "")
    wait = f"import time, pathlib\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists():\n    time.sleep(0.01)"
    options = "--max-active-runs 1 --deadline +0.3s --on-deadline team:tell"
    nbdag.deploy(write(f"%dag churn {options}", f"%%task a\n{wait}"), home=home)
    made = {nbdag.trigger("churn", home=home).id for _ in range(2)}
    lines: list[str] = []
    with scheduler(home, on_line=lambda line: lines.append(line.message)):
        until(lambda: {each["run_id"] for each in heard} == made, "both deadlines are reported")
        assert sorted(each.state for each in runs.list_runs("churn", home=home)) == ["queued", "running"]
        (tmp_path / "go").touch()
        until(lambda: all(each.state in RUN_FINISHED for each in runs.list_runs("churn", home=home)), "both runs end")
    assert len(heard) == 2
    assert any(line.endswith("and the run is queued") for line in lines)


STEPS = (
    "%%task ids\nids = [1, 2, 3]",
    "%%task load --map n=ids\nif n == 3: raise ValueError('three')\nrows = n * 10",
    "%%task clean --map rows=rows n=ids --in-step load\ntidy = rows + n",
    "%%task total --trigger all_done --out found\nfound = list(tidy)",
)


def test_tasks_in_step_run_instance_by_instance(write: Write, home: Home) -> None:
    path = write(*STEPS)
    run = nbdag.run(path, home=home)
    shown = {f"{task.id}[{task.map_index}]": task.state.value for task in run if task.map_index >= 0}
    expected = {f"{task}[{n}]": "success" for task in ("load", "clean") for n in (0, 1)}
    assert shown == expected | {"load[2]": "failed", "clean[2]": "upstream_failed"}
    assert run.value("found") == [11, 22]
    (reasons,) = (each.reasons for each in why(run, "clean[2]", home=home))
    assert reasons == (
        "could not run, because an upstream task failed: load[2] failed",
        "needs load[2], which failed first: ValueError: three",
    )
    # A cleared instance runs again with its own element, and a cleared task gets its instances again.
    assert runs.clear(run, ["clean[1]"], home=home).tasks == ("clean[1]",)
    again = runs.resume(run, home=home)
    assert [task.tries for task in again if task.id == "clean"] == [1, 2, 0]
    runs.clear(run, ["clean"], downstream=True, home=home)
    again = runs.resume(run, home=home)
    assert [task.tries for task in again if task.id == "clean"] == [2, 3, 0]
    assert again.value("found") == [11, 22]
