"""`db check`: find faults of the database, and recorded values whose files are missing."""

from __future__ import annotations

from dataclasses import dataclass

from ...home import Home, the_home
from .runs import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseHealth:
    """The result of checking the database."""

    where: str
    revision: str  # revision of the schema; "none" without a database
    faults: tuple[str, ...]
    counts: dict[str, int]  # number of rows of each table
    # Number of missing files of values, both of recorded values and of values to which recorded values refer.
    missing_values: int
    damaged_values: tuple[str, ...] = ()  # digests of values whose files are damaged; empty unless `read_values` is set


def check_db(home: Home | None = None, *, read_values: bool = False) -> DatabaseHealth:
    """Check the database for faults. An old schema is upgraded so that it can be read; nothing else is written.

    With `read_values`, compare every stored value with its digest.
    """
    from ...values import ValueStore  # imported here because it is slow to import and `nbdag.runs` imports this module

    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            return DatabaseHealth(where=str(here.database), revision="none", faults=(), counts={}, missing_values=0)
        recorded, _, _ = store.maintenance.files_in_use()
        value_store = ValueStore(here.remote_values or str(here.values))
        values = value_store.in_use(recorded)
        present = value_store.digests()
        return DatabaseHealth(
            where=store.where,
            revision=store.maintenance.revision(),
            faults=tuple(store.maintenance.integrity_errors()),
            counts=store.maintenance.counts(),
            missing_values=len(values - present),
            damaged_values=tuple(sorted(value_store.damaged(values & present))) if read_values else (),
        )
