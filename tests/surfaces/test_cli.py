"""Tests of the command line as a whole: help, error messages, exit codes, parameters, completion."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

import nbdag
from nbdag.cli import main
from nbdag.cli._group import Commands
from nbdag.cli.parameters import parameter_options, parameters
from nbdag.core.cells.parameter_types import resolve, typed
from nbdag.errors import NbdagError
from nbdag.home import Home


def call(*words: str, group: click.Group = main) -> Result:
    return CliRunner().invoke(group, list(words), prog_name="nbdag")


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help_lists_every_command_with_its_summary(words: list[str]) -> None:
    done = call(*words)
    assert done.exit_code == 0
    for lines in main.sections.values():
        for command, (_, help) in lines.items():
            assert command in done.stdout
            assert help in done.stdout


def test_version_option_prints_the_version() -> None:
    assert call("--version").stdout.startswith("nbdag ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chek"], "unknown command 'chek'; did you mean 'check'?"),
        (["churn.ipynb"], "did you mean 'run churn.ipynb'?"),
        (["check"], "missing argument"),
        (["doctor", "--outptu", "json"], "--output"),
        (["runs", "--json"], "no such option '--json'; did you mean '--output json'? (see 'nbdag runs --help')"),
        (["why"], "missing argument '[RUN] TASK'"),
        (["compare", "a", "b", "c"], "unexpected extra argument (c)"),
        (["doctor", "-o", "xml"], "'table', 'json', 'yaml'"),
        (["runs", "-n", "0"], "range"),
        (["doctor", "extra"], "extra"),
        (["logs"], "missing argument '[RUN] TASK'"),
        (["logs", "latest", "a", "b"], "unexpected extra argument (b)"),
        (["run", "churn.ipynb", "-p", "n=3"], "-p takes a name and a value: write -p n 3 (see 'nbdag run --help')"),
        (["run", "churn.ipynb", "-p", "alpha"], "option '-p' requires 2 arguments (see 'nbdag run --help')"),
        (["run", "churn.ipynb", "--jobs"], "option '--jobs' requires an argument (see 'nbdag run --help')"),
        (["--outptu"], "(see 'nbdag --help')"),
    ],
)
def test_a_usage_error_is_one_sentence_and_exit_code_2(words: list[str], said: str) -> None:
    done = call(*words)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("nbdag: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


class Wrong(NbdagError):
    exit_code = 1

    def __str__(self) -> str:
        return "the moon is not up: wait until evening"


def failing(error: BaseException) -> Commands:
    group = Commands("nbdag", help="", sections={})

    @click.command()
    def go() -> None:
        raise error

    group.add_command(go)
    group.modules["go"] = ""
    group.get_command = lambda ctx, name: go  # type: ignore[method-assign]
    return group


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Wrong(), 1, "nbdag: the moon is not up: wait until evening\n"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            OSError(28, "No space left on device", "/small/file"),
            1,
            "no space left on device (/small/file); free disk space or change",
        ),
        (KeyError("oops"), 1, "this is a bug in nbdag: KeyError: 'oops'; please report it with its traceback, in "),
    ],
)
def test_every_error_prints_one_sentence_and_sets_the_exit_code(
    error: BaseException, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = call("go", group=failing(error))
    assert done.exit_code == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0


def test_the_traceback_of_a_bug_is_saved_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    call("go", group=failing(KeyError("oops")))
    (file,) = tmp_path.iterdir()
    assert "KeyError: 'oops'" in file.read_text()


def test_nbdag_debug_prints_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDAG_DEBUG", "1")
    assert "Traceback" in call("go", group=failing(KeyError("oops"))).stderr


def test_a_closed_output_pipe_prints_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m nbdag --help | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        cwd=tmp_path,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "1")


# -- parameters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("True", True),
        ("False", False),
        ("None", None),
        ("true", "true"),
        ("EU", "EU"),
        ("", ""),
        ("1,5", "1,5"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_parameter_values_have_the_types_that_papermill_infers(text: str, value: Any) -> None:
    from papermill.cli import _resolve_type

    assert typed(text) == value == _resolve_type(text)
    assert type(typed(text)) is type(value)


def said_by(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    @click.command()
    @parameter_options
    def command(**said: Any) -> None:
        found.update(resolve({}, {}, parameters(**said)))

    command.main(list(words), standalone_mode=False)
    return found


def test_all_five_parameter_options_of_papermill_work(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("b: [1, 2]\nday: 2026-01-01\n")
    encoded = base64.b64encode(b"e: base").decode()
    words = ["-p", "a", "1", "-r", "c", "1", "-y", "{d: 0.5}", "-f", str(file), "-b", encoded]
    assert said_by(*words) == {"a": 1, "b": [1, 2], "c": "1", "d": 0.5, "e": "base", "day": "2026-01-01"}


def test_parameter_options_have_the_precedence_of_papermill(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("x: file\n")
    encoded = base64.b64encode(b"x: base64").decode()
    ways = [["-b", encoded], ["-f", str(file)], ["-y", "x: yaml"], ["-p", "x", "typed"], ["-r", "x", "raw"]]
    for n, winner in enumerate(["base64", "file", "yaml", "typed", "raw"], 1):
        words = [word for way in reversed(ways[:n]) for word in way]
        assert said_by(*words) == {"x": winner}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-f", "no.yaml"], "cannot read no.yaml"),
        (["-y", "a: [1"], "invalid YAML at line"),
        (["-y", "just text"], "expected a mapping of names to values"),
        (["-b", "***"], "is not text in base64"),
        (["-p", "not a name", "1"], "is not a valid variable name"),
        (["-p", "class", "1"], "'class' is not a valid variable name"),
    ],
)
def test_an_invalid_parameter_is_rejected(words: list[str], said: str) -> None:
    with pytest.raises(click.BadParameter, match=said.replace("*", r"\*")):
        said_by(*words)


# -- completion --------------------------------------------------------------------------------------------------------


def completions(folder: Path, line: str, home: Path) -> list[str]:
    words = line.split(" ")
    told = {"_NBDAG_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "from nbdag.cli import main; main(prog_name='nbdag')"],
        env=os.environ | told | {"NBDAG_HOME": str(home)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [each.partition(",")[2] for each in done.stdout.split()]


@pytest.mark.slow
def test_completion_offers_commands_notebooks_and_tasks(write_notebook: Any, tmp_path: Path) -> None:
    write_notebook("%%task first\na = 1", "%%task final\nb = a", name="churn.ipynb")
    (tmp_path / "notes.txt").write_text("")
    assert completions(tmp_path, "nbdag ch", tmp_path / "home") == ["check"]
    assert completions(tmp_path, "nbdag run ", tmp_path / "home") == ["churn.ipynb"]
    assert completions(tmp_path, "nbdag run churn.ipynb --only fi", tmp_path / "home") == ["first", "final"]
    assert completions(tmp_path, "nbdag run missing.ipynb --only fi", tmp_path / "home") == []


@pytest.mark.slow
def test_completion_offers_runs_and_their_tasks(write_notebook: Any, tmp_path: Path) -> None:
    """One word after `logs` may be a run or a task of the latest run."""
    home = Home(tmp_path / "home")
    run = nbdag.run(write_notebook("%%task first\na = 1", "%%task final\nb = a"), home=home).id
    assert completions(tmp_path, "nbdag logs fi", tmp_path / "home") == ["first", "final"]
    assert completions(tmp_path, f"nbdag logs {run} fir", tmp_path / "home") == ["first"]
    assert completions(tmp_path, "nbdag logs manual", tmp_path / "home") == [run]


# -- doctor ------------------------------------------------------------------------------------------------------------


def test_doctor_finds_no_problem_in_the_test_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    done = call("doctor", "-o", "json")
    assert done.exit_code == 0, done.output
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert {"nbdag", "packages", "kernels", "warm kernels", "pictures", "state"} <= set(found)
    assert all(finding["level"] in ("ok", "note") for finding in found.values())
    assert not (tmp_path / "home").exists()
    assert "papermill" in call("doctor").stdout
    assert [each["what"] for each in yaml.safe_load(call("doctor", "-o", "yaml").stdout)] == list(found)


def test_doctor_reports_an_invalid_address_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDAG_URL", "hub.example.org")
    found = call("doctor").output
    assert "problem page: NBDAG_URL is 'hub.example.org', which is not an address, so notices have no links" in found


def test_doctor_reports_a_home_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file")
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    done = call("doctor")
    assert done.exit_code == 1
    assert "set NBDAG_HOME to another folder" in done.stdout
