"""Statements, bound values and tables in the text of SQL; results of SQLite and of DuckDB."""

from __future__ import annotations

import ast
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

import nbdag
from nbdag import operators
from nbdag.core.options.options import TaskOptions
from nbdag.errors import NbdagError
from nbdag.operators import OperatorError
from nbdag.operators.bodies.sql_text import bind, statements, tables
from nbdag.operators.sql import SqlError, SqlSetupError
from nbdag.task_api.context import DagRun, set_current

KNOWN = {"orders", "customers", "day", "ids", "engine", "url", "limit"}


def run(body: str, kind: str = "sql", *, own: dict[str, Any] | None = None, **names: Any) -> Any:
    """Run a cell of SQL as a task does, and return its result."""
    given = tuple((own or {}).items())
    made = operators.source(body, TaskOptions(operator=kind, out=("result",), operator_options=given), set(names))
    namespace = dict(names)
    exec(compile(made, "cell", "exec"), namespace)
    return namespace["result"]


READS = [
    ("SELECT * FROM orders", ["orders"]),
    ("select * from orders o, customers as c where o.day = :day", ["customers", "day", "orders"]),
    ("SELECT * FROM orders JOIN customers USING (id)", ["customers", "orders"]),
    ('FROM "orders" SELECT count(*)', ["orders"]),
    ("SUMMARIZE orders; DESCRIBE customers", ["customers", "orders"]),
    ("SELECT * FROM (SELECT * FROM orders) x", ["orders"]),
    ("SELECT day, orders.id FROM read_csv('orders') r", []),
    ("SELECT * FROM main.orders, orders.customers", []),
    ("SELECT * FROM orders('x')", []),
    ("WITH orders AS (SELECT 1), c AS (SELECT * FROM customers) SELECT * FROM orders, c", ["customers"]),
    ("CREATE TABLE orders AS SELECT * FROM customers; SELECT * FROM orders", ["customers"]),
    ("INSERT INTO x SELECT * FROM orders", ["orders"]),
    ("SELECT 'FROM orders :day' -- FROM customers :day\n/* :ids */", []),
    ("SELECT x::day, '1:day', \":ids\", $$ :day $$, $a$ :ids $a$, a[1:day]", []),
    ("SELECT :day, :day, ':ids'", ["day"]),
    ("SELECT {{ ds }} FROM {{ params.orders }} WHERE x = :ids", ["ids"]),
]


@pytest.mark.parametrize(("body", "names"), READS)
def test_bound_names_and_data_frames_are_reads(body: str, names: list[str]) -> None:
    made = operators.source(body, TaskOptions(operator="sql"), KNOWN)
    assert made.count("\n") == body.count("\n")
    found = {node.id for node in ast.walk(ast.parse(made)) if isinstance(node, ast.Name)} - {"__import__"}
    assert sorted(found) == names


