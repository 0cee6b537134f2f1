"""--when, --check and --map are evaluated alike in the notebook and in a task's kernel."""

import numpy as np
import pytest

from nbdag.errors import Fail
from nbdag.kernels.runtime.expressions import check, elements, evaluate, when_holds

NAMES = {"accuracy": 0.62, "best": 0.9, "rows": [1, 2, 3], "text": "x" * 500}


@pytest.mark.parametrize(
    ("expression", "value"),
    [("accuracy < best", True), ("rows", [1, 2, 3]), ("not rows", False), (" accuracy > best ", False), ("len(rows)", 3)],
)  # fmt: skip
def test_an_expression_has_its_python_value(expression, value):
    assert evaluate(expression, dict(NAMES)) == value


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("accuracy >= 0.9", "--check accuracy >= 0.9 is false, with accuracy = 0.62"),
        ("accuracy >= best", "--check accuracy >= best is false, with accuracy = 0.62, best = 0.9"),
        ("False", "--check False is false"),
        ("missing > 1", "cannot evaluate --check missing > 1: NameError: name 'missing' is not defined"),
        ("rows[7] > 1", "cannot evaluate --check rows[7] > 1: IndexError: list index out of range"),
    ],
)
def test_a_failing_check_names_the_expression_and_its_values(expression, message):
    with pytest.raises(Fail) as raised:
        check(expression, dict(NAMES))
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(1.5), "1.5"),
        (np.float32(0.83), "0.83"),
        (np.array(1.5), "1.5"),
        (np.int8(3), "3"),
        (np.bool_(False), "False"),
        (np.zeros(3), "3 float64: [0.0, 0.0, 0.0]"),
    ],
)
def test_a_failing_check_shows_a_scalar_as_a_number(value, text):
    with pytest.raises(Fail) as raised:
        check("x is None", {"x": value})
    assert str(raised.value) == f"--check x is None is false, with x = {text}"


def test_a_true_check_passes_silently():
    check("accuracy < best", dict(NAMES))


def test_a_long_value_is_shortened():
    with pytest.raises(Fail) as raised:
        check("text == ''", dict(NAMES))
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
def test_several_maps_form_a_product_or_go_in_step(maps, in_step, found):
    columns, rows = elements(maps, dict(NAMES), in_step=in_step, limit=1024)
    assert [tuple(columns[name][at] for name, at in zip(columns, row, strict=True)) for row in rows] == found


@pytest.mark.parametrize(
    ("maps", "in_step", "message"),
    [
        ([("x", "[1]"), ("y", "rows")], True, "--zip needs maps of equal length, but x has 1, y has 3"),
        (
            [("x", "range(2000)")],
            False,
            "--map makes 2,000 instances, more than the limit of 1,024; pass --max-map-length 2000 to allow that many",
        ),
        ([("x", "accuracy")], False, "cannot evaluate --map x=accuracy: TypeError: 'float' object is not iterable"),
        ([("x", "missing")], False, "cannot evaluate --map x=missing: NameError: name 'missing' is not defined"),
        ([("x", "range(40)"), ("y", "range(40)")], False, "--map makes 1,600 instances"),
    ],
)
def test_an_invalid_map_fails_with_one_sentence(maps, in_step, message):
    with pytest.raises(Fail) as raised:
        elements(maps, dict(NAMES), in_step=in_step, limit=1024)
    assert str(raised.value).startswith(message)


def test_a_when_that_cannot_be_evaluated_fails():
    assert when_holds("accuracy < best", dict(NAMES)) and not when_holds("rows == 1", dict(NAMES))
    with pytest.raises(Fail) as raised:
        when_holds("1/0", {})
    assert str(raised.value) == "cannot evaluate --when 1/0: ZeroDivisionError: division by zero"
