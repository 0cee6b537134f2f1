"""Options that several commands share."""

from __future__ import annotations

import click

EXECUTOR = click.option(
    "--executor", default="local", show_default=True, metavar="NAME", help="Executor that runs the tasks."
)
