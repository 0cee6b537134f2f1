"""The store: SQLite in the home by default, or the PostgreSQL database that `NBDAG_DB_URL` names.

`schema` defines the tables and `migrations` upgrades older ones; `database` connects; `store` has all queries and
changes; `rows` has the values that they take and return. Only this package uses SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..home import Home

if TYPE_CHECKING:
    from .store import Store


def open(home: Home, *, read_only: bool = False) -> Store:
    """Return the home's store; create or upgrade it if needed. With `read_only`, it need not be writable."""
    from .database import connect
    from .store import Store

    return Store(connect(home, read_only=read_only))
