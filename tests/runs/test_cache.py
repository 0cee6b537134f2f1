"""`--cache`: what has run before and is unchanged does not run, in real runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import nbdag
from nbdag import runs
from nbdag.core.model.events import Event
from nbdag.frontend.status import run_statuses
from nbdag.home import Home
from nbdag.runs import gc
from nbdag.runs.actions.clear import clear, mark
from nbdag.runs.actions.resume import resume
from nbdag.runs.queries.why import why

Write = Callable[..., Path]

MARKED = "import pathlib\n\ndef ran(task):\n    with pathlib.Path('ran.txt').open('a') as file:\n        file.write(f'{task} ')"
LOAD = "%%task load --cache\nran('load')\nrows = [1, 2, n]\nprint('loaded', len(rows))\nrows"
TRAIN = "%%task train --cache\nran('train')\nmodel = helper(sum(rows))"
SHOW = "%%task show\nran('show')\nprint(model)"
HELPER = "def helper(x):\n    return x * 2"
CELLS = ("%%params\nn = 3\nm = 1", MARKED, HELPER, LOAD, TRAIN, SHOW)


@pytest.fixture
def ran(tmp_path: Path) -> Callable[[], list[str]]:
    """The tasks that ran since this was last asked."""
    path = tmp_path / "ran.txt"

    def ran() -> list[str]:
        found = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(found)

    return ran


def changed(cells: tuple[str, ...], at: str, to: str) -> list[str]:
    return [to if cell == at else cell for cell in cells]


@pytest.mark.slow
def test_unchanged_tasks_are_reused_and_shown_as_cached(write: Write, home: Home, ran: Callable) -> None:
    path = write(*CELLS)
    first = nbdag.run(path, home=home)
    assert ran() == ["load", "show", "train"]
    told: list[Event] = []
    second = nbdag.run(path, home=home, on_event=told.append)
    assert (second.state.value, ran()) == ("success", ["show"])
    assert [(task.id, task.tries, task.cached) for task in second] == [
        ("load", 1, first.id), ("train", 1, first.id), ("show", 1, None),
    ]  # fmt: skip
    assert second.value("model") == 12
    assert [event.message for event in told if event.task == "load"] == [f"cached: result of run {first.id}"]
    assert second.to_dict()["tasks"][0]["cached"] == first.id
    assert run_statuses(second)["load"].get("reason") == f"cached: result of run {first.id}"
    assert (
        why(second, "load")[0]
        .reasons[0]
        .startswith(f"succeeded without running: it reuses the result of run {first.id}")
    )
    assert runs.logs(second, "load").read_text() == "loaded 3\n"
    (cell,) = [c for c in json.loads(second.notebook.read_text())["cells"] if "%%task load" in "".join(c["source"])]
    assert [output["output_type"] for output in cell["outputs"]] == ["stream", "execute_result"]
    assert cell["metadata"]["nbdag"]["cached"] == [first.id]
    assert [event.message for event in runs.follow(second, home=home) if event.task == "load"] == [
        f"cached: result of run {first.id}"
    ]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for `cached`."""
    return tmp_path_factory.mktemp("cached")


@pytest.fixture
def cached(shared: Path, write: Write) -> tuple[Path, Home]:
    """Return a folder and a home in which the notebook has run; no two changes make the same task."""
    home = Home(shared / ".nbdag")
    if not home.exists:
        nbdag.run(shutil.copy(write(*CELLS), shared), home=home)
    (shared / "ran.txt").unlink()
    return shared, home


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (
            changed(
                CELLS, TRAIN, TRAIN.replace("%%task train", "# a remark\n%%task train --retries 2 --timeout 1m")[11:]
            ),
            [],
        ),
        (changed(CELLS, TRAIN, TRAIN + "  # doubled"), []),
        (changed(CELLS, LOAD, LOAD.replace("2, n", "2, n, 4")), ["load", "train"]),
        (changed(CELLS, LOAD, LOAD.replace("2, n", "1 + 1, n")), ["load"]),  # its value is what it was
        (changed(CELLS, HELPER, HELPER.replace("2", "3")), ["load", "train"]),
        (changed(CELLS, TRAIN, TRAIN.replace("--cache", '--cache --check "model > 0"')), ["train"]),
        (changed(CELLS, SHOW, SHOW.replace("print(model)", "print(rows)")), ["train"]),  # nobody needs its value now
        ([*CELLS, "%%task more\nprint(rows)"], []),
        (changed(CELLS, CELLS[0], CELLS[0].replace("m = 1", "m = 2")), ["load", "train"]),
        (changed(CELLS, TRAIN, TRAIN.replace("--cache", "")), ["train"]),
    ],
)
def test_what_a_change_makes_run(
    write: Write, cached: tuple[Path, Home], cells: list[str], expected: list[str]
) -> None:
    folder, home = cached
    run = nbdag.run(shutil.copy(write(*cells), folder), home=home)
    assert run.state.value == "success"
    ran = (folder / "ran.txt").read_text().split()
    assert sorted(task for task in ran if task != "show") == expected


@pytest.mark.slow
def test_a_parameter_counts_where_it_is_read(write: Write, home: Home, ran: Callable) -> None:
    path = write(*CELLS)
    nbdag.run(path, home=home)
    ran()
    assert nbdag.run(path, parameters={"m": 5}, home=home) and ran() == ["show"]
    assert nbdag.run(path, parameters={"n": 5}, home=home).value("model") == 16
    assert ran() == ["load", "show", "train"]
    assert nbdag.run(path, parameters={"n": 5, "m": 7}, home=home).value("model") == 16
    assert ran() == ["show"]


