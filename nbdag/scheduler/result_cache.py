"""Find outcomes of earlier attempts that tasks with `--cache` reuse.

A task with `--cache` reuses the outcome of an earlier attempt with an equal key (`core.planning.cache_key`) if the
values of the earlier attempt are still stored. A new attempt is recorded for the task, with these values and a copy of
the earlier notebook and log. So the run is complete even if the earlier run is deleted.
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
from ..storage import local_copy, upload_copy
from ..store.rows import CachedOutcome
from ..writing import create_private_file, make_private_folder
from .module_fingerprints import fingerprints

if TYPE_CHECKING:
    from ..store.store import Store


class ResultCache:
    """Finds earlier outcomes that an attempt can reuse."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home

    def earlier(self, dag: Dag, job: Job, *, wanted: bool) -> tuple[str | None, CachedOutcome | None]:
        """Return (cache key, earlier outcome) for a new attempt.

        Without --cache, both are None. If no earlier outcome fits, the outcome is None. With `wanted=False`, earlier
        outcomes are not searched, and the outcome is None.
        """
        modules = modules_of(dag, job.key.task) if is_cached(job) else None
        if modules is None:
            return None, None
        key = cache_key(job, fingerprints(modules, Path(job.cwd)), sys.version)
        outcomes = self._store.cached_outcomes(job.key.dag, job.key.task, key) if wanted else []
        return key, next((each for each in outcomes if self._is_whole(each) and self._copy(each, job)), None)

    def _is_whole(self, earlier: CachedOutcome) -> bool:
        from ..values import ValueStore  # imported here because cloudpickle is slow to import

        digests = {output.digest for output in earlier.outputs}
        if self._home.remote is not None:
            from ..values.transfer import transfer

            return transfer(str(self._home.values), self._home.remote_values).stored(digests)
        values = ValueStore(str(self._home.values))
        return all(values.touch_if_stored(digest) for digest in digests)

    def _copy(self, earlier: CachedOutcome, job: Job) -> bool:
        """Copy the earlier attempt's notebook and log, which the report needs; return False if that fails."""
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
            make_private_folder(target.parent)
            for suffix in (".ipynb", ".log"):
                create_private_file(target.with_suffix(suffix))
                shutil.copyfile(local_copy(self._home, source.with_suffix(suffix)), target.with_suffix(suffix))
                upload_copy(self._home, target.with_suffix(suffix))
        except OSError:
            return False
        return True
