"""Creation, upgrades and failures of the databases."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

import nbdag.store
from nbdag.home import Home
from nbdag.store import database
from nbdag.store.database import (
    StoreBusyError,
    StoreCorruptError,
    StoreFullError,
    StoreKindError,
    StoreNewerError,
    StoreReadOnlyError,
    StoreUnreachableError,
    connect,
    upgrade,
)
from nbdag.store.schema import HEAD, metadata


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".nbdag")


@pytest.fixture
def raw(home: Home) -> Iterator[sqlite3.Connection]:
    connect(home).close()
    connection = sqlite3.connect(home.database, isolation_level=None)
    yield connection
    connection.close()


def _schema(path: Path) -> set[tuple[str, str]]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {(name, " ".join(sql.replace("\n", " ").replace("( ", "(").split())) for name, sql in rows}


def test_migrations_and_new_databases_have_the_same_schema(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.begin() as connection:
        upgrade(connection)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]
        pools = connection.execute(text("SELECT name, slots FROM pools")).all()
    engine.dispose()
    connect(Home(tmp_path / "made")).close()
    made = _schema(tmp_path / "made" / "nbdag.db")
    assert {name for name, _ in made} == {name for name, _ in _schema(tmp_path / "migrated.db")}
    assert [tuple(row) for row in pools] == sqlite3.connect(tmp_path / "made" / "nbdag.db").execute(
        "SELECT name, slots FROM pools"
    ).fetchall()


def test_the_metrics_of_earlier_runs_are_read_from_summaries(tmp_path: Path) -> None:
    summaries = [
        ("int", "7"), ("float", "-1e-05"), ("float", "nan"), ("bool", "True"), ("numpy.float32", "scalar float32: 0.1"),
        ("numpy.ndarray", "scalar float64: 1.5"), ("str", "5"), ("numpy.ndarray", "2 float64: [1.0, 2.0]"), ("int", "***"),
    ]  # fmt: skip
    engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    with engine.begin() as connection:
        upgrade(connection, "0016")
        connection.execute(
            text(
                "INSERT INTO outputs (instance_id, try_number, name, type, digest, bytes, summary)"
                " VALUES (1, 1, :name, :type, 'd', 8, :summary)"
            ),
            [{"name": f"v{n}", "type": type, "summary": summary} for n, (type, summary) in enumerate(summaries)],
        )
        upgrade(connection)
        found = connection.execute(text("SELECT name, value, marked FROM metrics ORDER BY name")).all()
    engine.dispose()
    assert [tuple(each) for each in found] == [
        ("v0", 7.0, 0), ("v1", -1e-05, 0), ("v2", None, 0), ("v3", 1.0, 0), ("v4", 0.1, 0), ("v5", 1.5, 0),
    ]  # fmt: skip


def test_a_new_database_needs_no_alembic(home: Home) -> None:
    code = (
        "import sys, nbdag.store, pathlib; from nbdag.home import Home\n"
        f"nbdag.store.open(Home(pathlib.Path({str(home.root)!r}))).close()\n"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert home.database.exists()
    assert (home.root / ".gitignore").read_text() == "*\n"


def test_importing_nbdag_imports_no_sqlalchemy() -> None:
    code = "import sys, nbdag, nbdag.store, nbdag.scheduler; assert 'sqlalchemy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sqlite_uses_wal_mode_and_foreign_keys(home: Home) -> None:
    opened = connect(home)
    with opened.reading() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    opened.close()
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 30_000}


@pytest.mark.parametrize("name", ["what?", "a?b=c", "no#1", "100%", "50%25", "a b:c@d"])
def test_the_database_works_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name / ".nbdag")
    store = nbdag.store.open(home)
    store.set_pool("gpu", 1)
    store.close()
    assert home.database.is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_concurrent_processes_create_one_database(home: Home) -> None:
    failed: list[BaseException] = []

    def make() -> None:
        try:
            nbdag.store.open(home).close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sqlite3.connect(home.database).execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)


def test_writers_wait_for_one_another_and_readers_never_wait(
    home: Home, raw: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(database, "BUSY", 0.05)
    store = nbdag.store.open(home)
    raw.execute("BEGIN IMMEDIATE")
    assert store.pools() == {"default_pool": 128}
    with pytest.raises(StoreBusyError, match=r"another process has locked the database: .*nbdag\.db"):
        store.set_pool("gpu", 1)
    assert capsys.readouterr().err == f"nbdag: waiting for another process, which has locked {home.database}\n"
    raw.execute("ROLLBACK")
    store.set_pool("gpu", 1)
    assert capsys.readouterr().err == ""
    store.close()


def test_only_writes_of_others_count_as_changes(home: Home) -> None:
    mine, theirs = nbdag.store.open(home), nbdag.store.open(home)
    seen = mine.changes()
    mine.set_pool("a", 1)
    assert mine.changes() == seen
    theirs.set_pool("b", 1)
    assert mine.changes() != seen
    mine.close()
    theirs.close()


def test_no_change_is_missed_while_another_thread_has_the_connection(home: Home) -> None:
    mine, theirs = nbdag.store.open(home), nbdag.store.open(home)
    mine.pools()
    seen = mine.changes()
    with mine._database.reading():  # as a report that is being written does
        for slots in range(3):  # one of these times both connections have counted the same
            theirs.set_pool("a", slots)
            assert mine.changes() != seen
    seen = mine.changes()
    assert mine.changes() == seen
    mine.close()
    theirs.close()


def _says(home: Home, kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        nbdag.store.open(home).set_pool("gpu", 1)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_reported_as_damaged(home: Home) -> None:
    home.root.mkdir()
    home.database.write_bytes(b"nothing of the kind" * 100)
    _says(home, StoreCorruptError, r"not a database, or is damaged: .*nbdag\.db.*move it away")


def test_a_database_of_a_newer_nbdag_is_not_changed(home: Home, raw: sqlite3.Connection) -> None:
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    _says(home, StoreNewerError, r"newer nbdag: .*\(its schema is 9999, .*upgrade nbdag")


def test_a_read_only_database_is_reported(home: Home, raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA journal_mode=DELETE")
    raw.close()
    # Root may write to what is read-only, so the file system must refuse: a folder stands where the journal belongs.
    shutil.rmtree(home.root)
    home.root.mkdir()
    home.database.mkdir()
    _says(home, StoreReadOnlyError, r"cannot be written: .*make the folder and the file writable")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("not a url", r"its value is not a database URL"),
        ("postgresql://nobody:s3cret@127.0.0.1:1/none", r"does not answer: postgresql://nobody:\*\*\*@"),
        ("postgresql+psycopg://127.0.0.1:1/none?password=s3cret&user=u", r"/none\?password=\*\*\*&user=u"),
    ],
)
def test_an_unreachable_database_is_reported_without_its_password(tmp_path: Path, url: str, says: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreUnreachableError, match=says) as caught:
        nbdag.store.open(Home(tmp_path, url))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://u:s3cret@h/db", "sqlite:////tmp/s.db", "oracle+oracledb://h/x"])
def test_a_database_of_another_kind_is_rejected(tmp_path: Path, url: str) -> None:
    with pytest.raises(
        StoreKindError, match=r"is not PostgreSQL: .*; name a PostgreSQL database; for SQLite, .*NBDAG_HOME"
    ) as caught:
        nbdag.store.open(Home(tmp_path, url))
    assert "s3cret" not in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_a_full_disk_is_reported_and_leaves_the_database_intact(home: Home) -> None:
    store = nbdag.store.open(home)
    with store._database.engine.connect() as connection:  # the database's own limit fails as a full disk does
        connection.exec_driver_sql("PRAGMA max_page_count=1")
    with pytest.raises(StoreFullError, match=r"disk is full.*: .*nbdag\.db.*free some space") as caught:
        for n in range(10_000):
            store.set_pool(f"pool{n}", 1)
    assert "\n" not in str(caught.value)
    with store._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    store.close()
