"""`ui`: open the page. `up`: open the page and run the scheduler, as one command."""

from __future__ import annotations

import os
import sys

import click

from ..executors import Choice
from ..packages import require
from . import units
from ._group import examples
from .options import JOBS, KERNELS, executor_options, scheduler_words

_JUPYTER = {"ignore_unknown_options": True}
_FLAGS = click.argument("jupyter", nargs=-1, type=click.UNPROCESSED, metavar="[JUPYTER FLAGS]...")
_PUBLIC = (
    "the page asks for a token, which `journalctl --user -u nbdag-up` shows; or set a password: jupyter server password"
)


@click.command(
    context_settings=_JUPYTER,
    epilog=examples(
        ("nbdag ui", "open the page for this folder's pipelines in the browser"),
        ("nbdag ui --no-browser --port=9000", "serve it on another port, and open no browser"),
        ("nbdag ui --IdentityProvider.token=secret", "choose the token that the page asks for"),
        ("nbdag ui --help-all", "list all flags of Jupyter Server"),
    ),
)
@_FLAGS
def ui(jupyter: tuple[str, ...]) -> int:
    """Open the web page that shows and starts pipelines and runs.

    A Jupyter server with only this page starts in the foreground; Ctrl-C ends it. Flags of Jupyter Server are passed
    on. A JupyterLab or Notebook that is open already has the page, at the address nbdag/.
    """
    require()
    from ..server.launch import serve

    return serve(jupyter)


@click.command(
    context_settings=_JUPYTER,
    epilog=examples(
        ("nbdag up", "open the page, and execute runs by schedule"),
        ("nbdag up --jobs 8 --no-browser --port=9000", "at most eight tasks at once; no browser, another port"),
        (
            "nbdag up --print-unit systemd",
            "print the definition of a service that keeps the page and the scheduler running",
        ),
    ),
)
@JOBS
@KERNELS
@executor_options
@click.option(
    "--print-unit",
    type=click.Choice(units.KINDS),
    help="Print the definition of a service that keeps the page and the scheduler running, and exit.",
)
@_FLAGS
def up(jobs: int | None, kernels: str, executor: Choice, print_unit: str | None, jupyter: tuple[str, ...]) -> int:
    """Open the web page, and run the scheduler of the deployed DAGs.

    The scheduler is a separate process. On Ctrl-C it starts no more tasks; the page and the scheduler end when
    the running tasks have ended. A second Ctrl-C terminates these tasks. Flags of Jupyter Server are passed on, as by
    `nbdag ui`.
    """
    options = scheduler_words(jobs, kernels, executor)
    if print_unit is not None:
        notes = [_PUBLIC]
        if "--allow-root" not in jupyter and hasattr(os, "geteuid") and os.geteuid() == 0:
            notes.append("as root, Jupyter starts only with --allow-root: nbdag up --print-unit systemd --allow-root")
        silent = [] if "--no-browser" in jupyter else ["--no-browser"]
        words = [*options, *silent, *jupyter]
        click.echo(units.unit(print_unit, "up", *words, what="nbdag page and scheduler", notes=notes), nl=False)
        return 0
    require()
    from ..server.launch import serve_with_scheduler

    return serve_with_scheduler(jupyter, [sys.executable, "-m", "nbdag", "scheduler", "--end-with-stdin", *options])
