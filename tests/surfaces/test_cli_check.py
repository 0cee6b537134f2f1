"""Tests of `nbdag check` and `nbdag show`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from struct import unpack
from typing import Any
from zlib import crc32

import pytest
from click.testing import CliRunner, Result

import nbdag
from nbdag import graphs
from nbdag.cli import main

WriteNotebook = Callable[..., Path]
EXAMPLES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="nbdag")


PIPELINE = (
    ("markdown", "# A pipeline"),
    "%load_ext nbdag\n%dag churn --schedule @daily --start-date 2026-01-01 --tz Europe/Paris --owner ml --retries 1",
    "import math",
    "%%task extract\nrows = [1, 2, 3]",
    "%%task total\ntotal = math.fsum(rows)\ntotal",
    "%%task biggest\nbiggest = max(\n    rows)",
    "%%task publish --after biggest\nprint(total)",
)


def test_check_reports_no_problems_for_a_valid_notebook(write_notebook: WriteNotebook) -> None:
    path = write_notebook(*PIPELINE, name="churn.ipynb")
    done = call("check", path)
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("churn.ipynb: 4 tasks, no problems\n")


@pytest.mark.parametrize("command", ["check", "show"])
def test_json_has_the_documented_structure(command: str, write_notebook: WriteNotebook) -> None:
    done = call(command, write_notebook(*PIPELINE), "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert set(told) == {"dag", "tasks", "edges", "order", "problems"}
    assert (
        told["dag"]
        | {
            "id": "churn",
            "schedule": "@daily",
            "start_date": "2026-01-01T00:00:00+01:00",
            "tz": "Europe/Paris",
            "owner": "ml",
        }
        == told["dag"]
    )
    assert [task["id"] for task in told["tasks"]] == ["extract", "total", "biggest", "publish"]
    for task in told["tasks"]:
        assert {"id", "cell", "operator", "after", "reads", "writes", "changes", "options"} <= set(task)
    assert told["tasks"][0]["cell"] == 3
    assert told["tasks"][0]["options"]["retries"] == 1
    assert told["order"] == ["extract", "total", "biggest", "publish"]
    assert told["problems"] == []
    edges = {(edge["from"], edge["to"]): edge for edge in told["edges"]}
    assert set(edges) == {("extract", "total"), ("extract", "biggest"), ("total", "publish"), ("biggest", "publish")}
    assert edges["extract", "biggest"]["kind"] == "inferred"
    assert edges["extract", "biggest"]["names"] == [{"name": "rows", "read_at": [5, 3], "written_at": [3, 2]}]
    assert edges["biggest", "publish"]["kind"] == "declared"


BAD_CELLS = [
    (("%%task a\nx = 1", "%%task b\ny = xx"), "NB201", "cell 2, line 2", "xx", "x"),
    (("%%task a --after b\nx = 1", "%%task b\ny = x"), "NB202", None, r"cycle: a -\(x\)-> b -> a ", None),
    (("%%task first\nx = 1", "%%task b --after frist\ny = 1"), "NB203", "cell 2, line 1", "frist", "first"),
    (("%%task a\nx = 1", "%%task a\ny = 1"), "NB1", "cell 2, line 1", "'?a'?", None),
    (("%%task a --retires 2\nx = 1",), "NB1", "cell 1, line 1", "retires", "retries"),
    (("%%task a\nx = 1\nif x:\ny = 2",), "NB208", "cell 1, line 4", "indent", None),
]


@pytest.mark.parametrize(("cells", "code", "place", "said", "hint"), BAD_CELLS)
def test_check_reports_an_error_with_code_place_and_hint(
    cells: tuple[str, ...], code: str, place: str | None, said: str, hint: str | None, write_notebook: WriteNotebook
) -> None:
    path = write_notebook(*cells)
    done = call("check", path)
    assert done.exit_code == 1
    line = next(line for line in done.stdout.splitlines() if f" {code}" in line)
    assert "nb.ipynb:" in line
    assert " error: " in line
    assert place is None or f" {place}: " in line
    assert re.search(said, line)
    assert hint is None or hint in line
    assert "1 error" in done.stdout.splitlines()[-1]


def test_check_shows_the_source_line_of_a_problem(write_notebook: WriteNotebook) -> None:
    done = call("check", write_notebook("%%task a\nx = 1\ny = xx + 1"))
    assert "     3 | y = xx + 1" in done.stdout


def test_warnings_fail_the_check_only_with_strict(write_notebook: WriteNotebook) -> None:
    path = write_notebook("%%task a\nfrom math import *\nx = 1")
    assert call("check", path).exit_code == 0
    assert "warning" in call("check", path).stdout
    assert call("check", "--strict", path).exit_code == 1


def test_check_accepts_several_notebooks(write_notebook: WriteNotebook) -> None:
    good, bad = write_notebook("%%task a\nx = 1", name="good.ipynb"), write_notebook("%%task a\ny", name="bad.ipynb")
    done = call("check", good, bad)
    assert done.exit_code == 1
    assert "good.ipynb: 1 task, no problems" in done.stdout
    assert "bad.ipynb: 1 task, 1 error" in done.stdout
    lines = call("check", "--json", good, bad).stdout.splitlines()
    assert [len(json.loads(line)["problems"]) for line in lines] == [0, 1]


BAD_FILES: list[tuple[str, bytes | None]] = [
    ("missing.ipynb", None),
    ("empty.ipynb", b""),
    ("text.ipynb", b"not JSON at all"),
    ("binary.ipynb", b"\x89PNG\r\n\x1a\n\xff\xfe"),
    ("list.ipynb", b"[1, 2]"),
    ("object.ipynb", b'{"a": 1}'),
    ("cells.ipynb", b'{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'),
    ("future.ipynb", b'{"cells": [], "metadata": {}, "nbformat": 9, "nbformat_minor": 0}'),
]


@pytest.mark.parametrize("command", ["check", "show", "run"])
@pytest.mark.parametrize(("name", "content"), BAD_FILES)
def test_an_invalid_notebook_file_is_rejected_in_one_sentence(
    command: str, name: str, content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    done = call(command, path)
    assert done.exit_code in (1, 2), done.output
    assert done.stdout == ""
    assert done.stderr.startswith("nbdag: ")
    assert name in done.stderr
    assert "bug" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_is_rejected_in_one_sentence(tmp_path: Path) -> None:
    done = call("check", tmp_path)
    assert done.exit_code in (1, 2)
    assert done.stderr.startswith("nbdag: ")
    assert "bug" not in done.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_notebooks_have_no_problems(path: Path) -> None:
    done = call("check", "--strict", path)
    assert done.exit_code == 0, done.output


# -- show --------------------------------------------------------------------------------------------------------------


def test_show_lists_the_tasks_with_their_inputs(write_notebook: WriteNotebook) -> None:
    done = call("show", write_notebook(*PIPELINE))
    assert done.exit_code == 0
    for word in ("churn", "extract", "total", "biggest", "publish", "rows"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("ending", "begins"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("dot", b"digraph"), ("mmd", b"")]
)
def test_the_file_extension_selects_the_format_of_the_drawing(
    ending: str, begins: bytes, write_notebook: WriteNotebook, tmp_path: Path
) -> None:
    done = call("show", write_notebook(*PIPELINE), "-o", tmp_path / f"dag.{ending}")
    assert done.exit_code == 0, done.output
    picture = (tmp_path / f"dag.{ending}").read_bytes()
    assert begins in picture[:200]
    assert ending == "png" or b"extract" in picture


@pytest.mark.parametrize("ending", ["svg", "png", "dot", "mmd"])
def test_show_replaces_its_own_drawing_and_no_other_file(
    ending: str, write_notebook: WriteNotebook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook, file = write_notebook(*PIPELINE), tmp_path / f"dag.{ending}"
    for _ in range(2):
        assert call("show", notebook, "-o", file).exit_code == 0
    drawn = file.read_bytes()
    for mine in (b"a,b\n1,2\n", graphs.render(nbdag.read(notebook), ending)):
        file.write_bytes(mine)
        done = call("show", notebook, "-o", file)
        assert done.exit_code == 2
        assert f"dag.{ending} already exists and was not written by `nbdag show`; choose another" in done.stderr
        assert file.read_bytes() == mine
    assert call("show", notebook, "-o", file, "--overwrite").exit_code == 0
    assert file.read_bytes() == drawn


def test_a_signed_png_is_a_valid_png(write_notebook: WriteNotebook, tmp_path: Path) -> None:
    file = tmp_path / "dag.png"
    assert call("show", write_notebook(*PIPELINE), "-o", file).exit_code == 0
    picture, at, chunks = file.read_bytes(), 8, []
    while at < len(picture):
        (length,) = unpack(">I", picture[at : at + 4])
        body = picture[at + 4 : at + 8 + length]
        assert unpack(">I", picture[at + 8 + length : at + 12 + length]) == (crc32(body),)
        chunks.append(body)
        at += 12 + length
    assert chunks[1] == b"tEXtSoftware\0drawn by `nbdag show`"
    assert (chunks[0][:4], chunks[-1]) == (b"IHDR", b"IEND")


def test_show_writes_the_drawing_to_standard_output(write_notebook: WriteNotebook) -> None:
    done = call("show", write_notebook(*PIPELINE), "-o", "-", "--format", "dot")
    assert "digraph" in done.stdout
    assert "<svg" in call("show", write_notebook(*PIPELINE), "-o", "-").stdout


@pytest.mark.parametrize(
    ("words", "said"), [(["-o", "dag.xyz"], "xyz"), (["-o", "no/such/folder/dag.svg"], "no/such/folder")]
)
def test_show_rejects_an_unknown_format_or_missing_folder(
    words: list[Any], said: str, write_notebook: WriteNotebook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("show", write_notebook(*PIPELINE), *words)
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert "bug" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_check_goes_on_after_a_notebook_that_cannot_be_read(write_notebook: WriteNotebook, tmp_path: Path) -> None:
    good = write_notebook(*PIPELINE, name="good.ipynb")
    old = tmp_path / "old.ipynb"
    old.write_text('{"nbformat": 3, "worksheets": []}')
    done = call("check", old, tmp_path / "none.ipynb", good)
    assert done.exit_code == 1
    assert "old.ipynb has notebook format 3" in done.stderr
    assert "none.ipynb does not exist" in done.stderr
    assert "good.ipynb: 4 tasks, no problems" in done.stdout
    assert call("check", old).exit_code == 2


def test_check_remembers_what_the_files_of_a_run_showed(
    write_notebook: WriteNotebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_notebook(
        "name = 'm' + '.txt'", "%%task train\nopen(name, 'w').write('1')", "%%task use\nprint(open(name).read())"
    )
    assert not call("check", path).stdout.count("NB313")
    run = call("run", path, "--jobs", 1)
    assert "warning NB470: use reads m.txt, which train writes" in run.output
    told = call("check", path)
    assert told.exit_code == 0
    assert "NB313 warning: use reads m.txt, which train writes" in told.stdout
    assert "(add --after train to %%task use)" in told.stdout
