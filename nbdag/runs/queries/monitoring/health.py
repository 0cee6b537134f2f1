"""Check this installation for problems that prevent notebooks from running; each problem is reported with a remedy."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from .... import page_urls
from ....core.model.text import plural
from ....errors import NbdagError
from ....home import Home, the_home, without_secrets
from ....packages import PackagesError, find_unmet, is_built, unbuilt
from ....storage import files_at
from ..liveness import live_schedulers
from ..runs import list_runs, open_store
from .overview import LATE

_LOW_SPACE = 200 * 2**20  # bytes; a note is shown if less space is free
_PACKAGES = ("papermill", "ipykernel", "jupyter_client", "nbclient", "sqlalchemy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    what: str  # the subject of the check, such as "kernels"
    level: Literal["ok", "note", "problem"]
    said: str  # one sentence about the result; for a problem, including the remedy


def health(home: Home | None = None) -> Iterator[Finding]:
    """Check this installation; yield the findings one by one."""
    yield Finding(
        what="nbdag",
        level="ok",
        said=f"{version('nbdag')} on Python {platform.python_version()} ({sys.executable}), {platform.platform()}",
    )
    yield from _packages()
    yield _kernel()
    yield _fork_server()
    yield _graphviz()
    yield _front_end()
    yield from _page_address()
    try:
        here = the_home(home)
    except NbdagError as error:
        yield Finding(what="state", level="problem", said=str(error))
        return
    yield from _state(here)
    if here.exists:
        yield from _store(here)
        yield from _schedule(here)


def _page_address() -> Iterator[Finding]:
    address = os.environ.get(page_urls.VARIABLE, "")
    if address and not page_urls.run_url("dag", "run"):
        said = (
            f"{page_urls.VARIABLE} is {address!r}, which is not an address, so notices have no links to the page; "
            "set it to an address such as https://hub.example.org/user/ada/nbdag/, or unset it"
        )
        yield Finding(what="page", level="problem", said=said)


def _packages() -> Iterator[Finding]:
    present = []
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            present.append(f"{name} {version(name)}")
    for each in find_unmet():
        yield Finding(what=each.name, level="problem", said=str(PackagesError([each])))
    yield Finding(what="packages", level="ok", said=", ".join(present))


def _kernel() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    known = KernelSpecManager().find_kernel_specs()
    if "python3" in known:
        return Finding(what="kernels", level="ok", said=", ".join(sorted(known)))
    return Finding(
        what="kernels",
        level="problem",
        said="no python3 kernel is installed; run python -m ipykernel install --sys-prefix",
    )


def _fork_server() -> Finding:
    from ....kernels.forkserver import server_registry

    what = "warm kernels"
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return Finding(
            what=what,
            level="note",
            said="this system cannot fork kernels; tasks get ordinary kernels, which start more slowly",
        )
    try:
        servers = server_registry.running()
    except (server_registry.NoServerError, OSError) as error:
        return Finding(
            what=what, level="note", said=f"{error}; until then tasks get ordinary kernels, which start more slowly"
        )
    waiting = ", ".join(f"process {server.pid}, {server.memory >> 20} MB" for server in servers)
    return Finding(what=what, level="ok", said=f"forked on demand; servers now: {waiting or 'none'}")


def _graphviz() -> Finding:
    from ....graphs import engine

    try:
        return Finding(what="pictures", level="ok", said=f"laid out by {engine()}")
    except NbdagError as error:
        return Finding(what="pictures", level="note", said=str(error))


def _front_end() -> Finding:
    if is_built():
        return Finding(what="front end", level="ok", said="built")
    return Finding(what="front end", level="note", said=unbuilt())


def _state(home: Home) -> Iterator[Finding]:
    place = home.root
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield Finding(
            what="state",
            level="problem",
            said=f"{home.root} is not writable; make it writable, or set NBDAG_HOME to another folder",
        )
        return
    used = "" if home.root.exists() else " (not created yet)"
    yield Finding(what="state", level="ok", said=f"{home.root}{used}")
    if home.url is not None:
        yield Finding(what="database", level="ok", said=f"NBDAG_DB_URL is {without_secrets(home.url)}")
    if home.storage is not None:
        yield _storage(home.storage, home.remote)
    free = shutil.disk_usage(place).free
    if free < _LOW_SPACE:
        yield Finding(
            what="disk",
            level="note",
            said=f"only {free >> 20} MB are free at {place}, where values of tasks are stored",
        )


def _storage(place: str, url: str | None) -> Finding:
    """Check that files can be written to the storage."""
    try:
        if url is not None:
            files_at(url).check()
        elif not os.access(place, os.W_OK | os.X_OK):
            return Finding(what="storage", level="problem", said=f"{place} is not a folder that nbdag can write to")
    except NbdagError as error:
        return Finding(what="storage", level="problem", said=str(error))
    return Finding(what="storage", level="ok", said=f"NBDAG_STORAGE is {place}")


def _store(home: Home) -> Iterator[Finding]:
    try:
        latest = list_runs(limit=1, home=home)
    except NbdagError as error:
        yield Finding(what="store", level="problem", said=str(error))
        return
    said = f"the latest run is {latest[0].id} of {latest[0].dag}, {latest[0].state.value}" if latest else "no runs"
    yield Finding(what="store", level="ok", said=said)


def _schedule(home: Home) -> Iterator[Finding]:
    """Check whether a scheduler is alive, and whether any run is overdue."""
    now = time.time()
    try:
        with open_store(home) as store:
            if store is None:
                return
            alive = live_schedulers(store, now)
            deployed, waiting = len(store.deployments.all()), store.deployments.count_unowned()
            due = store.deployments.due(now - LATE)
    except NbdagError:
        return  # the check of the store has already reported this error
    overdue = [(row.id, row.next_date) for row in due if row.next_date is not None]
    for row in alive:
        yield Finding(
            what="scheduler",
            level="ok",
            said=f"process {row.pid} on {row.host.partition('/')[0]} is alive, since {_moment(row.started)}",
        )
    if not alive and (deployed or waiting):
        yield Finding(
            what="scheduler",
            level="problem" if overdue or waiting else "note",
            said=f"no scheduler is alive; deployed: {plural(deployed, 'DAG')}; waiting: {plural(waiting, 'run')} "
            "('nbdag scheduler' starts one)",
        )
    for dag, since in overdue:
        yield Finding(what="overdue", level="problem", said=f"{dag} should have run at {_moment(since)}")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
