"""--when, --check and --map: what they say of values, in one place for the notebook and for headless runs."""

import pytest

from nbdag.core.expand import MapError, elements
from nbdag.core.expressions import CheckFailed, check, holds

NAMES = {"accuracy": 0.62, "best": 0.9, "rows": [1, 2, 3], "text": "x" * 500}


@pytest.mark.parametrize(
    ("expression", "true"),
    [("accuracy < best", True), ("rows", True), ("not rows", False), (" accuracy > best ", False), ("len(rows) == 3", True)],
)  # fmt: skip
def test_an_expression_holds_as_python_says(expression, true):
    assert holds(expression, dict(NAMES)) is true


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("accuracy >= 0.9", "--check accuracy >= 0.9 does not hold: accuracy is 0.62"),
        ("accuracy >= best", "--check accuracy >= best does not hold: accuracy is 0.62, best is 0.9"),
        ("len(rows) > 3 and best", "--check len(rows) > 3 and best does not hold: len(rows) is 3, best is 0.9"),
        ("not rows", "--check not rows does not hold: rows is [1, 2, 3]"),
        ("False", "--check False does not hold"),
        ("missing > 1", "--check missing > 1 cannot be told (NameError: name 'missing' is not defined)"),
        ("rows[7] > 1", "--check rows[7] > 1 cannot be told (IndexError: list index out of range)"),
    ],
)
def test_a_check_that_fails_says_which_and_with_what_values(expression, message):
    with pytest.raises(CheckFailed) as raised:
        check([expression], dict(NAMES))
    assert str(raised.value) == message


def test_the_first_check_that_fails_is_told():
    with pytest.raises(CheckFailed, match="accuracy > 1"):
        check(["best > 0", "accuracy > 1", "missing"], dict(NAMES))


def test_a_long_value_is_told_in_short():
    with pytest.raises(CheckFailed) as raised:
        check(["text == ''"], dict(NAMES))
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("maps", "in_step", "found"),
    [
        ([("x", "[1, 2]")], False, [(1,), (2,)]),
        ([("x", "[1, 2]"), ("y", "'ab'")], False, [(1, "a"), (1, "b"), (2, "a"), (2, "b")]),
        ([("x", "[1, 2]"), ("y", "'ab'")], True, [(1, "a"), (2, "b")]),
        ([("x", "[]"), ("y", "rows")], False, []),
        ([("x", "(r * 2 for r in rows)")], False, [(2,), (4,), (6,)]),
    ],
)
def test_maps_multiply_or_go_in_step(maps, in_step, found):
    assert elements(maps, in_step, 1024, dict(NAMES)) == found


@pytest.mark.parametrize(
    ("maps", "in_step", "message"),
    [
        ([("x", "[1]"), ("y", "rows")], True, "--zip goes through lists of different lengths (x 1, y 3)"),
        (
            [("x", "range(2000)")],
            False,
            "--map makes 2000 instances, more than 1024; allow them: --max-map-length 2000",
        ),
        ([("x", "range(40)"), ("y", "range(40)")], False, "--map makes 1600 instances"),
        ([("x", "accuracy")], False, "--map x=accuracy cannot be told (TypeError: 'float' object is not iterable)"),
        ([("x", "missing")], False, "--map x=missing cannot be told (NameError"),
    ],
)
def test_a_map_that_cannot_be_had_is_answered_in_one_sentence(maps, in_step, message):
    with pytest.raises(MapError) as raised:
        elements(maps, in_step, 1024, dict(NAMES))
    assert str(raised.value).startswith(message)
