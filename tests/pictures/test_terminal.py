"""The picture of a terminal shows what a person would see at the end."""

from __future__ import annotations

import html
import os
import sys
from pathlib import Path

import nbformat
import pytest

from .terminal import screen, terminal


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("one\r\ntwo", ["one", "two"]),
        ("\x1b[?25l0 done\r\x1b[2K1 done\r\n\x1b[?25h", ["1 done"]),
        ("a: running\r\nb\r\x1b[2K\x1b[1A\x1b[2Ka: success\r\nb: success\r\n", ["a: success", "b: success"]),
        ("x\r\n\r\ny\r\n", ["x", "", "y"]),
        ("\x1b[32mgreen\x1b[0m\r\n", ["\x1b[32mgreen\x1b[0m"]),
    ],
)
def test_a_line_that_was_drawn_over_is_not_shown(printed: str, shown: list[str]) -> None:
    assert screen(printed) == shown


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_run_is_shown_as_it_ended(tmp_path: Path, runtime: Path) -> None:
    cells = ["%%task first\nx = 1", "%%task second\ny = x + 1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "two.ipynb")
    drawn = html.unescape(terminal(["run", "two.ipynb"], folder=tmp_path, environment=os.environ))
    text = drawn.replace("\xa0", " ")
    assert "nbdag run two.ipynb" in text
    assert text.count("✓ success") == 2
    assert "running" not in text
    assert "of two: success in" in text
    assert "http" not in text.replace("http://www.w3.org/", "").replace("https://www.textualize.io", ""), (
        "it loads nothing"
    )
