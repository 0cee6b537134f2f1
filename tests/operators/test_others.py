"""The operators email, empty, file-sensor, notebook and trigger: their sources, and messages that are really sent."""

from __future__ import annotations

import ast
import json
import urllib.parse
from pathlib import Path
from typing import Any

import apprise
import pytest

from nbdag import operators
from nbdag.core.cells.cells import RawCell
from nbdag.core.options.options import TaskOptions
from nbdag.notebooks import read_cells
from nbdag.operators import OperatorError, email
from nbdag.operators.email import EmailError

from .conftest import MailServer, WebServer


def source(operator: str, body: str, *out: str, **own: Any) -> str:
    return operators.source(body, TaskOptions(operator=operator, out=out, operator_options=tuple(own.items())), set())


MISTAKES = [
    ("empty", "# only a comment\n", (), {}, None),
    ("empty", "\nx = 1", (), {}, "line 2: the operator empty runs no code, but the cell contains code; remove the code"),
    ("empty", "", ("x",), {}, "the operator empty has no result for --out"),
    ("file-sensor", "\n", (), {}, "the cell names no file"),
    ("file-sensor", "x", ("a", "b"), {}, "--out has several variables, but a file-sensor has one list of paths"),
    ("email", "hi", (), {}, "the message has no recipient; add --to name@example.com"),
    ("email", "\n", (), {"to": ("a@b.c",)}, "the message is empty"),
    ("email", "hi", ("x",), {"to": ("a@b.c",)}, "a message has no result for --out"),
    ("notebook", "# nothing", (), {}, "the cell names no notebook; write the notebook in the first line"),
    ("notebook", "a.ipynb\nx = 1\nprint(x)", (), {}, "line 3: a line below the first line is not a parameter; write name = value"),
    ("notebook", "a.ipynb\nx = 1\nx = 2", (), {}, "line 3: a line below the first line is not a parameter"),
    ("notebook", "a.ipynb\nx, y = 1, 2", (), {}, "line 2: a line below the first line is not a parameter"),
    ("notebook", "a.ipynb\n\nx = (", (), {}, "line 3: the parameters are not Python"),
    ("trigger", "", (), {}, "the cell names no pipeline"),
    ("trigger", "a", ("x", "y"), {}, "--out has several variables, but a trigger has one result"),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "body", "out", "own", "told"), MISTAKES)
def test_a_mistake_is_found_before_the_run(
    operator: str, body: str, out: tuple[str, ...], own: dict[str, Any], told: str | None
) -> None:
    if told is None:
        assert source(operator, body, *out, **own) == body
        return
    with pytest.raises(OperatorError) as caught:
        source(operator, body, *out, **own)
    assert told in f"line {caught.value.line}: {caught.value}"


CALLS = [
    ("notebook", "a.ipynb", ("x",), {}, "x = {run_child}(('''a.ipynb''',), out=('x',), parameters=dict())"),
    ("notebook", "a.ipynb\np = [1,\n 2]\n\nq = f(p)", ("x", "y"), {"jobs": 2}, "x, y = {run_child}(('''a.ipynb''',), out=('x', 'y'), jobs=2, parameters=dict(\np=([1,\n 2]), \n\nq=(f(p)), ))"),
    ("trigger", "\nchurn_{n}\n", (), {"wait": True}, "{trigger_child}(('''churn_''', ('{n}', f'''{n}'''),), wait=True, poke=60.0, parameters=dict())"),
    ("file-sensor", "in/{day}\n", ("f",), {"least": 2}, "(f := {found_files}('''in/''', ('{day}', f'''{day}'''), '''\n''', least=2))"),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "body", "out", "own", "expected"), CALLS)
def test_a_body_becomes_one_call(
    operator: str, body: str, out: tuple[str, ...], own: dict[str, Any], expected: str
) -> None:
    made = source(operator, body, *out, **own)
    function = expected.partition("{")[2].partition("}")[0]
    module = "nbdag.runs" if "child" in function else "nbdag.operators.file_sensor"
    call = f"__import__({module!r}, fromlist=[{function!r}]).{function}"
    assert ast.dump(ast.parse(made)) == ast.dump(
        ast.parse(expected.replace(f"{{{function}}}", call).replace("\n\n", "\n"))
    )


def test_parameters_of_a_child_are_reads_at_their_lines_and_set_no_name() -> None:
    cells = [
        "%%task a\nalpha = 1",
        "%%task b --operator notebook --out acc\nchild.ipynb\n\nbeta = alpha\ngamma = delta",
        "%%task c\nprint(acc)",
    ]
    dag = read_cells([RawCell(each) for each in cells], name="nb")
    assert [(each.code, each.place.line if each.place else 0) for each in dag.problems] == [("NB201", 5)]
    assert [(edge.source, edge.target) for edge in dag.edges] == [("a", "b"), ("b", "c")]
    assert dag.tasks["b"].writes == ("acc",)


def test_files_are_found_when_all_lines_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = compile(
        source("file-sensor", "in/*.csv\nin/**/done", "found", least=2).replace("least=2", "least=least"),
        "cell",
        "exec",
    )
    names: dict[str, Any] = {"least": 1}

    def found() -> list[str]:
        exec(made, names)
        return list(names["found"])

    Path("in/deep").mkdir(parents=True)
    Path("in/b.csv").touch()
    assert found() == []
    Path("in/deep/done").touch()
    assert found() == ["in/b.csv", "in/deep/done"]
    Path("in/a.csv").touch()
    assert found() == ["in/a.csv", "in/b.csv", "in/deep/done"]
    names["least"] = 2
    assert found() == []


