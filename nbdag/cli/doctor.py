"""`doctor`: check this installation, and print a remedy for each problem."""

from __future__ import annotations

from dataclasses import asdict

import click

from .. import runs
from ..executors import Choice
from ._group import examples
from .options import executor_options
from .output import console, output_option, print_data

_SIGNS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "bold red")}


@click.command(
    epilog=examples(
        ("nbdag doctor", "check packages, kernels, graphs, the home folder and the scheduler"),
        ("nbdag doctor --executor dask --address tcp://host:8786", "check also every host of this cluster"),
        ("nbdag doctor -o json", "print the results as JSON, for a script"),
        ("nbdag doctor --stop-servers", "terminate the servers that keep kernels warm between runs"),
    )
)
@click.option("--stop-servers", is_flag=True, help="Terminate the servers of warm kernels and all their kernels.")
@executor_options
@output_option
def doctor(form: str, stop_servers: bool, executor: Choice) -> int:
    """Check this installation for problems.

    With --executor and --address, check also the hosts of a cluster: versions, slots, load, access to the storage.
    Servers of warm kernels exit NBDAG_IDLE seconds (default 600) after the last run. Exits with 1 if a problem was
    found.
    """
    if stop_servers:
        runs.stop_servers()
    found = list(runs.doctor(executor=executor))
    if form == "table":
        screen = console()
        for finding in found:
            word, style = _SIGNS[finding.level]
            screen.print(f"{word:8}", style=style, end="")
            screen.print(f"{finding.what}: {finding.said}", soft_wrap=True)
    else:
        print_data([asdict(finding) for finding in found], form)
    return 1 if any(finding.level == "problem" for finding in found) else 0
