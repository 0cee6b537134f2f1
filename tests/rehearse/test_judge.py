"""A difference is attributed to its cause, so that each cause is one finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nbdag.rehearse.findings import Finding
from nbdag.rehearse.judge import Evidence, judge
from nbdag.rehearse.observations import Observations
from nbdag.rehearse.plain_run import Execution, Failure, variation
from nbdag.rehearse.saved import SavedCell, saved_state


def printed(text: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": text}]


def cells(*sources: str, outputs: Mapping[int, str] | None = None) -> list[SavedCell]:
    return [
        SavedCell(
            number=n, source=source, count=n + 1, outputs=printed((outputs or {})[n]) if n in (outputs or {}) else []
        )
        for n, source in enumerate(sources)
    ]


def run(outputs: Mapping[int, str], draws: Mapping[tuple[int, str], tuple[int, ...]] | None = None) -> Execution:
    shown = {n: printed(text) for n, text in outputs.items()}
    return Execution(outputs=shown, seconds=1.0, observed=Observations(draws=draws or {}))


def found(saved: list[SavedCell], *runs: Execution) -> list[tuple[str, int | None, str, int]]:
    return [
        (each.kind.value, each.cell, each.weight.value, len(each.evidence))
        for each in judge(Evidence(saved=saved, runs=runs))
    ]


DRAW = cells("import numpy as np\nx = np.random.rand()", "y = 2 * x", "print(y)", "print(1)")
FIRST, SECOND = {(0, "numpy.random"): (1,)}, {(0, "numpy.random"): (2,)}


def test_a_cell_that_draws_explains_the_differences_of_all_that_follow_from_it() -> None:
    runs = run({0: "", 1: "a", 2: "b", 3: "1"}, FIRST), run({0: "", 1: "c", 2: "d", 3: "1"}, SECOND)
    assert found(DRAW, *runs) == [("random", 0, "error", 2)]


def test_a_cause_lists_five_differences_and_counts_the_others() -> None:
    saved = cells("import random\nx = random.random()", *(f"print(x + {n})" for n in range(8)))
    outputs = ({n: f"{text}{n}" for n in range(1, 9)} for text in "ab")
    draws = {(0, "random"): (1,)}, {(0, "random"): (2,)}
    runs = [run(shown, drawn) for shown, drawn in zip(outputs, draws, strict=True)]
    (only,) = judge(Evidence(saved=saved, runs=runs))
    assert only.evidence[-1] == "and 3 more cells"
    assert len(only.evidence) == 6


def test_a_cell_that_does_not_depend_on_the_draw_has_a_finding_of_its_own() -> None:
    runs = run({2: "b", 3: "1"}, FIRST), run({2: "b", 3: "2"}, SECOND)
    assert found(DRAW, *runs) == [("random", 0, "warning", 0), ("output", 3, "error", 0)]


def test_a_draw_with_the_same_state_in_both_runs_is_seeded() -> None:
    assert found(DRAW, run({2: "b"}, FIRST), run({2: "b"}, FIRST)) == []


def test_a_draw_of_a_library_is_a_note_unless_outputs_differ() -> None:
    saved = cells("model.fit(1)", "print(model)")
    draws = {(0, "numpy.random"): (1,)}, {(0, "numpy.random"): (2,)}
    assert found(saved, run({1: "a"}, draws[0]), run({1: "a"}, draws[1]))[-1] == ("random", 0, "note", 0)


def test_only_the_first_of_the_cells_that_follow_from_one_another_is_reported() -> None:
    saved = cells("n = 4", "print(n)", "m = n\nprint(m)", outputs={0: "", 1: "3\n", 2: "3\n"})
    both = [run({0: "changed", 1: "4\n", 2: "4\n"}) for _ in range(2)]
    saved[0] = SavedCell(number=0, source="n = 4\nprint('changed')", count=1, outputs=printed("before"))
    assert found(saved, *both) == [("output", 0, "error", 0)]


def test_after_a_failure_the_outputs_are_not_compared() -> None:
    saved = cells("print(1)", "1 / 0", outputs={0: "2\n"})
    failed = Execution(
        outputs={0: printed("1\n"), 1: []},
        seconds=1.0,
        failures=(Failure(cell=1, line=1, name="ZeroDivisionError", text="division by zero"),),
    )
    assert found(saved, failed) == [("failure", 1, "error", 0)]


TRACEBACK = "Traceback (most recent call last)\n\x1b[36mCell In[3], line 2\x1b[39m\n      1 a = 1\n----> 2 b = a / 0\n"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a = 1\nb = a / 0", None),
        ("a = 1\nb = a / 2", "its traceback shows line 2 as 'b = a / 0'"),
        ("a = 1", "its traceback shows line 2"),
        ("# gone", "it has outputs, but no code"),
    ],
)
def test_a_saved_traceback_shows_an_edit(source: str, says: str | None) -> None:
    error = {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "", "traceback": [TRACEBACK]}
    findings: list[Finding] = saved_state([SavedCell(number=0, source=source, count=1, outputs=[error])])
    assert [each.kind.value for each in findings] == ([] if says is None else ["edit"])
    assert says is None or says in findings[0].message


@pytest.mark.parametrize("source", ["from lib import *", "%run other.py", "exec(code)", "%%sql found <<\nselect 1"])
def test_names_are_not_missing_if_code_may_set_them_invisibly(source: str) -> None:
    assert saved_state(cells("code = '1'", source, "y = found")) == []


def test_names_of_python_and_ipython_are_not_missing() -> None:
    assert saved_state(cells("print(__name__, display, In)")) == []
    assert [each.kind.value for each in saved_state(cells("print(found)"))] == ["name"]


def test_the_second_run_changes_hashes_zone_and_locale_unless_the_seed_is_set() -> None:
    assert variation({}).keys() == {"PYTHONHASHSEED", "TZ", "LC_ALL"}
    assert variation({"PYTHONHASHSEED": "0"}).keys() == {"TZ", "LC_ALL"}
    assert variation({"LANG": "de_DE.UTF-8"})["LC_ALL"] == "C"
    assert variation({"TZ": variation({})["TZ"]})["TZ"] == "UTC"
