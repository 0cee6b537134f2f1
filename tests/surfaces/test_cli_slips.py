"""Tests of slips: nothing is deleted, skipped or executed that was not asked for, and no secret is shown."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbdag.cli.output import to_json
from nbdag.core.model.secret_names import MASK, is_secret, masked, masked_assignments, without_passwords
from nbdag.store.database import _with_quoted_password

WriteNotebook = Callable[..., Path]
CELLS = ("%%params\nalpha = 1\napi_key = ''\ndb = ''", "%%task a\nx = alpha + len(api_key)", "%%task b\nprint(x)")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nb.ipynb", "--only", ""], "'' names no task"),
        (["run", "nb.ipynb", "--only", ","], "',' names no task"),
        (["run", "nb.ipynb", "--upto", " "], "' ' names no task"),
        (["run", "nb.ipynb", "--from", ""], "'' names no task"),
        (["backfill", "nb", "--from", "2026-01-01", "--to", "2026-01-02", "--tasks", ","], "',' names no task"),
        (["gc", "--keep", "30"], "'30' has no unit; write 30d"),
        (["db", "clean", "--keep", "30"], "'30' has no unit; write 30d"),
        (["run", "nb.ipynb", "-p", "alhpa", "2"], "sets no 'alhpa'; did you mean 'alpha'?"),
        (["run", "nb.ipynb", "-p", "alhpa", "2", "--dry-run"], "sets no 'alhpa'; did you mean 'alpha'?"),
        (["run", "nb.ipynb", "--executor", "lcal", "--dry-run"], "unknown executor 'lcal'"),
        (["run", "nb.ipynb", "--cwd", "nowhere", "--dry-run"], "the working directory nowhere does not exist"),
        (["next", "nb", "-n", "1000000000"], "1000000000 is not in the range"),
        (["run", "nb.ipynb", "--storage", ""], "'--storage': it is empty; write a value, or omit it"),
        (["run", "nb.ipynb", ""], "'[OUT]': it is empty; write a value, or omit it"),
        (["assets", "graph", "-f", ""], "'--file': it is empty; write a value, or omit it"),
        (["runs", "--dag", " "], "'--dag': it is empty"),
        (["pools", "set", "", "1"], "'NAME': it is empty; write a value (see"),
        (["run", "nb.ipynb", "--address", "x", "--dry-run"], "executor local has no option --address; omit it"),
        (["scheduler", "--print-unit", "systemd", "--executor", "lcal"], "unknown executor 'lcal'"),
        (["run", "nb.ipynb", "alpha=3"], "alpha=3 is not a notebook file; to set a parameter, write -p alpha 3 (see"),
        (["run", "nb.ipynb", "api_key=hunter2"], f"api_key={MASK} is not a notebook file"),
        (["run", "nb.ipynb", "-p", "alpha", "--only", "a"], "no value for alpha, because --only is an option of"),
        (["run", "nb.ipynb", "-p", "alpha", "--json"], "or write -y 'alpha: --json' for the text --json (see"),
        (["rehearse", "nb.ipynb", "-r", "alpha", "-h"], "no value for alpha, because -h is an option of"),
        (["trigger", "nb", "-p", "alpha", "-y", "a: 1"], "no value for alpha, because -y is an option of"),
        (["backfill", "nb", "-p", "alpha", "--from", "2026-01-01"], "no value for alpha, because --from is an option"),
        (["assets", "emit", "s3://x", "-e", "rows", "-e"], """or write -e rows '"-e"' for the text -e"""),
    ],
)
def test_a_slip_is_rejected(nbdag: Any, write_notebook: WriteNotebook, words: list[str], message: str) -> None:
    write_notebook(*CELLS)
    done = nbdag(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert not nbdag.home.exists()


def test_an_unknown_parameter_is_passed_if_allowed(nbdag: Any, write_notebook: WriteNotebook) -> None:
    done = nbdag("run", write_notebook(*CELLS), "-p", "alhpa", "2", "--allow-unknown", "--dry-run")
    assert done.returncode == 0
    assert "warning NB411: the parameters cell sets no 'alhpa'" in done.stderr


@pytest.mark.parametrize("words", [["-y", "db: --only"], ["-p", "db", "-5"], ["-r", "db", "--unknown"], ["a=b.ipynb"]])
def test_a_text_that_only_resembles_a_slip_is_accepted(
    nbdag: Any, write_notebook: WriteNotebook, words: list[str]
) -> None:
    assert nbdag("run", write_notebook(*CELLS), "--dry-run", *words).returncode == 0


def test_a_parameter_of_a_notebook_without_parameters_cell_is_rejected(
    nbdag: Any, write_notebook: WriteNotebook
) -> None:
    done = nbdag("run", write_notebook("%%task a\nx = 1"), "-p", "x", "5", "--dry-run")
    assert (done.returncode, done.stderr) == (
        2,
        "nbdag: nb has no parameters cell, so it has no parameter 'x'; set x in a cell that begins with %%params "
        "(or pass it anyway with --allow-unknown)\n",
    )


@pytest.mark.slow
def test_secrets_are_masked_in_all_that_a_run_shows(nbdag: Any, write_notebook: WriteNotebook) -> None:
    secret = ["-p", "api_key", "hunter2", "-p", "db", "postgresql://me:hunter2@host/x"]
    done = nbdag("run", write_notebook("%dag --on-failure slack://hunter2/b", *CELLS), "out.ipynb", "--json", *secret)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parameters"] == {"api_key": MASK, "db": f"postgresql://me:{MASK}@host/x"}
    shown = [done.stdout + done.stderr.replace("slack://hunter2", "")]
    for words in (
        ["status"],
        ["status", "-o", "json"],
        ["runs", "-o", "yaml"],
        ["logs", "b"],
        ["check", "--json", "nb.ipynb"],
    ):
        answer = nbdag(*words)
        assert answer.returncode == 0, answer.stderr
        shown.append(answer.stdout + answer.stderr)
    books = [nbdag.folder / "out.ipynb", *nbdag.home.rglob("runs/**/*.ipynb")]
    assert len(books) == 4  # the report, its copy, and two attempts
    for book in books:
        shown.append(book.read_text().replace("slack://hunter2", ""))
        assert json.loads(book.read_text())["metadata"]["papermill"]["parameters"]["api_key"] == MASK
    assert not [text for text in shown if "hunter2" in text]
    assert "8" in nbdag("logs", "b").stdout  # the task has received the true value


@pytest.mark.slow
def test_old_runs_are_counted_and_a_person_is_asked(nbdag: Any, write_notebook: WriteNotebook) -> None:
    assert nbdag("run", write_notebook(*CELLS), "--no-progress").returncode == 0
    assert "1 run would be deleted that ended at " in nbdag("gc", "--keep", "0s", "--dry-run").stdout

    def on_terminal(answer: str) -> str:
        code = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-m', 'nbdag', 'gc', '--keep', '0s']) >> 8)"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=nbdag.folder, env=nbdag.environment, input=answer, capture_output=True,
            text=True,
        )  # fmt: skip
        return done.stdout

    assert "nothing was deleted" in on_terminal("n\n")
    assert len(json.loads(nbdag("runs", "-o", "json").stdout)) == 1
    assert "1 run deleted that ended at" in nbdag("gc", "--keep", "0s", "--yes").stdout
    assert json.loads(nbdag("runs", "-o", "json").stdout) == []


@pytest.mark.slow
def test_clearing_an_edited_task_names_the_command_for_the_new_code(nbdag: Any, write_notebook: WriteNotebook) -> None:
    path = write_notebook(*CELLS)
    assert nbdag("run", path, "--no-progress").returncode == 0
    assert "was edited" not in nbdag("clear", "latest", "b", "--dry-run").stderr
    write_notebook(*CELLS[:2], "%%task b\nprint(x + 1)")
    assert f"but b was edited since; to execute the new code: `nbdag run {path} --from b`" in (
        nbdag("clear", "latest", "b").stderr
    )
    assert "was edited" not in nbdag("clear", "latest", "a", "--dry-run").stderr


@pytest.mark.parametrize("words", [["-p", "alpha", "0", "-r", "db", ""], ["-y", ""]])
def test_a_parameter_may_be_empty(nbdag: Any, write_notebook: WriteNotebook, words: list[str]) -> None:
    assert nbdag("run", write_notebook(*CELLS), "--dry-run", *words).returncode == 0


def test_a_run_continues_if_its_output_cannot_be_written(nbdag: Any, write_notebook: WriteNotebook) -> None:
    command = f"PYTHONUNBUFFERED=1 {sys.executable} -m nbdag run {write_notebook(*CELLS)} >/dev/full"
    done = subprocess.run(command, shell=True, cwd=nbdag.folder, env=nbdag.environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "nbdag: cannot write to standard output (no space left on device)\n")
    assert [run["state"] for run in json.loads(nbdag("runs", "-o", "json").stdout)] == ["success"]


def test_printed_json_has_no_nan() -> None:
    assert json.loads(to_json({"a": [float("nan"), -math.inf], "b": Path("c")}), parse_constant=pytest.fail) == {
        "a": [None, None],
        "b": "c",
    }


@pytest.mark.parametrize(
    ("redirection", "code"), [(">&-", 1), ("2>&-", 0), (">&- 2>&- <&-", 1), ("| head -c 1", 0), (">/dev/full", 1)]
)
@pytest.mark.parametrize("words", ["runs -o json", "--help", "doctor", "check nb.ipynb", "db check"])
def test_a_closed_or_full_output_is_no_bug(
    nbdag: Any, write_notebook: WriteNotebook, words: str, redirection: str, code: int
) -> None:
    write_notebook(*CELLS)
    command = f"{sys.executable} -m nbdag {words} {redirection}"
    done = subprocess.run(command, shell=True, cwd=nbdag.folder, env=nbdag.environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "bug in nbdag" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("password", True), ("db_password", True), ("API_KEY", True), ("apiKey", True), ("slackToken", True),
        ("aws_secret_access_key", True), ("token", True), ("max_tokens", False), ("token_count", False),
        ("author", False), ("password_file", False), ("key", False), ("alpha", False),
    ],
)  # fmt: skip
def test_a_value_is_secret_because_of_its_name(name: str, hidden: bool) -> None:
    assert is_secret(name) is hidden


def test_secrets_are_masked_inside_values_and_code() -> None:
    assert masked({"a": {"token": "x", "b": [{"pwd": 1}]}, "n": 1}) == {
        "a": {"token": MASK, "b": [{"pwd": MASK}]},
        "n": 1,
    }
    assert masked_assignments("# Parameters\na = 1\ntoken = 'x'") == f"# Parameters\na = 1\n# token = {MASK}"
    assert without_passwords("see http://u:p@h/ and 1://2") == f"see http://u:{MASK}@h/ and 1://2"


@pytest.mark.parametrize(
    ("url", "quoted"),
    [
        ("postgresql://me:a@b/c@host/db", "postgresql://me:a%40b%2Fc@host/db"),
        ("postgresql://me:a@host/db?application_name=x@y", "postgresql://me:a@host/db?application_name=x@y"),
        ("postgresql://host/db", "postgresql://host/db"),
    ],
)
def test_a_password_may_contain_an_at_sign(url: str, quoted: str) -> None:
    assert _with_quoted_password(url) == quoted
