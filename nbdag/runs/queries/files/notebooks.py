"""Find pinned notebooks: of a deployment, of a run, or of a recorded version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....core.model.dag import Dag
from ....errors import NbdagError, error
from ....home import Home, the_home
from ..deployments import NotDeployedError
from ..pinned import notebook_dag, pinned_text
from ..runs import UnknownRunError, find_row, open_store

if TYPE_CHECKING:
    from ....store.store import Store


@error
class UnknownVersionError(NbdagError):
    """The DAG has no version with this number or digest."""

    dag: str
    version: str
    known: tuple[int, ...]  # numbers of the versions
    template = "{dag} has no version {short}; {hint}"

    @property
    def short(self) -> str:
        return self.version[:12]

    @property
    def hint(self) -> str:
        return f"its versions are {self.known[0]} to {self.known[-1]}" if self.known else "it has no recorded version"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedNotebook:
    """A notebook as it was when it was pinned."""

    digest: str
    path: Path  # the notebook's file when it was pinned
    text: bytes
    home: Home
    run: str = ""  # id of the requested run; "" if no run was requested

    @property
    def dag(self) -> Dag:
        """Return the notebook's DAG. The DAG is computed only on access, because a large notebook takes a second."""
        return notebook_dag(self.home, self.digest, self.text, self.path.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A recorded version of a DAG's notebook."""

    number: int  # number of the version, from 1
    digest: str
    created: float
    deployed: bool  # whether new runs use this version
    runs: int  # number of runs of this version
    last_run: str | None  # id of the newest run of this version


def pinned_notebook(
    dag: str, *, run: str | None = None, version: str | None = None, home: Home | None = None
) -> PinnedNotebook:
    """Return the notebook of a run, or of a version (its number or digest); by default, the deployed notebook.

    If the DAG is not deployed, return the notebook of its newest run.
    """
    here = the_home(home)
    with open_store(here) as store:
        if store is None:
            raise NotDeployedError(dag, ()) if run is None else UnknownRunError(run, dag, here.root)
        digest, path, name = _which(store, here, dag, run, version)
    text = pinned_text(here, digest, run or dag)
    return PinnedNotebook(digest=digest, path=Path(path), text=text, home=here, run=name)


def list_versions(dag: str, *, home: Home | None = None) -> list[Version]:
    """Return the recorded versions of a DAG's notebook, newest first."""
    with open_store(the_home(home)) as store:
        found = [] if store is None else recorded_versions(store, dag)
        if not found:
            raise NotDeployedError(dag, () if store is None else tuple(store.dags()))
        return found


def find_version(dag: str, version: str, *, home: Home | None = None) -> Version:
    """Return a recorded version by its number or digest. Raise `NotDeployedError` or `UnknownVersionError`."""
    return _version(list_versions(dag, home=home), dag, version)


def recorded_versions(store: Store, dag: str) -> list[Version]:
    """Return the recorded versions of a DAG's notebook, newest first; [] if the DAG is unknown."""
    row = store.deployments.get(dag)
    found = [
        Version(
            number=number,
            digest=each.digest,
            created=each.created,
            deployed=row is not None and row.digest == each.digest,
            runs=each.runs,
            last_run=each.last_run,
        )
        for number, each in enumerate(store.listings.versions(dag), 1)
    ]
    return found[::-1]


def _which(store: Store, here: Home, dag: str, run: str | None, version: str | None) -> tuple[str, str, str]:
    """Return the digest and the path of a notebook, and the id of the run."""
    if run is not None:
        row = find_row(store, here, run, dag)
        return row.digest, row.path, row.name
    deployed = store.deployments.get(dag)
    latest = next(iter(store.runs(dag=dag, limit=1)), None)
    if deployed is None and latest is None:
        raise NotDeployedError(dag, tuple(each.id for each in store.deployments.all()))
    path = deployed.path if deployed is not None else latest.path if latest is not None else ""
    if version is not None:
        return _version(recorded_versions(store, dag), dag, version).digest, path, ""
    return (deployed.digest if deployed is not None else latest.digest if latest is not None else ""), path, ""


def _version(versions: Sequence[Version], dag: str, wanted: str) -> Version:
    for each in versions:
        if wanted in (str(each.number), each.digest):
            return each
    raise UnknownVersionError(dag, wanted, tuple(sorted(each.number for each in versions)))
