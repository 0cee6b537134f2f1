"""`nbdag connections list|test`: real connections, and no password in whatever they print."""

from __future__ import annotations

import base64
import http.server
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nbdag.cli import main

PASSWORD = "pw-Zq7xW2pLm"
Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    for name in [name for name in os.environ if name.startswith(("NBDAG_CONN_", "AIRFLOW_CONN_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / ".nbdag"))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, ["connections", *words])


@pytest.fixture
def service() -> Iterator[int]:
    """The port of a web service: /v1 needs a login, /broken fails, anything else is not found."""
    login = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/v1")
                self.end_headers()
                return
            right = self.headers.get("Authorization") == login
            status = {"/v1": 200 if right else 401, "/broken": 503}.get(self.path, 404)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_connections_are_tested_by_connecting(
    call: Call, service: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite3.connect(tmp_path / "there.db").close()
    known = {
        "right": (f"http://me:{PASSWORD}@127.0.0.1:{service}/v1", "ok", "answered 200"),
        "no_page": (f"http://127.0.0.1:{service}", "ok", "answered 404"),
        "wrong": (f"http://me:{PASSWORD}x@127.0.0.1:{service}/v1", "failed", "answered 401"),
        "moved": (f"http://me:{PASSWORD}@127.0.0.1:{service}/moved", "failed", "answered 401"),
        "broken": (f"http://127.0.0.1:{service}/broken", "failed", "answered 503"),
        "nobody": ("http://127.0.0.1:1", "failed", "refused"),
        "file": ("sqlite:///there.db", "ok", "sqlite answered a query"),
        "memory": ("sqlite:///:memory:", "ok", "sqlite answered a query"),
        "gone": ("sqlite:///gone.db", "failed", "no file gone.db"),
        "closed": (f"postgres://me:{PASSWORD}@127.0.0.1:1/x", "failed", "refused"),
        "bucket": (f"aws://key:{PASSWORD}@", "untested", "neither http nor a database that SQLAlchemy knows here"),
        "malformed": (f"me:{PASSWORD}", "failed", "write it as a URI"),
    }
    for name, (text, _, _) in known.items():
        monkeypatch.setenv(f"NBDAG_CONN_{name.upper()}", text)
    done = call("test", "-o", "json")
    results = {each["name"]: each for each in json.loads(done.output)}
    assert {name: each["state"] for name, each in results.items()} == {name: each[1] for name, each in known.items()}
    assert [name for name, each in known.items() if each[2] not in results[name]["message"]] == []
    assert not (tmp_path / "gone.db").exists()  # a test creates nothing
    assert done.exit_code == 1
    assert call("test", "right", "file").exit_code == 0
    assert call("test", "bucket").exit_code == 1
    assert "unknown connection 'rigth' (did you mean 'right'?)" in call("test", "rigth").output
    listed = {each["id"]: each for each in json.loads(call("list", "-o", "json").output)}
    assert listed["right"] | {"extra": 0} == {
        "id": "right", "conn_type": "http", "host": "127.0.0.1", "login": "me", "password": "***", "port": service,
        "schema": "v1", "extra": 0, "source": "environment", "error": None,
    }  # fmt: skip
    assert listed["malformed"]["error"].startswith("connection 'malformed' has no ://")
    for words in (["test"], ["test", "-o", "yaml"], ["list"], ["list", "-o", "yaml"], ["test", PASSWORD + "!"]):
        answer = call(*words)
        assert "Traceback" not in answer.output
        assert PASSWORD not in answer.output


def test_a_database_server_answers(
    call: Call, postgres_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", postgres_database().replace("postgresql+psycopg", "postgres"))
    done = call("test", "warehouse")
    assert "postgresql answered a query" in done.output, done.output
    assert done.exit_code == 0


@pytest.mark.slow
def test_a_backend_of_an_installed_package_is_used(tmp_path: Path) -> None:
    files = {
        "vault-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: vault\nVersion: 1.0\n",
        "vault-1.0.dist-info/entry_points.txt": "[nbdag.secrets]\nvault = vault:Vault\n",
        "vault.py": (
            "class Vault:\n"
            "    def get(self, kind, name):\n"
            "        return {'connection': 'sqlite:///:memory:', 'secret': 'from the vault'}.get(kind)\n"
            "    def names(self, kind):\n"
            "        return ['warehouse'] if kind == 'connection' else []\n"
        ),
    }
    for name, text in files.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "NBDAG_HOME": str(tmp_path / ".nbdag")}

    def run(*words: str) -> str:
        return subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, check=True).stdout

    assert run("-c", "import nbdag; print(nbdag.secret('x'))") == "from the vault\n"
    assert "sqlite answered a query" in run("-m", "nbdag", "connections", "test", "warehouse")
    assert "vault" in run("-m", "nbdag", "connections", "list")
