"""Secret parameters: tasks get their values, and a run records only names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nbdag
import nbdag.executors.local
from nbdag import runs
from nbdag.core.cells.parameter_types import marked_secret
from nbdag.core.model.secret_names import MASK
from nbdag.secrets import sources
from nbdag.secrets.parameters import SecretParameterError, SecretParameterGoneError, resolved, without_secrets
from nbdag.testing import InProcessExecutor

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "GIVEN", {})
    monkeypatch.setattr("nbdag.secrets.parameters.GIVEN", sources.GIVEN)
    monkeypatch.setattr(nbdag.executors.local, "LocalExecutor", InProcessExecutor)
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / ".nbdag"))
    monkeypatch.setenv("NBDAG_SECRET_WAREHOUSE", "w4rehouse-pw")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*cells: str) -> Path:
        made = [
            {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": each, "execution_count": None, "outputs": []}
            for n, each in enumerate(cells)
        ]
        path = tmp_path / "churn.ipynb"
        path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
        return path

    return write


def test_a_parameter_is_marked_by_its_annotation() -> None:
    code = """
from typing import Annotated
a: nbdag.Secret = ""
b: Annotated[str, nbdag.Secret] = ""
c: "nbdag.Secret" = ""
d: Secret
e: str = "Secret"
f: dict[str, Secret | None] = {}
"""
    assert marked_secret([code, "not ( python", "%time x"]) == {"a", "b", "c", "d", "f"}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "hunter2x", MASK),
        ("api_key", 123456, MASK),
        ("passwords", ["one1one1", "two2two2"], MASK),
        ("marked", {"a": [1.5, None]}, MASK),
        ("db", "postgresql://me:pw12345@h/x", f"postgresql://me:{MASK}@h/x"),
        ("options", {"auth": {"user": "me", "token": "t0kent0ken"}}, {"auth": MASK}),
    ],
)  # fmt: skip
def test_a_secret_value_is_replaced_by_a_reference_and_found_again(name: str, value: Any, shown: Any) -> None:
    recorded = without_secrets({name: value, "n": 1, "text": "secret:x"}, ["marked"])
    assert recorded["n"] == 1 and recorded["text"] == "secret:x"
    assert recorded[name]["shown"] == shown
    assert recorded[name]["$secret"].startswith(name.upper())
    assert not any(
        each in json.dumps(recorded) for each in ("hunter2x", "123456", "one1one1", "1.5", "pw12345", "t0ken")
    )
    assert resolved(recorded)[name] == value
    assert without_secrets({name: value}, ["marked"])[name] == recorded[name]  # the same value has the same name


@pytest.mark.parametrize(("name", "value"), [("password", None), ("password", ""), ("max_tokens", 5), ("a", "b")])
def test_what_is_not_secret_is_recorded_as_it_is(name: str, value: Any) -> None:
    assert without_secrets({name: value}, stays_here=False) == {name: value}


def test_a_secret_is_given_by_name() -> None:
    recorded = without_secrets({"password": "secret:warehouse"}, stays_here=False)
    assert recorded == {"password": {"$secret": "warehouse", "shown": MASK}}
    assert resolved(recorded) == {"password": "w4rehouse-pw"}
    with pytest.raises(nbdag.NbdagError, match="unknown secret 'nope'"):
        without_secrets({"password": "secret:nope"})


def test_a_run_gives_values_to_tasks_and_records_names(write: Write, tmp_path: Path) -> None:
    path = write(
        "%%params\npassword = ''\nkey: nbdag.Secret = ''\nn = 1",
        "%%task a --retries 1 --retry-delay 0s\nassert dag_run.try_number == 2\nsizes = len(password), key, dag_run.params['key'], n",
        "%%task b --out right\nright = [*sizes] == [12, [1, 2], [1, 2], 3]",
    )
    path.write_text(path.read_text().replace("%%params", "%%params\\nimport nbdag"))
    run = nbdag.run(path, parameters={"password": "secret:warehouse", "key": [1, 2], "n": 3})
    assert (run.state.value, run.value("right")) == ("success", True)
    assert run.to_dict()["parameters"] == {"password": MASK, "key": MASK, "n": 3}
    kept = b"".join(
        file.read_bytes() for file in (tmp_path / ".nbdag").rglob("*") if file.is_file() and "values" not in file.parts
    )
    assert b"warehouse" in kept and b"w4rehouse-pw" not in kept and b"[1, 2]" not in kept.partition(b"%%params")[0]


def test_a_secret_that_was_passed_directly_is_deleted_after_the_run(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("%%params\npassword = ''", "%%task a\nassert password == 'hunter2x'\nassert dag_run.try_number > 1")
    run = nbdag.run(path, parameters={"password": "hunter2x"})
    assert run.state.value == "failed"
    ((variable, value),) = sources.GIVEN.items()
    sources.GIVEN.clear()  # another process, later
    with pytest.raises(SecretParameterGoneError, match=f"'password' is not stored with the run.*set {variable}"):
        runs.resume(run)
    assert runs.find_run(run.id).state.value == "failed"
    monkeypatch.setenv(variable, value)
    assert runs.resume(run).state.value == "success"


def test_what_another_process_executes_takes_names_only(write: Write, tmp_path: Path) -> None:
    path = write("%dag churn --schedule @daily", "%%params\npassword = ''", "%%task a\nx = 1")
    runs.deploy(path)
    with pytest.raises(SecretParameterError, match="pass the name: -p password secret:PASSWORD") as raised:
        runs.trigger("churn", parameters={"password": "hunter2x"})
    assert "hunter2x" not in str(raised.value)
    made = runs.trigger("churn", parameters={"password": "secret:warehouse"})
    assert made.to_dict()["parameters"] == {"password": MASK}
    assert runs.resume(made).state.value == "success"


BUILT = """%%dag churn
import nbdag
token, db = nbdag.secret("warehouse"), nbdag.secrets.Connection(id="x")
def load(token, password): return len(token), len(password)
print("built with", token, password)
Python("a", load, token, password, out=["n", "m"])
Python("b", "right = (n, m) == (12, 8)", out="right")
"""


def test_the_code_of_dag_passes_secrets_on_by_name(write: Write) -> None:
    path = write("%%params\npassword = ''", BUILT)
    run = nbdag.run(path, parameters={"password": "hunter2x"})
    assert run.value("right") is True
    (pinned,) = (run.notebook.parents[3] / "notebooks").glob("*.ipynb")
    text = pinned.read_text()
    assert "w4rehouse-pw" not in text and "hunter2x" not in text
    assert "__import__('nbdag').secret('warehouse')" in text and "built with *** ***" in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Bash('a', f'curl -H {token} x')", "the cell of a task would contain the value of the secret warehouse"),
        ("raise ValueError(token)", "ValueError: ***"),
        ("import os; os._exit(os.system('echo died with $NBDAG_SECRET_WAREHOUSE'))", "died with ***"),
    ],
)
def test_an_error_of_the_code_of_dag_shows_no_secret(write: Write, line: str, message: str) -> None:
    dag = runs.read(write(f"%%dag churn\nimport nbdag\ntoken = nbdag.secret('warehouse')\n{line}"))
    assert message in dag.errors[0].message
    assert "w4rehouse-pw" not in repr(dag.errors)
