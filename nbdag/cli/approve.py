"""`approve`: answer the questions of tasks that wait for a person."""

from __future__ import annotations

import click

from .. import runs as api
from ..core.model.text import run_selector
from . import complete
from ._group import examples
from .output import output_option, print_data, print_table


@click.command(
    epilog=examples(
        ("nbdag approve", "list the tasks that wait for an answer"),
        ("nbdag approve latest deploy", "say yes: the task runs"),
        ("nbdag approve latest deploy --no --why 'recall is too low'", "say no: the task is skipped"),
    )
)
@click.argument("run", required=False, shell_complete=complete.runs)
@click.argument("task", required=False, shell_complete=complete.tasks_of_run)
@click.option("--no", "rejected", is_flag=True, help="Answer no: the task and the tasks that need it are skipped.")
@click.option("--why", default="", metavar="TEXT", help="The reason, which the task's output and the report show.")
@click.option(
    "--dag", help="The DAG of the run, if several DAGs have a run with this id.", shell_complete=complete.dags
)
@output_option
def approve(run: str | None, task: str | None, rejected: bool, why: str, dag: str | None, form: str) -> None:
    """Answer the question of a task that waits for a person.

    A task with --approve 'Ship {accuracy:.1%}?' runs once a person has said yes. Without arguments, the open questions
    are listed.
    """
    if run is None:
        _list(form)
        return
    if task is None:
        raise click.UsageError("which task? 'nbdag approve' lists the open questions")
    done = api.answer(run, task, not rejected, why=why, dag=dag)
    if form != "table":
        print_data(
            {"run_id": done.run.id, "dag": done.run.dag, "tasks": list(done.tasks), "approved": not rejected}, form
        )
        return
    click.echo(f"{task} is {'rejected' if rejected else 'approved'} in run {done.run.id} of {done.run.dag}")
    if not done.owner:
        click.echo(
            f"no process executes this run; use 'nbdag scheduler' or 'nbdag resume "
            f"{run_selector(done.run.id, done.run.dag)}'",
            err=True,
        )


def _list(form: str) -> None:
    found = api.questions()
    if form != "table":
        print_data([each.to_dict() for each in found], form)
        return
    if not found:
        click.echo("no task waits for an answer", err=True)
        return
    linked = any(each.url for each in found)
    print_table(
        ["dag", "run", "task", "question", "asked", "until", *(["page"] if linked else [])],
        [
            [
                each.dag,
                each.run,
                each.task,
                each.text,
                f"{each.asked.astimezone():%Y-%m-%d %H:%M %Z}",
                "" if each.until is None else f"{each.until.astimezone():%Y-%m-%d %H:%M %Z}",
                *([each.url] if linked else []),
            ]
            for each in found
        ],
    )
