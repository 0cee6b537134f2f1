"""The store: SQLite in the home by default, PostgreSQL where `NBDAG_DB_URL` says so.

`schema` holds the tables and `migrations` how they came about; `database` connects; `store` asks and tells; `rows`
are the values that cross. Nothing outside this package knows of SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..home import Home

if TYPE_CHECKING:
    from .store import Store


def open(home: Home) -> Store:
    """The home's store, made or brought up to date where need be."""
    from .database import connect
    from .store import Store

    return Store(connect(home))
