"""Tests that the analysis and the views of a large notebook are stored, and computed where they cannot be read."""

from __future__ import annotations

import json

import pytest

from nbdag import notebooks, runs
from nbdag.frontend import pinned_views
from nbdag.frontend.graph import picture
from nbdag.frontend.notebooks.cells import notebook_cells
from nbdag.home import Home
from nbdag.runs.queries import pinned


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / ".nbdag")


@pytest.fixture
def counted(monkeypatch):
    """Count how often a picture is computed."""
    made = []
    drawn = pinned_views.picture
    monkeypatch.setattr(pinned_views, "picture", lambda dag, **more: made.append(dag) or drawn(dag, **more))
    return made


@pytest.fixture
def every_notebook_is_large(monkeypatch):
    monkeypatch.setattr(pinned_views, "MANY_TASKS", 1)
    monkeypatch.setattr(pinned, "MANY_TASKS", 1)


def deploy(folder, home, tasks=3):
    cells = [
        {"cell_type": "code", "id": f"c{n}", "source": f"%%task t{n}\nx{n} = 1", "metadata": {}, "outputs": [],
         "execution_count": None}
        for n in range(tasks)
    ]  # fmt: skip
    path = folder / "wide.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    runs.deploy(path, home=home)
    pinned_views.prepare("wide", home=home)
    forget()


def forget():
    """Forget what this process knows, as a new process would."""
    pinned.notebook_dag.cache_clear()
    pinned_views._picture.cache_clear()
    pinned_views._cells.cache_clear()


def views(home, width=1400.0, height=600.0):
    found = runs.pinned_notebook("wide", home=home)
    drawn = pinned_views.pinned_picture(
        found, home=home, direction="auto", collapsed=False, folded=(), space=(width, height)
    )
    return drawn, pinned_views.pinned_cells(found, home=home)


@pytest.mark.usefixtures("every_notebook_is_large")
def test_another_process_reads_the_views_without_analysing_the_notebook(tmp_path, home, counted, monkeypatch):
    deploy(tmp_path, home)
    found = runs.pinned_notebook("wide", home=home)
    expected = picture(found.dag, space=(1350.0, 560.0), notebook=found.path), notebook_cells(found)
    counted.clear()
    monkeypatch.setattr(runs.PinnedNotebook, "dag", property(lambda _: pytest.fail("analysed the notebook")))
    assert views(home) == expected
    assert counted == []


@pytest.mark.usefixtures("every_notebook_is_large")
def test_another_process_reads_the_analysis_that_was_stored_when_the_notebook_was_pinned(tmp_path, home, monkeypatch):
    deploy(tmp_path, home)
    found = runs.pinned_notebook("wide", home=home)
    expected = notebooks.read_text(found.text, name="wide.ipynb")
    monkeypatch.setattr(notebooks, "read_text", lambda *_, **__: pytest.fail("analysed the notebook"))
    assert found.dag == expected


def test_a_view_that_would_not_read_back_equal_is_not_stored(home):
    runs.store_view(home, "d", "numbers", [float("nan")], list[float])
    runs.store_view(home, "d", "objects", [object()], list[object])
    runs.store_view(home, "d", "surrogates", ["\ud800"], list[str])
    runs.store_view(home, "d", "texts", {"a": 1}, dict[str, int])
    assert len(list((home.files / "views").iterdir())) == 1
    assert runs.read_view(home, "d", "numbers", list[float]) is None
    assert runs.read_view(home, "d", "texts", dict[str, int]) == {"a": 1}


def test_spaces_of_nearly_the_same_size_share_a_picture(tmp_path, home, counted):
    deploy(tmp_path, home)
    views(home, 1000.0)
    views(home, 1050.0)
    assert len(counted) == 1
    views(home, 300.0)
    assert len(counted) == 2


@pytest.mark.usefixtures("every_notebook_is_large")
def test_a_damaged_or_unwritable_file_is_no_error(tmp_path, home, counted):
    deploy(tmp_path, home)
    first = views(home)
    for content in (b"", b"{", b"[]", b"\xff"):
        for path in (home.files / "views").iterdir():
            path.write_bytes(content)
        forget()
        assert views(home) == first
    for path in (home.files / "views").iterdir():
        path.unlink()
    (home.files / "views").rmdir()
    (home.files / "views").write_text("not a folder")
    forget()
    assert views(home) == first
    pinned_views.prepare("wide", home=home)


def test_a_view_of_a_small_notebook_is_computed_and_nothing_is_written(tmp_path, home, counted):
    deploy(tmp_path, home)
    views(home)
    assert len(counted) == 1
    assert not (home.files / "views").exists()


@pytest.mark.usefixtures("every_notebook_is_large")
def test_gc_deletes_the_views_of_a_version_that_is_not_needed(tmp_path, home, monkeypatch):
    deploy(tmp_path, home)
    views(home)
    assert runs.gc(home=home).views == 0
    deploy(tmp_path, home, tasks=4)
    monkeypatch.setattr("nbdag.runs.actions.gc.GRACE", -60.0)
    runs.remove("wide", home=home)
    assert runs.gc(home=home).views > 4
    assert list((home.files / "views").iterdir()) == []
