"""`run`: a notebook, headlessly, in the foreground."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import runs
from ..core.model.states import RunState, TaskState
from ..core.model.text import task_label
from ..packages import require
from ..runs.creation.prepare import choose, plain_parameters
from . import complete
from ._group import INTERRUPTED, examples, fail
from .failures import say_failures
from .notebook import NOTEBOOK, read_aloud, say_problems
from .output import console, duration, print_data, short_path
from .parameters import parameter_options, parameters
from .progress import progress

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])


def _tasks(flag: str, name: str, help: str) -> Callable[[F], F]:
    """An option that takes tasks: separated by commas, or repeated."""

    def split(ctx: click.Context, param: click.Parameter, said: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(task for part in said for task in part.replace(",", " ").split()))

    return click.option(
        flag,
        name,
        multiple=True,
        metavar="TASK[,TASK…]",
        callback=split,
        shell_complete=complete.tasks,
        help=help,
    )


@click.command(
    epilog=examples(
        ("nbdag run churn.ipynb", "every task, as many at once as there are cores"),
        ("nbdag run churn.ipynb -p alpha 0.5 -p region EU", "with other parameters"),
        ("nbdag run churn.ipynb out/today.ipynb --jobs 4", "the report goes to a file of your choice"),
        ("nbdag run churn.ipynb --from train", "train and what follows, with the latest run's values"),
        ("nbdag run churn.ipynb --no-cache", "tasks with --cache as well run anew"),
        ("nbdag run churn.ipynb --upto features --dry-run", "say what would run, and why"),
        ("nbdag run churn.ipynb --json | jq .state", "the outcome, for programs"),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@click.argument("output", required=False, type=NOTEBOOK, metavar="[OUT]")
@parameter_options
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Tasks at once; the number of cores.")
@_tasks("--only", "only", "Run these tasks alone.")
@_tasks("--upto", "upto", "Run these tasks and all before them.")
@_tasks("--from", "from_", "Run these tasks and all after them.")
@click.option(
    "--run", "values_from", metavar="RUN", shell_complete=complete.runs, help="Whose values a partial run takes."
)
@click.option("--dry-run", is_flag=True, help="Say what would run, and why; run nothing.")
@click.option("--fail-fast/--no-fail-fast", default=None, help="End the run when a task fails; as %dag says.")
@click.option("--no-cache", is_flag=True, help="Let tasks with --cache run anew, changed or not.")
@click.option(
    "--kernels",
    type=click.Choice(["warm", "fresh"]),
    default="warm",
    show_default=True,
    help="Fork a kernel that has its imports done where possible, or start each anew.",
)
@click.option("--overwrite", is_flag=True, help="Let the report replace OUT, even if that is no report.")
@click.option("--no-resident", is_flag=True, help="Keep no server of warm kernels for the next run.")
@click.option("-k", "--kernel", metavar="NAME", help="Kernel to use instead of the notebook's.")
@click.option(
    "--cwd", type=click.Path(path_type=Path), metavar="FOLDER", help="Where tasks run; the notebook's folder."
)
@click.option("--progress/--no-progress", "show", default=True, help="Show what happens as it happens.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON; all else goes to standard error.")
def run(
    notebook: Path,
    output: Path | None,
    jobs: int | None,
    only: Sequence[str],
    upto: Sequence[str],
    from_: Sequence[str],
    values_from: str | None,
    dry_run: bool,
    fail_fast: bool | None,
    no_cache: bool,
    kernels: str,
    overwrite: bool,
    no_resident: bool,
    kernel: str | None,
    cwd: Path | None,
    show: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Run a notebook headlessly, task by task, in parallel.

    Each task runs in a kernel of its own. The last line is the path of the report: the notebook with every task's
    outputs in its own cell, which can be opened while the run goes on. Exits with 1 where a task failed.
    """
    require()
    values = parameters(**said)
    which: dict[str, Any] = {"only": only, "upto": upto, "from_": from_, "values_from": values_from}
    built = read_aloud(notebook, parameters=plain_parameters(values), cwd=cwd, kernel_name=kernel)
    dag = built.dag
    say_problems(dag, notebook, err=True)
    if dag.errors:
        return 1
    if dry_run:
        about = {**which, "parameters": values, "built": built, "cache": not no_cache}
        return _say_plan(notebook, about, as_json)
    if no_resident:
        os.environ["NBDAG_IDLE"] = "0"
    chosen = choose(dag, only=only, upto=upto, from_=from_)
    screen = console(stderr=as_json)
    seen: list[str] = []
    told: set[str] = set()
    with progress(screen, list(chosen.tasks), show=show) as watch:

        def on_event(event: runs.Event) -> None:
            if not seen:
                seen.append(event.run_id)
            if show and event.kind == "run":
                told.add(event.message)
            watch.show(event)

        try:
            done = runs.run(
                notebook,
                parameters=values,
                jobs=jobs,
                output=output,
                overwrite=overwrite,
                kernels=kernels,
                kernel_name=kernel,
                cwd=cwd,
                fail_fast=fail_fast,
                cache=not no_cache,
                on_event=on_event,
                built=built,
                **which,
            )
        except KeyboardInterrupt:
            fail(f"interrupted: run {seen[0]} of {dag.id} is cancelled" if seen else "interrupted", INTERRUPTED)
    say_outcome(done, screen, told)
    if as_json:
        print_data(done.to_dict())
    return 0 if done.state is RunState.SUCCESS else 1


def say_outcome(run: runs.Run, screen: Console, told: Collection[str] = ()) -> None:
    """What a person needs to know of a run that has ended, and has not been `told` yet; last, where its report is."""

    def say(line: str, style: str = "") -> None:
        screen.print(line, style=style, soft_wrap=True)

    for note in run.warnings:
        if note.message not in told:
            say(f"warning {note.code}: {note.message}", "yellow")
    for task in run:
        for note in task.warnings:
            say(f"{task_label(task.id, task.map_index)}: warning {note.code}: {note.message}", "yellow")
    say_failures(run, [task for task in run if task.state is TaskState.FAILED], say)
    if run.error and not any(task.state is TaskState.FAILED for task in run):
        say(run.error, "bold red")
    counts: dict[str, int] = {}
    for task in run:
        counts[task.state.value] = counts.get(task.state.value, 0) + 1
    tasks = ", ".join(f"{count} {state}" for state, count in counts.items())
    say("")
    say(f"run {run.id} of {run.dag}: {run.state.value} in {duration(run.duration)} ({tasks})")
    say(short_path(run.notebook))


def _say_plan(notebook: Path, which: dict[str, Any], as_json: bool) -> int:
    planned = runs.plan_of(notebook, **which)
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
