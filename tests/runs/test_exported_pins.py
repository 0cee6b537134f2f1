"""Attempts of an exported pipeline use the files and packages that the export has copied into the storage."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nbdag import environments, runs
from nbdag.core.model.states import TaskState
from nbdag.errors import NbdagError
from nbdag.home import Home
from nbdag.runs.actions import gc as gc_module
from nbdag.values import ValueStore


@pytest.fixture
def exported(write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Export a notebook with pinned files and packages; return the digests in the file."""
    monkeypatch.setattr(environments, "_uv", lambda *_, text=None, **__: text or "")
    monkeypatch.setattr(environments, "ensure", lambda *_: Path())
    monkeypatch.setenv("NBDAG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "q.sql").write_text("select 1")
    notebook = write("%dag --with q.sql --requires six==1.16", "%%task a --out seen\nseen = open('q.sql').read()")
    text = runs.export_airflow(notebook, storage=str(tmp_path / "storage"))
    return dict(re.findall(r'^(PINNED_FILES|ENVIRONMENT) = "(\w+)"', text, re.MULTILINE))


def test_an_attempt_uses_the_files_of_the_export(
    write: Callable[..., Path], exported: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "q.sql").write_text("select 2")
    notebook = write("%dag --with q.sql", "%%task a --out seen\nseen = open('q.sql').read()")
    storage, seen = tmp_path / "storage", []
    for pins in ({"with_files": exported["PINNED_FILES"]}, {}):
        assert runs.attempt(notebook, "a", run="r1", storage=str(storage), **pins).state is TaskState.SUCCESS
        record = msgspec.json.decode((storage / "runs" / "churn" / "r1" / "tasks" / "a" / "outcome.json").read_bytes())
        seen.append(ValueStore(str(storage / "values")).load(record["outcome"]["outputs"][0]["digest"])["seen"])
    assert seen == ["select 1", "select 2"]

    monkeypatch.setattr(gc_module, "GRACE", -60.0)
    assert runs.gc(home=Home(tmp_path / "home", storage=str(storage))).files == 0
    assert len(list((storage / "files").glob("*.t*"))) == 2


def test_the_packages_of_the_export_reach_the_kernel(
    exported: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = []
    monkeypatch.setattr(runs.execution.attempt, "assemble", lambda dag, *_, **__: jobs.append(dag.packages) or 1 / 0)
    options = {"run": "r1", "storage": str(tmp_path / "storage")}
    for pins in ({"environment": exported["ENVIRONMENT"]}, {}):
        with pytest.raises(ZeroDivisionError):
            runs.attempt(tmp_path / "churn.ipynb", "a", **options, **pins)
    assert jobs[0] == jobs[1] and jobs[0].startswith("six==1.16\n")


def test_packages_that_the_storage_lacks_are_one_sentence(
    write: Callable[..., Path], exported: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(
        NbdagError, match=r"^--environment 0000: .*/other has no packages of this digest; pass the --st"
    ):
        runs.attempt(tmp_path / "churn.ipynb", "a", run="r1", storage=str(tmp_path / "other"), environment="0000")
