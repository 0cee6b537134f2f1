"""A new store for each test: SQLite always, PostgreSQL where NBDAG_TEST_POSTGRES_URL names a server."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

import nbdag.store
from nbdag.home import Home
from nbdag.store.store import Store

POSTGRES = os.environ.get("NBDAG_TEST_POSTGRES_URL")


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    if request.param == "sqlite":
        yield Home(tmp_path / ".nbdag")
        return
    if not POSTGRES:
        pytest.skip("NBDAG_TEST_POSTGRES_URL names no server")
    name = f"nbdag_{uuid.uuid4().hex[:12]}"
    server = make_url(POSTGRES).set(drivername="postgresql+psycopg")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield Home(tmp_path / ".nbdag", server.set(database=name).render_as_string(hide_password=False))
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    opened = nbdag.store.open(home)
    yield opened
    opened.close()
