"""Shell completion: notebook files, tasks of the notebook on the command line, runs and their tasks.

Completion never prints an error: it offers nothing if a notebook or the store cannot be read.
"""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from ..errors import NbdagError


def notebooks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the matching notebook files, or let the shell complete the path if a folder also matches."""
    start = Path(incomplete)
    folder, prefix = (start, "") if incomplete.endswith(("/", "\\")) else (start.parent, start.name)
    try:
        matches = [path for path in sorted(folder.iterdir()) if path.name.startswith(prefix)]
    except OSError:
        return []
    if any(path.is_dir() and not path.name.startswith(".") for path in matches):
        return [CompletionItem(incomplete, type="file")]
    from .. import notebooks as files  # imported here because it is slow to import

    return [
        CompletionItem(str(path))
        for path in matches
        if path.suffix == ".ipynb" or (files.is_text(path) and files.has_tasks(path))
    ]


def codes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the matching problem codes, each with its title."""
    from ..core.model.problems import TABLE

    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{code}", help=kind.title)
        for code, kind in sorted(TABLE.items())
        if code.startswith(last.upper())
    ]


def tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the tasks of the notebook on the command line."""
    from .. import notebooks as files

    # While an option still has no value, click does not parse the arguments; they are in `ctx.args`.
    notebook = ctx.params.get("notebook") or next(filter(files.is_notebook, ctx.args), None)
    if notebook is None:
        return []
    before, comma, last = incomplete.rpartition(",")
    try:
        dag = files.read(notebook)
    except NbdagError:
        return []
    return [CompletionItem(before + comma + task) for task in dag.tasks if task.startswith(last)]


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the ids of the latest runs."""
    from ..runs import list_runs

    try:
        found = list_runs(limit=50)
    except NbdagError:
        return []
    items = [CompletionItem("latest", help="the latest run")]
    items += [CompletionItem(run.id, help=f"{run.dag}: {run.state.value}") for run in found]
    return [item for item in items if item.value.startswith(incomplete)]


def dags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the ids of the deployed DAGs."""
    from ..runs import list_dags

    try:
        found = list_dags()
    except NbdagError:
        return []
    return [
        CompletionItem(each.id, help=each.schedule or "on demand") for each in found if each.id.startswith(incomplete)
    ]


def notebooks_or_dags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the ids of the DAGs that are deployed or have runs, and the matching notebook files."""
    from ..runs import list_runs

    try:
        ran = dict.fromkeys(run.dag for run in list_runs(limit=100, details=False) if run.dag.startswith(incomplete))
    except NbdagError:
        ran = {}
    found = {item.value: item for item in dags(ctx, param, incomplete)}
    return [
        *found.values(),
        *(CompletionItem(dag) for dag in ran if dag not in found),
        *notebooks(ctx, param, incomplete),
    ]


def tasks_of_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the tasks of the run on the command line."""
    from ..runs import find_run

    try:
        run = find_run(ctx.params.get("run") or "latest", ctx.params.get("dag"))
    except NbdagError:
        return []
    return [
        CompletionItem(task, help=state)
        for task, state in {each.id: each.state.value for each in run}.items()
        if task.startswith(incomplete)
    ]