def test_a_url_of_files_is_searched_by_fsspec(tmp_path: Path) -> None:
    names: dict[str, Any] = {"folder": tmp_path}
    made = source("file-sensor", "file://{folder}/*.csv", "found")
    exec(made, names)
    assert names["found"] == []
    (tmp_path / "a.csv").touch()
    exec(made, names)
    assert names["found"] == [f"file://{tmp_path}/a.csv"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
def test_a_message_is_sent_with_its_values_and_files(
    web: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plot.txt").write_text("a plot")
    to = web.url.replace("http://", "json://") + "/secret-token"
    made = source("email", "It is {accuracy:.1%}.\n", to=(to,), subject="Day {day}", attach=(f"{tmp_path}/*.txt",))
    exec(made, {"accuracy": 0.913, "day": "2026-01-31"})
    sent = json.loads(web.received[0].body)
    assert (sent["title"], sent["message"].strip()) == ("Day 2026-01-31", "It is 91.3%.")
    assert [each["filename"] for each in sent["attachments"]] == ["plot.txt"]
    assert capsys.readouterr().out == "sent to json://***\n"


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
def test_a_message_that_is_not_delivered_fails_without_showing_the_address(web: WebServer) -> None:
    web.answer(500)
    to = web.url.replace("http://", "json://") + "/secret-token"
    with pytest.raises(
        EmailError, match=r"^the message to json://\*\*\* was not sent; check the address and the server$"
    ):
        exec(source("email", "hi", to=(to,)))
    with pytest.raises(EmailError, match=r"apprise does not know the kind of nosuch://\*\*\*"):
        exec(source("email", "hi", to=("nosuch://x",)))
    with pytest.raises(EmailError, match=r"a@b.c is an address of mail; add --connection NAME"):
        exec(source("email", "hi", to=("a@b.c",)))
    with pytest.raises(EmailError, match="no file matches 'nope' of --attach"):
        exec(source("email", "hi", to=(to,), attach=("nope",)))


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
def test_mail_goes_through_the_server_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDAG_CONN_SMTP", "smtp://me%40x.y:p%2Fw@mail.example.com:587?from=team@x.y")
    parts = urllib.parse.urlsplit(email._mail_url("a+b@c.d", "smtp"))
    assert (parts.scheme, parts.hostname, parts.port) == ("mailtos", "mail.example.com", 587)
    assert (urllib.parse.unquote(parts.username or ""), urllib.parse.unquote(parts.password or "")) == ("me@x.y", "p/w")
    query = dict(urllib.parse.parse_qsl(parts.query))
    assert query == {"smtp": "mail.example.com", "to": "a+b@c.d", "from": "team@x.y"}
    monkeypatch.setenv("NBDAG_CONN_SMTPS", "smtp://me:pw@mail.example.com:465?from=team@x.y")
    (service,) = apprise.Apprise(email._mail_url("a+b@c.d", "smtps"))
    assert (service.port, service.secure_mode, service.smtp_host) == (465, "ssl", "mail.example.com")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
def test_a_mail_arrives_at_a_server_of_smtp(
    mail: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBDAG_CONN_SMTP", f"smtp://me%40x.org:p%2Fw%25@127.0.0.1:{mail.port}?from=team@x.org")
    (tmp_path / "plot.txt").write_text("a plot")
    hostile = "Zürich\nBcc: eve@x.org\n{{ ds }}"
    own = {
        "to": ("a+b@c.org", "{who}@c.org"),
        "subject": "In {city}",
        "attach": (f"{tmp_path}/*.txt",),
        "connection": "smtp",
    }
    exec(
        source("email", "It is {accuracy:.1%} in {city}.\n.\n", **own), {"accuracy": 0.913, "city": hostile, "who": "e"}
    )
    assert [to for to, _ in mail.received] == [["a+b@c.org"], ["e@c.org"]]
    for to, message in mail.received:
        assert message["To"] == to[0]
        assert "team@x.org" in message["From"]
        assert message["Subject"] == "In Zürich Bcc: eve@x.org {{ ds }}"
        assert message["Bcc"] is None
        text, file = (part for part in message.walk() if not part.is_multipart())
        assert text.get_content().replace("\r\n", "\n").strip() == f"It is 91.3% in {hostile}.\n."
        assert (file.get_filename(), file.get_content()) == ("plot.txt", "a plot")
    assert capsys.readouterr().out.count("sent to ") == 2


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
@pytest.mark.parametrize(("to", "password"), [("nobody@c.org", "p%2Fw%25"), ("a@c.org", "wrong")])
def test_a_mail_that_the_server_refuses_fails_without_showing_the_password(
    mail: MailServer, monkeypatch: pytest.MonkeyPatch, to: str, password: str
) -> None:
    monkeypatch.setenv("NBDAG_CONN_SMTP", f"smtp://me%40x.org:{password}@127.0.0.1:{mail.port}?from=team@x.org")
    with pytest.raises(EmailError, match="was not sent; check the address and the server") as caught:
        exec(source("email", "hi", to=(to,), connection="smtp"))
    assert password not in str(caught.value)
    assert mail.received == []
