"""Every verb of the command line is a function of `nbdag.runs`, callable from plain Python."""

from __future__ import annotations

import inspect
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from patience import LONG

import nbdag
from nbdag import runs
from nbdag.cli import main
from nbdag.core.model.states import RunState
from nbdag.home import Home

pytestmark = pytest.mark.usefixtures("in_process")

VERBS = {
    "check": "read",
    "show": "read",
    "suggest": "suggest",
    "import": "import_pipeline",
    "rehearse": "rehearse",
    "compare": "compare_runs",
    "export airflow": "export_airflow",
    "export script": "export_script",
    "attempt": "attempt",
    "run": "run",
    "deploy": "deploy",
    "list": "list_dags",
    "trigger": "trigger",
    "next": "next_ticks",
    "pause": "pause",
    "unpause": "unpause",
    "backfill": "backfill",
    "remove": "remove",
    "scheduler": "schedule",
    "runs": "list_runs",
    "status": "find_run",
    "logs": "logs",
    "report": "report_html",
    "why": "why",
    "approve": "answer",
    "cancel": "cancel",
    "clear": "clear",
    "mark": "mark",
    "metrics": "metric_history",
    "resume": "resume",
    "assets list": "list_assets",
    "assets events": "asset_events",
    "assets emit": "emit_asset",
    "assets graph": "lineage",
    "pools list": "list_pools",
    "pools set": "set_pool",
    "pools delete": "delete_pool",
    "connections list": "list_connections",
    "connections test": "test_connections",
    "db migrate": "migrate_db",
    "db check": "check_db",
    "db clean": "clean_db",
    "gc": "gc",
    "doctor": "doctor",
}


def commands() -> list[str]:
    """Every command of the command line, as a person types it."""
    found = []
    for name in main.modules:
        command = main.get_command(click.Context(main), name)
        inner = list(command.commands) if isinstance(command, click.Group) else []
        found += [f"{name} {each}" for each in inner] or [name]
    return found


def test_every_command_has_its_verb() -> None:
    of_servers, of_texts = {"ui", "up"}, {"explain", "ci"}  # these use no notebook and no run
    assert set(commands()) == {*VERBS, *of_servers, *of_texts}
    assert [verb for verb in VERBS.values() if verb not in runs.__all__] == []


@pytest.mark.parametrize("name", [name for name in runs.__all__ if name[0].islower()])
def test_every_verb_is_typed_and_documented(name: str) -> None:
    verb = getattr(runs, name)
    signature = inspect.signature(verb)
    untyped = [each.name for each in signature.parameters.values() if each.annotation is inspect.Parameter.empty]
    assert untyped == []
    assert signature.return_annotation is not inspect.Signature.empty
    assert (verb.__doc__ or "").strip()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = runs.nope
    assert set(runs.__all__) <= set(dir(runs))