def test_a_read_is_at_its_line_and_a_database_has_its_own_tables() -> None:
    body = "SELECT *\nFROM orders\nWHERE x = :day"
    tree = ast.parse(operators.source(body, TaskOptions(operator="sql"), KNOWN))
    lines = {node.id: node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert (lines["orders"], lines["day"]) == (2, 3)
    elsewhere = TaskOptions(operator="sql", operator_options=(("connection", "sqlite:///x.db"),))
    assert "orders)" not in operators.source(body, elsewhere, KNOWN)
    variable = TaskOptions(operator="sql", operator_options=(("connection", "engine"),))
    assert "connection=engine)" in operators.source(body, variable, KNOWN)


SPLIT = [
    ("SELECT 1; SELECT 2;", [("SELECT 1", 1), ("SELECT 2", 1)]),
    ("\n-- a; b\nSELECT ';';\n\nSELECT\n2", [("SELECT ';'", 3), ("SELECT\n2", 5)]),
    ('SELECT $$ ; $$; /* ; */ SELECT ";"', [("SELECT $$ ; $$", 1), ('SELECT ";"', 1)]),
    (";;\n ; -- nothing", []),
]


@pytest.mark.parametrize(("text", "found"), SPLIT)
def test_statements_end_at_semicolons_outside_of_texts(text: str, found: list[tuple[str, int]]) -> None:
    assert [(each.text, each.line) for each in statements(text)] == found


BOUND = [
    ("SELECT :a, ':a', x::int", ":", r"SELECT :a, '\:a', x\:\:int", {"a": 1}),
    ("SELECT :a, ':a', x::int", "$", "SELECT $a, ':a', x::int", {"a": 1}),
    ("x IN :xs", ":", "x IN (:xs_0, :xs_1)", {"xs_0": 7, "xs_1": 8}),
    ("x IN (:xs)", "$", "x IN ($xs_0, $xs_1)", {"xs_0": 7, "xs_1": 8}),
    ("x IN :none", "$", "x IN (SELECT x WHERE 1 = 0)", {}),
    ("t.x NOT IN (:none)", "$", "t.x NOT IN (SELECT t.x WHERE 1 = 0)", {}),
    ("f(x) NOT IN :none", "$", "f(x) NOT IN (SELECT NULL WHERE 1 = 0)", {}),
    ("x IN :t AND y = :t_0", "$", "x IN ($t__0, $t__1) AND y = $t_0", {"t__0": 5, "t__1": 6, "t_0": 9}),
    ("x IN :t OR y IN :t", "$", "x IN ($t__0, $t__1) OR y IN ($t__0, $t__1)", {"t__0": 5, "t__1": 6}),
    ("x = ANY(:xs)", ":", "x = ANY(:xs)", {"xs": [7, 8]}),
]


@pytest.mark.parametrize(("text", "mark", "made", "used"), BOUND)
def test_values_are_bound_by_name(text: str, mark: str, made: str, used: dict[str, Any]) -> None:
    assert bind(text, {"a": 1, "xs": [7, 8], "none": [], "t": [5, 6], "t_0": 9}, mark) == (made, used)


def test_tables_are_found_once_for_each_place() -> None:
    assert list(tables("SELECT * FROM a JOIN b ON a.x = b.x")) == [(14, "a"), (21, "b")]


ORDERS = pd.DataFrame({"id": [1, 2, 3], "day": ["mon", "tue", "tue"], "amount": [1.5, 2.0, 4.0]})


def test_duckdb_reads_data_frames_and_returns_one() -> None:
    body = "CREATE TEMP TABLE t AS SELECT day, sum(amount) AS total FROM orders WHERE id IN :ids GROUP BY day;\nSELECT * FROM t ORDER BY day"
    result = run(body, orders=ORDERS, ids=np.array([1, 2, 3]))
    assert result.to_dict("list") == {"day": ["mon", "tue"], "total": [1.5, 6.0]}
    assert run("SELECT a FROM orders WHERE a = :n", orders=[{"a": 1}, {"a": 2}], n=np.int64(2))["a"].tolist() == [2]


def test_duckdb_works_in_a_file_and_in_a_connection_of_the_notebook(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/x.duckdb"
    assert run("CREATE TABLE t AS SELECT * FROM orders", orders=ORDERS, own={"connection": url}) is None
    assert len(run("SELECT * FROM t", own={"connection": url})) == 3
    con = duckdb.connect()
    con.execute("CREATE TABLE t AS SELECT 5 AS five")
    assert run("SELECT five FROM t", own={"connection": "con"}, con=con)["five"].tolist() == [5]
    assert con.execute("SELECT five FROM t").fetchall() == [(5,)]  # it is still open


def test_several_statements_run_in_one_transaction_of_a_database(tmp_path: Path) -> None:
    own = {"connection": f"sqlite:///{tmp_path}/x.db"}
    made = run(
        "CREATE TABLE t (a INT, b TEXT);\nINSERT INTO t VALUES (1, :b), (2, 'it''s :b');\nSELECT * FROM t",
        own=own,
        b="x; y",
    )
    assert made.to_dict("list") == {"a": [1, 2], "b": ["x; y", "it's :b"]}
    with pytest.raises(SqlError, match="the statement in line 2 failed: no such table: nope"):
        run("INSERT INTO t VALUES (3, 'z');\nSELECT * FROM nope", own=own)
    assert len(run("SELECT * FROM t", own=own)) == 2  # the insert was rolled back
    assert run("DELETE FROM t", own=own) is None
    assert run("VACUUM", own={**own, "autocommit": True}) is None


@pytest.mark.parametrize("kind", ["engine", "connection", "url"])
def test_the_connection_can_be_a_variable(kind: str, tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/x.db")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t AS SELECT 1 AS a"))
    with engine.connect() as connection:
        target = {"engine": engine, "connection": connection, "url": str(engine.url)}[kind]
        assert run("SELECT a FROM t", own={"connection": "db"}, db=target)["a"].tolist() == [1]
    engine.dispose()


def test_a_body_is_one_statement_if_asked(tmp_path: Path) -> None:
    body = "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = 1; UPDATE t SET a = a + 1; END"
    own = {"connection": f"sqlite:///{tmp_path}/x.db"}
    run("CREATE TABLE t (a INT)", own=own)
    run(body, own={**own, "split": False})
    assert run("INSERT INTO t VALUES (9); SELECT a FROM t", own=own)["a"].tolist() == [2]


REFUSED = [
    ("SELECT * FROM orders", {}, {"orders": 3}, SqlSetupError, "orders is a int, which DuckDB cannot read as a table; pass a data frame"),
    ("SELECT * FROM nope", {}, {}, SqlError, "the statement in line 1 failed: Catalog Error: Table with name nope does not exist"),
    ("SELECT 1", {"connection": "nosuchdb://x"}, {}, SqlSetupError, r"--connection cannot be opened \(.*\); write a URL such as"),
    ("SELECT 1", {"connection": "db"}, {"db": sqlite3}, SqlSetupError, "a module is not a database; give --connection an engine"),
    ("SELECT 1", {"connection": "sqlite:////no/such/folder/x.db"}, {}, SqlError, "unable to open database file"),
    ("SELECT :d", {"connection": "sqlite://"}, {"d": {"a": 1}}, SqlError, "the statement in line 1 failed"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "own", "names", "kind", "told"), REFUSED)
def test_an_error_is_one_sentence(body: str, own: dict[str, Any], names: dict[str, Any], kind: type, told: str) -> None:
    with pytest.raises(kind, match=told) as caught:
        run(body, own=own, **names)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"{kind.__name__}: {caught.value}"]


