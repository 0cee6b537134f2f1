"""The folder of the state, which no id leads out of."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nbdag import store as stores
from nbdag.core.model.job import Key
from nbdag.home import Home, UnsafeIdError, find, without_secrets
from nbdag.notebooks import read_text
from nbdag.reports import report, write
from nbdag.values import ValueStore
from nbdag.writing import make_private_folder, write_atomically


def test_state_is_stored_in_nbdag_home(tmp_path: Path) -> None:
    assert find(tmp_path, {"NBDAG_HOME": "/var/nbdag"}) == Home(Path("/var/nbdag"))
    assert find(tmp_path, {"NBDAG_HOME": "there"}) == Home(tmp_path / "there")


def test_state_lives_in_the_nearest_nbdag_folder_above(tmp_path: Path) -> None:
    (tmp_path / ".nbdag").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find(tmp_path / "a" / "b", {}) == Home(tmp_path / ".nbdag")
    (tmp_path / "a" / ".nbdag").mkdir()
    assert find(tmp_path / "a" / "b", {}) == Home(tmp_path / "a" / ".nbdag")


def test_looking_for_a_home_makes_none(tmp_path: Path) -> None:
    home = find(tmp_path, {"NBDAG_HOME": str(tmp_path / "new")})
    assert not home.exists
    assert not home.root.exists()


def test_a_database_elsewhere_counts_as_there(tmp_path: Path) -> None:
    assert find(tmp_path, {"NBDAG_DB_URL": "postgresql://x/y"}).exists


@pytest.mark.parametrize(
    "id", ["..", ".", "", "a/b", "/etc", "a\\b", "a b", "a:b", "a\n", "é", ".hidden", "-x", "x" * 251, "a\0b"]
)
def test_an_id_that_could_lead_elsewhere_becomes_no_path(id: str) -> None:
    home = Home(Path("/h"))
    for make in (
        lambda: home.run_folder(id, "r"),
        lambda: home.report("d", id),
        lambda: home.attempt(Key(dag="d", run="r", task=id)),
        lambda: home.notebook(id),
    ):
        with pytest.raises(UnsafeIdError, match="cannot be an id"):
            make()


def test_no_two_attempts_share_a_notebook() -> None:
    home = Home(Path("/h"))
    keys = [
        Key(dag="d", run="r", task=task, map_index=index, try_number=number)
        for task in ("a", "a.1", "a.1._", "a._", "a.1.1", "a.0")
        for index in (-1, 0, 1)
        for number in (1, 2)
    ]
    assert len({home.attempt(key) for key in keys}) == len(keys)
    assert home.attempt(keys[0]) == Path("/h/runs/d/r/tasks/a/1.ipynb")
    assert home.attempt(keys[4]) == Path("/h/runs/d/r/tasks/a.1/1.ipynb")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    path.parent.mkdir()
    write_atomically(path, b"one")
    write_atomically(path, b"t", memoryview(b"wo"))
    assert path.read_bytes() == b"two"
    with pytest.raises(TypeError):
        write_atomically(path, b"half", "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"two"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_what_is_pinned_again_counts_as_new(tmp_path: Path) -> None:
    """Else it would be removed as old, just before the run that needs it is recorded."""
    home = Home(tmp_path / "home")
    path = home.pin("d1", b"text")
    os.utime(path, (1, 1))
    assert home.pin("d1", b"text").stat().st_mtime > 1e9
    assert path.read_bytes() == b"text"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_a_home_is_private_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    store = ValueStore(str(tmp_path / "home" / "values"))
    text = '{"nbformat": 4, "cells": []}'
    dag = read_text(text, name="n.ipynb")
    home = Home(tmp_path / "home")
    before = os.umask(mask)
    try:
        with stores.open(home)._database.reading():
            shared = [path for path in home.root.iterdir() if path.name.startswith("nbdag.db")]
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in shared}
        store.save({"x": 1})
        home.pin("d1", b"text")
        write(report(text, dag, []), home.root / "report.ipynb")
        write(report(text, dag, []), tmp_path / "report.ipynb", private=False)
    finally:
        os.umask(before)
    assert set(modes) >= {"nbdag.db", "nbdag.db-wal", "nbdag.db-shm"}
    modes |= {each.name: stat.S_IMODE(each.stat().st_mode) for each in home.root.rglob("*") if each.is_file()}
    assert set(modes.values()) == {0o600}
    folders = [home.root, *(each for each in home.root.rglob("*") if each.is_dir())]
    assert {stat.S_IMODE(each.stat().st_mode) for each in folders} == {0o700}
    assert stat.S_IMODE((tmp_path / "report.ipynb").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me@db/x", "postgresql://me@db/x"),
        ("postgresql://db:5432/x?connect_timeout=3", "postgresql://db:5432/x?connect_timeout=3"),
        ("postgresql://me:hunter2@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("postgresql://me:hun@ter/2?@db/x", "postgresql://me:***@db/x"),
        ("postgresql://:hunter2@/x?host=/run", "postgresql://:***@/x?host=/run"),
        ("postgresql+psycopg://h/db?password=hunter2&user=u", "postgresql+psycopg://h/db?password=***&user=u"),
        (
            "postgresql://h/db?user=u&sslpassword=hunter2&PassFile=/hunter2&application_name=a",
            "postgresql://h/db?user=u&sslpassword=***&PassFile=***&application_name=a",
        ),
    ],
)
def test_a_database_is_shown_without_its_passwords(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_a_folder_in_a_file_system_without_new_folders_is_an_error() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    with pytest.raises(OSError, match="nope"):
        make_private_folder(Path("/proc/nope/below"))