@pytest.mark.slow
def test_a_module_of_the_users_counts_and_what_it_imports(
    write: Write, home: Home, tmp_path: Path, ran: Callable
) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("from .deep import factor")
    (tmp_path / "tools" / "deep.py").write_text("def factor():\n    import numbers_of\n    return numbers_of.N")
    (tmp_path / "numbers_of.py").write_text("N = 2")
    path = write(MARKED, "%%task a --cache\nimport tools\nran('a')\nx = tools.factor()", "%%task b\nprint(x)")
    assert [nbdag.run(path, home=home).value("x") for _ in range(2)] == [2, 2]
    assert ran() == ["a"]
    (tmp_path / "numbers_of.py").write_text(
        "N = 3  # another size: Python compares sizes and whole seconds with its bytecode"
    )
    assert nbdag.run(path, home=home).value("x") == 3
    (tmp_path / "tools" / "deep.py").write_text("def factor():\n    return 4")
    assert nbdag.run(path, home=home).value("x") == 4
    assert ran() == ["a", "a"]


def test_a_task_whose_modules_are_unknown_runs_and_check_reports_it(write: Write, home: Home, ran: Callable) -> None:
    path = write(MARKED + "\nimport sys\nsys.path.append('lib')", "%%task a --cache\nran('a')\nx = 1")
    (said,) = [problem for problem in nbdag.read(path).problems if problem.code == "NB307"]
    assert (said.severity, said.task) == ("warning", "a")
    for _ in range(2):
        nbdag.run(path, home=home)
    assert ran() == ["a", "a"]


@pytest.mark.slow
def test_what_asks_for_the_date_runs_for_each_date_and_each_run_asks_for_itself(
    write: Write, home: Home, ran: Callable
) -> None:
    path = write(
        MARKED,
        "%%task dated --cache\nran('dated')\nx = dag_run.logical_date",
        "%%task named --cache\nran('named')\ny = dag_run.dag_id",
        "%%task fetch --cache --operator sensor\nran('fetch')\nTrue",
    )
    for _ in range(2):
        nbdag.run(path, home=home)
    assert ran() == ["dated", "dated", "fetch", "fetch", "named"]


@pytest.mark.slow
def test_each_instance_of_a_mapped_task_for_itself(write: Write, home: Home, ran: Callable) -> None:
    cells = (
        "%%params\nxs = [1, 2]",
        MARKED,
        "%%task each --map x=xs --cache\nran(f'each{x}')\ny = x * x",
        "%%task all_\nprint(y)",
    )
    first = nbdag.run(write(*cells), home=home)
    run = nbdag.run(write(*cells), parameters={"xs": [2, 3]}, home=home)
    assert ran() == ["each1", "each2", "each3"]
    assert [(task.map_index, task.cached) for task in run if task.id == "each"] == [(0, first.id), (1, None)]
    assert run.value("y") == [4, 9]


@pytest.mark.slow
def test_no_cache_runs_tasks_again(write: Write, home: Home, ran: Callable) -> None:
    path = write(*CELLS)
    first = nbdag.run(path, home=home)
    ran()
    forced = nbdag.run(path, cache=False, home=home)
    assert ran() == ["load", "show", "train"]
    assert nbdag.run(path, home=home)["load"].cached == forced.id  # the latest
    ran()
    clear(forced, ["load"], home=home)
    assert nbdag.run(path, home=home)["load"].cached == first.id  # what was cleared is not trusted
    ran()
    assert resume(forced.id, home=home)["load"].cached is None
    assert ran() == ["load"]
    assert nbdag.run(path, home=home)["load"].cached == forced.id  # as it was made anew there
    mark("failed", forced, ["train"], home=home)
    assert nbdag.run(path, home=home)["train"].cached == first.id
    mark("failed", first, ["train"], home=home)
    ran()
    assert nbdag.run(path, home=home)["train"].cached is None  # runs that took it are not trusted either
    assert ran() == ["show", "train"]


@pytest.mark.slow
def test_values_outlive_the_run_that_made_them_and_without_them_the_task_runs(
    write: Write, home: Home, ran: Callable
) -> None:
    path = write(*CELLS)
    first = nbdag.run(path, home=home)
    second = nbdag.run(path, home=home)
    store = nbdag.store.open(home)
    store.maintenance.delete_runs([row.id for row in store.named(first.id)])
    store.close()
    for each in home.root.rglob("*"):
        os.utime(each, (1.0, 1.0))
    assert gc(home=home).folders == 1
    assert runs.find_run(second.id, home=home).value("rows") == [1, 2, 3]
    third = nbdag.run(path, home=home)
    assert third["load"].cached == first.id
    assert ran() == ["load", "show", "show", "show", "train"]
    assert "loaded 3" in runs.logs(third, "load").read_text()
    for each in home.values.glob("*/*"):
        each.unlink()
    assert nbdag.run(path, home=home).value("model") == 12
    assert ran() == ["load", "show", "train"]


def test_a_failure_is_no_outcome_to_keep(write: Write, home: Home, ran: Callable) -> None:
    path = write(MARKED, "%%task a --cache\nran('a')\n1 / 0")
    for _ in range(2):
        assert nbdag.run(path, home=home).state.value == "failed"
    assert ran() == ["a", "a"]


def test_a_dry_run_shows_which_tasks_are_cached(write: Write, home: Home) -> None:
    path = write("%%task a --cache\nx = 1", "%%task b\nprint(x)")

    def spared(**more: bool) -> list[str]:
        planned = runs.plan_run(path, home=home, **more)
        return [each.task for each in planned if "the result of an earlier run is reused" in each.reason]

    assert spared() == ["a"]
    assert spared(cache=False) == []
