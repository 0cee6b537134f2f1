"""Connects to a home's SQLite database, or to PostgreSQL by URL, and upgrades the database to the newest schema.

On SQLite, a write transaction takes the write lock at its start (`BEGIN IMMEDIATE`), so writers wait for one another
before they read anything; readers never wait. An error of the database is raised as a `StoreError`, whose message is
one sentence. An exception of SQLAlchemy outside of this package is a bug in nbdag.

A new database needs no migration: its tables are created with the newest schema, and the database is stamped with the
newest migration. Alembic is imported only if the stamp is older.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import sys
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, inspect, make_url, text
from sqlalchemy.pool import NullPool, QueuePool

from ..core.planning.pools import DEFAULT_POOLS
from ..errors import NbdagError, error
from ..home import Home, without_secrets
from .change_listener import ChangeListener
from .schema import HEAD, metadata, pools

BUSY = 30.0  # maximum number of seconds for which a writer waits for another writer
NOTICE = 2.5  # seconds after which a writer prints that it waits
_WRITE = "nbdag_write"
_NUMBER = "nbdag_number"  # key in `info` of a connection; the value is a number that identifies the connection
_MIGRATIONS = Path(__file__).parent / "migrations"
_MAX_STATEMENTS = 1000  # maximum number of compiled statements for one kind of database


@error
class StoreError(NbdagError):
    """The database reports an error."""

    where: str
    why: str = ""
    problem: ClassVar[str] = "the database reports an error"
    advice: ClassVar[str] = "see `nbdag doctor`"
    template = "{problem}: {where}{details}; {advice}"

    @property
    def details(self) -> str:
        """Return the reason in parentheses, if there is one."""
        return f" ({self.why})" if self.why else ""


class StoreBusyError(StoreError):
    """Another process has locked the database."""

    problem = "another process has locked the database"
    advice = f"it did not release the database within {BUSY:.0f} s: terminate that process, or try again"


class StoreCorruptError(StoreError):
    """The file is not a database, or is damaged."""

    problem = "the file is not a database, or is damaged"
    advice = (
        "move it away, so that the next command creates a new one; the next `nbdag gc` deletes the notebooks of its "
        "runs, so copy them first"
    )


class StoreIncompleteError(StoreError):
    """A table of the database is missing or has an unexpected form."""

    problem = "a table of the database is missing or damaged"
    advice = "restore the database from a copy, or move it away, so that the next command creates a new one"


class StoreFullError(StoreError):
    """The disk is full, so the database cannot be written."""

    problem = "the disk is full, so the database cannot be written"
    advice = "free some space, or set NBDAG_HOME to another disk"


class StoreReadOnlyError(StoreError):
    """The database cannot be written."""

    problem = "the database cannot be written"
    advice = "make the folder and the file writable, or set NBDAG_HOME to another folder"


class StoreUnreachableError(StoreError):
    """The database does not answer."""

    problem = "the database does not answer"
    advice = "check NBDAG_DB_URL, and that the server is running and accepts your login"


class StoreNewerError(StoreError):
    """The database was written by a newer nbdag."""

    problem = "the database was written by a newer nbdag"
    advice = "upgrade nbdag, or set NBDAG_HOME to another folder"


class StoreKindError(StoreError):
    """The database that NBDAG_DB_URL names is not PostgreSQL."""

    problem = "the database that NBDAG_DB_URL names is not PostgreSQL"
    advice = "name a PostgreSQL database; for SQLite, unset NBDAG_DB_URL and set NBDAG_HOME to the database's folder"


class DriverMissingError(StoreError):
    """The driver for this database is not installed."""

    problem = "the driver for this database is not installed"
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
    ("SQLITE_TOOBIG", StoreError),
)


class _Statements(dict[Any, Any]):
    """Compiled statements, shared by all connections of this process to the same kind of database.

    SQLAlchemy would compile each statement again for each engine, which takes longer than most queries. A server opens
    a store for each request, and each store has its own engine.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)  # the first element is the engine's dialect

    def __setitem__(self, key: Any, compiled: Any) -> None:
        if len(self) >= _MAX_STATEMENTS:
            self.clear()
        super().__setitem__(key[1:], compiled)


_STATEMENTS = {"sqlite": _Statements(), "postgresql": _Statements()}


