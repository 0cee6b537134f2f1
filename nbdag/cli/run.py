"""`run`: execute a notebook headlessly, in the foreground."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import notebooks, runs
from ..core.cells.parameter_schema import rules_text, type_text
from ..core.model.secret_names import masked_sources, masked_value
from ..core.model.states import RunState, TaskState
from ..core.model.text import task_label
from ..executors import Choice
from ..packages import require
from . import complete
from ._group import INTERRUPTED, examples, fail
from .failures import print_failures
from .notebook import NOTEBOOK, print_problems, read_notebook
from .options import ALLOW_UNKNOWN, JOBS, executor_options, task_names
from .output import console, duration, print_data, short_path
from .parameters import parameter_options, parameters
from .progress import progress

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])


def _tasks(flag: str, name: str, help: str) -> Callable[[F], F]:
    """Return an option for task names; names are separated by commas, or the option is repeated."""
    return click.option(
        flag,
        name,
        multiple=True,
        metavar="TASK[,TASK…]",
        callback=task_names,
        shell_complete=complete.tasks,
        help=help,
    )


@click.command(
    epilog=examples(
        ("nbdag run churn.ipynb", "run all tasks"),
        ("nbdag run churn.ipynb -p alpha 0.5 -p region EU", "set parameters"),
        ("nbdag run churn.ipynb --help-notebook", "print the notebook's parameters, with types, rules and defaults"),
        ("nbdag run churn.ipynb out/today.ipynb --jobs 4", "write the report to this file"),
        ("nbdag run churn.ipynb --from train", "run train and its downstream tasks, with values of earlier runs"),
        ("nbdag run churn.ipynb --no-cache", "ignore cached results"),
        ("nbdag run churn.ipynb --upto features --dry-run", "print which tasks would run, and why"),
        ("nbdag run churn.ipynb --json | jq .state", "print the run's state, for a script"),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@click.argument("output", required=False, type=NOTEBOOK, metavar="[OUT]")
@parameter_options
@ALLOW_UNKNOWN
@JOBS
@click.option("--help-notebook", is_flag=True, help="Print the notebook's parameters, and run nothing.")
@_tasks("--only", "only", "Run only these tasks.")
@_tasks("--upto", "upto", "Run these tasks and their upstream tasks.")
@_tasks("--from", "from_", "Run these tasks and their downstream tasks.")
@click.option(
    "--run",
    "values_from",
    metavar="RUN",
    shell_complete=complete.runs,
    show_default="the latest run with these values",
    help="Earlier run that provides the values of tasks that are not selected.",
)
@click.option("--dry-run", is_flag=True, help="Print which tasks would run, and why; run nothing.")
@click.option(
    "--fail-fast/--no-fail-fast",
    default=None,
    show_default="as set by %dag",
    help="End the run as soon as a task fails.",
)
@click.option(
    "--no-cache", is_flag=True, help="Ignore cached results: also run tasks with the option --cache that are unchanged."
)
@click.option(
    "--kernels",
    type=click.Choice(["warm", "fresh"]),
    default="warm",
    show_default=True,
    help="Fork kernels with their imports already done, if possible (warm), or start a new kernel per task (fresh).",
)
@executor_options
@click.option("--overwrite", is_flag=True, help="Write the report to OUT even if that file is not a run report.")
@click.option("--no-resident", is_flag=True, help="Do not keep the server of warm kernels for the next run.")
@click.option("-k", "--kernel", metavar="NAME", show_default="the notebook's", help="Name of the kernel to use.")
@click.option(
    "--cwd",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    show_default="the notebook's folder",
    help="Working directory of the tasks.",
)
@click.option("--progress/--no-progress", "show", default=True, help="Show the progress of the run.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the result as JSON on standard output; print everything else on standard error.",
)
def run(
    notebook: Path,
    output: Path | None,
    allow_unknown: bool,
    jobs: int | None,
    help_notebook: bool,
    only: Sequence[str],
    upto: Sequence[str],
    from_: Sequence[str],
    values_from: str | None,
    dry_run: bool,
    fail_fast: bool | None,
    no_cache: bool,
    kernels: str,
    executor: Choice,
    overwrite: bool,
    no_resident: bool,
    kernel: str | None,
    cwd: Path | None,
    show: bool,
    as_json: bool,
    **parameter_values: Any,
) -> int:
    """Run a notebook headlessly, task by task, in parallel.

    Each task runs in its own kernel. The report is a copy of the notebook that shows each task's outputs in the task's
    cell; it can be opened during the run. The report is written to OUT, or to the folder of the run; its path is the
    last printed line. Exits with 1 if the run does not succeed.
    """
    require()
    _reject_assignment(output)
    if help_notebook:
        return _print_parameters(notebook)
    values = parameters(**parameter_values)
    selection: dict[str, Any] = {"only": only or None, "upto": upto or None, "from_": from_ or None}
    which: dict[str, Any] = {
        **selection,
        "values_from": values_from,
        "parameters": values,
        "allow_unknown": allow_unknown,
        "output": output,
        "overwrite": overwrite,
        "kernel_name": kernel,
        "cwd": cwd,
        "cache": not no_cache,
    }
    built = read_notebook(notebook, parameters=runs.plain_parameters(values), cwd=cwd, kernel_name=kernel)
    dag = built.dag
    print_problems(dag, notebook, err=True)
    if dag.errors:
        return 1
    if dry_run:
        return _print_plan(notebook, {**which, "built": built}, executor, as_json)
    if no_resident:
        os.environ["NBDAG_IDLE"] = "0"
    chosen = runs.choose(dag, **selection)
    screen = console(stderr=as_json)
    run_ids: list[str] = []
    printed: set[str] = set()
    with progress(screen, list(chosen.tasks), show=show) as display:

        def on_event(event: runs.Event) -> None:
            if not run_ids:
                run_ids.append(event.run_id)
            if show and event.kind == "run":
                printed.add(event.message)
            display.show(event)

        try:
            done = runs.run(
                notebook,
                jobs=jobs,
                kernels=kernels,
                executor=executor,
                fail_fast=fail_fast,
                on_event=on_event,
                built=built,
                **which,
            )
        except KeyboardInterrupt:
            fail(f"interrupted: run {run_ids[0]} of {dag.id} is cancelled" if run_ids else "interrupted", INTERRUPTED)
    print_outcome(done, screen, printed)
    if as_json:
        print_data(done.to_dict())
    return 0 if done.state is RunState.SUCCESS else 1


def _reject_assignment(output: Path | None) -> None:
    """Reject `seed=3` in place of a report: this is how other tools set a parameter."""
    name, equals, value = str(output or "").partition("=")
    if output is None or not equals or not name.isidentifier() or output.suffix == ".ipynb":
        return
    value = str(masked_value(name, value))
    raise click.UsageError(
        f"{name}={value} is not a notebook file; to set a parameter, write -p {name} {shlex.quote(value)}",
        click.get_current_context(),
    )


def _print_parameters(notebook: Path) -> int:
    """Print the parameters of a notebook in papermill's form, each with the rules that its values must follow."""
    dag = notebooks.read(notebook)
    click.echo(f"Parameters of {short_path(notebook)}:\n")
    if not dag.parameters:
        click.echo("  no parameters; mark a cell with %%params or papermill's tag parameters")
    for name, default in masked_sources(dag.parameters).items():
        schema = dag.parameter_schemas[name]
        definition = f"  {name}: {type_text(schema) or 'any type'} (default {default})"
        about = "; ".join(each for each in (str(schema.get("description", "")), rules_text(schema)) if each)
        if len(definition) > 32 and about:
            click.echo(f"{definition}\n{' ' * 34}{about}")
        else:
            click.echo(f"{definition:<34}{about}".rstrip())
    return 0


