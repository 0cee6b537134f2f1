"""An object's fingerprint changes when the object does, and only then."""

from __future__ import annotations

import collections
import functools
import io
import itertools
import random
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbdag.values import ValueStore, fingerprint, is_same


class Thing:
    def __init__(self) -> None:
        self.a = [1]

    @functools.cached_property
    def slow(self) -> int:
        return len(self.a)


def frame() -> pd.DataFrame:
    made = pd.DataFrame({"a": np.arange(500.0), "b": np.arange(500), "s": ["x"] * 500})
    made["c"] = np.arange(500.0)  # a second block of floats, which pandas merges when it sees fit
    return made


def model() -> Any:
    from sklearn.linear_model import LinearRegression  # imported here because it takes seconds

    return LinearRegression()


def fitted() -> Any:
    return model().fit(np.arange(20.0).reshape(10, 2), np.arange(10.0))


CHANGES = {
    "a list": (lambda: [3, 1], lambda x: x.sort()),
    "a list within": (lambda: {"a": [[1]]}, lambda x: x["a"][0].append(2)),
    "a dict": (lambda: {"a": 1}, lambda x: x.update(a=2)),
    "a dict's order": (lambda: {"a": 1, "b": 2}, lambda x: x.update(a=x.pop("a"))),
    "a set": (lambda: {1}, lambda x: x.add(2)),
    "a deque": (lambda: collections.deque([1]), lambda x: x.rotate(0) or x.append(1)),
    "an attribute": (Thing, lambda x: x.a.append(1)),
    "a new attribute": (Thing, lambda x: setattr(x, "b", 1)),
    "an array": (lambda: np.zeros(10_000), lambda x: x.__setitem__(5, 1)),
    "a view's array": (lambda: np.zeros(10_000)[::2], lambda x: x.base.__setitem__(4, 1)),
    "an array of objects": (lambda: np.array([{}], dtype=object), lambda x: x[0].update(a=1)),
    "a cell of a frame": (frame, lambda x: x.__setitem__("a", x["a"].where(x["a"] != 3, 7))),
    "a column taken out": (frame, lambda x: x.pop("b")),
    "a frame's names": (frame, lambda x: setattr(x, "columns", list("wxyz"))),
    "a frame's index": (frame, lambda x: setattr(x, "index", range(1, 501))),
    "a frame's attrs": (frame, lambda x: x.attrs.update(a=1)),
    "a series": (lambda: frame()["a"], lambda x: x.__setitem__(3, -1)),
    "dates": (lambda: pd.Series(pd.date_range("2024", periods=3)), lambda x: x.__setitem__(1, pd.NaT)),
    "a category": (lambda: pd.Series(pd.Categorical(["a", "b"])), lambda x: x.__setitem__(0, "b")),
    "a model": (model, lambda x: x.fit([[0.0], [1.0]], [0.0, 1.0])),
    "a generator of numbers": (lambda: np.random.default_rng(0), lambda x: x.normal()),
    "an old one": (lambda: random.Random(0), lambda x: x.random()),
    "a generator": (lambda: (n for n in range(3)), next),
    "an iterator": (lambda: iter([1, 2]), next),
    "a counter": (itertools.count, next),
    "an iterator of tee": (lambda: itertools.tee(range(9))[0], next),
    "an iterator of tee that calls a function": (lambda: itertools.tee(map(abs, [1, 2]))[0], next),
    "a text buffer": (lambda: io.StringIO("ab"), lambda x: x.read(1)),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.filterwarnings("ignore:Pickle, copy, and deepcopy support")
def test_a_change_changes_the_fingerprint(name: str) -> None:
    make, change = CHANGES[name]
    thing = make()
    before = fingerprint(thing)
    assert before is not None
    assert fingerprint(thing) == before
    change(thing)
    assert fingerprint(thing) != before


LOOKS = {
    "a frame described": (frame, lambda x: (x.describe(), x.values, x.isna(), x.groupby("s").sum(), repr(x), x.T)),
    "a frame's blocks merged": (frame, lambda x: x._consolidate_inplace()),
    "a frame's index looked up": (frame, lambda x: (x.loc[3], x.index.is_unique, x.columns.get_loc("a"))),
    "a series sliced": (lambda: frame()["a"], lambda x: (x.mean(), x[3:5], x.index.is_monotonic_increasing)),
    "dates and durations taken apart": (
        lambda: pd.Series(pd.to_timedelta(range(9), unit="h"), index=pd.date_range("2024-01-01", periods=9)),
        lambda x: (x.index.day_of_week, x.index - x.index[0], x.dt.days, x.index.to_period("D").year),
    ),
    "periods and categories read": (
        lambda: pd.DataFrame({"p": pd.period_range("2024", periods=3), "c": pd.Categorical(["a", "b", "a"])}),
        lambda x: (x.p.array.year, x.p.dt.month, x.c.cat.codes, x.groupby("c", observed=True).size()),
    ),
    "a cached property": (Thing, lambda x: x.slow),
    "a model asked": (fitted, lambda x: (x.predict([[1.0, 2.0]]), repr(x), x.get_params())),
    "an array reduced": (lambda: np.arange(1000.0), lambda x: (x.sum(), x.T, x.reshape(10, 100))),
    "a dict read": (lambda: {"a": [1]}, lambda x: (x.get("b"), list(x), x["a"])),
    "a string interned": (lambda: {"key" + str(1): 1}, lambda x: setattr(Thing(), next(iter(x)), 1)),
}


@pytest.mark.parametrize("name", LOOKS)
def test_reading_does_not_change_the_fingerprint(name: str) -> None:
    make, look = LOOKS[name]
    thing = make()
    before = fingerprint(thing)
    assert before is not None
    look(thing)
    assert fingerprint(thing) == before


def test_a_change_of_an_object_that_cannot_be_pickled_is_detected() -> None:
    class Counter:
        def __init__(self) -> None:
            self.lock, self.counts = threading.Lock(), dict[str, int]()

    Counter.__module__ = "__main__"  # as a class of the notebook
    counter = Counter()
    before = fingerprint([counter])
    assert before == fingerprint([counter]) is not None
    counter.counts["a"] = 1
    assert fingerprint([counter]) != before


def test_a_write_to_a_database_counts_as_a_change_only_in_memory(tmp_path: Path) -> None:
    for place, changed in ((":memory:", True), (str(tmp_path / "file.db"), False)):
        connection = sqlite3.connect(place)
        connection.execute("create table t (x)")
        before = fingerprint(connection)
        assert fingerprint(connection) == before
        connection.execute("insert into t values (1)")
        assert (fingerprint(connection) != before) is changed
        connection.close()


def test_a_library_object_that_cannot_be_pickled_counts_by_identity() -> None:
    lock = threading.Lock()
    before = fingerprint(lock)
    with lock:
        assert fingerprint(lock) == before != fingerprint(threading.Lock())


@pytest.fixture
def loaded(tmp_path: Path):
    store = ValueStore(str(tmp_path))
    big = np.zeros(4_000_000)
    table = pd.DataFrame({"a": np.arange(10_000.0), "b": np.arange(10_000.0)})
    saved = store.save({"big": big, "table": table}, [("big", "table")])
    return store.open(saved.outputs[0].digest)


def test_unchanged_mapped_memory_is_not_read(loaded) -> None:
    resident = Path("/proc/self/statm")
    before = int(resident.read_text().split()[1])
    assert fingerprint(loaded.values["big"], [loaded.region]) is not None
    assert int(resident.read_text().split()[1]) - before < 2000  # pages; the array has 7,800


@pytest.mark.parametrize(
    ("name", "change"),
    [("big", lambda x: x.__setitem__(1_000_000, 1)), ("table", lambda x: x.__setitem__("a", 1.0))],
)
def test_a_change_of_mapped_memory_is_detected(loaded, name: str, change) -> None:
    value = loaded.values[name]
    before = fingerprint(value, [loaded.region])
    change(value)
    assert fingerprint(value, [loaded.region]) != before


def test_writing_equal_data_is_no_change(loaded) -> None:
    big = loaded.values["big"]
    before = fingerprint(big, [loaded.region])
    big[1_000_000] = 0
    assert fingerprint(big, [loaded.region]) == before


def test_a_change_beside_an_array_does_not_count(loaded) -> None:
    before = fingerprint(loaded.values["table"], [loaded.region])
    loaded.values["big"][:] = 1
    assert fingerprint(loaded.values["table"], [loaded.region]) == before


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (["drop", "drop"], ["drop", "".join(["dr", "op"])], True),  # one text twice, or two equal texts
        ([b"a", (1, 2.5)], [bytes([97]), (1, 2.5)], True),
        ([float("nan")], [float("nan")], True),
        (["drop", "keep"], ["drop", "drop"], False),
        ([[1]] * 2, [[1], [1]], False),
        (np.arange(9), np.arange(9), True),
        (np.arange(9), np.arange(9) * 2, False),
    ],
)
def test_the_same_content_may_repeat_texts_or_refer_to_them(one: object, other: object, same: bool) -> None:
    assert is_same(one, other) is same
