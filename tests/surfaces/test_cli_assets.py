"""`nbdag assets`, and a real scheduler that runs what new data starts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from patience import LONG, until

ETL = ["%dag etl", "%%task load --produces lake/orders\nimport nbdag\nnbdag.produced('lake/orders', rows=3)"]
REPORT = [
    "%dag report --schedule on lake/orders",
    "%%task show\nprint('rows', dag_run.asset_events[0]['extra']['rows'])",
]
AFTER = ["%dag last --schedule after report", "%%task end\nx = 1"]
UNDECLARED = ["%dag odd", "%%task load\nimport nbdag\nnbdag.produced('lake/orders', rows=3)"]
ENDLESS = ["%dag endless --schedule on lake/orders", "%%task load --produces lake/orders\nx = 1"]


def write(folder: Path, name: str, cells: list[str]) -> str:
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return str(path)


@contextlib.contextmanager
def scheduler(nbdag: Any) -> Iterator[None]:
    """Run a scheduler."""
    with Path(os.devnull).open("wb") as nothing:
        quiet = {"stdout": nothing.fileno(), "stderr": nothing.fileno()}
        process = nbdag.warm.start(["scheduler"], cwd=nbdag.folder, env=nbdag.environment, **quiet)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(LONG)


@pytest.mark.slow
def test_new_data_starts_one_pipeline_after_the_other(tmp_path: Path, nbdag: Any) -> None:
    assert "no asset is known" in nbdag("assets", "list").stderr
    for name, cells in (("etl", ETL), ("report", REPORT), ("last", AFTER)):
        done = nbdag("deploy", write(tmp_path, name, cells))
        assert done.returncode == 0, done.stderr
    assert "waits for a new version of lake/orders" in done.stdout or "after report" in done.stdout
    assert "on new data" in nbdag("list").stdout
    with scheduler(nbdag):
        assert nbdag("trigger", "etl").returncode == 0

        def ended() -> bool:
            runs = json.loads(nbdag("runs", "-o", "json").stdout)
            return [run["state"] for run in runs if run["dag"] == "last"] == ["success"]

        until(ended, "the last pipeline ends")
    assert "rows 3" in nbdag("logs", "--dag", "report", "latest", "show").stdout
    events = json.loads(nbdag("assets", "events", "lake/orders", "-o", "json").stdout)
    assert [(event["dag"], event["task"], event["extra"], [*event["started"]]) for event in events] == [
        ("etl", "load", {"rows": 3}, ["report"])
    ]
    listed = {each["asset"]: each for each in json.loads(nbdag("assets", "list", "-o", "json").stdout)}
    assert listed["lake/orders"]["producers"] == [{"dag": "etl", "task": "load"}]
    assert listed["lake/orders"]["consumers"] == ["report"]
    graph = json.loads(nbdag("assets", "graph", "-o", "json").stdout)
    assert {(edge["from"], edge["to"]) for edge in graph["edges"]} == {
        ("dag:etl", "lake/orders"), ("lake/orders", "dag:report"), ("dag:report", "dag:last"),
    }  # fmt: skip
    picture = tmp_path / "lineage.svg"
    assert nbdag("assets", "graph", "-f", str(picture)).returncode == 0
    assert nbdag("assets", "graph", "-f", str(picture)).returncode == 0
    (tmp_path / "mine.svg").write_text("<svg/>")
    done = nbdag("assets", "graph", "-f", str(tmp_path / "mine.svg"))
    assert (done.returncode, (tmp_path / "mine.svg").read_text()) == (2, "<svg/>")
    assert "already exists and was not written by `nbdag assets graph`; choose another file" in done.stderr
    assert all(f">{name}</text>" in picture.read_text() for name in ("etl", "report", "last", "lake/orders"))
    assert "etl.load in manual__" in nbdag("assets", "events").stdout


def test_a_person_can_record_a_version(tmp_path: Path, nbdag: Any) -> None:
    assert nbdag("deploy", write(tmp_path, "report", REPORT)).returncode == 0
    done = nbdag("assets", "emit", "lake/orders", "-e", "rows", "7", "-e", "note", "späť")
    assert done.stdout == "lake/orders has a new version; report may run\n"
    assert "no scheduler is running" in done.stderr
    (event,) = json.loads(nbdag("assets", "events", "-o", "json").stdout)
    assert event["extra"] == {"rows": 7, "note": "späť"}
    refused = nbdag("assets", "emit", "a b")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    unknown = nbdag("assets", "events", "lake/order")
    assert unknown.returncode == 1
    assert "did you mean lake/orders?" in unknown.stderr


def test_mistakes_with_assets_are_refused_with_the_next_step(tmp_path: Path, nbdag: Any) -> None:
    endless = nbdag("check", write(tmp_path, "endless", ENDLESS))
    assert endless.returncode == 1
    assert "NB320" in endless.stdout + endless.stderr
    odd = nbdag("run", write(tmp_path, "odd", UNDECLARED))
    assert odd.returncode == 1
    assert "the task does not produce 'lake/orders'; add --produces lake/orders" in odd.stdout + odd.stderr
