"""`doctor`: what could keep notebooks from running here, each with its remedy."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import click

from .. import home
from ..core.reasons import several
from ..errors import NbdagError
from ._group import examples
from .output import console, moment, output_option, print_data

_LITTLE = 200 * 2**20  # bytes: less free space than this is worth a word
_SIGNS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "bold red")}
_PACKAGES = ("papermill", "ipykernel", "jupyter_client", "nbclient", "sqlalchemy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: str  # "ok", "note" or "problem"
    said: str  # one sentence; for a problem with its remedy


@click.command(
    epilog=examples(
        ("nbdag doctor", ""),
        ("nbdag doctor -o json", ""),
        ("nbdag doctor --stop-servers", "end what keeps kernels warm between runs"),
    )
)
@click.option("--stop-servers", is_flag=True, help="End the servers of warm kernels, with what runs in them.")
@output_option
def doctor(form: str, stop_servers: bool) -> int:
    """Look for what could keep notebooks from running here.

    Servers of warm kernels stay for NBDAG_IDLE seconds (600) after the last run. Exits with 1 where a problem was
    found.
    """
    if stop_servers:
        from ..kernels import resident

        with contextlib.suppress(resident.NoServerError, OSError):
            for server in resident.running():
                resident.stop(server.key)
    found = list(_findings())
    if form == "table":
        screen = console()
        for finding in found:
            word, style = _SIGNS[finding.level]
            screen.print(f"{word:8}", style=style, end="")
            screen.print(f"{finding.what}: {finding.said}", soft_wrap=True)
    else:
        print_data([asdict(finding) for finding in found], form)
    return 1 if any(finding.level == "problem" for finding in found) else 0


def _findings() -> Iterator[Finding]:
    yield Finding(
        what="nbdag",
        level="ok",
        said=f"{version('nbdag')} on Python {platform.python_version()} ({sys.executable}), {platform.platform()}",
    )
    yield from _packages()
    yield _kernel()
    yield _warm()
    yield _graphviz()
    yield from _home()
    yield from _schedule()


def _packages() -> Iterator[Finding]:
    present = []
    for name in _PACKAGES:
        try:
            present.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding(what=name, level="problem", said=f"it is not installed: python -m pip install {name}")
    yield Finding(what="packages", level="ok", said=", ".join(present))


def _kernel() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    known = KernelSpecManager().find_kernel_specs()
    if "python3" in known:
        return Finding(what="kernels", level="ok", said=", ".join(sorted(known)))
    return Finding(
        what="kernels", level="problem", said="no python3 kernel is installed: python -m ipykernel install --sys-prefix"
    )


def _warm() -> Finding:
    from ..kernels import resident

    what = "warm kernels"
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return Finding(what=what, level="note", said="this system cannot fork them; tasks get ordinary kernels, slower")
    try:
        servers = resident.running()
    except (resident.NoServerError, OSError) as error:
        return Finding(what=what, level="note", said=f"{error}; until then tasks get ordinary kernels, slower")
    waiting = ", ".join(f"process {server.pid}, {server.memory >> 20} MB" for server in servers)
    return Finding(what=what, level="ok", said=f"forked on demand; servers now: {waiting or 'none'}")


def _graphviz() -> Finding:
    from ..graphs import engine

    try:
        return Finding(what="pictures", level="ok", said=f"laid out by {engine()}")
    except NbdagError as error:
        return Finding(what="pictures", level="note", said=str(error))


def _home() -> Iterator[Finding]:
    here = home.find()
    place = here.root
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        yield Finding(
            what="state",
            level="problem",
            said=f"{here.root} cannot be written: make it writable, or set NBDAG_HOME to another folder",
        )
        return
    used = "" if here.root.exists() else " (nothing is there yet)"
    yield Finding(what="state", level="ok", said=f"{here.root}{used}")
    if here.url is not None:
        yield Finding(what="database", level="ok", said="NBDAG_DB_URL names one")
    free = shutil.disk_usage(place).free
    if free < _LITTLE:
        yield Finding(
            what="disk", level="note", said=f"only {free >> 20} MB are free at {place}: values of tasks are kept there"
        )
    if here.exists:
        from ..runs import list_runs

        try:
            latest = list_runs(limit=1)
            said = (
                f"the latest run is {latest[0].id} of {latest[0].dag}, {latest[0].state.value}" if latest else "no runs"
            )
            yield Finding(what="store", level="ok", said=said)
        except NbdagError as error:
            yield Finding(what="store", level="problem", said=str(error))


def _schedule() -> Iterator[Finding]:
    """Whether a scheduler is alive, since when, and what is overdue."""
    if not home.find().exists:
        return
    from ..runs.alive import standing

    try:
        found = standing()
    except NbdagError:
        return  # said already
    for by in found.alive:
        yield Finding(
            what="scheduler",
            level="ok",
            said=f"process {by.pid} on {by.host.partition('/')[0]} is alive, since {moment(by.started)}",
        )
    if not found.alive and (found.deployed or found.waiting):
        yield Finding(
            what="scheduler",
            level="problem" if found.overdue or found.waiting else "note",
            said=f"none is alive; deployed: {several(found.deployed, 'DAG')}; waiting: {several(found.waiting, 'run')} "
            "('nbdag scheduler' starts one)",
        )
    for dag, since in found.overdue:
        yield Finding(what="overdue", level="problem", said=f"{dag} was to run at {moment(since)}")
