"""The command `rehearse` and `deploy --rehearse`: what they print, write and return."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nbdag import runs
from nbdag.cli import main

from .cases import cell, write


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="nbdag")


# The answer is the same in each time zone, where the date may differ.
TODAY = ["import datetime as dt", cell("print(dt.date.today().year > 2020)", "False\n"), "x = 1"]


@pytest.fixture
def today(tmp_path: Path, shared_kernels: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, TODAY)
    return Path("churn.ipynb")


def test_a_finding_is_printed_with_place_source_evidence_and_remedy(today: Path) -> None:
    done = call("rehearse", today)
    assert done.exit_code == 1
    assert done.stderr == "rehearsal: run 1 of 2\nrehearsal: run 2 of 2\n"
    lines = done.stdout.splitlines()
    assert lines[0] == "churn.ipynb: cell 2, line 1: error clock: datetime.date.today reads the current time"
    assert lines[1] == "     1 | print(dt.date.today().year > 2020)"
    assert "cell 2 differs from its saved output: 'False' became 'True'" in lines[2]
    assert lines[3].startswith("       > make it a parameter")
    assert lines[4] == ("churn.ipynb: 1 error; 3 cells ran twice from top to bottom, saved outputs of 3 cells compared")


def test_json_and_the_page_have_the_same_findings(today: Path) -> None:
    done = call("rehearse", today, "--json", "--html", "page.html")
    found = json.loads(done.stdout)
    assert [(each["kind"], each["cell"], each["line"], each["weight"]) for each in found["findings"]] == [
        ("clock", 1, 1, "error")
    ]
    assert len(found["runs"]) == 2
    page = Path("page.html").read_text()
    assert found["findings"][0]["remedy"] in page
    assert 'class="here"><i>1</i>print(dt.date.today().year &gt; 2020)' in page
    assert "<script" not in page


def test_the_page_escapes_what_it_shows(tmp_path: Path, shared_kernels: None) -> None:
    path = write(tmp_path, [cell("print('<script>alert(1)</script>')", "<b>\n")])
    done = call("rehearse", path, "--html", "-")
    assert done.exit_code == 1
    assert "&lt;script&gt;" in done.output
    assert "<script" not in done.output


def test_findings_are_printed_even_if_the_page_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    done = call("rehearse", write(tmp_path, ["print(missing)"]), "--html", tmp_path / "page")
    assert "which no cell sets" in done.output
    assert "is a directory" in done.output


def test_a_page_replaces_an_earlier_page_and_no_other_file(tmp_path: Path) -> None:
    notebook, page = write(tmp_path, ["print(missing)"]), tmp_path / "page.html"
    page.write_text("<!doctype html><title>mine</title>")
    done = call("rehearse", notebook, "--html", page)
    assert (done.exit_code, page.read_text()) == (2, "<!doctype html><title>mine</title>")
    assert "already exists and was not written by `nbdag rehearse`; choose another file" in done.output
    assert "which no cell sets" in call("rehearse", notebook, "--html", page, "--overwrite").output
    page.write_text(page.read_text().replace("which no cell sets", ""))
    assert "which no cell sets" in call("rehearse", notebook, "--html", page).output
    assert "which no cell sets" in page.read_text()


@pytest.mark.parametrize("how", ["option", "line", "cell"])
def test_an_accepted_finding_is_left_out_with_its_evidence(how: str, tmp_path: Path, shared_kernels: None) -> None:
    comment = "  # nbdag: accept[clock]"
    first = f"import datetime as dt\n{comment.strip() if how == 'cell' else ''}\n"
    source = f"{first}print(dt.date.today()){comment if how == 'line' else ''}"
    path = write(tmp_path, [cell(source, "2020-01-01\n")])
    done = call("rehearse", path, *(["--accept", "clock"] if how == "option" else []))
    assert done.exit_code == 0
    assert "no findings, 1 accepted" in done.output


def test_the_tolerance_applies_to_numbers(tmp_path: Path, shared_kernels: None) -> None:
    path = write(tmp_path, [cell("print('loss', 0.5)", "loss 0.501\n")])
    assert call("rehearse", path, "--tolerance", "0.01").exit_code == 0
    assert call("rehearse", path).exit_code == 1


def test_a_parameter_replaces_the_default(tmp_path: Path, shared_kernels: None) -> None:
    defaults = cell("alpha = 1")
    defaults.metadata.tags = ["parameters"]
    path = write(tmp_path, [defaults, cell("print('alpha is', alpha)", "alpha is 2\n")])
    assert call("rehearse", path, "-p", "alpha", "2").exit_code == 0
    assert call("rehearse", path).exit_code == 1
    assert "alpah" in call("rehearse", path, "-p", "alpah", "2").output


def test_a_warning_fails_only_with_strict(tmp_path: Path, shared_kernels: None) -> None:
    path = write(tmp_path, ["import os\nwho = os.environ.get('USER')"])
    assert call("rehearse", path).exit_code == 0
    assert call("rehearse", path, "--strict").exit_code == 1


def test_the_notebook_and_the_records_of_runs_are_left_alone(today: Path, tmp_path: Path) -> None:
    before = today.read_bytes()
    call("rehearse", today)
    assert today.read_bytes() == before
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("content", "words", "says"),
    [
        (None, [], "does not exist"),
        ("", [], "is empty"),
        ("{}", [], "is JSON but not a notebook"),
        ('{"nbformat": 4, "cells": []}', [], "no cell has code to run"),
        ('{"nbformat": 4, "cells": []}', ["--accept", "clocks"], "unknown kind of finding 'clocks'"),
        ('{"nbformat": 4, "cells": []}', ["--tolerance", "-1"], "-1.0 is not in the range"),
        ('{"nbformat": 4, "cells": []}', ["--html", "no/such/page.html"], "folder no/such does not exist"),
        ('{"nbformat": 4, "cells": []}', ["--html", "-", "--json"], "both write to standard output"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 1}]}', [], "its source is not text"),
        ('{"nbformat": 4, "cells": [5]}', [], "it is not a JSON object"),
    ],
)
def test_bad_input_gives_one_sentence(content: str | None, words: list[str], says: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.ipynb").write_text(content)
    done = call("rehearse", tmp_path / "a.ipynb", *words)
    assert says in done.output
    assert "Traceback" not in done.output


PIPELINE = [
    "%load_ext nbdag",
    "import numpy as np",
    "%%task draw\nx = np.random.rand(3)",
    cell("%%task total\nprint(x.sum())", "1.5\n"),
    cell("%%task same --approve \"'publish?'\"\nprint(1)", "9\n"),
    cell("%%task host\nimport socket\ntry:\n    socket.getaddrinfo('host.invalid', 80)\nexcept OSError:\n    pass"),
    cell("%%task wrong\nprint(2)", "1\n"),
    cell("%%task twice --map n=[1,2]\nprint(n)", "1\n"),
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="task kernels are forked on Linux only")
def test_a_pipeline_is_rehearsed_task_by_task_and_not_deployed(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    path = write(tmp_path, PIPELINE)
    done = call("deploy", path, "--rehearse")
    assert done.exit_code == 1
    assert "is not deployed, because the rehearsal found errors" in done.output
    assert "cell 3, line 2: error random" in done.output
    assert "cell 4 differs between two runs" in done.output
    assert "cell 6, line 4: note network: the cell contacts host.invalid" in done.output
    assert "cell 7: error output" in done.output
    assert "2 errors, 1 note; 6 cells ran twice task by task, saved outputs of 5 cells compared" in done.output
    assert not runs.list_dags()


def test_findings_of_a_text_notebook_have_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("churn.py").write_text("# %%\nx = 1\n\n# %%\n# %%task a\ny = 1\nprint(y, z)\n")
    done = call("rehearse", "churn.py", "--html", "page.html")
    assert done.stdout.splitlines()[:2] == [
        "churn.py: line 7: error name: NB201: no cell above sets z",
        "     7 | print(y, z)",
    ]
    assert "line 7" in Path("page.html").read_text() and "<i>6</i>y = 1" in Path("page.html").read_text()


def test_a_pipeline_with_errors_does_not_run(tmp_path: Path) -> None:
    path = write(tmp_path, ["%load_ext nbdag", cell("%%task a\nprint(offset)", "3\n")])
    done = call("rehearse", path)
    assert done.exit_code == 1
    assert "cell 2, line 2: error name: NB201" in done.output
    assert "1 error; the notebook did not run" in done.output
