"""A new store for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import nbdag.store
from nbdag.home import Home
from nbdag.store.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_database")()
    return Home(tmp_path / ".nbdag", url)


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    opened = nbdag.store.open(home)
    yield opened
    opened.close()
