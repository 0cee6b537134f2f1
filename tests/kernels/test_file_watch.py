"""The files of a cell: what counts, and what does not. The run's view of them is in tests/runs/test_file_order.py."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbdag.kernels.runtime import file_watch
from nbdag.kernels.runtime.file_watch import FileWatch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "project"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def used(folder: Path) -> Iterator[Callable[[Callable[[], object]], dict[str, str]]]:
    """The files that a function uses, relative to the folder, with their letters."""

    def used(act: Callable[[], object]) -> dict[str, str]:
        watch = FileWatch(str(folder), str(folder.parent / "home" / "nbdag"))
        watch.start()
        try:
            act()
        finally:
            watch.stop()
        return {os.path.relpath(path, folder): how for path, how in watch.uses("t")}

    yield used
    assert file_watch._active is None


def update(database: str) -> None:
    connection = sqlite3.connect(database)
    connection.execute("create table if not exists t (x)")
    connection.execute("insert into t values (1)")
    connection.commit()
    connection.close()


def query(database: str) -> None:
    connection = sqlite3.connect(database)
    connection.execute("select * from t").fetchall()
    connection.close()


def program() -> None:
    subprocess.run([sys.executable, "-c", "open('made.txt', 'w').write('1')"], check=True)


def program_that_reads() -> None:
    subprocess.run(["cat", "old.txt", "none.txt"], capture_output=True)
    subprocess.run("sort --reverse 'old.txt' > sorted.txt", shell=True, check=True)


ACTS: dict[str, tuple[Callable[[], object], dict[str, str]]] = {
    "a read": (lambda: Path("old.txt").read_text(), {"old.txt": "r"}),
    "a failed read": (lambda: Path("none.txt").exists() or _try_to_read("none.txt"), {"none.txt": "r"}),
    "a new file": (lambda: Path("new.txt").write_text("1"), {"new.txt": "cw"}),
    "an overwritten file": (lambda: Path("old.txt").write_text("1"), {"old.txt": "w"}),
    "an append": (lambda: Path("old.txt").open("a").close(), {"old.txt": "a"}),
    "an update": (lambda: Path("old.txt").open("r+").close(), {"old.txt": "rw"}),
    "a move": (lambda: Path("old.txt").rename("new.txt"), {"old.txt": "c", "new.txt": "c"}),
    "a copy": (lambda: shutil.copyfile("old.txt", "new.txt"), {"old.txt": "r", "new.txt": "cw"}),
    "a removal": (lambda: Path("old.txt").unlink(), {"old.txt": "c"}),
    "files that the arguments of programs name": (program_that_reads, {"old.txt": "r", "sorted.txt": "s"}),
    "a command of the system": (lambda: os.system("cat --output=x old.txt > /dev/null"), {"old.txt": "r"}),
    "a listing": (lambda: list(Path().iterdir()), {".": "l"}),
    "a low-level open": (lambda: os.close(os.open("new.txt", os.O_CREAT | os.O_WRONLY)), {"new.txt": "cw"}),
    "a written database": (lambda: update("d.db"), {"d.db": "w"}),
    "a queried database": (lambda: query("old.db"), {"old.db": "r"}),
    "a program's file": (program, {"made.txt": "s"}),
    "a file above the folder": (lambda: Path("../beside.txt").write_text("1"), {"../beside.txt": "cw"}),
    "code": (lambda: Path("code.py").read_text(), {}),
    "a library": (lambda: Path(os.__file__).read_bytes(), {}),
    "a device": (lambda: Path(os.devnull).open("w").close(), {}),
    "nbdag's own home": (lambda: Path("../home/nbdag/x").write_text("1"), {}),
    "git's own files": (lambda: Path(".git/index").write_text("1"), {}),
    "a hidden cache elsewhere": (lambda: Path("../.cache/x").write_text("1"), {}),
}  # fmt: skip


def _try_to_read(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        Path(name).read_text()


@pytest.mark.parametrize("name", ACTS)
def test_a_cell_uses_the_files_that_it_opens(
    name: str, folder: Path, used: Callable[[Callable[[], object]], dict[str, str]]
) -> None:
    (folder / "old.txt").write_text("old")
    (folder / "code.py").write_text("pass")
    update("old.db")
    for each in (".git", "../home/nbdag", "../.cache"):
        (folder / each).mkdir(parents=True)
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    act, expected = ACTS[name]
    assert used(act) == expected


def test_a_watch_that_never_started_knows_no_file(folder: Path) -> None:
    (folder / "x").write_text("1")
    assert FileWatch(str(folder), "home").uses("t") == ()


def test_too_many_files_are_reported(
    folder: Path, used: Callable[[Callable[[], object]], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_watch, "MAX_FILES", 2)
    watch = FileWatch(str(folder), "home")
    watch.start()
    for n in range(3):
        (folder / f"{n}").write_text("1")
    assert len(watch.uses("t")) == 2
    (note,) = watch.notes
    assert note.code == "NB471" and "--after t" in note.message


def test_a_search_beyond_its_limits_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watch, "MAX_ENTRIES", 3)
    for n in range(5):
        (folder / f"{n}").write_text("1")
    watch = FileWatch(str(folder), "home")
    watch.start()
    program()
    watch.uses("t")
    assert [note.code for note in watch.notes] == ["NB471"]


def test_an_error_of_the_watch_does_not_reach_the_cell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(FileWatch, "see", broken)
    monkeypatch.setattr(file_watch, "NATIVE", frozenset())  # a library of another test may be loaded
    watch = FileWatch(str(folder), "home")
    watch.start()
    (folder / "x").write_text("1")
    assert watch.uses("t") == ()