class Database:
    """A connected and upgraded database; `connect` returns it."""

    def __init__(self, engine: Engine, where: str, home: Home) -> None:
        self.engine = engine
        self.home = home
        self.where = where  # the database's path or URL for messages, without passwords
        self.sqlite = engine.dialect.name == "sqlite"
        self._writer = engine.execution_options(**{_WRITE: True})
        self.listener = None if self.sqlite else ChangeListener(engine)
        self.clock_offset = 0.0  # seconds by which the database server's clock is ahead of the local clock

    def files_id(self) -> str | None:
        """Return the id of the folder or URL with the files of the home; see `storage.owners`."""
        from ..storage.owners import files_id  # imported here because most commands create no run

        return files_id(self.home)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction for reading one consistent state."""
        with self._translated_errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, quietly: bool = False) -> Iterator[Connection]:
        """Open a write transaction, and commit the transaction at the end.

        Listeners are notified unless `quietly` is set.
        """
        with self._translated_errors(), self._writer.connect() as connection, connection.begin() as transaction:
            yield connection
            if self.listener is not None and not quietly and transaction.is_active:
                self.listener.notify(connection)

    def changes(self) -> Hashable | None:
        """Return a value that changes whenever another process writes, or None if the database has no such value."""
        if self.listener is not None:
            return self.listener.count
        with self._translated_errors():
            # SQLite's data_version counts the writes of all other connections, even those of this process. The pool has
            # one connection, so a process normally reads and writes with the same connection. A second thread may get
            # another connection, whose count is unrelated. So the number of the connection is returned too.
            raw: Any = self.engine.raw_connection()
            try:
                return raw.info[_NUMBER], raw.driver_connection.execute("PRAGMA data_version").fetchone()[0]
            finally:
                raw.close()

    def listen(self) -> None:
        """If the database does not count changes by other processes, start to count them here."""
        if self.listener is not None:
            self.listener.listen()

    def close(self) -> None:
        """Close every connection."""
        if self.listener is not None:
            self.listener.close()
        self.engine.dispose()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as cause:
            translated = _store_error(cause, self.where)
            if translated is None:
                raise
            raise translated from cause
        except OverflowError as cause:  # SQLAlchemy does not wrap this error of SQLite's driver
            if "SQLite" not in str(cause):
                raise
            raise StoreError(self.where, "a number is larger than 64 bits") from cause


def connect(home: Home, *, read_only: bool = False) -> Database:
    """Return the home's database; create or upgrade it if needed.

    With `read_only`, a SQLite file that cannot be written is opened without an upgrade, and every write fails.
    """
    try:
        return _migrated(_sqlite(home) if home.url is None else _postgresql(home, home.url))
    except StoreReadOnlyError:
        if not read_only or home.url is not None or not home.database.is_file():
            raise
        # SQLite cannot create the files of WAL mode next to this database. No other process can do so either, so
        # nothing changes the database, and it can be opened as immutable.
        return _migrated(_sqlite(home, immutable=True))


def _migrated(database: Database) -> Database:
    try:
        with database._translated_errors():
            _migrate(database)
            if not database.sqlite:
                database.clock_offset = _clock_offset(database)
    except BaseException:
        database.close()
        raise
    return database


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Apply the missing migrations up to `revision`, within the connection's transaction."""
    from alembic import command

    config = _alembic()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def revision_of(connection: Connection) -> str | None:
    """Return the newest migration of the database, or None for an empty database. Nothing is written."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _sqlite(home: Home, *, immutable: bool = False) -> Database:
    if not immutable:
        home.make_database()
    url = URL.create(
        "sqlite", database=str(home.database)
    )  # built from parts, because in a URL string a `?` in the path would start the query
    if immutable:
        url = URL.create("sqlite", database=home.database.as_uri(), query={"immutable": "1", "uri": "true"})
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY, "check_same_thread": False},
        poolclass=QueuePool,
        # The pool keeps one connection. `changes` must ask the same connection each time, because SQLite counts the
        # writes of all other connections for it. Only threads that connect at the same time open more.
        pool_size=1,
        max_overflow=-1,
        execution_options={"compiled_cache": _STATEMENTS["sqlite"]},
    )

    numbers = itertools.count()

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        record.info[_NUMBER] = next(numbers)
        connection.isolation_level = None  # the driver must not begin transactions, because `begin` below does that
        if not immutable and connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            _enter_wal(connection, home.database)
        # A committed transaction survives a power cut; the setting NORMAL does not guarantee that.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITE):
            _begin_write(connection, home.database)
        else:
            connection.exec_driver_sql("BEGIN")

    return Database(engine, str(home.database), home)


def _postgresql(home: Home, given: str) -> Database:
    where = without_secrets(given)
    try:
        url = make_url(_with_quoted_password(given))
        if url.get_backend_name() not in ("postgres", "postgresql"):
            raise StoreKindError(where)
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            execution_options={"compiled_cache": _STATEMENTS["postgresql"]},
        )
    except exc.ArgumentError as cause:
        raise StoreUnreachableError("NBDAG_DB_URL", "its value is not a database URL") from cause
    except ValueError as cause:
        raise StoreUnreachableError(where, "its port is not a number") from cause
    except ImportError as cause:
        raise DriverMissingError(where, str(cause)) from cause
    return Database(engine, where, home)


def _with_quoted_password(url: str) -> str:
    """Return a database URL in which the characters @, / and ? of the password are quoted.

    Unquoted, these characters would end the password. The password ends at the last @ before the query.
    """
    scheme, separator, rest = url.partition("://")
    query = re.search(r"\?\w+=", rest)
    end = query.start() if query else len(rest)
    login, at, host = rest[:end].rpartition("@")
    user, colon, password = login.partition(":")
    if not (separator and at and colon):
        return url
    quoted = re.sub(r"[@/?#\s]", lambda found: quote(found[0], safe=""), password)
    return f"{scheme}://{user}:{quoted}@{host}{rest[end:]}"


def _begin_write(connection: Connection, path: Path) -> None:
    """Begin to write.

    If another process has locked the database, print after `NOTICE` seconds that this process waits.
    """
    import sqlite3

    raw: Any = connection.connection.driver_connection
    raw.execute(f"PRAGMA busy_timeout={min(NOTICE, BUSY) * 1000:.0f}")
    try:
        raw.execute("BEGIN IMMEDIATE")
        return
    except sqlite3.OperationalError as cause:
        if cause.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            _print_wait(path)
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY * 1000:.0f}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # executed by SQLAlchemy, which converts an error


def _print_wait(path: object) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be closed
        print(f"nbdag: waiting for another process, which has locked {path}", file=sys.stderr, flush=True)


def _enter_wal(connection: Any, path: Path) -> None:
    # Retry, because another process may be creating the same database, and SQLite's busy timeout does not apply to this
    # statement.
    import sqlite3

    begun = time.monotonic()
    is_printed = False
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as cause:
            waited = time.monotonic() - begun
            if not str(cause).startswith("database is locked") or waited > BUSY:
                raise
            if waited > NOTICE and not is_printed:
                is_printed = True
                _print_wait(path)
            time.sleep(0.01)


def _migrate(database: Database) -> None:
    with database.engine.connect() as connection, connection.begin():
        found = revision_of(connection)
    if found == HEAD:
        return
    if not database.sqlite:
        with database._writer.connect() as connection, connection.begin():
            # If another process is upgrading the database, wait until it has finished.
            connection.execute(text("SELECT pg_advisory_xact_lock(7236352)"))
            _make_or_upgrade(connection, database.where)
        return
    # A migration may rebuild a table to which other tables refer. SQLite allows that only while foreign keys are off,
    # and they can be switched off only outside of a transaction. So the migrations use a separate connection.
    separate = create_engine(database.engine.url, connect_args={"timeout": BUSY}, poolclass=NullPool)
    with separate.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.isolation_level = None
        raw.execute("PRAGMA foreign_keys=OFF")
        _begin_write(connection, Path(database.where))
        _make_or_upgrade(connection, database.where)
        connection.commit()


def _clock_offset(database: Database) -> float:
    with database.engine.connect() as connection:
        connection.execute(text("SELECT 1"))  # open the connection first, so that the time to connect is not measured
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
        raise StoreNewerError(where, f"its schema is {found}, and this nbdag supports schemas up to {HEAD}")
    upgrade(connection)


def _alembic() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _is_full(folder: Path) -> bool:
    # On a full disk, SQLite reports an input/output error if its shared-memory file finds no space.
    try:
        return shutil.disk_usage(folder).free < 1 << 16
    except OSError:
        return False


def _store_error(cause: exc.DBAPIError, where: str) -> StoreError | None:
    name = getattr(cause.orig, "sqlite_errorname", None)
    if name is not None:
        if name.startswith("SQLITE_IOERR") and _is_full(Path(where).parent):
            return StoreFullError(where, str(cause.orig))
        for beginning, kind in _BY_SQLITE_NAME:
            if name.startswith(beginning):
                return kind(where, str(cause.orig))
        if str(cause.orig).startswith(("no such table", "no such column", "malformed database schema")):
            return StoreIncompleteError(where, str(cause.orig))
        return None
    state = getattr(cause.orig, "sqlstate", None)
    if state is None or str(state).startswith(("08", "28", "3D", "57P")):
        # Only the first line is used, because the driver's other lines are guesses about the cause.
        return StoreUnreachableError(
            where, str(cause.orig).strip().partition("\n")[0].removeprefix("connection failed: ")
        )
    if str(state).startswith("53"):
        return StoreFullError(where, str(cause.orig).strip())
    if state == "55P03":
        return StoreBusyError(where)
    if state in ("42P01", "42703"):
        return StoreIncompleteError(where, str(cause.orig).partition("\n")[0])
    return None
