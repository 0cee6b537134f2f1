"""The operator `sql`: a cell of SQL, in any database or over the notebook's data frames.

    %%task top --operator sql --out top
    SELECT customer, sum(amount) AS total FROM orders WHERE day >= :since GROUP BY customer

Without --connection, DuckDB runs the statements in memory. A table can then be a data frame, given by the name of its
variable: this example reads `orders`, so its task follows the task that sets `orders`. With --connection, the
statements run in another database. --connection is the name of a connection (`nbdag connections list`), a URL of
SQLAlchemy, or a variable with an engine or a connection. With a URL that begins with duckdb:, tables can be data frames
as well.

`:name` is the value of the variable `name`. The database gets the value separately, so the value is never part of the
text. After IN, a list becomes one value for each element. All statements of a cell are one transaction. The result is a
pandas data frame with the rows of the last statement that returns rows. The result is assigned to the variable of
--out, or else displayed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl

from .. import secrets
from ..core.options import option_types
from ..core.options.operator_options import operator_option
from ..core.options.options import TaskOptions
from ..errors import NbdagError, error
from .base import BodyWarning, OperatorError, known_names
from .bodies.calls import Piece, Read, Source, assigned, named, only_name, without_templates, write_call, write_pieces
from .bodies.rendering import rendered
from .bodies.sql_text import Statement, bind, bound_names, statements, tables
from .tasks import Operator

_URL = re.compile(r"[A-Za-z][\w+.-]*:")
_DUCKDB = re.compile(r"duckdb:(?://(?:/(?P<path>[^?]*))?(?:\?(?P<query>.*))?)?", re.DOTALL)


@error
class SqlError(NbdagError):
    """The database rejected a statement."""

    line: int  # line of the body in which the statement begins
    reason: str
    template = "the statement in line {line} failed: {reason}"

    def _render_traceback_(self) -> list[str]:
        # IPython calls this method. The traceback is omitted, because it shows no code of the user.
        return [f"{type(self).__name__}: {self}"]


@error
class SqlSetupError(NbdagError):
    """A cell of SQL cannot run here."""

    reason: str
    hint: str
    template = "{reason}; {hint}"

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


CONNECTION = operator_option(
    "connection",
    option_types.TEXT,
    "database: the name of a connection, a URL of SQLAlchemy, or a variable with an engine or a connection; default "
    "DuckDB in memory, which reads data frames of the notebook by name",
)


class Sql(Operator):
    """Translates SQL into a call of `run`, with the names that it binds and the data frames that it reads."""

    summary = (
        "The body is SQL, one or more statements. :name is the value of a variable, passed separately from the text. "
        "--out NAME is the last result, a data frame. Without --connection, DuckDB reads data frames of the notebook "
        "by name."
    )
    example = "%%task top --operator sql --out top\nSELECT * FROM orders WHERE day >= :since"
    own_options = (
        CONNECTION,
        operator_option(
            "split", option_types.FLAG, "send the body as one statement, with --no-split; default --split", default=True
        ),
        operator_option(
            "autocommit",
            option_types.FLAG,
            "commit each statement separately, which VACUUM and CREATE DATABASE require; default: one transaction",
            default=False,
        ),
    )

    def source(self, body: str, options: TaskOptions) -> str:
        out = only_name(options.out, "SQL has one result")
        return assigned(out, sql_call("nbdag.operators.sql:run", body, self.given(options)))

    def body_warnings(self, body: str) -> Iterator[BodyWarning]:
        """Yield a warning for each `{name}`, which SQL does not replace by a value."""
        known = known_names() or ()
        for match in re.finditer(r"(?<![\w{])\{([^\W\d]\w*)\}(?!\})", without_templates(body)):
            if match[1] in known:
                line = body.count("\n", 0, match.start()) + 1
                yield line, f"SQL does not replace {match.group()}", f"write :{match[1]}, without quotes"


def sql_call(function: str, body: str, given: Mapping[str, Any]) -> str:
    """Return the call of `function` for a body of SQL. Raise `OperatorError`."""
    text = without_templates(body)
    if not statements(text):
        raise OperatorError("the cell has no SQL", hint="write a statement below the header")
    found: dict[str, Read] = {}
    for at, name in bound_names(text):
        found.setdefault(f":{name}", Read(at, at, f":{name}", name))
    connection, known = given["connection"], known_names() or ()
    if connection is None or connection.startswith("duckdb:"):
        for at, name in tables(text):
            if name in known:
                found.setdefault(name, Read(at, at, name, name))
    where: Any = Source(connection) if connection is not None and connection in known else connection
    arguments = {name: value for name, value in given.items() if value not in (None, False) and name != "connection"}
    if arguments.get("split") is True:
        del arguments["split"]
    elif "split" in given:
        arguments["split"] = False
    if where is not None:
        arguments["connection"] = where
    return write_call(function, write_pieces(body, found.values(), what="the SQL"), **arguments)


# -- when the task runs ------------------------------------------------------------------------------------------------


def run(*pieces: Piece, connection: Any = None, split: bool = True, autocommit: bool = False) -> Any:
    """Execute the statements.

    Return a data frame with the rows of the last statement that returns rows, or None if no statement does.
    """
    result = execute(*pieces, connection=connection, split=split, autocommit=autocommit)
    if result is None:
        return None
    columns, rows, frame = result
    return frame if frame is not None else _pandas().DataFrame.from_records(rows, columns=columns)


def execute(
    *pieces: Piece, connection: Any = None, split: bool = True, autocommit: bool = False
) -> tuple[list[str], list[tuple[Any, ...]], Any] | None:
    """Execute the statements.

    Return the columns, the rows and, from DuckDB, the data frame of the last statement that returns rows.
    """
    return execute_all([pieces], connection=connection, split=split, autocommit=autocommit)


def execute_all(
    texts: Iterable[Sequence[Piece]], *, connection: Any = None, split: bool = True, autocommit: bool = False
) -> tuple[list[str], list[tuple[Any, ...]], Any] | None:
    """Execute several texts in one connection, as `execute` does; return the result of the last text."""
    groups, frames = [], dict[str, Any]()
    for pieces in texts:
        group, read = _prepared(pieces, split)
        groups.append(group)
        frames |= read
    target = _target(rendered(connection, "--connection") if isinstance(connection, str) else connection)
    if _is_duckdb(target):
        return _in_duckdb(target, groups, frames, autocommit)
    return _in_database(target, groups, autocommit)


@dataclass(frozen=True, slots=True)
class _Group:
    """The statements of one text, and the values that they can bind."""

    statements: list[Statement]
    values: Mapping[str, Any]


def _prepared(pieces: Sequence[Piece], split: bool) -> tuple[_Group, dict[str, Any]]:
    """Return the statements of a text, and the data frames that they read."""
    parts, given = named(pieces, what="the SQL")
    text = "".join(map(str, parts))
    values = {name[1:]: _scalar(value) for name, value in given.items() if name.startswith(":")}
    if not all(isinstance(each, str) for each in parts):
        # Imported here because it imports Jinja, and most statements have no template.
        from ..templates.quoting import sql

        made = sql(parts)
        text = made.text
        values |= {name: _scalar(value) for name, value in made.values.items()}
        if made.values.keys() - {name for _, name in bound_names(text)}:
            hint = "write the template outside of it, or pass the value as a parameter"
            raise SqlSetupError("a template is inside a text of SQL where no value can be bound", hint)
    frames = {name: value for name, value in given.items() if not name.startswith(":")}
    return _Group(statements(text, split=split), values), frames


def _target(connection: Any) -> Any:
    """Return the database to use: a URL, an engine or a connection. The name of a connection is looked up."""
    if connection is None:
        return "duckdb:"
    if isinstance(connection, secrets.Connection):
        return connection.url
    if not isinstance(connection, str) or _URL.match(connection):
        return connection
    return secrets.connection(connection).url


def _is_duckdb(target: Any) -> bool:
    if isinstance(target, str):
        return target.startswith("duckdb:")
    return type(target).__module__.partition(".")[0] in ("duckdb", "_duckdb")


def _in_duckdb(
    target: Any, groups: list[_Group], frames: Mapping[str, Any], autocommit: bool
) -> tuple[list[str], list[tuple[Any, ...]], Any] | None:
    try:
        duckdb = import_module("duckdb")
    except ImportError:
        hint = "install it (pip install 'nbdag[sql]'), or name a database with --connection"
        raise SqlSetupError("this cell has no --connection, and DuckDB is not installed", hint) from None
    if isinstance(target, str):
        path, config = _duckdb_file(target)
        try:
            db = duckdb.connect(path, config=config)
        except duckdb.Error as failure:
            raise SqlSetupError(f"DuckDB cannot open {path} ({_sentence(failure)})", "correct --connection") from None
    else:
        db = target.cursor()  # a cursor, because the notebook may use the connection at the same time
    result = None
    line = 1
    try:
        for name, frame in frames.items():
            db.register(name, _frame(name, frame))
        if not autocommit:
            db.begin()
        for group in groups:
            result = None
            for statement in group.statements:
                line = statement.line
                text, used = bind(statement.text, group.values, "$")
                _check_bound(statement, group.values)
                relation = db.execute(text, used) if used else db.execute(text)
                if relation.description and not _changes(statement.text):
                    result = ([column[0] for column in relation.description], *_fetched(relation))
        if not autocommit:
            db.commit()
    except duckdb.Error as failure:
        raise SqlError(line, _sentence(failure)) from None
    finally:
        db.close()
    return result


def _duckdb_file(url: str) -> tuple[str, dict[str, Any]]:
    """Return the file's path in a URL of DuckDB, or :memory:, and the settings in the query of the URL."""
    match = _DUCKDB.fullmatch(url)
    if match is None:
        path = url.removeprefix("duckdb:").lstrip("/").partition("?")[0]
        raise SqlSetupError(
            f"--connection is no URL of DuckDB, which has three slashes before {path!r}", f"write duckdb:///{path}"
        )
    return match["path"] or ":memory:", dict(parse_qsl(match["query"] or ""))


