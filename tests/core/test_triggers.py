import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag.core.model.states import TaskState
from nbdag.core.planning.triggers import RULES, Counts, NextStep, TriggerError, decide

RUN, WAIT = NextStep.RUN, NextStep.WAIT
SKIP, FAIL = TaskState.SKIPPED, TaskState.UPSTREAM_FAILED

# upstream instances: S success, K skipped, F failed, U upstream_failed, R removed, a dot is unfinished
CASES = [
    ("all_success", {"SS": RUN, "SR": RUN, "S.": WAIT, "F.": FAIL, "U.": FAIL, "K.": SKIP, "FK": FAIL, "KR": SKIP}),
    ("all_failed", {"FF": RUN, "FU": RUN, "FR": RUN, "F.": WAIT, "S.": SKIP, "K.": SKIP, "RR": RUN}),
    ("all_done", {"SF": RUN, "KU": RUN, "RR": RUN, "F.": WAIT, "S.": WAIT}),
    ("all_skipped", {"KK": RUN, "K.": WAIT, "S.": SKIP, "F.": SKIP, "U.": SKIP, "KR": WAIT, "R.": WAIT}),
    ("one_success", {"S.": RUN, "SF": RUN, "F.": WAIT, "K.": WAIT, "KK": SKIP, "FK": FAIL, "FF": FAIL, "RR": FAIL, "KR": FAIL}),
    ("one_failed", {"F.": RUN, "U.": RUN, "FS": RUN, "S.": WAIT, "SS": SKIP, "KS": SKIP, "RR": SKIP}),
    ("one_done", {"S.": RUN, "F.": RUN, "K.": WAIT, "U.": WAIT, "KK": SKIP, "UU": SKIP, "KU": SKIP, "RK": SKIP}),
    ("none_failed", {"SS": RUN, "SK": RUN, "KK": RUN, "KR": RUN, "S.": WAIT, "K.": WAIT, "F.": FAIL, "U.": FAIL}),
    ("none_failed_min_one_success", {"SS": RUN, "SK": RUN, "SR": RUN, "S.": WAIT, "KK": SKIP, "KR": FAIL, "RR": FAIL, "F.": FAIL, "U.": FAIL}),
    ("none_skipped", {"SS": RUN, "SF": RUN, "UR": RUN, "S.": WAIT, "F.": WAIT, "K.": SKIP, "KS": SKIP}),
    ("all_done_min_one_success", {"SS": RUN, "SF": RUN, "SU": RUN, "SR": RUN, "S.": WAIT, "F.": WAIT, "K.": SKIP, "SK": SKIP, "FF": FAIL, "FR": FAIL, "RR": FAIL}),
    ("all_done_setup_success", {"SF": RUN, "KK": RUN, "FF": RUN, "S.": WAIT}),
    ("always", {"..": RUN, "FF": RUN, "K.": RUN}),
]  # fmt: skip


def counts(ends, *, setup=""):
    every = ends + setup
    return Counts(
        len(every),
        *(every.count(letter) for letter in "SKFUR"),
        setup=len(setup),
        setup_success=setup.count("S"),
        setup_skipped=setup.count("K"),
    )


@pytest.mark.parametrize(
    ("rule", "ends", "decision"), [(rule, ends, decision) for rule, cases in CASES for ends, decision in cases.items()]
)
def test_a_rule_decides_by_its_table(rule, ends, decision):
    assert decide(rule, counts(ends)) is decision


@pytest.mark.parametrize(
    ("setup", "ends", "decision"),
    [
        ("S", "F", RUN),
        ("SF", "K", RUN),
        ("SK", "S", RUN),
        ("K", "S", SKIP),
        ("KK", "F", SKIP),
        ("KF", "S", FAIL),
        ("F", "S", FAIL),
        ("R", "S", FAIL),
        ("S", ".", WAIT),
        (".", "S", WAIT),
        ("F", ".", WAIT),
    ],
)
def test_teardown_runs_if_a_setup_task_has_succeeded(setup, ends, decision):
    assert decide("all_done_setup_success", counts(ends, setup=setup)) is decision


