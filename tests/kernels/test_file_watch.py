"""The files of a cell: what counts, and what does not. The run's view of them is in tests/runs/test_file_order.py."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
    "checks of a file": (lambda: (Path("old.txt").exists(), os.stat("old.txt").st_size), {"old.txt": "e"}),  # noqa: PTH116
    "a check of a missing file": (lambda: os.path.isfile("none.txt"), {"none.txt": "e"}),  # noqa: PTH113
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
    "a file without a name": (lambda: tempfile.TemporaryFile(dir=".").close(), {}),
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


def test_a_cell_reads_the_users_modules_that_are_imported(
    folder: Path, used: Callable[[Callable[[], object]], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("own")
    module.__file__ = str(folder / "own.py")
    monkeypatch.setitem(sys.modules, "own", module)
    assert used(lambda: None) == {"own.py": "r"}


def test_the_wrapper_of_stat_behaves_as_the_function(
    folder: Path, used: Callable[[Callable[[], object]], dict[str, str]]
) -> None:
    (folder / "x").write_text("1")
    os.utime(folder / "x", (1, 1))  # so that the watch does not take it for a new file
    assert used(lambda: os.stat("x", follow_symlinks=False)) == {"x": "e"}  # noqa: PTH116
    assert pickle.loads(pickle.dumps(os.stat)) is os.stat
    assert os.stat in os.supports_follow_symlinks
    with pytest.raises(FileNotFoundError):
        os.stat("missing")  # noqa: PTH116


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


def test_files_of_a_working_folder_count_as_files_of_the_folder_for_which_it_stands(folder: Path) -> None:
    view = folder.parent / "home" / "nbdag" / "1.files" / "project"
    view.mkdir(parents=True)
    watch = FileWatch(str(folder), str(folder.parent / "home" / "nbdag"), view=str(view))
    watch.start()
    (view / "made.csv").write_text("1")
    watch.stop()
    assert [(each.path, each.how) for each in watch.uses("t")] == [(str(folder / "made.csv"), "cw")]


def test_checks_of_files_are_recorded_after_checks_of_two_threads_overlapped(
    folder: Path, used: Callable[[Callable[[], object]], dict[str, str]]
) -> None:
    def overlap() -> None:
        first, second = file_watch._pausing(), file_watch._pausing()
        with ThreadPoolExecutor(1) as other:
            other.submit(first.__enter__).result()
            second.__enter__()
            other.submit(first.__exit__, None, None, None).result()
            second.__exit__(None, None, None)
        Path("old.txt").exists()

    assert used(overlap) == {"old.txt": "e"}
