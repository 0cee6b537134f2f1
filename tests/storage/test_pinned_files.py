"""Files that are pinned with a version, and the working folder of an attempt that uses them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from nbdag.core.model.dag import Task
from nbdag.core.model.job import Job, Key
from nbdag.core.options.options import TaskOptions
from nbdag.kernels.worker.working_folder import working_folder
from nbdag.storage import files_at
from nbdag.storage.pinned_files import PinError, PinnedFilesLostError, archive_path, pack, unpacked


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a notebook's folder with modules, SQL files and data, beside another folder."""
    folder = tmp_path / "project"
    for name in ("lib/a.py", "lib/deep/b.py", "sql/q.sql", "sql/notes.txt", "data.csv", "out/old.csv", "../raw/r.csv"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{Path(name).name} 1")
    return folder


def pinned(project: Path, *patterns: str) -> Job:
    """Return the job of a version with these files, which have changed since."""
    home = project / ".nbdag"
    digest, archive = pack(project, patterns)
    path = archive_path(home, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive)
    for each in project.rglob("*.*"):
        if each.is_file() and ".nbdag" not in each.parts:
            each.write_text(f"{each.name} 2")
    return Job(
        key=Key(dag="d", run="r", task="t"),
        task=Task(id="t", cell=0, options=TaskOptions(), code=""),
        path=str(home / "runs/d/r/tasks/t/1.ipynb"),
        values=str(home / "values"),
        cwd=str(project),
        kernel_name="python3",
        pinned_files=digest,
    )


def test_an_attempt_reads_pinned_files_and_otherwise_the_files_of_the_folder(project: Path) -> None:
    job = pinned(project, "lib/", "sql/*.sql")
    (project / "lib" / "new.py").write_text("")
    with working_folder(job, print) as folder:
        here = Path(folder)
        read = {
            name: (here / name).read_text()[-1]
            for name in ("lib/a.py", "lib/deep/b.py", "sql/q.sql", "sql/notes.txt", "data.csv", "../raw/r.csv")
        }
        assert "".join(read.values()) == "111221"  # ../raw has not changed
        assert here.name == "project"
        assert not (here / "lib" / "new.py").exists()  # the version has all of lib/, which had no such file
    assert not here.parent.exists()


def test_files_that_an_attempt_creates_renames_and_removes_end_in_the_notebooks_folder(project: Path) -> None:
    job = pinned(project, "lib/", "sql/*.sql")
    said: list[str] = []
    with working_folder(job, said.append) as folder:
        here = Path(folder)
        (here / "report.csv").write_text("new")
        (here / "fresh" / "sub").mkdir(parents=True)
        (here / "fresh" / "sub" / "x").write_text("new")
        (here / "out" / "more.csv").write_text("new")
        (here / "sql" / "made.txt").write_text("new")
        (here / ".." / "beside.csv").write_text("new")
        (here / "data.csv").rename(here / "renamed.csv")
        (here / "sql" / "notes.txt").unlink()
        (here / "lib" / "a.py").write_text("changed")
        (here / "lib" / "__pycache__").mkdir()
    for name in ("report.csv", "fresh/sub/x", "out/more.csv", "sql/made.txt", "../beside.csv"):
        assert (project / name).read_text() == "new", name
    assert (project / "renamed.csv").read_text() == "data.csv 2"
    assert not (project / "data.csv").exists() and not (project / "sql/notes.txt").exists()
    assert (project / "lib/a.py").read_text() == "a.py 2"
    assert not (project / "lib/__pycache__").exists()
    assert said == ["the task changed lib/a.py, which is pinned with this version; the change was discarded"]
    assert (project / "../raw/r.csv").exists() and (project / "out/old.csv").exists()


def test_the_files_of_an_attempt_that_ends_by_an_error_are_kept(project: Path) -> None:
    job = pinned(project, "lib/")
    with pytest.raises(TimeoutError), working_folder(job, print) as folder:
        Path(folder, "report.csv").write_text("new")
        raise TimeoutError
    assert (project / "report.csv").read_text() == "new"


def test_an_attempt_without_the_notebooks_lib_folder_still_has_the_pinned_one(project: Path) -> None:
    job = pinned(project, "lib/")
    shutil.rmtree(project / "lib")
    with working_folder(job, print) as folder:
        assert Path(folder, "lib/a.py").read_text() == "a.py 1"
    assert not (project / "lib").exists()


def test_the_digest_covers_names_and_contents_only(project: Path) -> None:
    before, _ = pack(project, ["lib/", "sql/*.sql"])
    os.utime(project / "lib/a.py", (1, 1))
    (project / "lib/__pycache__").mkdir()
    (project / "lib/.hidden").write_text("")
    assert pack(project, ["sql/q.sql", "lib"])[0] == before
    (project / "lib/a.py").write_text("other")
    assert pack(project, ["lib/", "sql/*.sql"])[0] != before


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("libb/", "%dag --with libb/: no file of this name in .*; did you mean lib"),
        ("sql/*.py", r"%dag --with sql/\*.py: no file of this name"),
        ("link", "%dag --with link: .* is a link to a place outside of"),
        (".", "%dag --with .: no file of this name"),
        ("**x", "no file|is not a pattern"),
    ],
)
def test_a_pattern_that_names_nothing_is_an_error(project: Path, pattern: str, message: str) -> None:
    (project / "link").symlink_to("/etc")
    with pytest.raises(PinError, match=message):
        pack(project, [pattern])


def test_a_host_without_the_home_gets_the_files_from_the_storage(project: Path, tmp_path: Path) -> None:
    digest, archive = pack(project, ["lib"])
    made = tmp_path / "made.tar"
    made.write_bytes(archive)
    files_at("memory://pinned").put(made, f"files/{digest}.tar")
    found = unpacked(tmp_path / "cache", digest, "memory://pinned")
    assert (found.content / "lib/a.py").read_text() == "a.py 1"
    assert found.whole == {"lib", "lib/deep"}


def test_an_archive_that_was_deleted_is_an_error(project: Path) -> None:
    with pytest.raises(PinnedFilesLostError, match="deploy or export the notebook again"):
        unpacked(project / ".nbdag", "0" * 32)
