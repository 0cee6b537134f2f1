"""`db check`: the state of the database, and stored values whose files are missing."""

from __future__ import annotations

from dataclasses import dataclass

from ...home import Home, the_home
from .runs import opened


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseHealth:
    """The result of checking the database."""

    where: str
    revision: str  # of its schema; "none" without a database
    faults: tuple[str, ...]
    counts: dict[str, int]  # rows per table
    missing_values: int  # values without a file, which are recorded or which a recorded one refers to
    damaged_values: tuple[str, ...] = ()  # digests of values that differ from what was stored, if all were read


def check_db(home: Home | None = None, *, read_values: bool = False) -> DatabaseHealth:
    """Check the database for faults. An old schema is upgraded, since it could not be read; nothing else is written.

    With `read_values`, compare every stored value with its digest.
    """
    from ...values import ValueStore  # slow to import, and `nbdag.runs` exports this module's names

    here = the_home(home)
    with opened(here) as store:
        if store is None:
            return DatabaseHealth(where=str(here.database), revision="none", faults=(), counts={}, missing_values=0)
        recorded, _, _ = store.maintenance.files_in_use()
        value_store = ValueStore(str(here.values))
        values = value_store.in_use(recorded)
        present = {path.name.partition(".")[0] for path in here.values.glob("*/*") if path.is_file()}
        return DatabaseHealth(
            where=store.where,
            revision=store.maintenance.revision(),
            faults=tuple(store.maintenance.integrity_errors()),
            counts=store.maintenance.counts(),
            missing_values=len(values - present),
            damaged_values=tuple(sorted(value_store.damaged(values & present))) if read_values else (),
        )
