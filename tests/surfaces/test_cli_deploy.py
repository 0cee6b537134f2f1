"""Tests of the commands for deployment and schedules, called in the process of the tests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner, Result

import nbdag.store
from nbdag import runs
from nbdag.cli import main
from nbdag.core.model.states import RunState
from nbdag.home import Home

Call = Callable[..., Result]
SCHEDULE = '%dag churn --schedule "30 2 * * *" --tz Europe/Riga'
A_TIME = r"\d{4}-\d\d-\d\d 02:30:00 EES?T"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def write(head: str = SCHEDULE, *cells: str) -> Path:
    path = Path("churn.ipynb")
    sources = [head, *(cells or ("%%params\nalpha = 1", "%%task a\nx = alpha"))]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in sources]), path)
    return path


@pytest.fixture
def deployed(call: Call) -> Path:
    path = write()
    assert call("deploy", path).exit_code == 0
    return path


def listed(call: Call) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call("list", "-o", "json").stdout)
    return found


def test_each_deployment_creates_a_version_and_starts_its_schedule(call: Call) -> None:
    said = call("deploy", write()).stdout
    assert re.fullmatch(rf"churn: version 1 is deployed; schedule '30 2 \* \* \*', next run {A_TIME}\n", said)
    write(SCHEDULE, "%%task a\nx = 2")
    assert call("deploy", "churn.ipynb").output.startswith("churn: version 2 is deployed; ")
    assert call("deploy", write("%dag churn")).stdout == "churn: version 3 is deployed; on demand\n"
    (row,) = listed(call)
    assert (row["dag"], row["version"], row["next_run"], row["paused"]) == ("churn", 3, None, False)
    call("remove", "churn")
    again = call("deploy", "churn.ipynb")
    assert "churn has version 3 instead of 1, because earlier versions of the notebook have run" in again.stderr


def test_tasks_that_exchange_files_are_reported_unless_runs_cannot_overlap(call: Call) -> None:
    tasks = ("%%task a\nopen('a.txt', 'w').write('1')", "%%task b --after a\nprint(open('a.txt').read())")
    said = call("deploy", write(SCHEDULE, *tasks)).stderr
    assert "tasks of churn exchange a.txt, which two runs at once would mix; add --max-active-runs 1 to %dag" in said
    assert "exchange" not in call("deploy", write(f"{SCHEDULE} --max-active-runs 1", *tasks)).output
    only_one = "%%task a\nopen('a.txt', 'w').write('1')\nprint(open('a.txt').read())"
    assert "exchange" not in call("deploy", write(SCHEDULE, only_one, "%%task b\nopen('b.txt', 'w')")).output


def test_deploy_names_the_notebook_whose_pipeline_it_replaces(call: Call, deployed: Path, tmp_path: Path) -> None:
    other = Path("other.ipynb")
    other.write_bytes(deployed.read_bytes())
    note = "to keep both, name one of them with %dag NAME and deploy churn.ipynb again\n"
    assert call("deploy", other).stderr.startswith(f"churn replaces the pipeline of churn.ipynb; {note}")
    assert "replaces" not in call("deploy", other).stderr
    assert json.loads(call("deploy", other, "-o", "json").stdout)["replaced"] is None
    done = call("deploy", deployed, "-o", "json")
    assert json.loads(done.stdout)["replaced"] == str(tmp_path / "other.ipynb")
    deployed.rename("new.ipynb")
    assert call("deploy", "new.ipynb").stderr.startswith("churn replaces the pipeline of churn.ipynb\n")


def test_a_version_that_is_deployed_again_keeps_its_number(call: Call) -> None:
    path = Path("churn.ipynb")
    texts = [write("%dag churn", f"%%task a\nx = {n}").read_bytes() for n in range(3)]
    for text, version in ((0, 1), (1, 2), (0, 1), (2, 3), (1, 2)):
        path.write_bytes(texts[text])
        assert call("deploy", path).stdout == f"churn: version {version} is deployed; on demand\n"


def test_editing_or_deleting_the_file_does_not_change_the_deployment(
    call: Call, deployed: Path, tmp_path: Path
) -> None:
    pinned = listed(call)[0]["digest"]
    assert listed(call)[0]["changed"] is None
    write(SCHEDULE, "%%task other\nx = 2")
    assert "churn.ipynb (edited since)" in call("list").output
    assert listed(call)[0]["changed"] == "changed"
    deployed.unlink()
    assert (listed(call)[0]["changed"], listed(call)[0]["digest"]) == ("gone", pinned)
    assert call("trigger", "churn").exit_code == 0
    assert [task.id for task in runs.find_run(home=Home(tmp_path / "home"))] == ["a"]


def test_a_notebook_with_errors_is_not_deployed(call: Call) -> None:
    answer = call("deploy", write(SCHEDULE, "%%task a\nx = nowhere"))
    assert answer.exit_code == 1
    assert "nowhere" in answer.stderr
    assert call("list").stderr == "no DAG is deployed; 'nbdag deploy NOTEBOOK' deploys one\n"


@pytest.mark.slow
def test_next_notes_the_effects_of_daylight_saving_time(call: Call, deployed: Path) -> None:
    found = json.loads(call("next", "churn", "-n", 400, "-o", "json").stdout)
    assert len(found) == 400 and not any(each["note"] for each in found)  # Riga's clocks change at three
    call("deploy", write(SCHEDULE.replace("30 2", "30 3")))
    found = json.loads(call("next", "churn", "-n", 400, "-o", "json").stdout)
    notes = {re.sub(r"\d{4}-\d\d-\d\d", "DAY", each["note"]) for each in found if each["note"]}
    assert notes == {
        "03:30 does not exist on DAY, when the clocks go forward; the run starts at 04:30",
        "03:30 occurs twice, as the clocks go back; this is the second",
    }
    assert all(before["at"] == after["interval_start"] for before, after in pairwise(found))


def test_list_and_next_report_a_paused_schedule(call: Call, deployed: Path) -> None:
    assert call("pause", "churn").output == "churn: paused\n"
    assert re.search(r"^churn +30 2 \* \* \* +paused ", call("list").stdout, re.MULTILINE)
    assert call("next", "churn").stderr == "churn is paused; 'nbdag unpause churn' allows these runs\n"
    assert call("deploy", deployed).stdout == "churn: version 1 is deployed; schedule '30 2 * * *', paused\n"
    assert re.fullmatch(rf"churn: schedule '30 2 \* \* \*', next run {A_TIME}\n", call("unpause", "churn").stdout)


def test_trigger_accepts_parameters_and_a_logical_date(call: Call, deployed: Path, tmp_path: Path) -> None:
    answer = call("trigger", "churn", "-p", "alpha", "5", "--logical-date", "2026-03-02T02:30")
    assert re.fullmatch(r"run manual__\S+ of churn: queued\n", answer.stdout)
    assert answer.stderr == "no scheduler is running here; start one with 'nbdag scheduler'\n"
    home = Home(tmp_path / "home")
    run = runs.find_run(home=home)
    assert (run.state, dict(run.parameters)) == (RunState.QUEUED, {"alpha": 5})
    store = nbdag.store.open(home)
    row = store.named(run.id)[0]
    store.close()
    assert row.logical_date == row.interval_end == 1772411400.0  # 00:30 UTC
    assert row.interval_end - row.interval_start == 86_400


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("trigger", "chrun"), 1, "no DAG 'chrun' is deployed"),
        (
            ("trigger", "churn", "--logical-date", "yesterday"),
            2,
            "invalid date 'yesterday'; expected a form such as 2026-01-31 or",
        ),
        (("pause", "chrun"), 1, "no DAG 'chrun' is deployed"),
        (("pause", "churn.ipynb"), 1, "no DAG 'churn.ipynb' is deployed here; pass the id of its DAG: churn"),
        (("next", "chrun"), 1, "no DAG 'chrun' is deployed"),
        (("remove", "chrun"), 1, "no DAG 'chrun' is deployed"),
        (("deploy", "none.ipynb"), 2, "none.ipynb"),
    ],
)
def test_a_wrong_argument_is_reported_in_one_sentence(
    call: Call, deployed: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    answer = call(*words)
    assert answer.exit_code == code
    assert said in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_removing_a_dag_keeps_its_runs(call: Call, deployed: Path, tmp_path: Path) -> None:
    call("trigger", "churn")
    assert call("remove", "churn").output == "churn: removed\n"
    assert listed(call) == []
    assert [run.dag for run in runs.list_runs(home=Home(tmp_path / "home"))] == ["churn"]
    assert call("deploy", deployed).output.startswith("churn: version 1 is deployed; ")
