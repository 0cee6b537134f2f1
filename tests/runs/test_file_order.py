"""Tasks that exchange files without a variable between them are reported by the run, and by the next check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import nbdag
from nbdag import runs
from nbdag.core.dataflow.file_order import conflicts_of_run
from nbdag.core.model.job import FilesOfAttempt, FileUse
from nbdag.home import Home

SETUP = "import os\nfrom pathlib import Path\nname = 'best' + '.joblib'"
TRAIN = "%%task train\nPath(name).write_text('new')\nopen('run.log', 'a').write('train')"
PUBLISH = "%%task publish\np = Path(name)\nmodel = p.read_text()\nopen('run.log', 'a').write('publish')"


def told(run: runs.Run) -> list[str]:
    return [note.message for note in run.warnings if note.code == "NB470"]


@pytest.mark.slow
def test_a_run_reports_a_file_that_an_unordered_task_reads(
    write: Callable[..., Path], home: Home, tmp_path: Path
) -> None:
    (tmp_path / "best.joblib").write_text("old")
    path = write(SETUP, TRAIN, PUBLISH, "%%task shell\n!echo 1 > made.txt")
    run = nbdag.run(path, jobs=1, home=home)
    assert run.state.value == "success"
    sentence = "publish reads best.joblib, which train writes, and nothing orders these tasks"
    assert told(run) == [f"{sentence}; add --after train to %%task publish"]
    dag = runs.remember_files(nbdag.read(path), home=home)
    assert [(each.code, each.task, each.message) for each in dag.problems] == [("NB313", "publish", sentence)]
    assert [(each.source, each.target, each.files) for each in dag.file_edges] == [
        ("train", "publish", ("best.joblib",))
    ]
    ordered = write(SETUP, TRAIN, PUBLISH.replace("publish", "publish --after train", 1))
    assert not runs.remember_files(nbdag.read(ordered), home=home).problems
    changed = write(SETUP, TRAIN, PUBLISH.replace("p = Path(name)", "p = Path(name + '.new')"))
    assert not runs.remember_files(nbdag.read(changed), home=home).problems
    assert not told(nbdag.run(ordered, jobs=1, home=home))


@pytest.mark.slow
def test_a_run_knows_the_files_of_programs_and_of_failed_tasks(write: Callable[..., Path], home: Home) -> None:
    path = write(
        SETUP,
        "%%task shell\n!echo 1 > made.txt",
        "%%task lost\nopen('lost' + '.txt').read()",
        "%%task found\nopen('made' + '.txt').read()",
        "%%task writer\nopen('lost' + '.txt', 'w').write('1')",
    )
    run = nbdag.run(path, jobs=1, home=home)
    assert run["lost"].state.value == "failed"
    assert told(run) == [
        "found reads made.txt, which shell writes, and nothing orders these tasks; add --after shell to %%task found",
        "writer writes lost.txt, which lost reads, and nothing orders these tasks; add --after lost to %%task writer",
    ]


def test_tasks_that_only_read_or_only_append_need_no_order(
    write: Callable[..., Path], home: Home, tmp_path: Path
) -> None:
    (tmp_path / "data.csv").write_text("x\n1\n")
    cells = [
        f"%%task {name}\nimport json\nprint(open('data' + '.csv').read())\nopen('run' + '.log', 'a').write('{name}')\n"
        f"open(f'{name}.json', 'w').write('1')\nos.makedirs('out', exist_ok=True)"
        for name in ("a", "b")
    ]
    run = nbdag.run(write(SETUP, *cells), jobs=2, home=home)
    assert run.state.value == "success"
    assert not run.warnings


def test_a_file_that_two_tasks_saw_change_belongs_to_the_one_that_did_not_read_it(write: Callable[..., Path]) -> None:
    dag = nbdag.read(write("%%task a\n1", "%%task b\n2", "%%task c\n3"))
    seen, read = FileUse("/x", "s"), FileUse("/x", "rs")

    def attempts(*each: tuple[str, float, float, FileUse]) -> list[tuple[str, str]]:
        made = [FilesOfAttempt(task=task, started=at, ended=end, files=(use,)) for task, at, end, use in each]
        return [(found.first, found.relation) for found in conflicts_of_run(dag, made)]

    assert attempts(("a", 0, 2, seen), ("b", 1, 3, read)) == [("a", "b reads {path}, which a writes")]
    assert attempts(("a", 0, 2, seen), ("b", 1, 3, seen)) == []  # nobody knows whose file it is
    assert attempts(("a", 0, 1, seen), ("b", 2, 3, seen)) == [("a", "b and a both write {path}")]
    assert attempts(("a", 0, 2, FileUse("/x", "w")), ("b", 1, 3, seen)) == []
