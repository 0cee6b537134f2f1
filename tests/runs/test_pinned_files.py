"""A deployed version with pinned files, executed by a scheduler with real kernels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from patience import until

from nbdag import runs
from nbdag.core.model.states import RUN_FINISHED, RunState
from nbdag.home import Home
from nbdag.runs.actions import gc as gc_module
from nbdag.runs.creation.prepare import prepare
from nbdag.runs.queries.pinned import pinned_dag
from nbdag.storage.pinned_files import PinError
from nbdag.storage.remote import StorageError


def test_runs_of_a_version_use_the_files_that_are_pinned_with_it(
    write: Callable[..., Path],
    home: Home,
    tmp_path: Path,
    scheduler: Callable[..., AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "features.py").write_text("VERSION = 1")
    (tmp_path / "q.sql").write_text("select 1")
    path = write(
        "%dag churn --with lib/ *.sql",
        "%%task a --out seen\nfrom lib import features\nseen = [features.VERSION, open('q.sql').read()]\n"
        "_ = open('written.txt', 'w').write('here')",
    )
    first = runs.deploy(path, home=home)
    assert (first.changed, first.version) == ("", 1)
    (tmp_path / "lib" / "features.py").write_text("VERSION = 2")
    (tmp_path / "q.sql").write_text("select 2")
    made = runs.trigger("churn", home=home)
    with scheduler(home):
        until(lambda: runs.find_run(made.id, home=home).state in RUN_FINISHED)
    run = runs.find_run(made.id, home=home)
    assert run.state is RunState.SUCCESS, run["a"].error
    assert run.value("seen") == [1, "select 1"]
    assert (tmp_path / "written.txt").read_text() == "here"
    assert run["a"].notebook is not None and not run["a"].notebook.with_suffix(".files").exists()

    assert "but a pinned file was edited since" in runs.clear(run, dry_run=True, home=home).edited

    # `nbdag run` executes the notebook as it is now; another deployment is another version.
    path.write_bytes(home.notebook(first.digest).read_bytes())  # a downloaded version has a record of its files
    assert prepare(path).dag.pinned_files == ""
    again = runs.deploy(path, home=home)
    assert (again.version, again.changed) == (2, "") and again.digest != first.digest

    monkeypatch.setattr(gc_module, "GRACE", -60.0)
    assert runs.gc(home=home).files == 0
    runs.gc(0.0, home=home)
    (kept,) = {each.name.partition(".")[0] for each in (home.files / "files").iterdir()}
    assert kept == pinned_dag(home, again.digest, "churn.ipynb").pinned_files


def test_gc_keeps_the_files_of_a_notebook_that_it_cannot_read(
    write: Callable[..., Path], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("%dag churn --with query.sql", "%%task a\nx = 1")
    (path.parent / "query.sql").write_text("SELECT 1")
    version = runs.deploy(path, home=home)
    pinned = home.notebook(version.digest)
    pinned.write_bytes(b"of a later nbdag: " + pinned.read_bytes())
    archives = home.files / "files"
    (draft := archives / ".0123456789abcdef.part").mkdir()  # of a process that was killed
    monkeypatch.setattr(gc_module, "GRACE", -60.0)
    runs.gc(home=home)
    assert not draft.exists()
    assert [each.suffix for each in archives.iterdir()] == [".tar"]

    def fail(*_: object) -> bytes:
        raise StorageError("s3://bucket", "no answer")

    monkeypatch.setattr(gc_module, "pinned_text", fail)
    with pytest.raises(StorageError):
        runs.gc(home=home)
    assert [each.suffix for each in archives.iterdir()] == [".tar"]


def test_a_file_that_is_missing_is_an_error_of_deploy(write: Callable[..., Path], home: Home) -> None:
    path = write("%dag churn --with sqll/", "%%task a\nx = 1")
    with pytest.raises(PinError, match="%dag --with sqll/: no file of this name in"):
        runs.deploy(path, home=home)