def _fetched(relation: Any) -> tuple[list[tuple[Any, ...]], Any]:
    """Return the rows of a result and None, or, if pandas is installed, no rows and a data frame.

    DuckDB creates the data frame without copying.
    """
    try:
        import_module("pandas")
    except ImportError:
        return relation.fetchall(), None
    return [], relation.df()


def _changes(statement: str) -> bool:
    """Return whether a statement returns only the number of rows that it changed."""
    first = re.match(r"\W*(\w+)", statement)
    word = first[1].upper() if first else ""
    return word in ("INSERT", "UPDATE", "DELETE", "CREATE", "COPY", "DROP", "ALTER", "ATTACH", "SET") and not re.search(
        r"\bRETURNING\b", statement, re.IGNORECASE
    )


def _frame(name: str, value: Any) -> Any:
    """Return a value that DuckDB can read as a table."""
    if isinstance(value, Mapping) or (isinstance(value, list) and value and isinstance(value[0], Mapping)):
        return _pandas().DataFrame(value)
    if not any(hasattr(value, each) for each in ("columns", "schema", "__arrow_c_stream__", "collect")):
        kind = type(value).__name__
        hint = "pass a data frame, or a list of dicts"
        raise SqlSetupError(f"{name} is a {kind}, which DuckDB cannot read as a table", hint)
    return value