def print_outcome(run: runs.Run, screen: Console, printed: Collection[str] = ()) -> None:
    """Print the warnings, failures and state of an ended run, and finally the path of its report.

    `printed` contains messages that the progress display has shown; these are not repeated.
    """

    def print_line(line: str, style: str = "") -> None:
        screen.print(line, style=style, soft_wrap=True)

    for note in run.warnings:
        if note.message not in printed:
            print_line(f"warning {note.code}: {note.message}", "yellow")
    for task in run:
        for note in task.warnings:
            print_line(f"{task_label(task.id, task.map_index)}: warning {note.code}: {note.message}", "yellow")
    failed = [task for task in run if task.state is TaskState.FAILED and not run.has_cancelled(task.state, task.ended)]
    print_failures(run, failed, print_line)
    if failed and run.source is not None:
        tasks = ",".join(dict.fromkeys(task.id for task in failed))
        same = ", with the same parameters" if run.parameters else ""
        print_line(f"  (after a repair: nbdag run {shlex.quote(short_path(run.source))} --from {tasks}{same})")
    if run.error and not failed:
        print_line(run.error, "bold red")
    tasks = ", ".join(f"{count} {state}" for state, count in run.task_counts.items())
    print_line("")
    print_line(f"run {run.id} of {run.dag}: {run.state.value} in {duration(run.duration)} ({tasks})")
    print_line(short_path(run.notebook))


def _print_plan(notebook: Path, options: dict[str, Any], executor: Choice, as_json: bool) -> int:
    planned = runs.plan_run(
        notebook, **options, on_note=lambda note: click.echo(f"warning {note.code}: {note.message}", err=True)
    )
    if as_json:
        print_data(
            [
                {"task": each.task, "runs": each.runs, "reason": each.reason, "after": list(each.after)}
                for each in planned
            ]
        )
        return 0
    width = max((len(each.task) for each in planned), default=0)
    for each in planned:
        click.echo(f"{'run ' if each.runs else 'keep'}  {each.task:<{width}}  {each.reason}".rstrip())
    return 0
