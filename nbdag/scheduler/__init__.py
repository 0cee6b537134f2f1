"""The loop that drives runs: `nbdag run` its own, the scheduler all that are due, by the same code.

Look at each run, take in what has ended, ask `core.plan` what moves, give out slots by priority and pool, save, and
only then hand the attempts to an executor. So what is recorded is never less than what was begun. Time is an argument
of `tick`; the loop around it waits for what comes first: a result, the next moment that something is due, or a change
from outside.
"""

from .due_runs import Agenda, Turn, instances_of, new_run, next_date, scheduled_name, timetable_of
from .recovery import SILENT, bury, give_up, is_gone, take_over
from .run_step import Driven, Leavings, leavings, new_instance, when
from .scheduler import BEAT, Scheduler

__all__ = [
    "BEAT",
    "SILENT",
    "Agenda",
    "Driven",
    "Leavings",
    "Scheduler",
    "Turn",
    "bury",
    "give_up",
    "instances_of",
    "is_gone",
    "leavings",
    "new_instance",
    "new_run",
    "next_date",
    "scheduled_name",
    "take_over",
    "timetable_of",
    "when",
]
