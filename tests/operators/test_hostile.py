"""Hostile values arrive as data: through bash, SQL, HTTP, names of files, messages and parameters."""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apprise
import pandas as pd
import pytest

from nbdag import operators
from nbdag.core.cells.cells import RawCell
from nbdag.core.options.options import TaskOptions
from nbdag.errors import NbdagError
from nbdag.notebooks import read_cells
from nbdag.operators.bodies import calls
from nbdag.task_api.context import DagRun, current, set_current

from .conftest import WebServer
from .hostile import NUL, VALUES


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def parameters() -> Iterator[dict[str, Any]]:
    """Yield the parameters of the run, which templates get as `params`; a value must never be rendered as one."""
    found: dict[str, Any] = {"x": "RENDERED"}
    set_current(DagRun.of({"task_id": "t"}, params=found))
    yield found
    set_current(None)


def run(
    body: str, operator: str, *, out: tuple[str, ...] = ("result",), own: dict[str, Any] | None = None, **names: Any
) -> Any:
    """Run a cell as a task does, and return its result."""
    options = TaskOptions(operator=operator, out=out, operator_options=tuple((own or {}).items()))
    namespace = dict(names)
    exec(compile(operators.source(body, options, set(names)), "cell", "exec"), namespace)
    return namespace[out[0]] if out else None


def test_there_are_fifty_values() -> None:
    assert len(set(VALUES)) == len(VALUES) >= 50


def test_values_reach_bash_as_they_are() -> None:
    # One script for all values: as variables in every position, and as elements of an array.
    names = {f"v{n}": value for n, value in enumerate(VALUES)}
    script = "\n".join(
        f'printf "%s\\0" "${name}"; printf "%s\\0" "a${{{name}}}b"; cat <<END | tr -d "\\0"; printf "\\0"\n${name}\nEND\nx=${name}; printf "%s\\0" "$x"'
        for name in names
    )
    printed = run(f'{script}\nprintf "%s\\0" "${{all[@]}}"', "bash", **names, all=list(VALUES)).split("\0")
    for n, value in enumerate(VALUES):
        assert printed[4 * n : 4 * n + 4] == [value, f"a{value}b", f"{value}\n", value]
    assert printed[4 * len(VALUES) : -1] == list(VALUES)
    assert not Path("hacked").exists()


@pytest.mark.parametrize("url", [None, "sqlite:///x.db", "duckdb:///x.duckdb"])
def test_values_reach_a_database_as_they_are(url: str | None) -> None:
    own = {} if url is None else {"connection": url}
    body = "CREATE TABLE t (n INT, v TEXT);\n" + "\n".join(
        f"INSERT INTO t VALUES ({n}, :v{n});" for n in range(len(VALUES))
    )
    names = {f"v{n}": value for n, value in enumerate(VALUES)}
    made = run(f"{body}\nSELECT v FROM t ORDER BY n", "sql", own=own, **names)
    assert made["v"].tolist() == list(VALUES)
    again = run("SELECT 1 AS one WHERE :v IN :all", "sql", own=own, v=VALUES[-1], all=list(VALUES))
    assert again["one"].tolist() == [1]


def test_values_in_data_frames_reach_duckdb_as_they_are() -> None:
    frame = pd.DataFrame({"v": VALUES})
    assert run("SELECT v FROM frame", "sql", frame=frame)["v"].tolist() == list(VALUES)


def test_values_reach_a_server_as_they_are(web: WebServer) -> None:
    for value in VALUES:
        run("POST {base}/p/{v}/q?a={v}&b=1\n\n{'v': v, v: 1}", "http", base=web.url, v=value)
    for got, value in zip(web.received, VALUES, strict=True):
        path, _, query = got.path.partition("?")
        assert [urllib.parse.unquote(part) for part in path.split("/")] == ["", "p", value, "q"]
        assert urllib.parse.parse_qs(query, keep_blank_values=True, strict_parsing=True) == {"a": [value], "b": ["1"]}
        assert json.loads(got.body) == ({"v": value, value: 1} if value != "v" else {})


def test_values_reach_a_header_or_are_refused(web: WebServer) -> None:
    for value in VALUES:
        web.received.clear()
        try:
            run("{base}/\nX-Value: <{v}>\nX-Other: 1", "http", base=web.url, v=value)
        except NbdagError as error:
            assert "\n" in value or "\r" in value
            assert "cannot be a part of a header" in str(error)
            continue
        headers = web.received[0].headers
        assert headers["X-Value"].encode("latin-1").decode() == f"<{value}>"
        assert headers["X-Other"] == "1"


