"""`doctor`: recover the runs of dead processes, then check this installation. `stop_servers` stops fork servers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ... import executors
from ...core.model.text import join_names, plural
from ...core.options.option_types import write_resource
from ...core.planning.resources import rounded
from ...errors import NbdagError
from ...executors import Choice
from ...executors.host_resources import offered_here
from ...home import Home, the_home
from ..execution.recovery import recover
from ..queries.monitoring.health import Finding, health
from ..queries.runs import open_store


def doctor(home: Home | None = None, *, executor: Choice | None = None) -> Iterator[Finding]:
    """Yield every finding about this installation, after recording orphaned runs as failed.

    If the home is not writable, nothing is recovered, and a finding reports that. If `executor` has the address of a
    cluster, every host of the cluster is a finding.
    """
    try:
        recovered = list(_recovered(the_home(home)))
    except NbdagError:  # the error is ignored here, because `health` reports a home that cannot be used
        recovered = []
    yield from health(home)
    yield from recovered
    yield _resources()
    if executor is not None:
        yield from _hosts(executor, home)


def stop_servers() -> None:
    """Stop the fork servers, which keep kernels warm, and kill every kernel that they forked."""
    from ...kernels.forkserver import server_registry

    with contextlib.suppress(server_registry.NoServerError, OSError):
        for server in server_registry.running():
            server_registry.stop(server.key)


def _resources() -> Finding:
    """Return what this host offers to tasks with --resources."""
    try:
        offered = offered_here()
    except NbdagError as error:
        return Finding(what="resources", level="problem", said=str(error))
    shown = [write_resource((name, rounded(name, amount))) for name, amount in offered.items()]
    return Finding(
        what="resources", level="ok", said=f"{', '.join(shown)}; NBDAG_RESOURCES declares others, such as gpu=1"
    )


def _hosts(executor: Choice, home: Home | None) -> Iterator[Finding]:
    """Check the hosts of a cluster: versions, slots, load, and access to the storage."""
    try:
        storage = the_home(home).remote or "" if executor.options else ""
        found = executors.hosts(executor, storage)
    except NbdagError as error:
        yield Finding(what="cluster", level="problem", said=str(error))
        return
    if found is None and executor.name != "local":
        said = f"{executor.name} without an address: each run starts a cluster on this machine"
        yield Finding(what="cluster", level="ok", said=said)
    if found == []:
        yield Finding(what="cluster", level="problem", said="the cluster has no worker; start some with `dask worker`")
    for host in found or ():
        versions = ", ".join(f"{name} {version}" for name, version in host.versions.items())
        said = (
            f"{host.name} at {host.address}: {host.running} of {plural(host.slots, 'slot')} busy, "
            f"load {host.load:.1f} on {plural(host.cores, 'core')}, {versions}"
        )
        if host.problem:
            yield Finding(what="host", level="problem", said=f"{said}; {host.problem}")
        else:
            yield Finding(what="host", level="ok", said=said)


def _recovered(home: Home) -> Iterator[Finding]:
    try:
        with open_store(home, to_change=True) as store:
            failed, reset = ([], []) if store is None else recover(store, home)
    except NbdagError as error:
        yield Finding(what="recovery", level="problem", said=str(error))
        return
    for row in failed:
        yield Finding(what="recovery", level="note", said=f"run {row.name} of {row.dag} is now failed: {row.error}")
    if reset:
        yield Finding(what="recovery", level="note", said=f"the next scheduler executes {join_names(reset)} again")
