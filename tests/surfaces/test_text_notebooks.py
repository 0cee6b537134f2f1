"""Text notebooks (.py, .md) are read like .ipynb files, and messages name the lines of the text file."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest

from nbdag import notebooks, runs
from nbdag.cli import main
from nbdag.core.cells.cells import RawCell
from nbdag.core.cells.describe import describe
from nbdag.frontend.notebooks.files import notebook_files
from nbdag.home import Home
from nbdag.notebooks import NotebookError
from nbdag.session import Session, notebook_path

CELLS = [
    ("markdown", "# Churn\n\nWho leaves?", []),
    ("code", "%load_ext nbdag\n%dag churn --retries 1", []),
    ("code", "alpha = 2", ["parameters"]),
    ("code", "%%task extract \\\n  --timeout 60\ndf = [1, 2]\n\n\n# the next line is late\nlast = df[-1]", []),
    ("code", "late = df", []),
    ("code", "%%task train\n\nmodel = sum(df) * alpha\nprint(late)", []),
    ("code", "%%task shout --operator bash\necho {{ params.alpha }}", []),
    ("code", "%%task broken --retrys 2\nx = 1", []),
]
FORMATS = ["py:percent", "py:light", "py:hydrogen", "md:myst", "md:markdown", "Rmd"]


def written(path: Path, form: str, cells: list[tuple[str, str, list[str]]] = CELLS, **metadata: Any) -> Path:
    book = nbformat.v4.new_notebook(metadata=metadata)
    for kind, source, tags in cells:
        new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        book.cells.append(new(source, metadata={"tags": tags} if tags else {}))
    jupytext.write(book, path, fmt=form)
    return path


REPAIRED = [
    (
        "a.py",
        "# %%\n# %%task a --retrys 2\nvalue = 1  # one\n\n# %% [markdown]\n# text\n\n# %%\n# %%task b\ny = vlaue\n",
        [("--retrys", "--retries"), ("vlaue", "value")],
    ),
    ("a.py", "# %%\n%%task a --retrys 2\nvalue = 1\n", [("--retrys", "--retries")]),
    ("a.py", "# %%\r\n# %%task a --retrys 2\r\nvalue = 1\r\n", [("--retrys", "--retries")]),
    (
        "a.py",
        "# %%\n# %%task a\nx = [1]\n\n# %%\nx.append(2)\n\n# %%\n# %%task b\ny = x\n",
        [("\nx.app", "\n# %%task cell_2\nx.app")],
    ),
    ("a.py", "# %%\n# %%task a --retrys 2\nvalue = 1\n\n# %% [markdown]\r\n# text\r\n", [("--retrys", "--retries")]),
    (
        "a.md",
        "```{code-cell}\n%%task a\nx = 1\n```\n\n*text*\n\n```{code-cell}\n%%taks b\ny = x\n```",
        [("%%taks", "%%task")],
    ),
]


@pytest.mark.parametrize(("name", "text", "changes"), REPAIRED)
def test_a_repair_changes_no_other_line_of_the_text(
    name: str, text: str, changes: list[tuple[str, str]], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    checked = runs.check(path, fix=True)
    for old, new in changes:
        text = text.replace(old, new)
    assert path.read_bytes().decode() == text
    assert len(checked.repaired) == len(changes)


def test_a_repair_that_the_text_cannot_have_is_named_and_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "# %%\n# %%task a\nx = 1\n\n# %%\nimport math\nprint(x)\n\n# %%\n# %%task b --retrys 2\nprint(x, math.pi)\n"
    Path("a.py").write_text(text, encoding="utf-8")
    assert exit_code("check", "--fix", "a.py") == 1
    assert Path("a.py").read_text(encoding="utf-8") == text.replace("--retrys", "--retries")
    assert "a.py: NB310 is not repaired in a text notebook" in capsys.readouterr().err


def test_a_pair_whose_text_is_newer_is_not_repaired_in_the_file_with_the_outputs(tmp_path: Path) -> None:
    formats = {"formats": "ipynb,py:percent"}
    cells: list[tuple[str, str, list[str]]] = [("code", "%%task a\nx = 1", []), ("code", "%%task b\nprint(x)", [])]
    book = written(tmp_path / "a.ipynb", "ipynb", cells, jupytext=formats)
    before = book.read_bytes()
    text = written(tmp_path / "a.py", "py:percent", [cells[0], ("code", "%%task b\nprint(x, vlaue)", [])])
    text.write_text(text.read_text(encoding="utf-8").replace("x = 1", "x, value = 1, 2"), encoding="utf-8")
    later = time.time() + 60
    os.utime(text, (later, later))
    with pytest.raises(runs.NewerTextError, match="use --fix with"):
        runs.check(book, fix=True)
    assert book.read_bytes() == before
    assert [each.code for each in runs.check(text, fix=True).repaired] == ["NB201"]


def exit_code(*words: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return ended.value.code


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_pipeline_and_lines_of_its_file(form: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"sales.{form.split(':')[0]}", form)
    same = written(tmp_path / "sales.ipynb", "ipynb")
    dag, expected = notebooks.read(path), notebooks.read(same)
    assert (list(dag.tasks), dag.edges and dag.order, dag.parameters) == (
        list(expected.tasks),
        expected.order,
        expected.parameters,
    )
    assert [(each.code, each.place and (each.place.cell, each.place.line)) for each in dag.problems] == [
        (each.code, each.place and (each.place.cell, each.place.line)) for each in expected.problems
    ]
    lines = path.read_text(encoding="utf-8").splitlines()
    by_code = {each.code: lines[each.place.text_line - 1] for each in dag.problems if each.place}
    assert "--retrys" in by_code["NB101"]
    assert by_code["NB310"] == "late = df"
    (message,) = [each.message for each in dag.problems if each.code == "NB310"]
    at = lines.index("late = df") + 1
    assert message.startswith(f"the cell at line {at} sets late, which task train would read")
    shown = [each for each in describe(dag)["problems"] if each["code"] == "NB310"]
    assert shown[0]["text_line"] == at


def test_the_same_text_gives_the_same_notebook(tmp_path: Path) -> None:
    path = written(tmp_path / "a.py", "py:percent")
    assert notebooks.read_file(path) == notebooks.read_file(path)


def test_myst_is_recognised_without_metadata(tmp_path: Path) -> None:
    path = tmp_path / "plain.md"
    path.write_text("# Title\n\n```{code-cell}\n%%task a\nx = 1\n```\n", encoding="utf-8")
    assert list(notebooks.read(path).tasks) == ["a"]


def test_check_prints_file_and_line_as_compilers_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("churn.py").write_text("# %%\n# %%task a\nx = 1\n\n# %%\n# %%task b\ny = x + zz\n", encoding="utf-8")
    assert exit_code("check", "churn.py") == 1
    out = capsys.readouterr().out
    assert out.startswith("churn.py:7: NB201 error: no cell above sets zz")
    assert "\n     7 | y = x + zz\n" in out


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.py", "", "a.py is empty; write cells into it, such as # %% in a .py file"),
        ("a.md", "\x80", "a.md is not UTF-8 text (byte 0); open the file in Jupyter and save it again"),
        ("none.py", None, "none.py does not exist; did you mean nine.py?"),
    ],
)
def test_a_text_that_cannot_be_read_is_answered_in_one_sentence(
    name: str, text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nine.py").write_text("x", encoding="utf-8")
    if text is not None:
        Path(name).write_bytes(text.encode("latin-1"))
    with pytest.raises(NotebookError) as raised:
        notebooks.read(name)
    assert str(raised.value) == message


def test_wrong_settings_of_jupytext_are_named(tmp_path: Path) -> None:
    (tmp_path / "jupytext.toml").write_text("formats = [", encoding="utf-8")
    with pytest.raises(NotebookError, match=r"cannot be read with the folder's jupytext settings .*; correct them"):
        notebooks.read(written(tmp_path / "a.py", "py:percent"))


def test_without_jupytext_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.py", "py:percent")
    pair = written(tmp_path / "b.ipynb", "ipynb", jupytext={"formats": "ipynb,py:percent"})
    monkeypatch.setitem(sys.modules, "jupytext", None)
    with pytest.raises(NotebookError) as raised:
        notebooks.read(path)
    assert raised.value.hint == "install jupytext to read it: pip install jupytext"
    assert "churn" in notebooks.read(pair).id


def test_a_pair_is_read_from_the_text_that_was_edited_last(tmp_path: Path) -> None:
    formats = {"formats": "ipynb,py:percent"}
    book = written(tmp_path / "a.ipynb", "ipynb", jupytext=formats)
    text = written(tmp_path / "a.py", "py:percent", jupytext=formats)
    later = time.time() + 60
    os.utime(text, (later, later))
    assert notebooks.read_file(book) == book.read_bytes()  # the cells are the same
    text.write_text(text.read_text(encoding="utf-8").replace("alpha = 2", "alpha = 3"), encoding="utf-8")
    os.utime(text, (later, later))
    dag = notebooks.read(book)
    assert dag.parameters == {"alpha": "3"}
    assert {str(each.place)[:4] for each in dag.problems} == {"cell"}
    os.utime(book, (later + 60, later + 60))
    assert notebooks.read(book).parameters == {"alpha": "2"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jupytext.toml", 'formats = "notebooks///ipynb,scripts///py:percent"\n'),
        ("jupytext.toml", '[formats]\n"notebooks/" = "ipynb"\n"scripts/" = "py:percent"\n'),
    ],
)
def test_notebooks_are_paired_by_the_settings_of_their_folder(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    for folder in ("notebooks", "scripts"):
        (tmp_path / folder).mkdir()
    book = written(tmp_path / "notebooks" / "a.ipynb", "ipynb")
    pair = written(tmp_path / "scripts" / "a.py", "py:percent", [*CELLS[:2], ("code", "alpha = 9", ["parameters"])])
    later = time.time() + 60
    os.utime(pair, (later, later))
    assert notebooks.read(book).parameters == {"alpha": "9"}


def test_the_page_lists_texts_with_tasks_only(tmp_path: Path) -> None:
    written(tmp_path / "churn.py", "py:percent")
    written(tmp_path / "churn.md", "md:myst")
    (tmp_path / "script.py").write_text("print('%%task')\n", encoding="utf-8")
    (tmp_path / "README.md").write_text("Write `%%task NAME`.\n", encoding="utf-8")
    found = notebook_files(tmp_path, home=Home(tmp_path / "home"))
    assert [each["path"] for each in found["items"]] == ["churn.md", "churn.py"]


def test_the_live_notebook_reads_the_text_that_jupyter_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "churn.md", "md:myst", CELLS[:5])
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    assert notebook_path({}) == path.resolve()
    assert list(Session(notebook=lambda: path).dag().tasks) == ["extract"]


def test_suggest_writes_a_text_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.py").write_text("# %%\nimport math\n\n# %%\nx = math.pi\n\n# %%\ny = x * 2\nprint(y)\n", encoding="utf-8")
    assert exit_code("suggest", "a.py", "-o", "b.py") == 0
    assert "# %%task" in Path("b.py").read_text(encoding="utf-8")
    assert exit_code("suggest", "a.py", "-o", "b.ipynb") == 0
    assert b"text_line" not in Path("b.ipynb").read_bytes()
    assert list(notebooks.read("b.py").tasks) == list(notebooks.read("b.ipynb").tasks)


def test_built_cells_name_the_line_that_builds_them() -> None:
    code = {"cell_type": "code", "outputs": [], "execution_count": None}
    cells = [{**code, "source": "%%dag\nPython('a', 'zz')", "metadata": {"nbdag": {"text_line": 11}}}]
    text = json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells})
    built = notebooks.with_built(text, {0: [RawCell("%%task a\nzz", built=2)]}, name="x.py")
    (problem,) = notebooks.read_text(built, name="x.py").problems
    assert (problem.code, str(problem.place)) == ("NB201", "line 12")


def test_a_text_notebook_runs_and_is_deployed(nbdag: Any, tmp_path: Path) -> None:
    path = tmp_path / "sales.py"
    path.write_text("# %%\n# %%params\nalpha = 2\n\n# %%\n# %%task fail\n\ny = alpha / 0\n", encoding="utf-8")
    ran = nbdag("run", "sales.py", "out.ipynb", "-p", "alpha", 5)
    assert "fail failed: ZeroDivisionError: division by zero\n  sales.py:8: y = alpha / 0\n" in ran.stdout + ran.stderr
    assert b"text_line" not in (tmp_path / "out.ipynb").read_bytes()
    home = Home(nbdag.home)
    path.write_text(path.read_text(encoding="utf-8").replace("/ 0", "/ 1"), encoding="utf-8")
    runs.deploy(path, home=home)
    (row,) = runs.list_dags(home=home)
    assert (row.id, row.changed) == ("sales", "")
    path.write_text(path.read_text(encoding="utf-8").replace("/ 1", "/ 2"), encoding="utf-8")
    assert runs.list_dags(home=home)[0].changed == "changed"
