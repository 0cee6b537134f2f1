"""The report as an HTML page: it needs nothing else, shows what happened, and what it shows cannot break it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

import nbdag
from nbdag.home import Home
from nbdag.html_report import CODES, to_html
from nbdag.runs import NoReportError, report_html

Write = Callable[..., Path]
PIXEL = base64.b64encode(b"GIF89a\1\0\1\0\0\0\0;").decode()


def cell(source: str, *outputs: dict[str, Any], kind: str = "code", **metadata: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"cell_type": kind, "source": source, "metadata": metadata}
    return found | ({"outputs": list(outputs), "execution_count": 1} if kind == "code" else {})


def shown(**data: Any) -> dict[str, Any]:
    return {
        "output_type": "display_data",
        "data": {name.replace("__", "/").replace("_", "."): value for name, value in data.items()},
        "metadata": {},
    }


def page(*cells: dict[str, Any], **options: Any) -> BeautifulSoup:
    text = to_html({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 4}, **options)
    return BeautifulSoup(text, "html.parser")


def test_a_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "logo.gif").write_bytes(base64.b64decode(PIXEL))
    found = page(
        cell("# Churn\n![logo](logo.gif)\n\n$$\\sum_i x_i$$", kind="markdown"),
        cell("plot()", shown(image__png=PIXEL), shown(image__gif=PIXEL), shown(**{"image__svg+xml": "<svg/>"})),
        cell("f", shown(text__latex="$\\alpha$"), shown(text__html="<table><tr><td>1</td></tr></table>")),
        folder=tmp_path,
    )
    loaded = [each["src"] for each in found.select("[src]")]
    assert len(loaded) == 4
    assert {each.partition(":")[0] for each in loaded} == {"data"}
    assert not found.select("link, script, iframe, object, embed")
    assert not re.search(r"@import|url\(", found.select_one("style").text)
    assert [each.text for each in found.select("math")] == ["∑ixi", "α"]


def test_what_runs_in_a_notebook_only_is_shown_by_its_text() -> None:
    widget = shown(text__plain="50%|#####     |")
    widget["data"]["application/vnd.jupyter.widget-view+json"] = {"model_id": "1"}
    script = shown(application__javascript="alert(1)", text__plain="<Javascript>")
    found = page(cell("x", widget, script))
    assert [each.text for each in found.select(".outputs pre")] == ["50%|#####     |", "<Javascript>"]
    assert not found.select("script")


@pytest.mark.parametrize(("code", "blocks", "details"), [("shown", 1, 0), ("folded", 1, 1), ("hidden", 0, 0)])
def test_code_is_shown_folded_or_hidden(code: Any, blocks: int, details: int) -> None:
    found = page(cell("secret_sauce = 1", shown(text__plain="done")), cell("# no output"), code=code)
    assert len([each for each in found.select(".code") if "secret_sauce" in each.text]) == blocks
    assert len([each for each in found.select("details") if "secret_sauce" in each.text]) == details
    assert "done" in found.text
    assert len(found.select(".cell")) == (1 if code == "hidden" else 2)


def test_names_and_texts_with_html_stay_texts() -> None:
    evil = "<img src=x onerror=alert(1)>"
    error = {"output_type": "error", "ename": "E", "evalue": evil, "traceback": [evil]}
    stream = {"output_type": "stream", "name": "stdout", "text": [evil]}
    task = {"task": evil, "state": "failed", "tries": 2, "cached": [evil]}
    about = {"dag": evil, "run_id": evil, "state": evil, "error": evil}
    metadata = {"papermill": {"parameters": {evil: evil}}}
    cells = [cell(evil, error, stream, nbdag=task)]
    for code in CODES:
        text = to_html(
            {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}, code=code, about=about
        )
        found = BeautifulSoup(text, "html.parser")
        assert not found.select("img, [onerror]")
        assert found.text.count("onerror=alert(1)") >= 10
    assert found.select_one("nav a")["href"].startswith("#task-%3Cimg")


def test_a_picture_that_is_missing_or_outside_the_folder_is_not_embedded(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "out.gif").write_bytes(b"private")
    found = page(cell("![a](attachment:a.png) ![b](../out.gif) ![c](none.gif)", kind="markdown"), folder=folder)
    assert "data:" not in str(found.select_one("main"))
    assert "a" in found.select_one(".prose").text


@pytest.mark.usefixtures("in_process")
def test_the_page_shows_the_run(write: Write, home: Home) -> None:
    path = write("%dag churn", "n = 1  # parameters", "%%task a\nprint('hello')", "%%task b\n1 / (n - n)")
    run = nbdag.run(path, home=home, output=path.with_name("out.ipynb"))
    found = BeautifulSoup(report_html(home=home), "html.parser")
    assert found.title.text == f"churn · {run.id} · failed"
    rows = [[each.text for each in row.select("td")] for row in found.select(".tasks tbody tr")]
    assert [(name, state.strip()) for name, state, *_ in rows] == [("a", "✓ done"), ("b", "✗ failed")]
    assert rows[1][3] == "ZeroDivisionError: division by zero"
    assert "print('hello')" in found.select_one("#task-a").text
    assert "ZeroDivisionError" in found.select_one("#task-b").text


@pytest.mark.usefixtures("in_process")
def test_a_page_is_of_its_run_even_if_a_later_run_wrote_the_same_file(write: Write, home: Home) -> None:
    path = write("%dag churn", "%%task a\nprint('first')")
    first = nbdag.run(path, home=home, output=path.with_name("out.ipynb"))
    write("%dag churn", "%%task a\nprint('second')")
    nbdag.run(path, home=home, output=path.with_name("out.ipynb"), overwrite=True)
    assert "print('first')" in BeautifulSoup(report_html(first.id, home=home), "html.parser").text


@pytest.mark.usefixtures("in_process")
def test_without_a_report_the_error_names_the_file(write: Write, home: Home) -> None:
    run = nbdag.run(write("%dag churn", "%%task a\nx = 1"), home=home)
    run.notebook.unlink()
    with pytest.raises(NoReportError, match=f"run {run.id} of churn has no report at"):
        report_html(run.id, "churn", home=home)
