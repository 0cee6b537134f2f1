"""Runs that a task starts: other notebooks, plain ones too, and pipelines that the scheduler executes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from nbdag import runs
from nbdag.core.model.states import RunState
from nbdag.errors import NbdagError
from nbdag.home import Home
from nbdag.runs.actions.child import ChildRunError, NoSchedulerError
from nbdag.task_api.context import DagRun, set_current

pytestmark = pytest.mark.usefixtures("in_process")
Write = Callable[..., Path]
CHILD = ("%%params\nregion = 'x'\nn = 1", "%%task a\nm = n * 2", "%%task b --out acc\nacc = f'{region}{m}'")


@pytest.fixture
def attempt(home: Home) -> Iterator[Callable[[int], None]]:
    """Return a function that makes this process the kernel of a task's try."""

    def enter(number: int = 1) -> None:
        context = {"dag_id": "parent", "run_id": "r1", "task_id": "t", "try_number": number}
        set_current(DagRun.of(context, home=str(home.root)))

    enter()
    yield enter
    set_current(None)


@pytest.mark.usefixtures("attempt")
class TestANotebook:
    def test_runs_with_its_own_report_and_returns_values(
        self, write: Write, home: Home, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = write(*CHILD, name="child.ipynb")
        assert runs.run_child((str(path),), out=("acc",), parameters={"region": "eu", "n": 3}) == "eu6"
        assert runs.run_child((str(path),), out=("acc", "m"), parameters={}, jobs=1) == ("x2", 2)
        assert runs.run_child((str(path),), parameters={}) is None
        (_, _, first) = runs.list_runs("child", home=home)
        assert first.parameters == {"region": "eu", "n": 3}
        assert f"run {first.id} of child: success in" in capsys.readouterr().out
        assert first.notebook.exists()

    def test_without_tasks_runs_as_one_task(self, write: Write, home: Home) -> None:
        path = write("%%params\nn = 1", "m = n * 2", "k = m + 1\nprint(k)", name="plain.ipynb")
        before = path.read_bytes()
        assert runs.run_child((str(path),), out=("k", "m"), parameters={"n": 5}) == (11, 10)
        assert path.read_bytes() == before

    def test_that_fails_fails_its_task_with_the_reason(self, write: Write) -> None:
        path = write("%%task a\n1 / 0", name="child.ipynb")
        with pytest.raises(
            ChildRunError, match=r"run manual__\S+ of child failed: a: ZeroDivisionError.*; `nbdag status"
        ):
            runs.run_child((str(path),), parameters={})

    def test_that_cannot_run_is_an_error_in_one_sentence(self, write: Write) -> None:
        path = write(*CHILD, name="child.ipynb")
        for parameters, out, told in (
            ({"regoin": 1}, (), "sets no 'regoin'; did you mean 'region'?"),
            ({}, ("nope",), "no task of run .* sets 'nope'"),
            ({"n": object()}, (), "parameter 'n' is a object"),
        ):
            with pytest.raises(NbdagError, match=told):
                runs.run_child((str(path),), out=out, parameters=parameters)
        with pytest.raises(NbdagError, match=r"nope.ipynb does not exist"):
            runs.run_child(("nope.ipynb",), parameters={})

    def test_can_be_a_deployed_pipeline(self, write: Write, home: Home) -> None:
        path = write(*CHILD, name="child.ipynb")
        runs.deploy(path, home=home)
        path.unlink()  # the deployed version is pinned
        assert runs.run_child(("child",), out=("acc",), parameters={"n": 4}) == "x8"
        (made,) = runs.list_runs("child", home=home)
        assert made.state is RunState.SUCCESS
        with pytest.raises(runs.NotDeployedError, match="did you mean child"):
            runs.run_child(("chlid",), parameters={})


PARENTS = [
    "%%task t --operator trigger --wait --poke 1s --out t_result\nchild\nn = 3",
    "%%dag\nfrom nbdag.airflow import DAG, TriggerDagRunOperator\nwith DAG('parent'):\n    TriggerDagRunOperator("
    "task_id='t', trigger_dag_id='child', conf={'n': 3}, wait_for_completion=True, poke_interval=1)",
]


class TestATrigger:
    def test_triggers_one_run_for_each_try_however_often_it_polls(
        self, write: Write, home: Home, attempt: Callable[[int], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        runs.deploy(write(*CHILD, name="child.ipynb"), home=home)
        first = runs.trigger_child(("child",), parameters={"n": 2})
        assert runs.trigger_child(("child",), parameters={"n": 2}) == first
        assert "no scheduler is running; the run begins when `nbdag scheduler` does" in capsys.readouterr().out
        attempt(2)
        assert runs.trigger_child(("child",), parameters={}) != first
        assert [each.state for each in runs.list_runs("child", home=home)] == [RunState.QUEUED] * 2

    @pytest.mark.slow
    @pytest.mark.parametrize("parent", PARENTS)
    def test_that_waits_leaves_its_slot_to_the_run(
        self, parent: str, write: Write, home: Home, scheduler: Callable[..., AbstractContextManager[None]]
    ) -> None:
        runs.deploy(write(*CHILD, name="child.ipynb"), home=home)
        runs.deploy(write(parent, "%%task after\nprint(t_result)", name="parent.ipynb"), home=home)
        made = runs.trigger("parent", home=home)
        with scheduler(home):
            for _ in runs.follow(made.id, home=home):
                pass
        ended = runs.find_run(made.id, home=home)
        assert ended.state is RunState.SUCCESS
        assert runs.find_run(str(ended.value("t_result")), home=home).value("acc") == "x6"

    @pytest.mark.usefixtures("attempt")
    def test_that_waits_needs_a_scheduler(self, write: Write, home: Home) -> None:
        runs.deploy(write(*CHILD, name="child.ipynb"), home=home)
        with pytest.raises(NoSchedulerError, match=r"no scheduler is running, so run triggered__t_.* would never end"):
            runs.trigger_child(("child",), wait=True, parameters={})

    def test_that_waits_returns_the_run_once_it_has_succeeded_and_fails_with_it(
        self,
        write: Write,
        home: Home,
        attempt: Callable[[int], None],
        monkeypatch: pytest.MonkeyPatch,
        scheduler: Callable[..., AbstractContextManager[None]],
    ) -> None:
        runs.deploy(write(*CHILD, name="child.ipynb"), home=home)
        runs.deploy(write("%%task a\n1 / 0", name="bad.ipynb"), home=home)
        first = runs.trigger_child(("child",), parameters={"n": 2})  # before the scheduler
        with scheduler(home):
            for _ in runs.follow(str(first), home=home):
                pass
            assert runs.trigger_child(("child",), wait=True, parameters={"n": 2}) == first
            set_current(None)  # the live notebook waits inside the cell
            monkeypatch.setenv("NBDAG_HOME", str(home.root))
            with pytest.raises(ChildRunError, match="of bad failed: a: ZeroDivisionError"):
                runs.trigger_child(("bad",), wait=True, parameters={})
        assert runs.find_run(str(first), home=home).value("acc") == "x4"
