"""Outcomes of earlier attempts, for tasks with `--cache`.

A task with `--cache` takes the outcome of an earlier attempt with the same key (`core.planning.cache_key`), if its
values are still stored. The task gets an attempt of its own nevertheless, with the earlier values and a copy of the
earlier notebook and log, so that the run is complete and the earlier run may be deleted.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.model.dag import Dag
from ..core.model.job import Job, Key
from ..core.planning.cache_key import cache_key, is_cached, modules_of
from ..home import Home
from ..store.rows import CachedOutcome
from .module_fingerprints import fingerprints

if TYPE_CHECKING:
    from ..store.store import Store


class ResultCache:
    """Finds earlier outcomes."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home

    def earlier(self, dag: Dag, job: Job, *, wanted: bool) -> tuple[str | None, CachedOutcome | None]:
        """Return the cache key of an attempt and the earlier outcome that it takes; None for each that does not exist.

        Without `wanted`, return the key only.
        """
        modules = modules_of(dag, job.key.task) if is_cached(job) else None
        if modules is None:
            return None, None
        key = cache_key(job, fingerprints(modules, Path(job.cwd)), sys.version)
        outcomes = self._store.cached_outcomes(job.key.dag, job.key.task, key) if wanted else []
        return key, next((each for each in outcomes if self._is_whole(each) and self._copy(each, job)), None)

    def _is_whole(self, earlier: CachedOutcome) -> bool:
        from ..values import ValueStore  # deferred: cloudpickle is slow to import

        values = ValueStore(str(self._home.values))
        return all(values.keep(digest) for digest in {output.digest for output in earlier.outputs})

    def _copy(self, earlier: CachedOutcome, job: Job) -> bool:
        """Copy the attempt's notebook and log, which the report shows; return False if that fails."""
        source = self._home.attempt(
            Key(
                dag=job.key.dag,
                run=earlier.run,
                task=job.key.task,
                map_index=earlier.map_index,
                try_number=earlier.try_number,
            )
        )
        target = Path(job.path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            for suffix in (".ipynb", ".log"):
                shutil.copyfile(source.with_suffix(suffix), target.with_suffix(suffix))
        except OSError:
            return False
        return True
