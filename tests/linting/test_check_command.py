"""`nbdag check` selects codes and prints formats of other programs; `nbdag explain` and `nbdag ci` print texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from explained_examples import notebook, write

from nbdag.cli import main
from nbdag.core.model.dag import Place
from nbdag.linting.file_lines import line_in_file, source_lines

CELLS = ["%%task b\nprint(\n  missing, 1)", "%%task a\nfrom math import *\nx = 1"]


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="nbdag")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    content: dict[str, Any] = notebook("\n# %%\n".join(CELLS))
    for cell in content["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)  # as Jupyter writes it
    return write(tmp_path, "nb.ipynb", content)


def codes(*words: object) -> list[str]:
    return [each["code"] for each in json.loads(call("check", "nb.ipynb", "--json", *words).stdout)["problems"]]


def test_codes_are_selected_and_ignored(path: Path) -> None:
    assert sorted(codes()) == ["NB201", "NB301"]
    assert codes("--select", "NB3") == ["NB301"]
    assert codes("--ignore", "NB201,nb303") == ["NB301"]
    assert codes("--select", "NB301", "--ignore", "NB3") == ["NB301"], "the longer entry wins"
    assert call("check", path, "--ignore", "NB201").exit_code == 0


CONFIGURED = [
    ('ignore = ["NB3"]', ["NB201"]),
    ('select = ["NB3"]', ["NB301"]),
    ('per-file-ignores = { "*.ipynb" = ["NB2"], "other/*" = ["NB3"] }', ["NB301"]),
    ("", ["NB201", "NB301"]),
]


@pytest.mark.parametrize(("table", "expected"), CONFIGURED)
def test_the_nearest_pyproject_configures_the_codes(path: Path, table: str, expected: list[str]) -> None:
    Path("pyproject.toml").write_text(f"[tool.nbdag]\n{table}\n")
    assert sorted(codes()) == expected
    if "ignore =" in table:
        assert codes("--ignore", "NB201") == [], "--ignore adds to the list of pyproject.toml"


WRONG = [
    ("[tool.nbdag]\nignor = []", "has the unknown key ignor; did you mean ignore?"),
    ("[tool.nbdag]\nignore = 'NB3'", 'ignore is not a list of codes; write it as ["NB302", "NB4"]'),
    ("[tool.nbdag]\nignore = ['NB9']", "ignore names the unknown code NB9"),
    ("[tool.nbdag]\nper-file-ignores = []", "per-file-ignores is not a table"),
    ("[tool]\nnbdag = 1", "[tool.nbdag] is not a table"),
    ("[tool.nbdag", "is not valid TOML"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_configuration_is_one_sentence(path: Path, text: str, message: str) -> None:
    Path("pyproject.toml").write_text(text)
    done = call("check", path)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_an_unknown_code_is_refused(path: Path) -> None:
    done = call("check", path, "--select", "NB2001")
    assert done.exit_code == 2
    assert "--select names the unknown code NB2001; did you mean NB20" in done.stderr


def test_a_selection_without_a_code_is_refused(path: Path) -> None:
    done = call("check", path, "--select", ",")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--select names no code; write codes such as NB201" in done.stderr


def test_a_notebook_without_tasks_is_no_pipeline_if_nb107_is_ignored(path: Path) -> None:
    write(path.parent, "plain.ipynb", notebook("print(undefined)"))
    assert call("check", "plain.ipynb").exit_code == 1
    assert call("check", "plain.ipynb", "--ignore", "NB107").exit_code == 0


def test_annotations_of_github_have_the_line_of_the_file(path: Path) -> None:
    done = call("check", path, "--format", "github")
    (missing, star) = done.stdout.splitlines()
    lines = path.read_text().splitlines()
    assert star.startswith("::warning file=nb.ipynb,line=") and "title=NB301%3A" in star
    assert "from math import *" in lines[int(star.partition("line=")[2].partition(",")[0]) - 1]
    assert missing.startswith("::error ")
    assert "missing, 1" in lines[int(missing.partition("line=")[2].partition(",")[0]) - 1]
    assert done.exit_code == 1
    assert call("check", path, "none.ipynb", "--format", "github").stdout.count("::error file=none.ipynb::") == 1


def test_sarif_has_rules_results_and_lines(path: Path) -> None:
    done = call("check", path, "none.ipynb", "--format", "sarif")
    (run,) = json.loads(done.stdout)["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["NB201", "NB301"]
    by_rule = {each["ruleId"]: each for each in run["results"]}
    where = by_rule["NB201"]["locations"][0]["physicalLocation"]
    assert where["artifactLocation"] == {"uri": "nb.ipynb", "uriBaseId": "%SRCROOT%"}
    assert "missing, 1" in path.read_text().splitlines()[where["region"]["startLine"] - 1]
    assert by_rule["NB301"]["level"] == "warning"
    assert run["invocations"][0]["executionSuccessful"] is False
    assert "none.ipynb does not exist" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    assert done.exit_code == 1


def test_the_json_format_is_the_same_as_the_flag(path: Path) -> None:
    assert call("check", path, "--json").stdout == call("check", path, "--format", "json").stdout


def test_lines_are_found_whatever_the_format_of_the_file() -> None:
    cells = [
        {"metadata": {"source": ["x"], "cells": 1}, "source": "a\nb", "cell_type": "code"},
        {"source": ["a, [\n", '"}b']},
    ]
    text = json.dumps({"metadata": {"cells": [1]}, "cells": cells})
    assert source_lines(text) == {0: (1,), 1: (1, 1)}
    lines = source_lines(json.dumps({"cells": cells}, indent=1))
    assert line_in_file(lines, Place(cell=1, line=2)) == line_in_file(lines, Place(cell=1, line=1)) + 1
    assert line_in_file(lines, None) == 1


def test_a_repair_is_reported_and_written(path: Path) -> None:
    write(path.parent, "typo.ipynb", notebook("%%task load\nx = 1\n# %%\n%%task b --after laod\n1"))
    done = call("check", "typo.ipynb", "--fix")
    assert done.exit_code == 0
    repaired = "typo.ipynb: repaired NB203: unknown task laod; replaced it by load\n"
    assert done.stdout == f"{repaired}typo.ipynb: 2 tasks, no problems\n"


def test_explain_lists_and_explains(path: Path) -> None:
    assert "NB201 error   a name that no cell above sets\n" in call("explain").stdout
    assert {line[:4] for line in call("explain", "nb2").stdout.splitlines()} == {"NB20", "NB21", "NB23"}
    assert call("explain", "nb201").stdout.startswith("NB201 (error): a name that no cell above sets\n")
    (found,) = json.loads(call("explain", "NB201", "--json").stdout)
    assert set(found) == {"code", "severity", "title", "text", "wrong", "right"}
    unknown = call("explain", "NB999")
    assert (unknown.exit_code, unknown.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_a_workflow_is_valid_yaml_that_checks_and_tests_the_folder(path: Path, host: str) -> None:
    folder = path.parent / "my notebooks"
    folder.mkdir()
    (path.parent / "requirements.txt").write_text("pandas\n")
    content = yaml.safe_load(call("ci", host, "my notebooks").stdout)
    jobs = content["jobs"]["notebooks"]["steps"] if host == "github" else content["notebooks"]["script"]
    commands = [each.get("run", "") if isinstance(each, dict) else each for each in jobs]
    assert any("pip install nbdag pytest -r requirements.txt" in each for each in commands)
    assert any("'my notebooks/*.ipynb' | xargs -0 -r nbdag check" in each for each in commands)
    assert any("pytest --nbdag 'my notebooks'" in each for each in commands)


@pytest.mark.parametrize(("folder", "reason"), [("none", "is not a folder"), ("..", "is not below the current folder")])
def test_a_workflow_needs_a_folder_of_the_repository(path: Path, folder: str, reason: str) -> None:
    done = call("ci", "github", folder)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert reason in done.stderr


def test_the_hook_of_pre_commit_calls_the_command() -> None:
    (hook,) = yaml.safe_load((Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text())
    words = hook["entry"].split()
    assert words[0] == "nbdag"
    assert call(*words[1:], "--help").exit_code == 0
    assert hook["types"] == ["jupyter"]