def test_each_verb_works_from_plain_python(
    write: Callable[..., Path], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("%dag churn --schedule @daily", "%%params\nn = 1", "%%task a --out x\nx = n", "%%task b\ny = x + 1")
    assert list(runs.read(path).tasks) == ["a", "b"]
    assert [each.task for each in runs.plan_run(path, home=home)] == ["a", "b"]

    assert "y = x + 1" in runs.export_script(path)
    untagged = write("import json", "orders = json.loads('[1, 2]')", "total = sum(orders)", name="untagged.ipynb")
    assert [task.name for task in runs.suggest(untagged).suggestion.tasks] == ["orders", "total"]

    run = runs.run(path, parameters={"n": 2}, home=home)
    assert run.value("x") == 2
    assert runs.load("churn", task="b", home=home) == {"x": 2}
    assert [(each.name, each.same) for each in runs.parameter_changes(run, run)] == [("n", True)]
    assert runs.find_run(run.id, home=home) == run
    assert [each.id for each in runs.list_runs("churn", home=home)] == [run.id]
    assert [each.task for each in runs.list_attempts(run.id, "churn", home=home)] == ["a", "b"]
    assert runs.logs(run, "a").read_text() == "a begins\n"
    assert [each.state.value for each in runs.follow(run)][-1] == "success"
    assert next(runs.watch_runs(lambda: "churn", limit=1, home=home)) == [run]
    assert runs.why(run, "a")[0].reasons == ("succeeded (try 1)",)
    assert runs.why_not_started(run) == {}
    assert runs.owner(run) == ""

    assert runs.clear(run, ["b"]).tasks == ("b",)
    assert runs.resume(run).state is RunState.SUCCESS
    assert runs.mark("failed", run, ["b"]).tasks == ("b",)
    assert runs.cancel(run).state is RunState.CANCELLED
    ends = [each.state for each in runs.run_events(run.id, "churn", home=home) if each.kind == "ended"]
    assert ends == [RunState.SUCCESS, RunState.SUCCESS, RunState.CANCELLED], "a continued run keeps its earlier ends"

    assert runs.deploy(path, home=home).version == 1
    assert [each.id for each in runs.list_dags(home=home)] == [runs.find_dag("churn", home=home).id] == ["churn"]
    assert len(runs.next_ticks("churn", 3, home=home)) == 3
    assert runs.pause("churn", home=home).paused
    assert not runs.unpause("churn", home=home).paused
    triggered = runs.trigger("churn", home=home)
    assert triggered.state is RunState.QUEUED
    assert runs.live_scheduler(home=home) is None
    assert runs.resume(triggered).state is RunState.SUCCESS
    yesterday = datetime.now(UTC) - timedelta(days=1)
    filled = runs.backfill("churn", yesterday - timedelta(days=1), yesterday, home=home)
    assert [each.state for each in filled.runs] == [RunState.SUCCESS]
    assert [each.asset for each in runs.asset_events(home=home)] == ["dag:churn"] * 4
    assert runs.emit_asset("orders", {"rows": 1}, home=home) == ()
    monkeypatch.setenv("NBDAG_HOME", str(home.root))
    assert [each.extra for each in runs.events_for_task("orders")] == [{"rows": 1}]
    assert [each.name for each in runs.list_assets(home=home)] == ["dag:churn", "orders"]
    assert [each.asset for each in runs.asset_events("after churn", home=home)] == ["dag:churn"] * 4
    assert runs.waits_for("churn", home=home) == ()
    later = write(
        "%dag later --schedule 'on orders and lake/x and file:y or after chorn'", "%%task a\n1", name="later.ipynb"
    )
    runs.deploy(later, home=home)
    assert runs.unknown_sources("later", home=home) == (("lake/x", None), ("after chorn", "after churn"))
    runs.remove("later", home=home)
    assert runs.lineage(home=home).assets == ("orders",)
    runs.remove("churn", home=home)
    assert runs.list_dags(home=home) == []

    assert runs.set_pool("gpu", 2, home=home) in runs.list_pools(home)
    assert runs.delete_pool("gpu", home=home).slots == 2
    assert runs.migrate_db(home) == runs.check_db(home)
    assert {each.what for each in runs.doctor(home)} >= {"store"}
    assert {each.what for each in runs.health(home)} >= {"store"}
    assert run.id in runs.clean_db(0.0, home=home).runs
    assert runs.gc(home=home).values == 0  # the files are younger than an hour
    assert runs.list_runs(home=home) == []


def test_each_verb_is_called_by_a_test_from_plain_python() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))
    verbs = {name for name in runs.__all__ if inspect.isfunction(getattr(runs, name))}
    assert verbs - set(re.findall(r"\bruns\.(\w+)\(", code)) == set()


