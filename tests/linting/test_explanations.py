"""Every code has an explanation, its wrong example has exactly this problem, and its right example has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from explained_examples import modules, notebook, steps, write

import nbdag
from nbdag import runs
from nbdag.core.model.problems import LATER, TABLE
from nbdag.linting.explanations import UnknownCodeError, all_explanations, as_text, explain
from nbdag.session import read_document
from nbdag.session.document import DocumentCell

STATIC = [each for each in all_explanations() if each.code not in LATER or each.code == "NB117"]


def test_every_code_has_an_explanation() -> None:
    assert [each.code for each in all_explanations()] == sorted(TABLE)


@pytest.mark.parametrize("explanation", all_explanations(), ids=lambda each: each.code)
def test_an_explanation_has_a_text_and_two_examples(explanation) -> None:
    assert len(explanation.text) > 80 and explanation.text.endswith(".")
    assert explanation.wrong and explanation.right and explanation.wrong != explanation.right


@pytest.mark.parametrize("explanation", STATIC, ids=lambda each: each.code)
def test_the_wrong_example_has_this_problem_and_the_right_one_has_none(explanation, tmp_path: Path) -> None:
    found = []
    for text in (explanation.wrong, explanation.right):
        ((command, content),) = steps(text)
        assert command[0] == "check" and content is not None
        dag = nbdag.read(write(tmp_path, command[1], content))
        found.append([each.code for each in dag.problems])
    assert found == [[explanation.code], []]


def test_the_wrong_example_of_an_unbuilt_cell_is_one_of_the_live_notebook() -> None:
    for text, expected in ((explain("NB115").wrong, ["NB115"]), (explain("NB115").right, [])):
        cells = [DocumentCell(each["source"], "code", each["id"], ()) for each in notebook(text)["cells"]]
        dag = read_document(cells, name="notebook.ipynb", metadata={}).dag
        assert [each.code for each in dag.problems] == expected


def test_the_wrong_example_of_a_missing_file_has_this_problem(tmp_path: Path) -> None:
    found = []
    for text in (explain("NB123").wrong, explain("NB123").right):
        for name, code in modules(text).items():
            (tmp_path / name).write_text(code)
        problems = runs.check(write(tmp_path, "notebook.ipynb", notebook(text))).dag.problems
        found.append([(each.code, str(each.place)) for each in problems])
    assert found == [[("NB123", "cell 1, line 1")], []]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("NB2011", "did you mean NB201?"),
        ("nb2O1", "did you mean NB201?"),
        ("NB31O", "did you mean NB310?"),
        ("201", "did you mean NB201?"),
        ("NB999", "`nbdag explain` lists the codes"),
        ("NB299", "`nbdag explain` lists the codes"),
        ("", "`nbdag explain` lists the codes"),
    ],
)
def test_an_unknown_code_has_a_hint_that_guesses_only_a_misspelt_code(code: str, hint: str) -> None:
    with pytest.raises(UnknownCodeError) as raised:
        explain(code)
    assert str(raised.value) == f"unknown code {code!r}; {hint}"


def test_the_text_shows_both_examples() -> None:
    text = as_text(explain("nb201"))
    assert text.startswith("NB201 (error): a name that no cell above sets\n\n")
    assert "\nWrong:\n\n    %%task load\n" in text and "\nRight:\n\n    %%task load\n" in text