def _in_database(
    target: Any, groups: list[_Group], autocommit: bool
) -> tuple[list[str], list[tuple[Any, ...]], Any] | None:
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    own = isinstance(target, str | sa.engine.URL)
    try:
        engine = sa.create_engine(target) if own else target
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as failure:
        hint = "write a URL such as postgresql+psycopg://user@host/database, and install the driver that it names"
        raise SqlSetupError(f"--connection cannot be opened ({_sentence(failure)})", hint) from None
    result = None
    line = 1
    try:
        with _begun(engine, autocommit) as connection:
            for group in groups:
                result = None
                for statement in group.statements:
                    line = statement.line
                    text, used = bind(statement.text, group.values, ":")
                    _check_bound(statement, group.values)
                    rows = connection.execute(sa.text(text), used)
                    if rows.returns_rows:
                        result = (list(rows.keys()), [tuple(row) for row in rows.fetchall()], None)
    except (SQLAlchemyError, ValueError, TypeError) as failure:
        raise SqlError(line, _sentence(getattr(failure, "orig", None) or failure)) from None
    finally:
        if own:
            engine.dispose()
    return result


def _begun(engine: Any, autocommit: bool) -> Any:
    """Return a context manager that yields a connection, in a transaction unless `autocommit`."""
    import sqlalchemy as sa

    if isinstance(engine, sa.Engine):
        return engine.execution_options(isolation_level="AUTOCOMMIT").connect() if autocommit else engine.begin()
    if not isinstance(engine, sa.Connection):
        hint = "give --connection an engine of SQLAlchemy, a connection of SQLAlchemy or DuckDB, a URL or a name"
        raise SqlSetupError(f"a {type(engine).__name__} is not a database", hint)
    return _Borrowed(engine)


class _Borrowed:
    """A connection of the notebook. Its transaction is committed at the end, but the connection is not closed."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __enter__(self) -> Any:
        return self._connection

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._connection.commit()
        else:
            self._connection.rollback()


def _check_bound(statement: Statement, values: Mapping[str, Any]) -> None:
    from .bodies.sql_text import unknown_names

    for line, name in unknown_names(statement.text, values):
        raise SqlSetupError(
            f"line {statement.line + line - 1} binds :{name}, which a template inserted",
            "write :name in the cell itself, so that the task reads the variable",
        )


def _scalar(value: Any) -> Any:
    """Convert a value for database drivers: numbers of NumPy and pandas become numbers of Python."""
    if isinstance(value, list | tuple | set | frozenset):
        return [_scalar(each) for each in value]
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist"):
        return value.tolist()
    return str(value) if hasattr(value, "__fspath__") else value


def _sentence(failure: BaseException) -> str:
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(failure).__name__


def _pandas() -> Any:
    try:
        return import_module("pandas")
    except ImportError:
        raise SqlSetupError(
            "the result of SQL is a data frame, and pandas is not installed", "pip install pandas"
        ) from None