def test_each_verb_of_the_page_works_from_plain_python(
    write: Callable[..., Path], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("%dag churn --schedule @daily", "%%params\nn = 1", "%%task a\nx = n", "%%task b\ny = x")
    dag = runs.read(path)
    assert dict(runs.choose(dag, only=["b"]).tasks) == {"b": "selected by --only"}
    assert runs.plain_parameters({"n": (1, 2)}) == {"n": [1, 2]}
    run = runs.run(path, home=home)

    version = runs.deploy(path, home=home)
    assert runs.deployed_paths(home=home) == {path: "churn"}
    assert [each.number for each in runs.list_versions("churn", home=home)] == [version.version]
    found = runs.find_version("churn", "1", home=home)
    assert runs.pinned_notebook("churn", version="1", home=home).digest == found.digest

    assert [each.id for each in runs.page_of_runs(home=home).items] == [run.id]
    assert [each.id for each in runs.page_of_dags(search="chu", home=home).items] == ["churn"]
    assert runs.dag_entry("churn", home=home).id == "churn"
    assert [each.id for each in runs.latest_that_fit("churn", limit=5, most=2, home=home)] == [run.id]
    assert runs.run_details(run.id, "churn", home=home).version == 1
    assert [each.kind for each in runs.run_events(run.id, "churn", home=home)][-1] == "ended"
    assert [(task, output.name) for task, _, output in runs.stored_outputs(run.id, "churn", home=home)] == [("a", "x")]
    assert runs.overview(home=home).deployed == 1
    numbers = runs.metrics(home=home)
    assert numbers is not None
    assert numbers.attempts == 2
    today = datetime.now(UTC).date()
    assert [each.day for each in runs.calendar("churn", today, today + timedelta(days=1), home=home).days][-1] > today
    assert "<svg" in runs.dag_badge("churn", home=home)

    log = runs.find_log(run.id, "churn", "a", 1, home=home)
    assert log.path.read_text() == "a begins\n"
    assert runs.rendered_in(log.path) == {}  # a log is not a notebook
    assert b"%%task a" in runs.report_notebook(run.id, home=home)
    assert "<html" in runs.report_html(run.id, home=home)

    assert runs.edited_since(run, ["a"]) == ""
    path.write_text(path.read_text().replace("x = n", "x = n + 1"))
    assert "edited" in runs.edited_since(run, ["a"])
    runs.mark("failed", run, ["b"])
    assert runs.requeue(run)[0].state is RunState.QUEUED

    monkeypatch.setenv("NBDAG_CONN_SHOP", "unknown://shop")
    assert [each.name for each in runs.list_connections()] == ["shop"]
    assert [each.name for each in runs.test_connections(["shop"])] == ["shop"]
    monkeypatch.setenv("NBDAG_RUNTIME_DIR", str(tmp_path / "servers"))  # so that it stops no server of other tests
    runs.stop_servers()


def test_schedule_executes_a_triggered_run(
    write: Callable[..., Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.deploy(write("%dag churn", "%%task a\nx = 1"), home=home)
    run = runs.trigger("churn", home=home)
    daemons: list[nbdag.runs.execution.daemon.Daemon] = []
    serve = nbdag.runs.execution.daemon.Daemon.serve

    def noted(self: nbdag.runs.execution.daemon.Daemon) -> None:
        daemons.append(self)
        serve(self)

    monkeypatch.setattr(nbdag.runs.execution.daemon.Daemon, "serve", noted)
    thread = threading.Thread(target=lambda: runs.schedule(jobs=1, home=home))
    thread.start()
    try:
        end = time.monotonic() + LONG
        for _ in runs.follow(run):
            assert time.monotonic() < end
    finally:
        daemons[0].ask_to_end()
        thread.join(LONG)
    assert runs.find_run(run.id, home=home).state is RunState.SUCCESS


@pytest.mark.parametrize("verb", ["run", "resume", "backfill", "schedule"])
def test_an_unknown_executor_is_rejected(verb: str, write: Callable[..., Path], home: Home) -> None:
    path = write("%dag churn --schedule @daily", "%%task a\nx = 1")
    run = runs.run(path, home=home)
    runs.clear(run)
    runs.deploy(path, home=home)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    calls = {
        "run": lambda: runs.run(path, executor="nope", home=home),
        "resume": lambda: runs.resume(run, executor="nope"),
        "backfill": lambda: runs.backfill("churn", yesterday, datetime.now(UTC), executor="nope", home=home),
        "schedule": lambda: runs.schedule(executor="nope", home=home),
    }
    with pytest.raises(nbdag.NbdagError, match="unknown executor 'nope'; expected one of dask, local"):
        calls[verb]()