def test_values_name_files_as_they_are() -> None:
    folder = Path("in")
    folder.mkdir()
    (folder / "decoy.csv").touch()
    for value in VALUES:
        if "\n" in value or len(value.encode()) > 200 or "/" in value:
            continue
        name = f"a{value}b.csv"
        assert run("in/a{v}b.c*", "file-sensor", v=value) == []
        (folder / name).touch()
        assert run("in/a{v}b.c*", "file-sensor", v=value) == [f"in/{name}"]
        (folder / name).unlink()
    with pytest.raises(NbdagError, match="contains a line break, so it is not a path"):
        run("in/{v}", "file-sensor", v="a\nb")


def test_values_reach_a_message_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(apprise.Apprise, "add", lambda self, url: True)
    monkeypatch.setattr(apprise.Apprise, "notify", lambda self, **message: not sent.append(message))
    for value in VALUES:
        own = {"to": ("json://localhost",), "subject": "About {v}."}
        run("<{v}>", "email", out=(), own=own, v=value)
        assert sent[-1]["body"] == f"<{value}>"
        assert sent[-1]["title"] == " ".join(f"About {value}.".split())
        assert "\n" not in sent[-1]["title"]
    run("<b>{v}</b>", "email", out=(), own={"to": ("json://localhost",), "format": "html"}, v="<script>")
    assert sent[-1]["body"] == "<b>&lt;script&gt;</b>"


def test_values_reach_a_child_s_parameters_as_they_are() -> None:
    body = "child{n}.ipynb\nv = v\nboth = [v, {'k': v}]\nliteral = '{{ params.x }}'"
    source = operators.source(body, TaskOptions(operator="notebook"), {"v"})
    call = source.replace("__import__('nbdag.runs', fromlist=['run_child']).run_child", "child")
    for value in VALUES:
        pipeline, given = eval(
            call,
            {
                "child": lambda name, out, parameters: (calls.filled(name, what="it"), parameters),
                "dag_run": current(),
                "v": value,
                "n": value,
            },
        )
        assert pipeline == f"child{value}.ipynb"
        assert given == {"v": value, "both": [value, {"k": value}], "literal": "RENDERED"}


REFUSED = [
    ("bash", 'echo "$v"', {}, "contains a NUL character"),
    ("http", "http://127.0.0.1:1/\nA: {v}", {}, "cannot be a part of a header"),
    ("file-sensor", "in/{v}", {}, "contains a NUL character"),
]


@pytest.mark.parametrize(("operator", "body", "own", "told"), REFUSED)
def test_a_nul_character_is_data_or_refused_in_a_sentence(
    operator: str, body: str, own: dict[str, Any], told: str
) -> None:
    with pytest.raises(NbdagError, match=told) as caught:
        run(body, operator, own=own, v=NUL)
    assert "\n" not in str(caught.value)


def test_a_nul_character_in_sql_and_in_a_url_is_data(web: WebServer) -> None:
    assert run("SELECT :v AS v", "sql", v=NUL)["v"].tolist() == [NUL]
    run("CREATE TABLE t (v TEXT); INSERT INTO t VALUES (:v)", "sql", own={"connection": "sqlite:///x.db"}, v=NUL)
    connection = sqlite3.connect("x.db")
    assert connection.execute("SELECT hex(v) FROM t").fetchall() == [(NUL.encode().hex(),)]
    connection.close()
    run("{base}/{v}\n\n[v]", "http", base=web.url, v=NUL)
    assert (web.received[0].path, json.loads(web.received[0].body)) == ("/a%00b", [NUL])


def test_a_nul_character_is_refused_by_postgresql_in_a_sentence(postgres_database: Any) -> None:
    own = {"connection": postgres_database().replace("postgresql://", "postgresql+psycopg://")}
    assert run("SELECT CAST(:v AS text) AS v", "sql", own=own, v="'; --")["v"].tolist() == ["'; --"]
    with pytest.raises(NbdagError, match=r"the statement in line 1 failed: .*NUL") as caught:
        run("SELECT CAST(:v AS text)", "sql", own=own, v=NUL)
    assert "\n" not in str(caught.value)


