"""After runs that print a secret in many ways, the secret is found nowhere: one test searches everything that is kept."""

from __future__ import annotations

import base64
import html
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

import nbdag
from nbdag import runs
from nbdag.cli import main
from nbdag.core.model.events import Event

SECRET = "tok-Zq7&xW2'pLm9/vR4"
PASSWORD = "Kp3$hJ8 mN5@bT6yU"
GIVEN = "gv-1Aa2Bb3Cc4Dd5Ee"
IN_FILE = "fl-9Zz8Yy7Xx6Ww5Vv"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w\nEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----"

LOOK_UP = """
import base64, html, json, logging, os, reprlib, subprocess, textwrap, sys, threading, urllib.parse, warnings
import nbdag
token = nbdag.secret("api_token")
warehouse = nbdag.connection("warehouse")
"""

WAYS = {
    "print": "print(token)",
    "value": "token",
    "display": "display({'token': token, 'inside': [token]})",
    "pieces": "print(token[:5], end=''); sys.stdout.flush(); print(token[5:])\nfor c in token: print(c, end='', flush=True)",
    "parts": "print(token[:9], token[-9:], token[4:14], reprlib.repr(token * 2), nbdag.secret('pem')[16:26])\n"
    "print(textwrap.fill(token, 10)); warnings.warn(token[:12])",
    "subprocess": "os.system('echo $NBDAG_SECRET_API_TOKEN; echo $NBDAG_SECRET_API_TOKEN >&2')\n!env",
    "child": "print(subprocess.check_output([sys.executable, '-c', 'import nbdag; print(nbdag.secret(\"in_file\"))'], text=True))",
    "descriptor": "for c in token: os.write(1, c.encode())",
    "logging": "logging.getLogger().warning('failed for %s', token); warnings.warn(token)",
    "encoded": "print(base64.b64encode(token.encode()), urllib.parse.quote(token, safe=''), token.encode().hex(), json.dumps(token),"
    " html.escape(token), base64.b64encode(f'me:{token}'.encode()).decode(), repr(repr(token)))",
    "connection": "print(warehouse, warehouse.url, warehouse.get_uri(), warehouse.password)",
    "lines": "print(nbdag.secret('pem')); print(nbdag.secret('pem').split()[5]); print(repr(nbdag.secret('pem')))",
    "thread": "t = threading.Thread(target=print, args=(token,)); t.start(); t.join()",
    "table": "class Table:\n    def _repr_html_(self): return f'<td>{html.escape(token)}</td>'\nTable()",
    "exception": "raise ValueError(f'no access with {token!r}')",
    "chained": "try:\n    {}[token]\nexcept KeyError as error:\n    raise RuntimeError(warehouse.url) from error",
    "frames": "%xmode Verbose\ndef connect(password, inner):\n    raise OSError(inner)\nconnect(token, [warehouse.password])",
    "skip": "raise nbdag.Skip(f'no files for {token}')",
    "fail": "raise nbdag.Fail(token)",
    "exit": "sys.exit(token)",
    "crash": "os.write(sys.stdout._original_stdstream_copy, token.encode()); os.abort()",
    "widget": "from comm import create_comm; create_comm('test', data={'value': token}).send({'value': [token]})",
    "parameter": "print(given, dag_run.params, f'{marked}!'); given",
    "file name": "open(f'/tmp/{marked}', 'w').close(); os.remove(f'/tmp/{marked}')",
    "summary": "passed_on = {'key': token[:0]}; nested = ['x', warehouse]",
    "reads": "assert passed_on['key'] == '' and nested[1].password == warehouse.password; print(nested)",
}  # fmt: skip


