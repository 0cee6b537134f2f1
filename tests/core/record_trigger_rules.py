"""Ask Airflow's trigger rules about outcomes of upstream tasks, and write the answers into trigger_rules.json.

    /path/to/venv-with-airflow-3/bin/python tests/core/record_trigger_rules.py

The code that answers is that of Airflow's scheduler, `TriggerRuleDep`; it gets a task whose upstream tasks have the
wanted states. A row is the outcomes of upstream tasks: S success, K skipped, F failed, U upstream_failed, R removed, a
dot unfinished; those of setup tasks stand before a bar. The answer is R run, W wait, K skipped or U upstream_failed.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

LETTERS = {"S": "success", "K": "skipped", "F": "failed", "U": "upstream_failed", "R": "removed", ".": None}
ANSWERS = {"skipped": "K", "upstream_failed": "U"}


def rows() -> Iterator[str]:
    """Yield all outcomes of up to five upstream tasks, without setup tasks."""
    for size in range(1, 6):
        yield from map("".join, itertools.combinations_with_replacement(LETTERS, size))


def teardown_rows() -> Iterator[str]:
    """Yield all outcomes of one or two setup tasks and of up to two other tasks."""
    for setups, others in itertools.product((1, 2), range(3)):
        for setup in itertools.combinations_with_replacement(LETTERS, setups):
            for other in itertools.combinations_with_replacement(LETTERS, others):
                yield f"{''.join(setup)}|{''.join(other)}"


def answer(rule: str, row: str) -> str:
    """Return Airflow's answer to one row."""
    from airflow.task.trigger_rule import TriggerRule
    from airflow.ti_deps.deps.trigger_rule_dep import TriggerRuleDep
    from airflow.utils.state import TaskInstanceState

    setups, bar, others = row.rpartition("|")
    upstream = [
        SimpleNamespace(task_id=f"t{n}", is_setup=n < len(setups), get_needs_expansion=lambda: False)
        for n in range(len(setups + others))
    ]
    ended = [
        SimpleNamespace(task=task, task_id=task.task_id, map_index=-1, state=TaskInstanceState(LETTERS[letter]))
        for task, letter in zip(upstream, setups + others, strict=True)
        if letter != "."
    ]
    task = SimpleNamespace(
        task_id="asked",
        upstream_task_ids={each.task_id for each in upstream},
        upstream_list=upstream,
        trigger_rule=TriggerRule(rule),
        is_teardown=bool(bar),
        dag=None,  # all upstream tasks are direct ones
        get_closest_mapped_task_group=lambda: None,
        get_upstreams_only_setups=lambda: (),
    )
    states: list[str] = []
    asked = SimpleNamespace(
        task=task,
        map_index=-1,
        get_dagrun=lambda session: None,
        set_state=lambda state, session: states.append(state.value) or True,
    )
    context = SimpleNamespace(
        flag_upstream_failed=True,
        wait_for_past_depends_before_skipping=False,
        ensure_finished_tis=lambda run, session: ended,
    )
    statuses = list(TriggerRuleDep()._get_dep_statuses(asked, context, session=None))
    if states:
        return ANSWERS[states[-1]]
    return "R" if all(status.passed for status in statuses) else "W"


def main() -> None:
    """Record all rows."""
    from airflow.task.trigger_rule import TriggerRule

    table = {rule.value: {row: answer(rule.value, row) for row in rows()} for rule in TriggerRule}
    table["all_done_setup_success"] |= {row: answer("all_done_setup_success", row) for row in teardown_rows()}
    found = {rule: by_answer(answers) for rule, answers in table.items()}
    text = json.dumps(found, indent=1, sort_keys=True)
    Path(__file__).with_name("trigger_rules.json").write_text(text + "\n")


def by_answer(answers: dict[str, str]) -> dict[str, str]:
    """Return the rows with each answer, separated by blanks."""
    return {letter: " ".join(row for row, each in answers.items() if each == letter) for letter in "RWKU"}


if __name__ == "__main__":
    main()
