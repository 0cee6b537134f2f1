"""Names are looked up in the environment, `.env`, installed backends and the keyring, in this order."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import nbdag
from nbdag.core.model.secret_masking import SecretValues
from nbdag.secrets import ConnectionFormatError, UnknownSecretError, lookup, masker, sources


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch, tmp_path):
    monkeypatch.setattr(masker, "known", SecretValues())
    (tmp_path / ".env").touch()
    monkeypatch.setenv("NBDAG_ENV_FILE", str(tmp_path / ".env"))
    monkeypatch.setattr(sources, "_from_keyring", lambda key: None)


@pytest.fixture
def env_file(tmp_path) -> Path:
    return tmp_path / ".env"


@pytest.mark.parametrize("name", ["api_token", "API_TOKEN", "Api_Token", "api-token", "api.token"])
def test_a_secret_is_an_environment_variable(monkeypatch, name):
    monkeypatch.setenv("NBDAG_SECRET_API_TOKEN", "hunter2secret")
    assert nbdag.secret(name) == "hunter2secret"
    assert nbdag.secrets.mask("it is hunter2secret") == "it is ***"


def test_airflows_variables_are_read_and_nbdags_come_first(monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_REGION", "eu")
    monkeypatch.setenv("AIRFLOW_CONN_DB", "mysql://h/one")
    assert nbdag.variable("region") == "eu"
    assert nbdag.connection("db").schema == "one"
    monkeypatch.setenv("NBDAG_VAR_REGION", "us")
    monkeypatch.setenv("NBDAG_CONN_DB", "mysql://h/two")
    assert nbdag.variable("region") == "us"
    assert nbdag.connection("db").schema == "two"


def test_the_env_file_comes_after_the_environment(monkeypatch, env_file):
    env_file.write_text(
        "export NBDAG_SECRET_A=\"one # two\"\nNBDAG_SECRET_B='$HOME'\nOTHER=x\nNBDAG_VAR_C=1 # comment\n"
    )
    assert (nbdag.secret("a"), nbdag.secret("b"), nbdag.variable("c")) == ("one # two", "$HOME", "1")
    monkeypatch.setenv("NBDAG_SECRET_A", "from the environment")
    assert nbdag.secret("a") == "from the environment"
    env_file.write_text("NBDAG_SECRET_B=changed")
    assert nbdag.secret("b") == "changed"


def test_the_env_file_is_beside_the_home(monkeypatch, tmp_path):
    monkeypatch.delenv("NBDAG_ENV_FILE")
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "project" / ".nbdag"))
    assert sources.env_file() == tmp_path / "project" / ".env"


def test_an_env_file_that_the_variable_names_must_exist(env_file):
    env_file.unlink()
    with pytest.raises(nbdag.NbdagError) as caught:
        nbdag.variable("x", "default")
    assert str(caught.value) == (
        f"{env_file} cannot be read (No such file or directory), but NBDAG_ENV_FILE names it; "
        "correct or unset this variable"
    )


def test_the_env_file_of_a_runs_home_need_not_exist(monkeypatch, env_file):
    monkeypatch.delenv("NBDAG_ENV_FILE")
    monkeypatch.setenv("NBDAG_HOME_ENV_FILE", str(env_file))
    env_file.write_text("NBDAG_VAR_X=1")
    assert nbdag.variable("x", "default") == "1"
    env_file.unlink()
    assert nbdag.variable("x", "default") == "default"


def test_an_env_file_of_other_programs_needs_no_dotenv(monkeypatch, env_file):
    monkeypatch.setitem(sys.modules, "dotenv", None)
    env_file.write_text("POSTGRES_PASSWORD=x\n")
    assert nbdag.variable("x", "default") == "default"
    env_file.write_text("POSTGRES_PASSWORD=x\nNBDAG_VAR_X=1")
    with pytest.raises(nbdag.NbdagError, match="cannot be read without python-dotenv; install it"):
        nbdag.variable("x", "default")


def test_an_unknown_name_is_an_error_with_the_nearest_name_and_what_to_set(monkeypatch):
    monkeypatch.setenv("NBDAG_SECRET_API_TOKEN", "hunter2secret")
    with pytest.raises(UnknownSecretError) as raised:
        nbdag.secret("api_tokn")
    message = str(raised.value)
    assert "unknown secret 'api_tokn' (did you mean 'api_token'?)" in message
    assert "set NBDAG_SECRET_API_TOKN in the environment" in message
    assert nbdag.secret("api_tokn", None) is None
    assert nbdag.variable("none", 5) == 5
    with pytest.raises(UnknownSecretError, match="unknown connection 'none'"):
        nbdag.connection("none")


def test_a_value_in_place_of_a_name_is_rejected_and_not_repeated():
    with pytest.raises(nbdag.NbdagError, match="pass the name, not the value") as raised:
        nbdag.secret("hunter2 secret!")
    assert "hunter2" not in str(raised.value)
    assert nbdag.secrets.mask("hunter2 secret!") == "***"


def test_a_variable_is_masked_only_if_it_is_a_secret_by_name_or_a_url_with_a_password(monkeypatch):
    for name, value in {"REGION": "eu-west", "DB_PASSWORD": "s3cr3tvalue", "URL": "http://me:pw12345@h/"}.items():
        monkeypatch.setenv(f"NBDAG_VAR_{name}", value)
        nbdag.variable(name)
    assert nbdag.secrets.mask("eu-west s3cr3tvalue http://h/ pw12345") == "eu-west *** http://h/ ***"


def test_a_variable_may_be_json(monkeypatch):
    monkeypatch.setenv("NBDAG_VAR_X", '{"a": [1]}')
    assert nbdag.variable("x", json=True) == {"a": [1]}
    monkeypatch.setenv("NBDAG_VAR_X", "{")
    with pytest.raises(nbdag.NbdagError, match="variable 'x' is not valid JSON"):
        nbdag.variable("x", json=True)


CONNECTIONS = [
    (
        "postgres://me:p%40ss@db:5432/sales?sslmode=require",
        "postgresql+psycopg://me:p%40ss@db:5432/sales?sslmode=require",
    ),
    ("postgresql+psycopg2://me@db/sales", "postgresql+psycopg2://me@db/sales"),
    ('{"conn_type": "mysql", "login": "me", "password": "a/b", "host": "db", "port": "3306", "schema": "s"}', None),
    ("sqlite:///data/x.db", "sqlite:///data/x.db"),
    ("sqlite:////data/x.db", "sqlite:////data/x.db"),
    ("duckdb:///:memory:", "duckdb:///:memory:"),
    ("http://me:pw@api.example.com:8080/https", "https://api.example.com:8080"),
    ("http://me:pw@https://api.example.com", "https://api.example.com"),
    ("https://api.example.com/v1", "https://api.example.com/v1"),
    ("snowflake://u:p@acc/db?warehouse=w", "snowflake://u:p@acc/db?warehouse=w"),
    ("postgres://u:p@[::1]:5432/db", "postgresql+psycopg://u:p@[::1]:5432/db"),
    ("google-cloud-platform://?__extra__=%7B%22project%22%3A+%22p%22%7D", None),
]


@pytest.mark.parametrize(("text", "url"), CONNECTIONS)
def test_a_connection_is_a_uri_or_json(monkeypatch, text, url):
    monkeypatch.setenv("AIRFLOW_CONN_X", text)
    made = nbdag.connection("x")
    assert url is None or made.url == url
    monkeypatch.setenv("AIRFLOW_CONN_X", made.get_uri())
    assert nbdag.connection("x") == made  # the URI describes the same connection


def test_a_connection_has_airflows_fields(monkeypatch):
    text = (
        '{"conn_type": "my-sql", "login": "l", "password": "pw123", "host": "h", "port": 1, "extra": "{\\"a\\": [2]}"}'
    )
    monkeypatch.setenv("NBDAG_CONN_X", text)
    made = nbdag.connection("x")
    assert (made.id, made.conn_type, made.host, made.login, made.password, made.port) == (
        "x",
        "my_sql",
        "h",
        "l",
        "pw123",
        1,
    )
    assert made.extra == {"a": [2]}
    assert "pw123" not in repr(made) and "pw123" not in str(made.to_dict())


@pytest.mark.parametrize("text", ["db", "{", '{"port": "x"}', "postgres://h:port/x", "x://?__extra__=[", "[]"])
def test_a_malformed_connection_is_an_error_without_its_text(monkeypatch, text):
    monkeypatch.setenv("NBDAG_CONN_X", text)
    with pytest.raises(ConnectionFormatError, match="write it as a URI") as raised:
        nbdag.connection("x")
    assert len(text) < 5 or text not in str(raised.value)


def test_a_connection_is_pickled_as_its_name(monkeypatch):
    monkeypatch.setenv("NBDAG_CONN_X", "postgres://me:s3cr3tvalue@db/sales")
    stored = pickle.dumps(nbdag.connection("x"))
    assert b"s3cr3tvalue" not in stored and b"sales" not in stored
    monkeypatch.setenv("NBDAG_CONN_X", "postgres://me:rotated@db/sales")
    assert pickle.loads(stored).password == "rotated"
    by_hand = nbdag.secrets.Connection(id="x", host="h")
    assert pickle.loads(pickle.dumps(by_hand)) == by_hand


def test_passwords_and_secret_extra_values_of_connections_are_masked(monkeypatch):
    monkeypatch.setenv("NBDAG_CONN_X", "aws://key:s3cr3tvalue@/?session_token=tok12345&region=eu-west")
    url = nbdag.connection("x").get_uri()
    assert nbdag.secrets.mask(f"{url} s3cr3tvalue") == "aws://key:***@/?session_token=***&region=eu-west ***"


def test_secrets_inside_the_extra_values_of_a_connection_are_masked(monkeypatch):
    key = {"private_key": "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n", "project_id": "sales-eu"}
    extra = {"keyfile_dict": json.dumps(key), "options": {"api_key": "k3y-abcdef"}, "proxy": "http://u:pr0xy%40pw@h"}
    monkeypatch.setenv("NBDAG_CONN_X", json.dumps({"conn_type": "google", "extra": extra}))
    shown = nbdag.secrets.mask(repr(nbdag.connection("x").extra) + " pr0xy@pw")
    assert "sales-eu" in shown
    assert not [each for each in ("MIIEvQIBADANBg", "k3y-abcdef", "pr0xy") if each in shown]
    listed = json.dumps(nbdag.connection("x").to_dict())
    assert not [each for each in ("k3y-abcdef", "pr0xy") if each in listed]


def test_backends_come_after_files_and_before_the_keyring(monkeypatch):
    class Vault:
        def get(self, kind, name):
            return {"a": "from the vault"}.get(name) if kind == "secret" else None

        def names(self, kind):
            return ["a"] if kind == "secret" else []

    monkeypatch.setattr(sources, "backend_names", lambda: ["vault"])
    monkeypatch.setattr(sources, "_backend", lambda name: Vault())
    monkeypatch.setattr(sources, "_from_keyring", {"NBDAG_SECRET_A": "k", "NBDAG_SECRET_B": "from the keyring"}.get)
    assert nbdag.secret("a") == "from the vault"
    assert nbdag.secret("b") == "from the keyring"
    assert sources.names(sources.Kind.SECRET)["a"] == "vault"


def test_a_failing_backend_is_an_error_that_names_it(monkeypatch):
    class Vault:
        def get(self, kind, name):
            raise ConnectionError("no route")

    monkeypatch.setattr(sources, "backend_names", lambda: ["vault"])
    monkeypatch.setattr(sources, "_backend", lambda name: Vault())
    with pytest.raises(nbdag.NbdagError, match=r"backend 'vault' failed for 'a' \(ConnectionError: no route\)"):
        nbdag.secret("a", "default")


def test_the_keyring_is_asked_for_the_names_of_the_variables(monkeypatch):
    monkeypatch.undo()
    keyring = pytest.importorskip("keyring")
    kept = {("nbdag", "NBDAG_SECRET_NOWHERE_ELSE"): "in the keyring"}
    monkeypatch.setattr(keyring, "get_password", lambda service, key: kept.get((service, key)))
    assert nbdag.secret("nowhere_else") == "in the keyring"


def test_known_secrets_are_masked_before_anybody_looks_them_up(monkeypatch, env_file):
    monkeypatch.setenv("NBDAG_SECRET_A", "s3cr3tvalue")
    monkeypatch.setenv("NBDAG_DB_URL", "postgresql://me:dbpassword@h/x")
    env_file.write_text("AIRFLOW_CONN_DB=mysql://me:filepassword@h/x\n")
    sources.hide_known_values()
    assert nbdag.secrets.mask("s3cr3tvalue filepassword dbpassword") == "*** *** ***"


def test_a_lookup_imports_little(monkeypatch):
    code = "import sys, nbdag; nbdag.secret('a'); print([m for m in ('IPython', 'sqlalchemy', 'keyring', 'dotenv') if m in sys.modules])"
    monkeypatch.setenv("NBDAG_SECRET_A", "s3cr3tvalue")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_public_names_are_those_of_the_package():
    assert nbdag.secret is lookup.secret and nbdag.connection is lookup.connection and nbdag.variable is lookup.variable
