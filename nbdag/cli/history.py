"""`runs`, `status`, `logs`, `cancel`: list, show and cancel runs."""

from __future__ import annotations

import codecs
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from .. import runs as api
from ..core.model.secret_names import masked
from ..core.model.states import FINISHED, RUN_FINISHED, RunState, TaskState
from ..core.model.text import join_names, run_selector, task_label
from ..core.options.option_types import nearest
from ..errors import NbdagError, error
from . import complete
from ._group import examples
from .options import COUNT, INDEX
from .output import console, duration, moment, output_option, print_data, print_table, short_path, state_text
from .progress import progress

_MAY_NOT_HAVE_BEGUN = frozenset({TaskState.SKIPPED, TaskState.UPSTREAM_FAILED, TaskState.REMOVED})
_LISTED_TASKS = 8  # number of tasks that a message lists at most
_POLL_INTERVAL = 0.1  # seconds between two reads of a growing log

RUN = click.argument("run", default="latest", shell_complete=complete.runs)
DAG = click.option("--dag", metavar="DAG", help="Consider only runs of this DAG.")


def _run_or_task(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    words = ctx.params.get("words") or ()
    if words:
        ctx.params["run"] = words[0]
        return complete.tasks_of_run(ctx, param, incomplete)
    return complete.tasks_of_run(ctx, param, incomplete) + complete.runs(ctx, param, incomplete)


RUN_AND_TASK = click.argument("words", nargs=-1, required=True, metavar="[RUN] TASK", shell_complete=_run_or_task)


@error
class TaskNeededError(NbdagError):
    """A command that needs a task got only a run."""

    exit_code = 2
    command: str
    run: str  # the run as the user wrote it
    dag: str | None  # value of --dag
    tasks: tuple[str, ...]
    template = "name a task of the run: {usage} ({some})"

    @property
    def usage(self) -> str:
        return f"nbdag {self.command} {self.run} TASK" + (f" --dag {self.dag}" if self.dag else "")

    @property
    def some(self) -> str:
        return ", ".join([*self.tasks[:_LISTED_TASKS], *(["…"] if len(self.tasks) > _LISTED_TASKS else [])])


@contextmanager
def run_and_task(words: Sequence[str], dag: str | None) -> Iterator[tuple[str, str]]:
    """Enter with the run and the task that the arguments name. If they name no run, the run is "latest".

    Raise `TaskNeededError` if the only argument is not a task of the latest run, but a run.
    """
    context = click.get_current_context()
    if len(words) > 2:
        raise click.UsageError(f"got unexpected extra argument ({words[2]})", context)
    if len(words) == 2:
        yield words[0], words[1]
        return
    try:
        yield "latest", words[0]
    except api.TaskNotInRunError:
        try:
            run = api.find_run(words[0], dag=dag)
        except NbdagError:
            run = None
        if run is None or not run.tasks:
            raise
        tasks = tuple(dict.fromkeys(task.id for task in run))
        raise TaskNeededError(context.info_name or "", words[0], dag, tasks) from None


@click.command(
    epilog=examples(
        ("nbdag runs", "the latest 20 runs, newest first"),
        ("nbdag runs --dag churn --state failed -n 5", "the latest five failed runs of churn"),
        ("nbdag runs -o json | jq '.[0].notebook'", "the path of the latest report"),
    )
)
@DAG
@click.option("--state", type=click.Choice([state.value for state in RunState]), help="List only runs in this state.")
@click.option("-n", "--limit", type=COUNT, default=20, show_default=True, help="Number of runs to list.")
@output_option
def runs(dag: str | None, state: str | None, limit: int, form: str) -> None:
    """List the latest runs."""
    found = api.list_runs(dag=dag, state=state, limit=limit)
    if form != "table":
        print_data([run.to_dict() for run in found], form)
        return
    if not found:
        click.echo(_no_runs(dag, state), err=True)
        return
    from ..frontend.status import task_state  # imported here because it is slow to import

    screen = console()
    print_table(
        ["run", "dag", "state", "started", "time", "tasks", "failed"],
        [
            [
                run.id,
                run.dag,
                state_text(run.state.value, screen),
                moment(run.started),
                duration(_so_far(run)),
                f"{sum(task.state is TaskState.SUCCESS for task in run)}/{len(run.tasks)}",
                ", ".join(
                    task_label(task.id, task.map_index) for task in run if task_state(run, task) == TaskState.FAILED
                ),
            ]
            for run in found
        ],
    )
    idle = [run for run in found if run.state not in RUN_FINISHED and not run.orphaned and not api.owner(run)]
    for run in found:
        if run.orphaned:
            click.echo(f"run {run.id} of {run.dag}: {run.orphaned}", err=True)
    if idle:
        which = f"run {idle[0].id}" if len(idle) == 1 else f"{len(idle)} of these runs"
        click.echo(f"no process executes {which}; use 'nbdag scheduler' or 'nbdag resume'", err=True)


@click.command(
    epilog=examples(
        ("nbdag status", "the latest run"),
        ("nbdag status --dag churn -o json", "the latest run of churn, for a script"),
        ("nbdag status latest -f", "follow the latest run until it ends"),
    )
)
@RUN
@DAG
@click.option("-f", "--follow", "--watch", "follow", is_flag=True, help="Follow the run until it ends.")
@output_option
def status(run: str, dag: str | None, follow: bool, form: str) -> int:
    """Show the state of a run and of its tasks.

    RUN is a run's id, an unambiguous prefix of an id, or 'latest'. With --follow, exits with 1 if the run does not
    succeed.
    """
    found = api.find_run(run, dag=dag)
    if follow and found.state not in RUN_FINISHED:
        with progress(console(stderr=form != "table"), [task.id for task in found if task.map_index < 0]) as watch:
            for event in api.follow(found):
                watch.show(event)
        found = api.find_run(found.id, found.dag)
    if form == "table":
        _print_status(found)
    else:
        print_data(found.to_dict(), form)
    return 1 if follow and found.state is not RunState.SUCCESS else 0


@click.command(
    epilog=examples(
        ("nbdag logs train", "the log of train's last attempt in the latest run"),
        ("nbdag logs latest train -f", "print the log while the task writes it"),
        ("nbdag logs latest train --try 1", "the log of the first attempt"),
        ("nbdag logs load --rendered", "print the script or SQL of task load, with its templates rendered"),
    )
)
@RUN_AND_TASK
@click.option(
    "--try",
    "try_number",
    type=COUNT,
    metavar="N",
    show_default="the last",
    help="Number of the attempt.",
)
@click.option("--index", type=INDEX, metavar="N", help="Index of an instance of a mapped task.")
@DAG
@click.option("-f", "--follow", is_flag=True, help="Follow the log until the attempt ends.")
@click.option("--rendered", is_flag=True, help="Print the rendered templates of the task instead of the log.")
def logs(
    words: tuple[str, ...], try_number: int | None, index: int | None, dag: str | None, follow: bool, rendered: bool
) -> None:
    """Print the output and the traceback of a task.

    RUN is a run's id, an unambiguous prefix of an id, or 'latest', which is the default.
    """
    map_index = -1 if index is None else index
    with run_and_task(words, dag) as (run, task):
        found = api.find_run(run, dag=dag)
        if rendered:
            _print_rendered(found, task, try_number, map_index)
            return
        read = _follow_log if follow else _copy_log
        size = read(found, task, try_number, map_index)
    if not size:
        click.echo(
            f"{task_label(task, map_index)} wrote no output to its log (run {found.id} of {found.dag})", err=True
        )


@click.command(epilog=examples(("nbdag cancel latest", "terminate the run's tasks, with all their processes")))
@RUN
@DAG
def cancel(run: str, dag: str | None) -> None:
    """Cancel a run and terminate its tasks.

    The process that executes the run terminates the tasks shortly after; a run without a process is cancelled
    immediately.
    """
    found = api.cancel(api.find_run(run, dag=dag))
    state = found.state.value if found.state in RUN_FINISHED else "cancellation requested"
    click.echo(f"run {found.id} of {found.dag}: {state}")


def _print_status(run: api.Run) -> None:
    screen = console()
    screen.print(f"run {run.id} of {run.dag}: ", state_text(run.state.value, screen), end="", sep="", soft_wrap=True)
    screen.print(f", started {moment(run.started)}" if run.started else "", end="", soft_wrap=True)
    screen.print(f", {duration(run.duration)}" if run.duration is not None else "", soft_wrap=True)
    if run.parameters:
        values = ", ".join(f"{name}={value!r}" for name, value in masked(run.parameters).items())
        screen.print(f"parameters: {values}", soft_wrap=True)
    if not run.tasks:  # the run's %%dag cell has not built the tasks yet
        screen.print(run.error or "its tasks are built when the run starts", soft_wrap=True)
        return
    from ..frontend.status import task_state  # imported here because it is slow to import

    never = api.why_not_started(run) if any(task.state in _MAY_NOT_HAVE_BEGUN for task in run) else {}
    print_table(
        ["task", "state", "tries", "started", "time", "note"],
        [
            [
                task_label(task.id, task.map_index),
                state_text(str(task_state(run, task)), screen),
                str(task.tries),
                moment(task.started),
                duration(_so_far(task)),
                _note(task, never),
            ]
            for task in run
        ],
    )
    for note in run.warnings:
        screen.print(f"warning {note.code}: {note.message}", style="yellow", soft_wrap=True)
    if run.error:
        screen.print(run.error, soft_wrap=True)
    if run.orphaned:
        screen.print(run.orphaned, soft_wrap=True)
    elif run.state not in RUN_FINISHED and not api.owner(run):
        resume = f"nbdag resume {run_selector(run.id, run.dag)}"
        screen.print(f"no process executes this run; use `nbdag scheduler` or `{resume}`", soft_wrap=True)
    screen.print(short_path(run.notebook), soft_wrap=True)


def _note(task: api.TaskRun, never: Mapping[tuple[str, int], str]) -> str:
    if task.by_hand:
        return f"marked {task.state.value} by hand"
    if (task.id, task.map_index) in never:
        return never[task.id, task.map_index]
    notes = [f"cached: result of run {task.cached}"] if task.cached else []
    notes += [f"on {task.host}"] if task.host not in (None, socket.gethostname()) else []
    notes += [f"chose {join_names(task.chosen) or 'no task'}"] if task.chosen is not None else []
    text = task.error or "; ".join([*notes, *(note.message for note in task.warnings)])
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _so_far(timed: api.TaskRun | api.Run) -> float | None:
    if timed.duration is None and timed.started is not None and timed.state.value == "running":
        return max(0.0, time.time() - timed.started)
    return timed.duration


def _no_runs(dag: str | None, state: str | None) -> str:
    if not (dag or state):
        return "no runs yet; 'nbdag run NOTEBOOK' starts one"
    near = similar_dag(dag) if dag else None
    return f"no matching runs; did you mean --dag {near}?" if near else "no matching runs"


def similar_dag(dag: str) -> str | None:
    """Return the known DAG of which `dag` may be a misspelling, or None."""
    known = {run.dag for run in api.list_runs(limit=1000)} | {each.id for each in api.list_dags()}
    return None if dag in known else nearest(dag, known)


def _print_rendered(run: api.Run, task: str, try_number: int | None, map_index: int) -> None:
    texts = api.rendered(run, task, try_number, map_index)
    if not texts:
        raise click.ClickException(f"task {task} of run {run.id} has rendered no template")
    for name, text in texts.items():
        click.echo(click.style(f"# {name}", bold=True))
        click.echo(text)


def _copy_log(run: api.Run, task: str, try_number: int | None, map_index: int) -> int:
    """Print the log of an attempt and return its size in bytes."""
    return _copy(api.logs(run, task, try_number, map_index), 0)


def _follow_log(run: api.Run, task: str, try_number: int | None, map_index: int) -> int:
    """Print the log of a task until the task ends, and return the size in bytes of the last attempt's log."""
    at = 0
    path: Path | None = None
    while True:
        found = api.find_run(run.id, run.dag)
        instance = found[(task, map_index) if map_index >= 0 else task]
        ended = (
            bool(found.orphaned)
            or found.state in RUN_FINISHED
            or (instance.state in FINISHED or (try_number is not None and instance.tries > try_number))
        )
        if instance.tries or ended:
            current = api.logs(found, task, try_number, map_index)
            # A retry has started: first print the rest of the previous attempt's log.
            if path is not None and current != path:
                _copy(path, at)
                at = 0
            path = current
            at = _copy(path, at, required=ended)
        if ended:
            return at
        time.sleep(_POLL_INTERVAL)


def _copy(path: Path, start: int, *, required: bool = True) -> int:
    """Print a file from the position `start` and return the position of its end."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            write = _writer()
            while block := file.read(1 << 16):
                write(block)
            sys.stdout.flush()
            return file.tell()
    except FileNotFoundError:
        if required:
            raise click.ClickException(
                f"no log at {short_path(path)}: it was deleted, or the task did not run"
            ) from None
        return start


def _writer() -> Callable[[bytes], object]:
    """Return a function that writes bytes to standard output. In a notebook, it writes text."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is not None:
        write: Callable[[bytes], object] = buffer.write
        return write
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return lambda block: sys.stdout.write(decoder.decode(block))


__all__: list[Any] = ["cancel", "logs", "runs", "status"]
