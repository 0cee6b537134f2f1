"""The store of all runs: the SQLite database in the home, or the PostgreSQL database that `NBDAG_DB_URL` names.

`schema` defines the tables, `migrations` upgrades older databases, and `database` connects. `store` has all queries and
changes; `rows` has the classes of their arguments and results. Only this package uses SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..home import Home

if TYPE_CHECKING:
    from .store import Store


def open(home: Home, *, read_only: bool = False) -> Store:
    """Return the home's store; create or upgrade the database if needed.

    With `read_only`, the database need not be writable.
    """
    from .database import connect
    from .store import Store

    return Store(connect(home, read_only=read_only))
