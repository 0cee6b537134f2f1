"""Schedulers, open questions, and the health of this installation."""

from __future__ import annotations

from ... import runs
from ..requests import SchedulerQuery
from ..responses import Health, QuestionList, SchedulerState
from .base import ROUTES, Call


@ROUTES.get("scheduler")
def get_scheduler(call: Call, query: SchedulerQuery) -> SchedulerState:
    """Return the processes that execute runs, the tasks that wait or run, and the overdue pipelines."""
    found = runs.overview(limit=query.limit, home=call.home)
    return {
        "processes": [
            {
                "pid": each.pid,
                "host": each.host,
                "kind": each.kind,
                "started": each.started,
                "heartbeat": each.heartbeat,
                "alive": each.alive,
                "jobs": each.jobs,
                "running": each.running,
            }
            for each in found.processes
        ],
        "hosts": [
            {
                "name": each.name,
                "address": each.address,
                "executor": each.executor,
                "slots": each.slots,
                "running": each.running,
                "load": each.load,
                "cores": each.cores,
                "problem": each.problem,
            }
            for each in found.hosts
        ],
        "queue": [
            {
                "dag": each.dag,
                "run": each.run,
                "task": each.task,
                "map_index": each.map_index,
                "state": each.state,
                "tries": each.tries,
                "pool": each.pool,
                "slots": each.slots,
                "wake": each.wake,
                "started": each.started,
            }
            for each in found.queue
        ],
        "states": {state.value: number for state, number in found.states.items()},
        "runs": {state.value: number for state, number in found.runs.items()},
        "unowned": found.unowned,
        "overdue": [{"dag": each.dag, "since": each.since} for each in found.overdue],
        "deployed": found.deployed,
        "paused": found.paused,
    }


@ROUTES.get("health")
def get_health(call: Call) -> Health:
    """Check this installation. Each problem is reported with a remedy."""
    return {"items": [{"what": each.what, "level": each.level, "said": each.said} for each in runs.health(call.home)]}


@ROUTES.get("questions")
def list_questions(call: Call) -> QuestionList:
    """List the open questions of all runs, the oldest first."""
    return {
        "items": [
            {
                "dag": each.dag,
                "run": each.run,
                "task": each.task,
                "text": each.text,
                "asked": each.asked.timestamp(),
                "until": None if each.until is None else each.until.timestamp(),
            }
            for each in runs.questions(home=call.home)
        ]
    }
