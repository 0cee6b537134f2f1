"""A value is described in one line, whatever its repr does."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest
from patience import LONG as LONG_WAIT

from nbdag.values import summarise, type_name
from nbdag.values.summaries import MAX_LENGTH


@dataclasses.dataclass
class Config:
    rate: float
    rows: list[int]


class Slow:
    def __init__(self) -> None:
        self.go = threading.Event()

    def __repr__(self) -> str:
        self.go.wait()
        return "slow"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError

    @property
    def shape(self) -> None:
        raise ValueError


class Multiline:
    def __repr__(self) -> str:
        return "a\n   b"


class Plain: ...


HERE = __name__
CASES = [
    (1.5, "float", "1.5"),
    (None, "NoneType", "None"),
    ("text", "str", "'text'"),
    ([1, 2], "list", "[1, 2]"),
    ([], "list", "[]"),
    (list(range(1_000_000)), "list", "1,000,000 items: [0, 1, 2, 3, 4, 5, ...]"),
    ({n: n for n in range(8)}, "dict", "8 items: {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, …}"),
    ({"a": {"b": [1]}}, "dict", "{'a': {'b': [1]}}"),
    (set(), "set", "set()"),
    (np.zeros((1000, 3)), "numpy.ndarray", "1,000 × 3 float64"),
    (np.array([1, 2]), "numpy.ndarray", "2 int64: [1, 2]"),
    (np.array(3), "numpy.ndarray", "scalar int64: 3"),
    (pd.DataFrame({"a": [1, 2], "b": [3, 4]}), "pandas.DataFrame", "2 × 2: a, b"),
    (pd.DataFrame(np.zeros((5, 20))), "pandas.DataFrame", "5 × 20: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …"),
    (pl.DataFrame({"a": [1, 2]}), "polars.DataFrame", "2 × 1: a"),
    (pd.Series([1.0] * 20), "pandas.Series", "20 float64"),
    (Config(0.1, list(range(100))), f"{HERE}.Config", "Config(rate=0.1, rows=[0, 1, 2, 3, 4, 5, ...])"),
    (Plain(), f"{HERE}.Plain", f"<{HERE}.Plain>"),
    (Multiline(), f"{HERE}.Multiline", "a b"),
    (Broken(), f"{HERE}.Broken", f"<{HERE}.Broken>"),
]


@pytest.mark.parametrize(("value", "name", "summary"), CASES, ids=[f"{n}-{case[1]}" for n, case in enumerate(CASES)])
def test_summary(monkeypatch: pytest.MonkeyPatch, value: object, name: str, summary: str) -> None:
    monkeypatch.setattr("nbdag.values.summaries.REPR_TIMEOUT", LONG_WAIT)
    assert type_name(value) == name
    assert summarise(value) == summary


LONG = {
    "number": 10**100_000,
    "text": "x" * 10**7,
    "dict": {"k" * 1000: "v" * 1000},
    "nested": [["deep"] * 100] * 100,
}


@pytest.mark.parametrize("name", LONG)
def test_a_summary_is_short(name: str) -> None:
    assert len(summarise(LONG[name])) <= MAX_LENGTH


def test_a_slow_repr_is_abandoned() -> None:
    slow = Slow()
    assert summarise(slow) == f"<{HERE}.Slow>"
    slow.go.set()