def notebook(path: Path, url: str) -> Path:
    cells = [
        f"%dag secrets --on-failure {url} --on-success {url} --on-retry {url}",
        "%%params\nimport nbdag\ngiven_password = ''\nmarked: nbdag.Secret = ''",
        f"%%setup\n{LOOK_UP.strip()}\ngiven = given_password",
        *(f"%%task {name.replace(' ', '_')}\n{code}" for name, code in WAYS.items()),
        "%%task bash --operator bash\nset -x\necho \"$NBDAG_SECRET_API_TOKEN\"\nenv\nfor i in 1; do printf %s \"$NBDAG_CONN_WAREHOUSE\"; done\nexit 3",
        "%%task retried --retries 1 --retry-delay 0s\nraise ValueError(token)",
        "%%task checked --check \"token == ''\"\nx = 1",
        "%%task mapped --map each=['api_token','pem']\nprint(nbdag.secret(each))",
    ]  # fmt: skip
    written = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": each, "execution_count": None, "outputs": []}
        for n, each in enumerate(cells)
    ]
    path.write_text(json.dumps({"cells": written, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def forms(value: str) -> dict[str, str]:
    """Return the texts by which a value would be found, whatever encodes it."""
    parts = {f"line {n}": line for n, line in enumerate(value.splitlines()) if not line.startswith("-----")}
    found = {}
    for name, part in parts.items():
        data = part.encode()
        found |= {
            name: part,
            f"{name} in JSON": json.dumps(part)[1:-1],
            f"{name} in base64": base64.b64encode(data).decode()[:-4],
            f"{name} in a header": base64.b64encode(b"me:" + data).decode()[4:-4],
            f"{name} in hexadecimal": data.hex(),
            f"{name} in a URL": quote(part, safe=""),
            f"{name} in HTML": html.escape(part),
            f"{name}, its beginning": part[:9],
            f"{name}, its middle": part[5:14],
            f"{name}, its end": part[-9:],
        }
    return found


def found_in(text: str) -> list[str]:
    """Return the secrets that a text contains, by name and form."""
    values = {"secret": SECRET, "password": PASSWORD, "given": GIVEN, "file": IN_FILE, "lines": PEM}
    return [f"{name}: {form}" for name, value in values.items() for form, each in forms(value).items() if each in text]


@pytest.fixture
def service() -> Iterator[tuple[str, list[str]]]:
    """A web service that keeps what it is notified of."""
    heard: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_port}", heard
        server.shutdown()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a home, a `.env`, and secrets in the environment."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".env").write_text(f"NBDAG_SECRET_IN_FILE={IN_FILE}\n")
    monkeypatch.setenv("NBDAG_SECRET_API_TOKEN", SECRET)
    monkeypatch.setenv("NBDAG_SECRET_PEM", PEM)
    monkeypatch.setenv("NBDAG_CONN_WAREHOUSE", f"postgres://me:{quote(PASSWORD, safe='')}@db/sales")
    monkeypatch.setenv("NBDAG_HOME", str(folder / ".nbdag"))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_a_secret_is_found_nowhere(
    project: Path, service: tuple[str, list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url, heard = service
    path = notebook(tmp_path / "secrets.ipynb", url)
    events: list[Event] = []
    parameters = {"given_password": GIVEN, "marked": GIVEN[::-1]}
    run = nbdag.run(path, parameters=parameters, jobs=2, output=project / "report.ipynb", on_event=events.append)

    states = {task.id: task.state.value for task in run if task.map_index < 0}
    fails = {"exception", "chained", "frames", "fail", "exit", "crash", "bash", "retried", "checked"}
    assert {task for task, state in states.items() if state == "failed"} == fails, run["reads"].error
    assert states["skip"] == "skipped"
    assert run["fail"].error == "***"  # each error says what it said, but for the secret
    assert run["chained"].error == "RuntimeError: postgresql+psycopg://me:***@db/sales"
    assert (run["frames"].error, run["skip"].error) == ("OSError: ['***']", "no files for ***")
    assert runs.logs(run, "pieces").read_text().replace("\n", "") == "******"
    assert runs.logs(run, "child").read_text().strip() == "***"
    assert "+ echo '***'" in runs.logs(run, "bash").read_text()
    assert runs.logs(run, "crash").read_text().startswith("***")

    commands = (
        ["status", "latest"], ["status", "latest", "-o", "json"], ["runs", "-o", "yaml"], ["doctor"],
        ["check", str(path)], ["show", str(path), "--json"], ["connections", "list", "-o", "json"],
        ["connections", "test", "-o", "json"], ["connections", "test", SECRET],
        *(["logs", "latest", task] for task in fails), *(["why", "latest", task] for task in fails),
    )  # fmt: skip
    for words in commands:
        with pytest.raises(SystemExit):
            main(words)
    printed = capfd.readouterr()
    assert "***" in printed.out
    places = {
        "events": repr(events), "run": repr(run) + json.dumps(run.to_dict(), default=str),
        "stdout": printed.out, "stderr": printed.err, **{f"notification {n}": each for n, each in enumerate(heard)},
        **{
            str(file.relative_to(tmp_path)): file.read_bytes().decode(errors="replace")
            for file in tmp_path.rglob("*") if file.is_file() and file.name != ".env"
        },
    }  # fmt: skip
    assert len(heard) == 2  # the failure of the run, and the retry
    assert any(name.endswith("nbdag.db") for name in places) and "project/report.ipynb" in places
    shown = {f"{name}: {each}" for name, text in places.items() for each in found_in(text)}
    assert sorted(shown) == []


def test_a_stored_value_that_holds_a_secret_is_reported_and_its_summary_masked(project: Path, tmp_path: Path) -> None:
    cells = ["import nbdag", "%%task a\nkey = nbdag.secret('api_token') * 20", "%%task b\nprint(len(key))"]
    written = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": each, "execution_count": None, "outputs": []}
        for n, each in enumerate(cells)
    ]
    path = tmp_path / "stored.ipynb"
    path.write_text(json.dumps({"cells": written, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    run = nbdag.run(path)
    (note,) = run["a"].warnings
    assert (note.code, note.name) == ("NB473", "key")
    assert "look it up in b instead" in note.message
    assert run["a"].outputs[0].summary == "'***'"
