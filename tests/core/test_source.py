"""IPython's code as Python, each node at the line of the cell where a person finds it."""

from __future__ import annotations

import ast

import pytest

from nbdag.core.cells.source import Python, SyntaxProblem, expanded_names, to_python

LINES = [
    ("x = 1\ny = 2", [1, 2]),
    ("\n\nx = 1", [3]),
    ("\n\n%time f(x)\ny = 2", [3, 4]),
    ("%matplotlib inline\nx = 1", [1, 2]),
    ("files = !ls\nx = 1", [1, 2]),
    ("df?\nx = 1", [1, 2]),
    ("%time \\\n  f(x)\nx = 1", [1, 3]),
    ("!echo a \\\n  b\n\nx = 1\n!ls\ny", [1, 4, 5, 6]),
    ("%%time\nx = 1\ny", [2, 3]),
    ("# a comment\n%%time\n\nx = 1", [4]),
    ("\n%%capture out\nx = 1", [3]),
    ("    x = 1\n    y = 2", [1, 2]),
    ("%%timeit x = 1\ny = x", [1, 2]),
    ("", []),
]


@pytest.mark.parametrize(("code", "lines"), LINES)
def test_lines_are_those_of_the_cell(code: str, lines: list[int]) -> None:
    python = to_python(code)
    assert isinstance(python, Python)
    assert [node.lineno for node in python.tree.body] == lines


SHOWN = [
    ("x", True),
    ("x;", False),
    ("x;  # quiet", False),
    ("x  # not; quiet", True),
    ("x = 'a;'\nx", True),
    ("'a;'", True),
    ("%%time\nx;", False),
]


@pytest.mark.parametrize(("code", "shown"), SHOWN)
def test_a_semicolon_keeps_the_last_expression_from_being_displayed(code: str, shown: bool) -> None:
    python = to_python(code)
    assert isinstance(python, Python)
    assert python.shown is shown


WRONG = [
    ("x = ", 1),
    ("x = 1\ny = '", 2),
    ("return 1", 1),
    ("x = 1\ndef f():\n    nonlocal y", 3),
    ("%%time\n\nx = (", 3),
    ("a b", 1),
    ("!ls\nx = = 1", 2),
    ("x\0y", 1),
    ("(" * 500 + ")" * 500, 1),
]


@pytest.mark.parametrize(("code", "line"), WRONG)
def test_a_syntax_error_has_its_line(code: str, line: int) -> None:
    found = to_python(code)
    assert isinstance(found, SyntaxProblem)
    assert found.line == line
    assert found.message


def test_top_level_await_is_valid() -> None:
    assert isinstance(to_python("x = await f()\nasync for i in x: pass"), Python)


def test_an_invalid_escape_causes_no_warning() -> None:
    assert isinstance(to_python("x = '\\d'"), Python)


EXPANDED = [
    ("echo {x} $y", ["x", "y"]),
    ("echo $$HOME {{x}}", []),
    ("echo {x.y[0]} $a.b", ["a.b", "x.y[0]"]),
    ("awk '{print $1}'", ["print $1"]),
    ("echo {", []),
    ("echo {x} {", ["x"]),
]


@pytest.mark.parametrize(("text", "names"), EXPANDED)
def test_braces_and_dollars_of_a_shell_line_are_expressions(text: str, names: list[str]) -> None:
    found = sorted(ast.unparse(node) for node in expanded_names(text))
    assert found == sorted(name for name in names if "$" not in name)
