"""`db migrate`: create the database, or upgrade its schema."""

from __future__ import annotations

from ... import store as stores
from ...home import Home, the_home
from ..queries.database import DatabaseHealth, check_db


def migrate_db(home: Home | None = None) -> DatabaseHealth:
    """Create the database or upgrade its schema, and return the result of `check_db`.

    Every command that writes creates or upgrades the database first.
    """
    here = the_home(home)
    stores.open(here).close()
    return check_db(here)
