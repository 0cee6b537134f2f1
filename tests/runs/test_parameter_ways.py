"""Values of parameters arrive unchanged, whichever way they are given, in real kernels."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
import pytest

import nbdag
from nbdag import runs
from nbdag.cli.parameters import parameter_options, parameters
from nbdag.core.cells.parameter_types import ParameterRuleError
from nbdag.home import Home
from nbdag.runs.creation.prepare import UnknownParameterError

CELL = """%%params
from datetime import date, datetime
from enum import Enum
from pathlib import Path
class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"
day: date = date(2000, 1, 1)
moment: datetime | None = None
place: Path = Path("a")
sizes: list[float] = []
nested: dict = {}
nothing: float | None = 1.0
share: float = 0.5
limit: float = 0.5
name: str = ""
version: str = ""
big: int = 0
pair: tuple[int, str] = (1, "a")
colours: set[str] = set()
mode: Mode = Mode.FAST
flag: bool = False
plain = None
"""
VALUES: dict[str, Any] = {
    "day": date(2026, 1, 31),
    "moment": datetime(2026, 1, 31, 6, 30),
    "place": Path("data/Zoë ü.csv"),
    "sizes": [1, 2.5, -0.0],
    "nested": {"é": [None, True, {"a": [1, 'it\'s "x"']}], "": {}},
    "nothing": None,
    "share": math.nan,
    "limit": -math.inf,
    "name": "漢字 🎉 'a' \"b\" \\n {x} {{ y }} $HOME\n\tend",
    "version": "1.10",
    "big": 10**30,
    "pair": (7, "é"),
    "colours": {"red", "green"},
    "flag": True,
    "plain": [1, {"a": None}],
}
AS_JSON = {
    **VALUES, "day": "2026-01-31", "moment": "2026-01-31T06:30:00", "place": "data/Zoë ü.csv", "pair": [7, "é"],
    "colours": ["red", "green"], "mode": "SLOW",
}  # fmt: skip
TEXTS = {name: value for name, value in AS_JSON.items() if not isinstance(value, list | dict)}
YAML = json.dumps(AS_JSON, ensure_ascii=False).replace("NaN", ".nan").replace("-Infinity", "-.inf")


def said(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    @click.command()
    @parameter_options
    def command(**given: Any) -> None:
        found.update(parameters(**given))

    command.main(list(words), standalone_mode=False)
    return found


def by_p(folder: Path) -> dict[str, Any]:
    return said(*(word for name, value in TEXTS.items() for word in ("-p", name, str(value))))


def by_r(folder: Path) -> dict[str, Any]:
    return said(
        *(
            word
            for name in ("day", "moment", "place", "name", "version", "mode")
            for word in ("-r", name, str(TEXTS[name]))
        )
    )


def by_f(folder: Path) -> dict[str, Any]:
    (folder / "p.yaml").write_text(YAML, encoding="utf-8")
    return said("-f", str(folder / "p.yaml"))


WAYS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "-p": by_p,
    "-r": by_r,
    "-y": lambda folder: said("-y", YAML),
    "-f": by_f,
    "-b": lambda folder: said("-b", base64.b64encode(YAML.encode()).decode()),
    "python": lambda folder: VALUES,
}


def expected(names: Any) -> dict[str, str]:
    values = {**VALUES, "mode": None}
    found = {name: f"{type(values[name]).__name__} {values[name]!r}" for name in names}
    found |= {"place": f"PosixPath {VALUES['place']!r}"} if "place" in found else {}
    found |= {"colours": "set ['green', 'red']"} if "colours" in found else {}
    return found | ({"mode": "Mode <Mode.SLOW: 'slow'>"} if "mode" in names else {})


SEEN = (
    "%%task a --out seen\n"
    "def shown(value):\n"
    "    return f'{type(value).__name__} {sorted(value) if isinstance(value, set) else value!r}'\n"
    "seen = {name: shown(globals()[name]) for name in dag_run.conf}\n"
    "assert {name: shown(value) for name, value in dag_run.params.items() if name in seen} == seen"
)


@pytest.mark.parametrize("way", WAYS)
def test_values_arrive_unchanged(way: str, write: Callable[..., Path], home: Home, tmp_path: Path) -> None:
    given = WAYS[way](tmp_path)
    run = nbdag.run(write(CELL, SEEN), parameters=given, home=home)
    assert run.state.value == "success", run["a"].error
    assert run.value("seen") == expected(given)


@pytest.mark.slow
def test_values_arrive_through_the_database_and_the_code_of_dag(write: Callable[..., Path], home: Home) -> None:
    body = "%%dag d\nPython(f'{mode.name}_{day.year}_{place.suffix[1:]}_{len(colours)}_{pair[0]}', 'z = 1')"
    path = write(CELL, "%load_ext nbdag", SEEN, body, name="d.ipynb")
    runs.deploy(path, home=home)
    run = runs.resume(runs.trigger("d", parameters=AS_JSON, home=home), home=home)
    assert run.state.value == "success", run.error
    assert run.value("seen") == expected(AS_JSON)
    assert run["SLOW_2026_csv_2_7"].state.value == "success"
    assert repr(runs.find_run(run.id, home=home).parameters["share"]) == "nan"


WRONG = [
    ({"share": "much"}, ParameterRuleError, "parameter share is 'much', but must be a number"),
    ({"mode": "slo"}, ParameterRuleError, "did you mean 'slow'?"),
    ({"shar": 1}, UnknownParameterError, "did you mean 'share'?"),
]


@pytest.mark.parametrize(("given", "kind", "message"), WRONG)
def test_every_way_of_starting_a_run_refuses_a_wrong_value(
    given: dict[str, Any], kind: type[Exception], message: str, write: Callable[..., Path], home: Home
) -> None:
    path = write(CELL, "%dag churn --schedule @daily --start-date 2026-01-01", "%%task a\nx = share")
    runs.deploy(path, home=home)
    ways: list[Callable[[], object]] = [
        lambda: nbdag.run(path, parameters=given, home=home),
        lambda: runs.plan_run(path, parameters=given, home=home),
        lambda: runs.trigger("churn", parameters=given, home=home),
        lambda: runs.backfill("churn", datetime(2026, 1, 1), datetime(2026, 1, 2), parameters=given, home=home),
    ]
    for way in ways:
        with pytest.raises(kind) as caught:
            way()
        assert message in str(caught.value)
    assert runs.list_runs(home=home) == []


def test_a_cleared_run_that_moves_to_the_deployed_notebook_keeps_its_rules(
    write: Callable[..., Path], home: Home, in_process: object
) -> None:
    cells = ("%dag churn", "%%task a\nx = share")
    runs.deploy(write("%%params\nshare = 1", *cells), home=home)
    run = runs.resume(runs.trigger("churn", parameters={"share": 5}, home=home), home=home)
    assert run.state.value == "success"
    runs.deploy(write("%%params\nshare = 1  # in [0, 1]", *cells), home=home)
    with pytest.raises(ParameterRuleError, match="share is 5, but must be at most 1"):
        runs.clear(run.id, deployed=True, home=home)
    runs.deploy(write("%%params\nshares = 1", "%dag churn", "%%task a\nx = shares"), home=home)
    with pytest.raises(UnknownParameterError, match="did you mean 'shares'"):
        runs.clear(run.id, deployed=True, home=home)
