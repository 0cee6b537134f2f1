"""The values that are metrics: one real number each."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from nbdag.core.model.metrics import Metric, json_number, metrics_of, number_of, number_text


class Hostile:
    """A value whose attributes raise."""

    @property
    def ndim(self) -> int:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.5, 0.5), (3, 3.0), (True, 1.0), (math.inf, math.inf), (2**60, 2.0**60),
        (np.float32(0.25), 0.25), (np.int64(7), 7.0), (np.bool_(True), 1.0), (np.array(1.5), 1.5),
        (np.array([1.5]), None), (np.datetime64("2026-01-01"), None), (np.complex128(1), None),
        (np.datetime64("2026-01-01", "ns"), None), (np.timedelta64(5, "ns"), None), (np.ma.masked, None),
        (10**400, None), (Decimal("0.5"), None), (Fraction(1, 2), None), ("0.5", None), (None, None), (Hostile(), None),
    ],
)  # fmt: skip
def test_a_metric_is_one_real_number(value: object, number: float | None) -> None:
    assert number_of(value) == number


def test_the_variables_of_the_option_come_first_and_reasons_name_the_type() -> None:
    names = {"rows": 10, "f1": 0.5, "accuracy": Decimal(1), "label": "x", "size": 10**400}
    found, refused = metrics_of(names, ["f1", "accuracy", "gone", "size"], ["label", "rows", "f1"])
    assert found == (
        Metric(name="f1", value=0.5, marked=True, position=0),
        Metric(name="rows", value=10.0, marked=False, position=1),
    )
    assert list(refused) == ["accuracy", "gone", "size"]
    assert refused["accuracy"].startswith("its type is decimal.Decimal")
    assert (refused["gone"], refused["size"]) == ("the cell did not set it", "it is too large for a float")


@pytest.mark.parametrize(
    ("value", "plain", "text"),
    [
        (3.0, 3, "3"), (0.1 + 0.2, 0.1 + 0.2, "0.3"), (-0.0, 0, "0"), (2.0**60, 2.0**60, "1.15292e+18"),
        (math.nan, "NaN", "nan"), (math.inf, "Infinity", "inf"), (-math.inf, "-Infinity", "-inf"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_json_and_for_people(value: float, plain: object, text: str) -> None:
    assert json_number(value) == plain
    assert number_text(value) == text
    if isinstance(plain, str):
        assert float(plain) == value or math.isnan(value)
