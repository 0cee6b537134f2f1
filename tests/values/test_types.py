"""The registry of types, and rules that an installed package adds to it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbdag.values import TypeRulesError, is_safe
from nbdag.values.types import rule_of

RULES = """
    from nbdag.values import TypeRule

    RULES = [
        TypeRule(
            "meters:Meter",
            reduce=lambda meter, state: (make, (meter.value,)),
            fingerprint=lambda meter: meter.value,
            summary=lambda meter: f"{meter.value} m",
            immutable=True,
        )
    ]

    def make(value):
        from meters.length import Meter
        return Meter(value, made_by="the rule")
"""
LENGTH = """
    import threading

    class Meter:
        def __init__(self, value, made_by="hand"):
            self.value, self.made_by, self.lock = value, made_by, threading.Lock()  # a lock cannot be pickled

        def __setitem__(self, key, value): ...

    class Tape(Meter): ...
"""


@pytest.fixture
def meters(tmp_path: Path) -> Path:
    """An installed package whose types need rules of their own; the folder is that of its installation."""
    files = {
        "meters/__init__.py": "from .length import Meter",
        "meters/length.py": LENGTH,
        "meters/nbdag_types.py": RULES,
        "meters-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: meters\nVersion: 1.0\n",
        "meters-1.0.dist-info/entry_points.txt": "[nbdag.types]\nmeters = meters.nbdag_types:RULES\n",
    }
    for name, text in files.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return tmp_path / "site"


def test_rules_of_an_installed_package_apply_to_its_types_and_their_subclasses(
    meters: Path, tmp_path: Path, elsewhere: Callable[[str], str]
) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(meters)!r})
        from meters.length import Meter, Tape
        from nbdag.values import ValueStore, fingerprint, summarise

        store = ValueStore({str(tmp_path / "values")!r})
        meter = Tape(3)
        saved = store.save({{"one": meter, "both": [meter]}})
        assert saved.sharing == ()  # it is immutable
        assert store.load(saved.outputs[0].digest)["one"].made_by == "the rule"
        before = fingerprint(meter)
        meter.made_by = "nobody"
        assert fingerprint(meter) == before is not None
        meter.value = 4
        assert fingerprint(meter) != before
        print(summarise(meter))
    """
    assert elsewhere(code) == "4 m"


def test_packages_are_not_searched_for_types_of_python_and_of_the_notebook(elsewhere: Callable[[str], str]) -> None:
    code = """
        import sys
        from nbdag.values import dump, fingerprint, summarise

        class Model: ...

        for value in (1, [1], {"a": Model()}):
            dump(value), fingerprint(value), summarise(value)
        print("importlib.metadata" in sys.modules)
    """
    assert elsewhere(code) == "False"


def test_rules_that_cannot_be_loaded_name_their_package(meters: Path, elsewhere: Callable[[str], str]) -> None:
    (meters / "meters/nbdag_types.py").write_text("import absent", encoding="utf-8")
    code = f"""
        import sys
        sys.path.insert(0, {str(meters)!r})
        from meters import Meter
        from nbdag.values import TypeRulesError, dump
        try:
            dump([Meter(1)])
        except TypeRulesError as error:
            print(error)
    """
    said = elsewhere(code)
    assert said.startswith("the type rules of package meters cannot be loaded (ModuleNotFoundError: ")
    assert str(TypeRulesError("a", "b")) == (
        "the type rules of package a cannot be loaded (b); repair or uninstall the package"
    )


class Text(str): ...


class Pair(tuple[int, int]): ...


@pytest.mark.parametrize(
    ("value", "immutable", "safe"),
    [
        (1, True, True), (True, True, True), (None, True, True), (Text("a"), True, True), (textwrap, True, True),
        (Pair((1, 2)), True, False), (np.float64(1), True, True), (np.dtype("f8"), True, False),
        (pd.Timestamp(0), True, False), (pd.Index([1]), True, False), (pd.array([1]), True, False),
        (pd.Int64Dtype(), True, False), (Path("a"), True, False), ([], False, False), (np.ones(1), False, False),
        (pd.DataFrame(), False, False),
    ],
)  # fmt: skip
def test_a_value_has_the_rules_of_all_classes_of_its_type(value: Any, immutable: bool, safe: bool) -> None:
    assert bool(rule_of(value).immutable) is immutable
    assert is_safe(value) is safe


def test_a_rule_names_a_class_by_a_package_above_its_module() -> None:
    import polars as pl
    import pyarrow as pa

    assert rule_of(pl.DataFrame()).immutable
    assert rule_of(pl.Int64()).immutable
    assert rule_of(pa.array([1])).immutable
    assert rule_of(pd.DataFrame({"a": [1]})._mgr.blocks[0]).unshared is not None
