"""Outputs are compared by what they show: numbers within a tolerance, tables by cell, images by content."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from nbdag.rehearse.compare.data import data_differences
from nbdag.rehearse.compare.outputs import output_difference
from nbdag.rehearse.compare.tables import html_difference
from nbdag.rehearse.compare.texts import equal_texts, text_difference

from .cases import png

EQUAL_TEXTS = [
    ("accuracy: 0.8333333333", "accuracy: 0.8333333334"),
    ("1,000,000 rows", "1,000,000 rows"),
    ("1e-20", "0"),
    ("nan inf", "nan inf"),
    ("a   1.0\nbb  2.00000001", "a  1.0\nbb 2.0"),
    ("\x1b[31mred\x1b[0m", "red"),
    ("<A object at 0x7f01>", "<A object at 0x7fff>"),
    ("1%|#   | 1/9 [00:01<00:09, 1.0it/s]\rdone", "done"),
    ("CPU times: user 1 ms\nWall time: 2 s\n3", "CPU times: user 9 ms\nWall time: 9 s\n3"),
    ("/tmp/ipykernel_12/34.py:1: UserWarning: x", "/tmp/ipykernel_56/78.py:1: UserWarning: x"),
    ("a\r\nb  \n", "a\nb"),
]
DIFFERENT_TEXTS = [
    ("accuracy: 0.83", "accuracy: 0.84", "'accuracy: 0.83' became 'accuracy: 0.84'"),
    ("a\n3 rows\nc", "a\n4 rows\nc", "line 2: '3 rows' became '4 rows'"),
    ("a", "a\nb", "'b' was added"),
    ("a\nb", "a", "'b' is missing"),
    ("version 1.2.3", "version 1.2.4", "'version 1.2.3' became 'version 1.2.4'"),
    ("-1", "1", "'-1' became '1'"),
    ("2026-01-02", "2026-01-03", "'2026-01-02' became '2026-01-03'"),
    ("model_1", "model_2", "'model_1' became 'model_2'"),
]


@pytest.mark.parametrize(("first", "second"), EQUAL_TEXTS)
def test_texts_that_say_the_same_are_equal(first: str, second: str) -> None:
    assert text_difference(first, second) is None
    assert text_difference(second, first) is None


@pytest.mark.parametrize(("first", "second", "difference"), DIFFERENT_TEXTS)
def test_the_first_different_line_is_reported(first: str, second: str, difference: str) -> None:
    assert text_difference(first, second) == difference


def test_the_tolerance_is_relative() -> None:
    assert equal_texts("1000 rows", "1001 rows", tolerance=0.01)
    assert not equal_texts("1000 rows", "1001 rows")


def table(*rows: tuple[object, ...]) -> str:
    head = "<tr><th></th><th>name</th><th>price</th></tr>"
    body = "".join(f"<tr><th>{n}</th>{''.join(f'<td>{v}</td>' for v in row)}</tr>" for n, row in enumerate(rows))
    return f"<style>#T_1 {{}}</style><table id='T_1'><thead>{head}</thead><tbody>{body}</tbody></table><p>{len(rows)} rows</p>"


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (table(("a", 1.0)), table(("a", 1.00000000001)).replace("T_1", "T_2"), None),
        (table(("a", 1), ("b", 2)), table(("a", 1), ("b", 3)), "row 1, column price: '2' became '3'"),
        (
            table(("a", 1), ("b", 2)),
            table(("x", 1), ("b", 3)),
            "row 0, column name: 'a' became 'x' (2 cells of the table differ)",
        ),
        (
            table(("a", 1)),
            table(("a", 1), ("b", 2)),
            "a table of 1 row and 3 columns became one of 2 rows and 3 columns",
        ),
        (table(("a", 1)), "<p>no data</p>", "1 tables became 0"),
        (table(("a", 1)).replace("price", "cost"), table(("a", 1)), "heading 3 of the table: 'cost' became 'price'"),
        ("<b>3</b> rows", "<b>4</b> rows", "line 1: '3' became '4'"),
        ("<td>unfinished", "<table><tr><td>1", "0 tables became 1"),
    ],
)
def test_tables_are_compared_by_cell(first: str, second: str, difference: str | None) -> None:
    assert html_difference(first, second) == difference


def display(**data: Any) -> list[dict[str, Any]]:
    names = {
        "png": "image/png",
        "svg": "image/svg+xml",
        "plain": "text/plain",
        "html": "text/html",
        "js": "application/json",
    }
    return [
        {"output_type": "display_data", "data": {names[form]: value for form, value in data.items()}, "metadata": {}}
    ]


def printed(*texts: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": text} for text in texts]


ERROR = [{"output_type": "error", "ename": "ValueError", "evalue": "bad", "traceback": []}]
SK = '<div class="sk-text-repr-fallback"><pre>SVC()</pre></div><table><tr><td>refit_time_</td><td>{}</td></tr></table>'
SVG = '<svg><metadata><dc:date>{}</dc:date></metadata><path id="{}" d="{}"/><use href="#{}"/></svg>'


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (printed("a", "b"), printed("ab"), None),
        (printed("a"), [], "'a' is no longer printed"),
        ([], printed("a"), "'a' was printed"),
        (display(png=png(1, 2), plain="<Figure 1>"), display(png=png(1, 2, comment=b"t"), plain="<Figure 2>"), None),
        (display(png=png(1, 2)), display(png=png(1, 9)), None),  # a difference that nobody sees
        (display(png=png(1, 2)), display(png=png(1, 99)), "50% of the image's pixels differ"),
        (display(png=png(1, 2)), display(png=png(1, 2, 3)), "an image of 2 × 1 pixels became one of 3 × 1"),
        (display(png=png(1, 2)), display(png="%%%"), "the image differs"),
        (display(png=base64.b64encode(b"x").decode()), display(png=png(1)), "the image differs"),
        (display(svg=SVG.format(1, "a", "M0", "a")), display(svg=SVG.format(2, "b", "M0", "b")), None),
        (display(svg=SVG.format(1, "a", "M0", "a")), display(svg=SVG.format(2, "b", "M9", "b")), "the drawing differs"),
        (display(js={"a": [1, 2.0]}), display(js={"a": [1, 2.00000000001]}), None),
        (display(js={"a": [1, 2]}), display(js={"a": [1, 3]}), "a[1]: 2 became 3"),
        (display(js={"a": 1}), display(js={}), "a is missing"),
        (display(plain="1"), display(plain="1") * 2, "'1' is displayed"),
        (display(png=png(1)), [], "an image is no longer displayed"),
        (display(html="<p>1</p>"), display(plain="1"), "an output became '1'"),
        (display(html=SK.format(1), plain="SVC()"), display(html=SK.format(2), plain="SVC()"), None),
        (
            display(html=SK.format(1), plain="SVC()"),
            display(html=SK.format(1), plain="LDA()"),
            "'SVC()' became 'LDA()'",
        ),
        (display(plain="1"), ERROR, "'ValueError: bad' was raised"),
        (ERROR, display(plain="1"), "'ValueError: bad' is no longer raised"),
        (ERROR, ERROR, None),
    ],
)
def test_outputs_are_compared_by_what_a_person_sees(first: Any, second: Any, difference: str | None) -> None:
    assert output_difference(first, second) == difference


def test_widgets_are_not_compared() -> None:
    widget = [{"output_type": "display_data", "data": {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}}]
    assert output_difference(widget, []) is None


@pytest.mark.parametrize(
    ("old", "new", "differences"),
    [
        ({"a": 1, "b": [1.0, "x"]}, {"a": 1.0000000001, "b": [1.0, "x"]}, []),
        ({"a": 1, "b": 2}, {"b": 3, "c": None}, ["a is missing", "b: 2 became 3", "c was added: null"]),
        ([1, 2], [1], ["the list has 1 elements instead of 2"]),
        ("x", "y", ["the value: 'x' became 'y'"]),
        (True, 1, ["the value: true became 1"]),
        (10**400, 10**400 + 1, ["the value: " + "1" + "0" * 78 + "… became 1" + "0" * 78 + "…"]),
    ],
)
def test_every_difference_of_two_values_has_its_place(old: Any, new: Any, differences: list[str]) -> None:
    assert list(data_differences(old, new)) == differences
