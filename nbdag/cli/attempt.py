"""`attempt`: execute one attempt of a task, for a program that plans the run itself, such as Airflow."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from .. import runs
from ..core.model.attempt_command import INDEX_VARIABLE, NOT_YET, SKIPPED
from ..core.model.states import TaskState
from ..packages import require
from . import complete
from ._group import examples
from .notebook import NOTEBOOK
from .options import COUNT, KERNELS, date
from .output import write_file
from .parameters import parameter_options, parameters

EXIT_CODES = {TaskState.SUCCESS: 0, TaskState.SKIPPED: SKIPPED, TaskState.UP_FOR_RESCHEDULE: NOT_YET}


def _mapping(ctx: click.Context, param: click.Parameter, text: str | None) -> dict[str, Any]:
    """Parse the JSON object of --conf, and return the parameters that it sets."""
    try:
        found = json.loads(text or "{}")
    except ValueError as reason:
        raise click.BadParameter(f"invalid JSON: {reason}") from None
    if not isinstance(found, dict):
        raise click.BadParameter(f'expected an object such as {{"alpha": 0.5}}, not {type(found).__name__}')
    return found


@click.command(
    epilog=examples(
        ("nbdag attempt churn.ipynb extract --run monday", "execute task extract in the run monday"),
        ("nbdag attempt churn.ipynb train --run monday", "execute train with the values that extract stored"),
        ("nbdag attempt churn.ipynb train --run monday --try 2", "try train again"),
        ("nbdag attempt churn.ipynb trial --run monday --elements", "evaluate --map: print the instances as JSON"),
        ("nbdag attempt churn.ipynb trial --run monday --map-index 0", "execute the first instance"),
        ("nbdag attempt churn.ipynb extract --run monday -p alpha 0.5", "set a parameter, as for nbdag run"),
    )
)
@click.argument("notebook", type=NOTEBOOK, shell_complete=complete.notebooks)
@click.argument("task", shell_complete=complete.tasks)
@click.option("--run", "run_id", required=True, metavar="ID", help="Id of the run, the same for all of its attempts.")
@click.option("--try", "try_number", type=COUNT, default=1, show_default=True, help="Number of this try, from 1.")
@click.option(
    "--max-tries",
    type=click.IntRange(min=0),
    metavar="N",
    show_default="the task's --retries",
    help="Number of retries: a try up to number N may be followed by another. After a failure that must not be "
    "retried, such as that of a --check, further tries with the same number N fail without executing the cell.",
)
@click.option(
    "--map-index",
    type=click.IntRange(min=-1),
    default=-1,
    envvar=INDEX_VARIABLE,
    show_envvar=True,
    metavar="N",
    help="Index of an instance of a mapped task.",
)
@click.option("--elements", is_flag=True, help="Evaluate the --map of a mapped task instead of executing an instance.")
@click.option(
    "--logical-date",
    callback=date,
    metavar="DATE",
    show_default="now",
    help="Date of the run, by default in the time zone of the DAG. The data interval of a run whose id begins with "
    "scheduled__ or backfill__ begins at the tick before.",
)
@parameter_options
@click.option("--conf", metavar="JSON", callback=_mapping, help="Set parameters from a JSON object.")
@click.option(
    "--code-version",
    "version",
    metavar="VERSION",
    help="Fail if the code of the notebook has another version than this one, which `nbdag export airflow` writes.",
)
@click.option(
    "--storage",
    metavar="FOLDER|URL",
    show_default="NBDAG_STORAGE, else the folder of the runs",
    help="Place of values, notebooks and logs, which every host of the run can write.",
)
@click.option(
    "--with-files",
    metavar="DIGEST",
    show_default="the files beside the notebook",
    help="Use the files of %dag --with that `nbdag export airflow` has copied into the storage.",
)
@click.option(
    "--environment",
    metavar="DIGEST",
    show_default="resolved on this host",
    help="Use the packages of %dag --requires whose exact versions `nbdag export airflow` has stored.",
)
@click.option("--poll-once", is_flag=True, help="Let a sensor with --reschedule poll once, instead of waiting.")
@click.option(
    "--result", "result_file", metavar="FILE", help="Write the JSON that is printed at the end into this file, too."
)
@KERNELS
@click.option("-k", "--kernel", metavar="NAME", show_default="the notebook's", help="Name of the kernel to use.")
@click.option(
    "--cwd",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    show_default="the notebook's folder",
    help="Working directory of the task.",
)
def attempt(
    notebook: Path,
    task: str,
    run_id: str,
    try_number: int,
    max_tries: int | None,
    map_index: int,
    elements: bool,
    logical_date: datetime | None,
    conf: dict[str, Any],
    version: str | None,
    storage: str | None,
    with_files: str | None,
    environment: str | None,
    poll_once: bool,
    result_file: str | None,
    kernels: str,
    kernel: str | None,
    cwd: Path | None,
    **parameter_values: Any,
) -> int:
    """Execute one attempt of a task, for another scheduler.

    The attempt uses no database: it loads the values that earlier attempts of the run have stored, and stores its own.
    The other program decides which task starts when, and retries failed tasks. `nbdag export airflow` writes a DAG file
    that calls this command.

    Prints the output of the cell. For a branch, the last line is the list of the tasks that follow, as JSON; for a task
    with --short-circuit it is true or false; with --elements, it is a list with the environment variables of each
    instance.

    Exit codes: 0 success, 1 failed, 2 wrong usage, 75 the condition of a sensor is not true yet (with --poll-once), 99
    skipped, 130 interrupted.
    """
    require()
    if elements and map_index >= 0:
        map_index = -1 if os.environ.get(INDEX_VARIABLE) == str(map_index) else map_index
    done = runs.attempt(
        notebook,
        task,
        run=run_id,
        map_index=map_index,
        elements=elements,
        try_number=try_number,
        max_tries=max_tries,
        logical_date=logical_date,
        parameters={**conf, **parameters(**parameter_values)},
        version=version,
        with_files=with_files,
        environment=environment,
        poll_once=poll_once,
        cwd=cwd,
        kernel_name=kernel,
        kernels=kernels,
        storage=storage,
        on_output=lambda text: click.echo(text, nl=False),
    )
    if done.state is not TaskState.SUCCESS:
        label = "not yet" if done.state is TaskState.UP_FOR_RESCHEDULE else done.state.value
        click.echo(f"nbdag: {task} {label}{f': {done.error}' if done.error else ''}", err=True)
    if done.notebook is not None:
        click.echo(f"nbdag: the notebook of this attempt is {done.notebook}", err=True)
    answer = json.dumps(done.answer)
    if result_file is not None:
        write_file(Path(result_file), answer.encode())
    if done.answer is not None:
        click.echo(answer)
    return EXIT_CODES.get(done.state, 1)
