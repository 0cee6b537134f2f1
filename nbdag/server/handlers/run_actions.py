"""Change a run and its tasks: clear, mark, cancel, approve."""

from __future__ import annotations

from ... import runs
from ...frontend.messages import RunSummary
from ...frontend.notebooks import start
from ...frontend.status import run_summary
from ..requests import AnswerBody, ClearBody, Id, MarkBody
from ..responses import Affected
from .base import ROUTES, Call


@ROUTES.post("dags/{dag}/runs/{run}/clear")
def clear_tasks(call: Call, dag: Id, run: Id, body: ClearBody) -> Affected:
    """Reset tasks of a run so that they run again. With `dry_run`, only return the affected tasks."""
    done = runs.clear(
        run,
        body.tasks,
        upstream=body.upstream,
        downstream=body.downstream,
        only_failed=body.only_failed,
        deployed=body.deployed,
        dry_run=body.dry_run,
        dag=dag,
        home=call.home,
    )
    return affected(done)


@ROUTES.post("dags/{dag}/runs/{run}/mark")
def mark_tasks(call: Call, dag: Id, run: Id, body: MarkBody) -> Affected:
    """Set the state of tasks without an attempt. With `dry_run`, only return the affected tasks."""
    return affected(runs.mark(body.state, run, body.tasks, dry_run=body.dry_run, dag=dag, home=call.home))


@ROUTES.post("dags/{dag}/runs/{run}/cancel")
def cancel_run(call: Call, dag: Id, run: Id) -> RunSummary:
    """Request the cancellation of a run; its running tasks are terminated first."""
    return run_summary(runs.cancel(run, dag, home=call.home))


@ROUTES.post("dags/{dag}/runs/{run}/approve")
def answer_question(call: Call, dag: Id, run: Id, body: AnswerBody) -> Affected:
    """Answer the question of a task with --approve: yes runs the task, no skips it."""
    return affected(runs.answer(run, body.task, body.approved, why=body.why, by=call.user, dag=dag, home=call.home))


@ROUTES.post("dags/{dag}/runs/{run}/resume")
def resume_run(call: Call, dag: Id, run: Id) -> RunSummary:
    """Execute the unsuccessful tasks of a run again.

    If a scheduler is alive, it executes the tasks; otherwise a new process does.
    """
    return start.resume_run(dag, run, home=call.home)


def affected(done: runs.Cleared) -> Affected:
    """Convert the result of a change to the form that the API sends."""
    return {
        "tasks": list(done.tasks),
        "restarting": list(done.restarting),
        "again": list(done.again),
        "queued_again": done.queued_again,
        "owner": done.owner,
        "edited": done.edited,
    }
