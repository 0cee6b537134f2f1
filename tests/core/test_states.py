import itertools

import pytest

from nbdag.core.model.states import (  # fmt: skip
    ACTIVE,
    FINISHED,
    RUN_FINISHED,
    STATE_PRECEDENCE,
    WAITING,
    IllegalMoveError,
    RunState,
    TaskState,
    combined_state,
    move,
)
from nbdag.core.model.text import state_phrase

# what nbdag itself may do, as whole words, written down apart from the code
TASK = {
    "none": "scheduled skipped upstream_failed removed",
    "scheduled": "queued skipped upstream_failed removed",
    "queued": "running scheduled success failed skipped up_for_retry up_for_reschedule",
    "running": "scheduled success failed skipped up_for_retry up_for_reschedule",
    "up_for_retry": "scheduled failed skipped upstream_failed removed",
    "up_for_reschedule": "scheduled failed skipped upstream_failed removed",
    "restarting": "none failed skipped",
    "success": "",
    "failed": "",
    "skipped": "",
    "upstream_failed": "",
    "removed": "",
}
RUN = {
    "queued": "running failed cancelled",
    "running": "success failed cancelled",
    "success": "",
    "failed": "",
    "cancelled": "",
}
# what a person may ask for besides
TASK_BY_USER = {
    "none": "success failed skipped",
    "queued": "success failed skipped restarting",
    "running": "success failed skipped restarting",
    "restarting": "success failed skipped",
    "success": "failed skipped none",
    "failed": "success skipped none",
    "skipped": "success failed none",
} | dict.fromkeys(
    ["scheduled", "upstream_failed", "removed", "up_for_retry", "up_for_reschedule"], "success failed skipped none"
)
RUN_BY_USER = {
    "queued": "success failed cancelled",
    "running": "success failed cancelled queued",
    "success": "failed queued",
    "failed": "success queued",
    "cancelled": "success failed queued",
}
PAIRS = [
    (kind, table, by_user, old, new)
    for kind, tables in ((TaskState, (TASK, TASK_BY_USER)), (RunState, (RUN, RUN_BY_USER)))
    for by_user, table in ((False, tables[0]), (True, {s: f"{tables[0][s]} {tables[1][s]}" for s in tables[0]}))
    for old, new in itertools.product(kind, kind)
]


@pytest.mark.parametrize(("kind", "table", "by_user", "old", "new"), PAIRS)
def test_every_illegal_move_is_rejected(kind, table, by_user, old, new):
    if new.value in table[old.value].split():
        assert move(old, new, by_user=by_user) is new
    else:
        with pytest.raises(IllegalMoveError) as refused:
            move(old, new, by_user=by_user)
        assert (refused.value.old, refused.value.new) == (old, new)


def test_an_illegal_move_names_both_states_and_a_next_step():
    with pytest.raises(
        IllegalMoveError, match=r"a task in state success cannot become running; .*`nbdag clear` resets it"
    ):
        move(TaskState.SUCCESS, TaskState.RUNNING)
    with pytest.raises(IllegalMoveError, match=r"the run is already failed; .*status"):
        move(RunState.FAILED, RunState.FAILED)


def test_every_state_is_waiting_active_or_finished_and_only_one_of_these():
    assert set(TaskState) == WAITING | ACTIVE | FINISHED
    assert len(TaskState) == len(WAITING) + len(ACTIVE) + len(FINISHED)
    assert {state for state in TaskState if not TASK[state.value]} == FINISHED
    assert {state for state in RunState if not RUN[state.value]} == RUN_FINISHED


def test_a_failure_takes_precedence_among_several_states() -> None:
    assert sorted(STATE_PRECEDENCE) == sorted(TaskState)
    assert combined_state({TaskState.SUCCESS, TaskState.RUNNING, TaskState.FAILED}) is TaskState.FAILED
    assert combined_state({TaskState.SUCCESS, TaskState.RUNNING}) is TaskState.RUNNING
    assert combined_state({TaskState.SKIPPED, TaskState.SUCCESS}) is TaskState.SUCCESS


@pytest.mark.parametrize("state", TaskState)
def test_every_task_state_has_a_phrase_for_sentences(state):
    assert state_phrase(state).strip()