@pytest.mark.parametrize("body", ["", "-- only a comment\n", " ;; "])
def test_a_cell_without_sql_is_refused(body: str) -> None:
    with pytest.raises(OperatorError, match="the cell has no SQL"):
        operators.source(body, TaskOptions(operator="sql"))


def test_a_value_in_braces_causes_a_warning() -> None:
    found = operators.body_warnings("SELECT 1\nWHERE x = '{day}' OR {{ day }}", TaskOptions(operator="sql"), KNOWN)
    assert list(found) == [(2, "SQL does not replace {day}", "write :day, without quotes")]


FIRST_VALUES = [
    ("SELECT 3", 3),
    ("SELECT 'x', 0", "x"),
    ("SELECT 0", None),
    ("SELECT '0'", None),
    ("SELECT NULL", None),
    ("SELECT 1 WHERE 1 = 0", None),
    ("SELECT count(*) FROM orders WHERE day = :day", 2),
]


@pytest.mark.parametrize("connection", [None, "sqlite"])
@pytest.mark.parametrize(("body", "value"), FIRST_VALUES)
def test_a_sensor_is_true_if_the_first_value_is(
    body: str, value: object, connection: str | None, tmp_path: Path
) -> None:
    own: dict[str, Any] = {}
    if connection:
        own = {"connection": f"sqlite:///{tmp_path}/x.db"}
        engine = sa.create_engine(own["connection"])
        ORDERS.to_sql("orders", engine, index=False)
        engine.dispose()
    assert run(body, "sql-sensor", own=own, orders=ORDERS, day="tue") == value


def test_a_connection_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDAG_CONN_WAREHOUSE", f"sqlite:///{tmp_path}/x.db")
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", f"duckdb:///{tmp_path}/x.duckdb")
    for name in ("warehouse", "lake"):
        own = {"connection": name}
        assert run("CREATE TABLE t (a INT); INSERT INTO t VALUES (:n); SELECT a FROM t", own=own, n=3)[
            "a"
        ].tolist() == [3]
        given = nbdag.connection(name)
        assert run("SELECT a FROM t", own={"connection": "db"}, db=given)["a"].tolist() == [3]
    with pytest.raises(NbdagError, match="no_such_warehouse"):
        run("SELECT 1", own={"connection": "no_such_warehouse"})


@pytest.mark.parametrize("connection", [None, "sqlite://"])
@pytest.mark.parametrize("value", [":none", "(:none)", "{{ params.none }}", "({{ params.none }})"])
def test_every_value_is_not_in_an_empty_list(value: str, connection: str | None) -> None:
    set_current(DagRun.of({"task_id": "t"}, params={"none": []}))
    try:
        body = f"SELECT a FROM (SELECT 1 AS a) t WHERE a NOT IN {value} AND NOT (a IN {value})"
        assert run(body, own={"connection": connection} if connection else {}, none=[])["a"].tolist() == [1]
    finally:
        set_current(None)


WRONG_URLS = [
    ("duckdb:lake.db", "write duckdb:///lake.db"),
    ("duckdb://lake.db", "write duckdb:///lake.db"),
    ("duckdb:///none.db?access_mode=read_only", "DuckDB cannot open none.db"),
]


@pytest.mark.parametrize(("url", "message"), WRONG_URLS)
def test_another_url_of_duckdb_is_no_database_in_memory(
    url: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SqlSetupError, match=message):
        run("SELECT 1", own={"connection": url})
    assert list(tmp_path.iterdir()) == []


def test_the_query_of_a_url_configures_duckdb(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path}/x.db"
    run("CREATE TABLE t AS SELECT 1 AS a", own={"connection": url})
    assert run("SELECT a FROM t", own={"connection": f"{url}?access_mode=read_only"})["a"].tolist() == [1]
    with pytest.raises(SqlError, match="read-only"):
        run("DROP TABLE t", own={"connection": f"{url}?access_mode=read_only"})
