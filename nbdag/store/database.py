"""The connection: SQLite in a home, or PostgreSQL by URL, brought to the newest schema.

A write begins at once as one (`BEGIN IMMEDIATE`), so two writers wait for one another at the door and never meet
inside; a reader waits for nobody. What the database cannot do is said as a `StoreError`, in one sentence; no other
exception of SQLAlchemy's leaves this package for a cause outside our own code.

Making a database costs no migration: the tables are made as they are now, and stamped. Alembic is imported only
where an older stamp is found.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, inspect, make_url, text
from sqlalchemy.pool import NullPool, QueuePool

from ..core.planning.pools import DEFAULT_POOLS
from ..errors import NbdagError
from ..home import Home, without_secrets
from .change_listener import Ear
from .schema import HEAD, metadata, pools

BUSY = 30.0  # seconds to wait for another process that writes
_WRITE = "nbdag_write"
_NUMBER = "nbdag_number"  # of a connection; those of one engine are counted
_MIGRATIONS = Path(__file__).parent / "migrations"


class StoreError(NbdagError):
    """The database cannot do what it was asked."""

    advice = "see `nbdag doctor`"

    def __init__(self, where: str, why: str = "") -> None:
        super().__init__(where, why)
        self.where = where
        self.why = why

    def __str__(self) -> str:
        said = (self.__doc__ or "").strip().rstrip(".")
        return f"{said[:1].lower()}{said[1:]}: {self.where}{f' ({self.why})' if self.why else ''}; {self.advice}"


class StoreBusyError(StoreError):
    """Another process holds the database."""

    advice = f"it did not let go within {BUSY:.0f} s: end that process, or try again"


class StoreCorruptError(StoreError):
    """The file is not a database, or is damaged."""

    advice = (
        "move it away and run again: a new one is made (its runs' notebooks stay where they are until the next "
        "`nbdag gc`, which removes what no run on record needs: copy them first)"
    )


class StoreFullError(StoreError):
    """The disk is full, so the database cannot be written."""

    advice = "free some space, or set NBDAG_HOME to another disk"


class StoreReadOnlyError(StoreError):
    """The database cannot be written."""

    advice = "make the folder and the file writable, or set NBDAG_HOME to another folder"


class StoreUnreachableError(StoreError):
    """The database does not answer."""

    advice = "check NBDAG_DB_URL, and that the server runs and lets you in"


class StoreNewerError(StoreError):
    """The database was written by a newer nbdag."""

    advice = "upgrade nbdag, or set NBDAG_HOME to another folder"


class StoreKindError(StoreError):
    """The database that NBDAG_DB_URL names is not PostgreSQL."""

    advice = "name one that is; for SQLite, unset it and set NBDAG_HOME to the folder that is to hold the database"


class DriverMissingError(StoreError):
    """The driver for this database is not installed."""

    advice = "run `pip install 'nbdag[postgres]'`"


_BY_SQLITE_NAME: tuple[tuple[str, type[StoreError]], ...] = (
    ("SQLITE_BUSY", StoreBusyError),
    ("SQLITE_LOCKED", StoreBusyError),
    ("SQLITE_NOTADB", StoreCorruptError),
    ("SQLITE_CORRUPT", StoreCorruptError),
    ("SQLITE_FULL", StoreFullError),
    ("SQLITE_READONLY", StoreReadOnlyError),
    ("SQLITE_CANTOPEN", StoreReadOnlyError),
    ("SQLITE_PERM", StoreReadOnlyError),
    ("SQLITE_IOERR", StoreError),
)


class Database:
    """An engine that is ready to be used. Made by `connect`."""

    def __init__(self, engine: Engine, where: str) -> None:
        self.engine = engine
        self.where = where  # for people; no password in it
        self.sqlite = engine.dialect.name == "sqlite"
        self._writer = engine.execution_options(**{_WRITE: True})
        self.ear = None if self.sqlite else Ear(engine)
        self.ahead = 0.0  # seconds by which the server's clock is ahead of ours: hosts that share it compare by that

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._said(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, quietly: bool = False) -> Iterator[Connection]:
        """One transaction: all of it, or nothing. Those who listen hear of it, unless it is done quietly."""
        with self._said(), self._writer.connect() as connection, connection.begin() as transaction:
            yield connection
            if self.ear is not None and not quietly and transaction.is_active:
                self.ear.tell(connection)

    def changes(self) -> Hashable | None:
        """What differs once another connection has written; None where the database has no such thing."""
        if self.ear is not None:
            return self.ear.heard
        with self._said():
            # By the pool, the connection that this process last wrote with: its own writes do not count there. Where
            # another thread has it, this is one more, whose count has nothing to do with that of the first.
            raw: Any = self.engine.raw_connection()
            try:
                return raw.info[_NUMBER], raw.driver_connection.execute("PRAGMA data_version").fetchone()[0]
            finally:
                raw.close()

    def listen(self) -> None:
        """Begin to count the changes that others make, where the database does not count them itself."""
        if self.ear is not None:
            self.ear.listen()

    def close(self) -> None:
        """Let go of every connection."""
        if self.ear is not None:
            self.ear.close()
        self.engine.dispose()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            said = _in_words(error, self.where)
            if said is None:
                raise
            raise said from error


def connect(home: Home, *, read_only: bool = False) -> Database:
    """Connect to the home's database; create or upgrade it if needed.

    With `read_only`, a SQLite file that cannot be written is opened as it is, and nothing can be written through it.
    """
    try:
        return _ready(_sqlite(home) if home.url is None else _elsewhere(home.url))
    except StoreReadOnlyError:
        if not read_only or home.url is not None or not home.database.is_file():
            raise
        # SQLite cannot create the files beside a database in WAL mode here, so no process writes to it now either.
        return _ready(_sqlite(home, immutable=True))


def _ready(database: Database) -> Database:
    try:
        with database._said():
            _bring_up(database)
            if not database.sqlite:
                database.ahead = _ahead(database)
    except BaseException:
        database.close()
        raise
    return database


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Apply the migrations that this database lacks, within the connection's transaction."""
    from alembic import command

    config = _alembic()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def revision_of(connection: Connection) -> str | None:
    """The migration that the database stands at; None for an empty one. Writes nothing."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _sqlite(home: Home, *, immutable: bool = False) -> Database:
    home.make()
    url = URL.create("sqlite", database=str(home.database))  # in a text, `?` would end the path
    if immutable:
        url = URL.create("sqlite", database=home.database.as_uri(), query={"immutable": "1", "uri": "true"})
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY, "check_same_thread": False},
        poolclass=QueuePool,
        pool_size=1,  # see `changes`; a second thread gets a connection of its own
        max_overflow=-1,
    )

    numbers = itertools.count()

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        record.info[_NUMBER] = next(numbers)
        connection.isolation_level = None  # the driver would begin transactions late, and as readers
        if not immutable and connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            _enter_wal(connection)
        connection.execute(
            "PRAGMA synchronous=FULL"
        )  # what was committed outlives a power cut, which NORMAL does not say
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITE) else "BEGIN")

    return Database(engine, str(home.database))


def _elsewhere(said: str) -> Database:
    where = without_secrets(said)
    try:
        url = make_url(said)
        if url.get_backend_name() not in ("postgres", "postgresql"):
            raise StoreKindError(where)
        engine = create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except exc.ArgumentError as error:
        raise StoreUnreachableError("NBDAG_DB_URL", "it is no database URL") from error
    except ImportError as error:
        raise DriverMissingError(where, str(error)) from error
    return Database(engine, where)


def _enter_wal(connection: Any) -> None:
    # The busy timeout does not cover this statement, and another process may be making the same database.
    import sqlite3

    until = time.monotonic() + BUSY
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not str(error).startswith("database is locked") or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _bring_up(database: Database) -> None:
    with database.engine.connect() as connection, connection.begin():
        found = revision_of(connection)
    if found == HEAD:
        return
    if not database.sqlite:
        with database._writer.connect() as connection, connection.begin():
            # Whoever comes second finds the work done.
            connection.execute(text("SELECT pg_advisory_xact_lock(7236352)"))
            _make_or_upgrade(connection, database.where)
        return
    # A migration may rebuild a table that others refer to, which SQLite allows only with this off, and only between
    # transactions; so on a connection of its own.
    apart = create_engine(database.engine.url, connect_args={"timeout": BUSY}, poolclass=NullPool)
    with apart.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.isolation_level = None
        raw.execute("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        _make_or_upgrade(connection, database.where)
        connection.commit()


def _ahead(database: Database) -> float:
    with database.engine.connect() as connection:
        connection.execute(text("SELECT 1"))  # what it takes to connect is not the clock's
        before = time.time()
        there = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
        return float(there) - (before + time.time()) / 2


def _make_or_upgrade(connection: Connection, where: str) -> None:
    found = revision_of(connection)
    if found == HEAD:
        return
    if found is None:
        metadata.create_all(connection, checkfirst=False)
        connection.execute(pools.insert(), [{"name": name, "slots": slots} for name, slots in DEFAULT_POOLS.items()])
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
        return
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}
    if found not in known:
        raise StoreNewerError(where, f"its schema is {found}, this nbdag knows {HEAD}")
    upgrade(connection)


def _alembic() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _is_full(folder: Path) -> bool:
    # Where the memory that readers share cannot be had, SQLite says no more than that input or output failed.
    try:
        return shutil.disk_usage(folder).free < 1 << 16
    except OSError:
        return False


def _in_words(error: exc.DBAPIError, where: str) -> StoreError | None:
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        if name.startswith("SQLITE_IOERR") and _is_full(Path(where).parent):
            return StoreFullError(where, str(error.orig))
        for beginning, kind in _BY_SQLITE_NAME:
            if name.startswith(beginning):
                return kind(where, str(error.orig))
        return None
    state = getattr(error.orig, "sqlstate", None)
    if state is None or str(state).startswith(("08", "28", "3D", "57P")):
        # What follows the first line are guesses of the driver's.
        return StoreUnreachableError(
            where, str(error.orig).strip().partition("\n")[0].removeprefix("connection failed: ")
        )
    if str(state).startswith("53"):
        return StoreFullError(where, str(error.orig).strip())
    if state == "55P03":
        return StoreBusyError(where)
    return None
