"""The store: SQLite in the home by default, PostgreSQL where `NBDAG_DB_URL` says so.

`schema` holds the tables and `migrations` how they came about; `database` connects; `store` asks and tells; `rows`
are the values that cross. Nothing outside this package knows of SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..home import Home

if TYPE_CHECKING:
    from .store import Store


def open(home: Home, *, read_only: bool = False) -> Store:
    """Open the home's store; create or upgrade it if needed. With `read_only` it need not be writable."""
    from .database import connect
    from .store import Store

    return Store(connect(home, read_only=read_only))
