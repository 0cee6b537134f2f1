"""Answer the questions of tasks with `--approve`."""

from __future__ import annotations

import math
import os
import pwd
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ...core.model.states import RunState
from ...core.model.text import join_names, task_label
from ...core.options.options import TaskOptions
from ...errors import NbdagError, error
from ...home import Home, the_home
from ...page_urls import task_url
from ...store.rows import Change, InstanceRow, RunRow
from ...store.store import Store
from ..queries.pinned import run_dag
from ..queries.records import Run
from ..queries.runs import open_store
from .clear import Cleared, change_run, is_wanted, wanted_instances


@error
class NoQuestionError(NbdagError):
    """None of these tasks asks for approval."""

    dag: str
    run: str
    task: str
    template = "{task} of run {run} of {dag} has no open question; `nbdag approve` lists the open questions"


@error
class NotApproverError(NbdagError):
    """The user may not answer."""

    user: str
    task: str
    approvers: tuple[str, ...]
    template = "{user} may not answer for {task}; {who} may"

    @property
    def who(self) -> str:
        return join_names(self.approvers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A task's question, which a person must answer before the task runs."""

    dag: str
    run: str
    task: str  # name of the instance: `deploy`, or `deploy[3]`
    text: str
    asked: datetime
    url: str  # address of the question on the page; "" if the page's address is unknown
    until: datetime | None  # the task fails if nobody has answered by then; None: no time limit

    def to_dict(self) -> dict[str, Any]:
        """Return the question as `approve -o json` prints it."""
        return {
            "dag": self.dag,
            "run_id": self.run,
            "task": self.task,
            "question": self.text,
            "asked": self.asked.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            "url": self.url or None,
        }


def questions(*, home: Home | None = None) -> list[Question]:
    """Return the open questions of all unfinished runs, the oldest first."""
    found = []
    with open_store(the_home(home)) as store:
        if store is None:
            return []
        rows = {row.id: row for row in store.runs(states=[RunState.RUNNING])}
        for number, instances in store.instances(list(rows)).items():
            found += [_question(rows[number], each) for each in instances if each.asks]
    return sorted(found, key=lambda each: each.asked)


def answer(
    run: Run | str,
    task: str,
    approved: bool,
    *,
    why: str = "",
    by: str | None = None,
    dag: str | None = None,
    home: Home | None = None,
) -> Cleared:
    """Approve or reject a task that asks. A rejected task is skipped. Return the answered tasks and the run.

    `by` is the name of the person; None: the user of this process. Raise `NoQuestionError` or `NotApproverError`.
    """
    who = by or pwd.getpwuid(os.getuid()).pw_name  # not read from the environment, because anybody can set variables

    def step(store: Store, here: Home, row: RunRow) -> tuple[Change, list[InstanceRow]]:
        notebook = run_dag(here, row)
        instances = store.instances([row.id])[row.id]
        wanted = wanted_instances(row, notebook, instances, [task])
        at = time.time()
        asking = [
            each
            for each in instances
            if is_wanted(each, wanted) and each.asks and at < (each.answer.get("until") or math.inf)
        ]
        if not asking:
            raise NoQuestionError(row.dag, row.name, task)
        for each in asking:
            options = notebook.tasks[each.task].options if each.task in notebook.tasks else TaskOptions()
            if options.approvers and who not in options.approvers:
                raise NotApproverError(who, each.task, options.approvers)
        given = {"approved": approved, "by": who, "why": why, "at": at}
        moved = [replace(each, answer={**each.answer, **given}, wake=at) for each in asking]
        return Change(run=row, instances=moved, at=at), asking

    return change_run(run, dag, home, step)


def _question(row: RunRow, each: InstanceRow) -> Question:
    until = each.answer.get("until")
    return Question(
        dag=row.dag,
        run=row.name,
        task=task_label(each.task, each.map_index),
        text=each.answer["question"],
        url=task_url(row.dag, row.name, each.task, each.map_index),
        asked=datetime.fromtimestamp(each.answer["asked"], UTC),
        until=None if until is None else datetime.fromtimestamp(until, UTC),
    )
