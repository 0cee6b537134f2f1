import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbdag.core.options.options import TaskOptions
from nbdag.core.planning.retries import delay, retry_at

TICK = datetime(2026, 1, 1, 6, tzinfo=UTC)
NAME = {"dag": "churn", "task": "train", "logical_date": TICK}


@pytest.mark.parametrize(
    ("retries", "tries", "final", "again"),
    [
        (0, 1, False, False),
        (1, 1, False, True),
        (1, 2, False, False),
        (3, 3, False, True),
        (3, 4, False, False),
        (3, 1, True, False),
    ],
)
def test_a_task_is_retried_until_its_tries_exceed_its_retries(retries, tries, final, again):
    options = TaskOptions(retries=retries, retry_delay=90.0)
    at = retry_at(options, **NAME, tries=tries, ended=TICK, final=final)
    assert at == (TICK + timedelta(seconds=90) if again else None)


def test_the_default_delay_is_half_a_minute():
    assert delay(TaskOptions(), **NAME, tries=1) == 30.0


@pytest.mark.parametrize(
    ("base", "factor", "tries", "least"),
    [(10, 2, 1, 10), (10, 2, 2, 20), (10, 2, 5, 160), (10, 1.5, 2, 15), (0.2, 2, 1, 1), (0, 2, 7, 1), (7, 1.1, 2, 8)],
)
def test_backoff_grows_by_its_factor_and_adds_less_than_as_much_again(base, factor, tries, least):
    options = TaskOptions(retry_delay=float(base), retry_backoff=float(factor))
    assert least <= delay(options, **NAME, tries=tries) < 2 * least


def test_backoff_spreads_over_the_whole_of_its_range():
    options = TaskOptions(retry_delay=7.0, retry_backoff=1.1)  # 7.7 seconds, rounded up
    waits = {delay(options, dag="d", task=f"t{n}", logical_date=TICK, tries=2) for n in range(500)}
    assert waits == set(range(8, 16))


@given(
    base=st.floats(0, 1e6),
    factor=st.floats(0.1, 100),
    tries=st.integers(1, 2000),
    longest=st.floats(0, 1e7),
    task=st.text(min_size=1, max_size=5),
)
def test_backoff_always_stays_within_its_bounds(base, factor, tries, longest, task):
    options = TaskOptions(retry_delay=base, retry_backoff=factor, max_retry_delay=longest)
    wait = delay(options, dag="d", task=task, logical_date=None, tries=tries)
    cap = min(longest, 86_400)
    try:
        least = max(1, math.ceil(base * factor ** (tries - 1)))
    except OverflowError:
        least = math.inf
    assert min(cap, least) <= wait <= cap
    assert wait == cap or wait < 2 * least


def test_tasks_that_failed_together_do_not_all_retry_together():
    options = TaskOptions(retry_delay=600.0, retry_backoff=2.0)
    waits = {delay(options, dag="d", task=f"t{n}", logical_date=TICK, tries=1) for n in range(50)}
    assert len(waits) > 30


def test_the_wait_of_an_attempt_is_equal_in_every_process_and_zone():
    options = TaskOptions(retry_delay=600.0, retry_backoff=2.0)
    here = delay(options, **NAME, tries=3)
    elsewhere = TICK.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert delay(options, dag="churn", task="train", logical_date=elsewhere, tries=3) == here
    program = (
        "from datetime import datetime, UTC; from nbdag.core.options.options import TaskOptions; from nbdag.core.planning.retries import delay;"
        "print(delay(TaskOptions(retry_delay=600.0, retry_backoff=2.0), dag='churn', task='train',"
        " logical_date=datetime(2026, 1, 1, 6, tzinfo=UTC), tries=3))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert float(said) == here