@pytest.mark.parametrize("rule", RULES)
def test_a_task_without_upstream_tasks_runs(rule):
    assert decide(rule, Counts(0)) is RUN


def test_there_are_the_thirteen_rules_and_each_has_cases():
    assert [rule for rule, _ in CASES] == list(RULES)
    assert len(RULES) == 13


def by_words(rule, ends):
    """The same rules, told once more: about the ends themselves, rather than how many there are of each."""
    kinds = set(ends)
    over = "." not in kinds
    failed, good = bool(kinds & {"F", "U"}), "S" in kinds
    if not ends or rule == "always":
        return RUN
    match rule:
        case "all_success" | "none_failed" | "none_failed_min_one_success" if failed:
            return FAIL
        case "all_success" if "K" in kinds:
            return SKIP
        case "none_failed_min_one_success" if over and not good:
            return SKIP if kinds == {"K"} else FAIL
        case "all_failed" if kinds & {"S", "K"}:
            return SKIP
        case "all_skipped" if good or failed:
            return SKIP
        case "all_skipped":
            return RUN if kinds == {"K"} else WAIT
        case "one_success":
            return RUN if good else WAIT if not over else SKIP if kinds == {"K"} else FAIL
        case "one_failed":
            return RUN if failed else SKIP if over else WAIT
        case "one_done":
            return RUN if kinds & {"S", "F"} else SKIP if over else WAIT
        case "none_skipped" | "all_done_min_one_success" if "K" in kinds:
            return SKIP
        case "all_done_min_one_success" if over and not good:
            return FAIL
    return RUN if over else WAIT


@pytest.mark.parametrize("rule", RULES)
def test_all_outcomes_of_up_to_five_upstream_tasks_match_the_documented_rules(rule):
    for size in range(6):
        for ends in itertools.combinations_with_replacement("SKFUR.", size):
            assert decide(rule, counts("".join(ends))) is by_words(rule, ends), ends


@given(st.sampled_from(sorted(RULES)), st.text("SKFUR.", max_size=40))
def test_any_number_of_upstream_tasks_matches_the_documented_rules(rule, ends):
    assert decide(rule, counts(ends)) is by_words(rule, ends)


@given(st.sampled_from(sorted(RULES)), st.text("SKFUR.", max_size=8), st.text("SKFUR", min_size=8, max_size=8))
def test_a_decision_stays_the_same_for_every_outcome_of_the_other_tasks(rule, ends, rest):
    first = decide(rule, counts(ends))
    later = decide(rule, counts("".join(end if end != "." else rest[n] for n, end in enumerate(ends))))
    if first is FAIL or (first is SKIP and rule != "all_success"):
        assert later is first
    elif first is SKIP:  # a failure among the rest counts for more than a skip
        assert later in (SKIP, FAIL)


def test_an_unknown_rule_is_reported_with_the_nearest_name():
    with pytest.raises(TriggerError, match="unknown trigger rule 'all_sucess'; did you mean all_success"):
        decide("all_sucess", Counts(1))
    with pytest.raises(TriggerError, match="expected one of all_success, "):
        decide("xyz", Counts(1))


AIRFLOWS = json.loads(Path(__file__).with_name("trigger_rules.json").read_text())  # see record_trigger_rules.py
LETTERS = {"R": RUN, "W": WAIT, "K": SKIP, "U": FAIL}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_answers_as_airflow_itself_in_every_row(rule):
    rows = {row: LETTERS[letter] for letter, text in AIRFLOWS[rule].items() for row in text.split()}
    answers = {}
    for row in rows:
        setup, _, ends = row.rpartition("|")
        answers[row] = decide(rule, counts(ends, setup=setup))
    assert answers == rows


def test_the_table_of_airflow_has_every_row():
    sizes = {rule: sum(len(text.split()) for text in answers.values()) for rule, answers in AIRFLOWS.items()}
    teardown = {row for text in AIRFLOWS["all_done_setup_success"].values() for row in text.split() if "|" in row}
    assert len(teardown) == 756
    assert sizes == {rule: 461 + 756 * (rule == "all_done_setup_success") for rule in RULES}
