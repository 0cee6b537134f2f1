"""`doctor`: what could keep notebooks from running here, each with its remedy."""

from __future__ import annotations

from dataclasses import asdict

import click

from .. import runs
from ._group import examples
from .output import console, output_option, print_data

_SIGNS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("problem", "bold red")}


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
        runs.stop_servers()
    found = list(runs.doctor())
    if form == "table":
        screen = console()
        for finding in found:
            word, style = _SIGNS[finding.level]
            screen.print(f"{word:8}", style=style, end="")
            screen.print(f"{finding.what}: {finding.said}", soft_wrap=True)
    else:
        print_data([asdict(finding) for finding in found], form)
    return 1 if any(finding.level == "problem" for finding in found) else 0
