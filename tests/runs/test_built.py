"""Runs of notebooks whose tasks code has made."""

from __future__ import annotations

import errno
import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
from patience import LONG, until

import nbdag
import nbdag.runs.creation.build
import nbdag.runs.execution.foreground
import nbdag.store
from nbdag import runs
from nbdag.building import read_built
from nbdag.core.model.states import RUN_FINISHED, RunState
from nbdag.home import Home, HomeError
from nbdag.runs.actions.backfill import backfill
from nbdag.runs.actions.clear import clear
from nbdag.runs.actions.resume import resume
from nbdag.runs.creation.build import build_run
from nbdag.runs.execution.daemon import Daemon, Line
from nbdag.store.rows import RunRow
from nbdag.store.store import Store

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]

SWEEP = (
    "%%params\nn = 2",
    "%%setup\nfrom pathlib import Path\ndef note(): Path('builds').open('a').write('x')",
    "%%task extract\nX = [1, 2, 3]",
    "%%dag sweep --schedule '0 6 * * *' --start-date 2026-01-01\n"
    "note()\nprint('building', n)\n"
    "for d in range(n): Python(f'fit_{d}', f'm{d} = sum(X) * {d}')\n"
    "Python('best', f'best = max([0, {\", \".join(f\"m{d}\" for d in range(n))}])')",
    "%%task report\nfinal = best if Path('ready').exists() else 1 / 0",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def builds() -> int:
    """How often the code of %%dag has run."""
    return Path("builds").stat().st_size if Path("builds").exists() else 0


def states(run: nbdag.Run) -> dict[str, str]:
    return {task.id: task.state.value for task in run}


def test_a_run_builds_once_and_pins_what_it_built(write: Write, home: Home) -> None:
    Path("ready").touch()
    done = nbdag.run(write(*SWEEP), parameters={"n": 3}, home=home)
    assert states(done) == dict.fromkeys(["extract", "fit_0", "fit_1", "fit_2", "best", "report"], "success")
    assert builds() == 1
    report = nbformat.read(str(done.notebook), as_version=4)
    nbformat.validate(report)
    assert [cell.metadata.get("nbdag", {}).get("task") for cell in report.cells if cell.metadata.get("nbdag")] == [
        "extract", None, "fit_0", "fit_1", "fit_2", "best", "report",
    ]  # fmt: skip
    (dag,) = [cell for cell in report.cells if cell.source.startswith("%%dag")]
    assert dag.outputs[0].text == "building 3\n"
    assert "image/svg+xml" in dag.outputs[1].data


def test_what_has_been_read_is_not_built_again(write: Write, home: Home) -> None:
    Path("ready").touch()
    path = write(*SWEEP)
    built = read_built(path)
    assert nbdag.run(path, built=built, home=home).state is RunState.SUCCESS
    assert builds() == 1


@pytest.mark.slow
def test_a_part_of_it_runs_with_the_values_of_an_earlier_run(write: Write, home: Home) -> None:
    Path("ready").touch()
    path = write(*SWEEP)
    nbdag.run(path, home=home)
    done = nbdag.run(path, from_=["best"], home=home)
    assert states(done) == {"best": "success", "report": "success"}


@pytest.mark.slow
def test_what_was_cleared_or_resumed_is_not_built_again(write: Write, home: Home) -> None:
    path = write(*SWEEP)
    failed = nbdag.run(path, home=home)
    assert states(failed)["report"] == "failed"
    write(*SWEEP[:3], "%%dag sweep\n1 / 0", SWEEP[4])  # the file has changed since
    Path("ready").touch()
    clear(failed, ["best"], downstream=True)
    done = resume(failed)
    assert (done.state, builds()) == (RunState.SUCCESS, 1)


def test_a_notebook_that_cannot_be_built_does_not_begin(write: Write, home: Home) -> None:
    with pytest.raises(runs.NotebookProblemsError, match=r"cell 4, line 2: ZeroDivisionError.*NB114"):
        nbdag.run(write(*SWEEP[:3], "%%dag sweep\n1 / 0"), home=home)
    assert not home.exists


# -- deployed ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def scheduler(home: Home, in_process: Any) -> Any:
    """Drives what is deployed, in a thread, from `start` until the test ends."""
    store = nbdag.store.open(home)
    lines: list[Line] = []
    threads: set[int] = set()
    executor = in_process(2)

    def on_line(line: Line) -> None:
        lines.append(line)
        threads.add(threading.get_ident())

    daemon = Daemon(store, home, executor, on_line=on_line)
    thread = threading.Thread(target=daemon.serve)

    class Started:
        said = lines

        def start(self) -> None:
            thread.start()

        def wait(self, run: nbdag.Run) -> nbdag.Run:
            def now() -> nbdag.Run:
                return runs.find_run(run.id, run.dag, home=home)

            try:
                until(lambda: now().state in RUN_FINISHED, "the run ends")
            except AssertionError as error:
                raise AssertionError(f"{error}: {[line.message for line in lines]}") from None
            return now()

    yield Started()
    if thread.ident:
        daemon.ask_to_end()
        thread.join(LONG)
        assert threads == {thread.ident}
    store.close()


@pytest.mark.slow
def test_what_is_deployed_is_the_source_and_each_run_builds(write: Write, home: Home, scheduler: Any) -> None:
    Path("ready").touch()
    path = write(*SWEEP)
    done = runs.deploy(path, home=home)
    assert (done.changed, builds()) == ("", 1)
    assert home.notebook(done.digest).read_bytes() == path.read_bytes()
    assert done.version == 1
    few, many = (runs.trigger("sweep", parameters={"n": n}, home=home) for n in (1, 4))
    assert (list(few), builds()) == ([], 1)  # not yet
    scheduler.start()
    assert list(states(scheduler.wait(few))) == ["extract", "fit_0", "best", "report"]
    assert list(states(scheduler.wait(many))) == ["extract", "fit_0", "fit_1", "fit_2", "fit_3", "best", "report"]
    # And the tick that was due when it was deployed.
    (due,) = [run for run in runs.list_runs(dag="sweep", home=home) if run.id.startswith("scheduled")]
    assert (scheduler.wait(due).state, builds()) == (RunState.SUCCESS, 4)
    deployed = runs.find_dag("sweep", home=home)
    assert (deployed.changed, deployed.version) == ("", 1)  # what was built is no version of its own


@pytest.mark.slow
def test_a_build_that_takes_its_time_holds_nobody_up(write: Write, home: Home, scheduler: Any) -> None:
    waits = "import time\nfrom pathlib import Path\nwhile n and not Path('go').exists(): time.sleep(0.05)"
    slow = write("%%params\nn = 0", f"%%dag slow\n{waits}\nPython('a', '1')", name="slow.ipynb")
    runs.deploy(slow, home=home)
    runs.deploy(write("%dag quick", "%%task b\nx = 1", name="quick.ipynb"), home=home)
    scheduler.start()
    first = runs.trigger("slow", parameters={"n": 1}, home=home)
    second = scheduler.wait(runs.trigger("quick", home=home))
    assert second.state is RunState.SUCCESS
    assert runs.find_run(first.id, "slow", home=home).state is RunState.QUEUED
    Path("go").touch()
    assert scheduler.wait(first).state is RunState.SUCCESS


@pytest.mark.slow
def test_a_run_that_cannot_be_built_fails_with_the_reason(write: Write, home: Home, scheduler: Any) -> None:
    Path("tell.py").write_text("def told(what): open('told', 'a').write(what['message'])")
    cells = (*SWEEP[:3], SWEEP[3].replace("--schedule", "--on-failure tell:told --schedule"), SWEEP[4])
    runs.deploy(write(*cells), home=home)
    runs.pause("sweep", home=home)
    scheduler.start()
    failed = scheduler.wait(runs.trigger("sweep", parameters={"n": "two"}, home=home))
    assert failed.state is RunState.FAILED
    assert "cell 4, line 4: TypeError" in (failed.error or "")
    assert list(failed) == []
    assert any("the tasks of the run cannot be built" in line.message for line in scheduler.said)
    until(lambda: Path("told").exists() and "TypeError" in Path("told").read_text(), "the failure is told")
    # To try again what failed so is to build again.
    assert clear(failed, home=home).queued_again
    assert scheduler.wait(failed).state is RunState.FAILED
    assert builds() == 3


@pytest.mark.slow
def test_what_is_recorded_of_a_run_that_cannot_be_built_is_one_line(write: Write, home: Home, scheduler: Any) -> None:
    code = "for name in ('a', 'b') if n else (): Python(name, f'{name}1 = {name}_missing')\nPython('c', '1')"
    runs.deploy(write("%%params\nn = 0", f"%%dag many\n{code}"), home=home)
    scheduler.start()
    failed = scheduler.wait(runs.trigger("many", parameters={"n": 1}, home=home))
    assert failed.error is not None
    assert "\n" not in failed.error
    assert "and 1 more problem; `nbdag check " in failed.error


@pytest.mark.slow
def test_a_build_that_failed_on_the_disk_is_retried_and_reported_once(
    write: Write, home: Home, scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("ready").touch()
    runs.deploy(write(*SWEEP), home=home)
    runs.pause("sweep", home=home)
    pin, tried, full = Home.pin, [], True

    def may_pin(self: Home, digest: str, text: bytes) -> Path:
        tried.append(time.monotonic())
        if full:
            raise HomeError(self.root, OSError(errno.ENOSPC, "No space left on device"))
        return pin(self, digest, text)

    monkeypatch.setattr(Home, "pin", may_pin)
    monkeypatch.setattr(nbdag.runs.creation.build, "RETRY_DELAY", 0.5)
    monkeypatch.setattr(nbdag.scheduler.scheduler, "HEARTBEAT_INTERVAL", 0.5)  # an idle scheduler wakes as often
    made = runs.trigger("sweep", parameters={"n": 1}, home=home)
    scheduler.start()
    until(lambda: len(tried) >= 3, "it is tried three times")
    full = False
    assert min(later - earlier for earlier, later in itertools.pairwise(tried)) >= 0.5
    assert scheduler.wait(made).state is RunState.SUCCESS
    said = [line for line in scheduler.said if "no space left" in line.message and line.run == made.id]
    assert len(said) == 1


@pytest.mark.slow
def test_without_a_scheduler_a_triggered_run_is_built_where_it_is_driven(write: Write, home: Home) -> None:
    Path("ready").touch()
    runs.deploy(write(*SWEEP), home=home)
    made = runs.trigger("sweep", parameters={"n": 1}, home=home)
    done = resume(made, home=home)
    assert (done.state, list(states(done))) == (RunState.SUCCESS, ["extract", "fit_0", "best", "report"])


@pytest.mark.slow
def test_a_process_that_builds_many_runs_sends_heartbeats(
    write: Write, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("ready").touch()
    runs.deploy(write(*SWEEP), home=home)
    made = runs.trigger("sweep", parameters={"n": 1}, home=home)
    heard: list[float] = []

    def slow(store: Store, home: Home, row: RunRow) -> RunRow:
        def beats() -> int:
            heard.extend(by.heartbeat for _, by in store.owned_runs())
            return len(set(heard))

        until(lambda: beats() >= 3, "it says three times that it is alive")
        return build_run(store, home, row)

    monkeypatch.setattr(nbdag.runs.execution.foreground, "HEARTBEAT_INTERVAL", 0.02)
    monkeypatch.setattr(nbdag.runs.execution.foreground, "build_run", slow)
    assert resume(made, home=home).state is RunState.SUCCESS


@pytest.mark.slow
def test_a_backfill_builds_once_for_all_its_runs(write: Write, home: Home) -> None:
    Path("ready").touch()
    runs.deploy(write(*SWEEP), home=home)
    filled = backfill(
        "sweep", datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC), parameters={"n": 1},
        tasks=["extract", "fit_0", "best", "report"], home=home,
    )  # fmt: skip
    assert [run.state for run in filled.runs] == [RunState.SUCCESS] * 3
    assert builds() == 2


@pytest.mark.slow
def test_a_run_that_is_cleared_to_what_is_deployed_takes_its_new_shape(write: Write, home: Home) -> None:
    Path("ready").touch()
    runs.deploy(write(*SWEEP), home=home)
    done = resume(runs.trigger("sweep", parameters={"n": 1}, home=home), home=home)
    runs.deploy(write(*SWEEP[:3], SWEEP[3].replace("'fit_{d}'", "'train_{d}'"), SWEEP[4]), home=home)
    clear(done, deployed=True)
    again = resume(done)
    assert again.state is RunState.SUCCESS
    assert {id: state for id, state in states(again).items() if "_" in id} == {"fit_0": "removed", "train_0": "success"}


def test_a_run_that_is_cancelled_before_it_is_built_is_never_built(write: Write, home: Home, scheduler: Any) -> None:
    runs.deploy(write(*SWEEP), home=home)
    runs.pause("sweep", home=home)
    made = runs.trigger("sweep", home=home)
    runs.cancel(made, home=home)
    scheduler.start()
    assert (scheduler.wait(made).state, builds()) == (RunState.CANCELLED, 1)


def test_the_report_of_a_run_can_be_run_again_in_another_shape(write: Write, home: Home, tmp_path: Path) -> None:
    Path("ready").touch()
    done = nbdag.run(write(*SWEEP), output=tmp_path / "out.ipynb", home=home)
    again = nbdag.run(tmp_path / "out.ipynb", parameters={"n": 1}, home=home)
    assert list(states(again)) == ["extract", "fit_0", "best", "report"]
    assert done.dag == again.dag == "sweep"
    assert json.loads((tmp_path / "out.ipynb").read_text())["cells"][3]["metadata"]["nbdag"]["built"] == 0
    assert os.fspath(done.notebook) != os.fspath(again.notebook)