# -- through templates ---------------------------------------------------------------------------------------------------


def test_values_of_templates_reach_bash_and_sql_as_they_are(parameters: dict[str, Any]) -> None:
    parameters.update({f"v{n}": value for n, value in enumerate(VALUES)})
    script = "\n".join(
        f'printf "%s\\0" {{{{ params.v{n} }}}}; printf "%s\\0" "<{{{{ params.v{n} }}}}>"' for n in range(len(VALUES))
    )
    printed = run(script, "bash").split("\0")
    assert printed[:-1] == [text for value in VALUES for text in (value, f"<{value}>")]
    assert not Path("hacked").exists()
    body = ";".join(
        f"INSERT INTO t VALUES ({n}, {{{{ params.v{n} }}}}, '<{{{{ params.v{n} }}}}>')" for n in range(len(VALUES))
    )
    made = run(f"CREATE TABLE t (n INT, v TEXT, w TEXT); {body}; SELECT v, w FROM t ORDER BY n", "sql")
    assert made["v"].tolist() == list(VALUES)
    assert made["w"].tolist() == [f"<{value}>" for value in VALUES]


def test_values_of_templates_reach_a_server_and_name_files_as_they_are(
    web: WebServer, parameters: dict[str, Any]
) -> None:
    Path("in").mkdir()
    for value in VALUES:
        parameters["v"] = value
        run(
            "POST {base}/p/{{ params.v }}?a={{ params.v }}\n\n['{{ params.v }}']",
            "http",
            base=web.url,
            dag_run=current(),
        )
        got = web.received[-1]
        assert urllib.parse.unquote(got.path) == f"/p/{value}?a={value}"
        assert json.loads(got.body) == [value]
        if "\n" not in value and "/" not in value:
            Path(f"in/a{value}b").touch()
            assert run("in/a{{ params.v }}b", "file-sensor") == [f"in/a{value}b"]


def test_the_rendered_text_that_is_shown_has_values_of_templates_and_names_of_fields(web: WebServer) -> None:
    shown: dict[str, str] = {}
    set_current(DagRun.of({"task_id": "t"}, params={"p": "a/b"}, on_rendered=shown.__setitem__))
    run("{base}/{{ params.p }}/{secret}", "http", base=web.url, secret="hidden")
    run("echo {{ params.p }} $secret >&2", "bash", secret="hidden")
    assert shown == {"the request": "{base}/a/b/{secret}", "the script": "echo a/b $secret >&2"}


def test_a_template_pulls_from_other_tasks_and_a_mistake_in_it_is_found_before_the_run() -> None:
    for operator, body in (
        ("bash", "ls\necho {{ ti.xcom_pull('a') }}"),
        ("sql", "SELECT 1;\nSELECT {{ ti.xcom_pull('a') }}"),
        ("http", "GET http://x\nX: {{ ti.xcom_pull('a') }}"),
        ("http", "GET http://x\n\n['{{ ti.xcom_pull(\"a\") }}']"),
        ("email", "hi\n{{ ti.xcom_pull('a') }}"),
        ("notebook", "x.ipynb\np = '{{ ti.xcom_pull(\"a\") }}'"),
        ("file-sensor", "x\n{{ ti.xcom_pull('a') }}"),
    ):
        options = " --to json://x" if operator == "email" else ""
        cells = ["%%task a\nx = 1", f"%%task b --operator {operator}{options}\n{body}"]
        dag = read_cells([RawCell(cell) for cell in cells], name="nb")
        assert dag.errors == ()
        assert [(edge.source, edge.target) for edge in dag.edges] == [("a", "b")], operator
        for name, hint in (("x", "a template has Airflow's names; write "), ("dss", "did you mean ds?")):
            wrong = [cells[0], re.sub("ti.xcom_pull.*?a..", name, cells[1])]
            (error,) = read_cells([RawCell(cell) for cell in wrong], name="nb").errors
            assert hint in error.hint
        cells[1] = cells[1].replace("ti.xcom_pull", "it.xcom_pull")
        (error,) = read_cells([RawCell(cell) for cell in cells], name="nb").errors
        assert error.code == "NB109"
        assert "unknown name 'it'" in error.message
        assert error.place is not None
        assert error.place.line == 1 + next(n for n, line in enumerate(cells[1].split("\n")) if "xcom_pull" in line)
