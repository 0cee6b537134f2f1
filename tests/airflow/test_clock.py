"""The conditions of Airflow's sensors and branches of the clock, and the edges of `with` over setup and teardown tasks.

The edges are those that Airflow 3.3.2 makes of the same lines.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nbdag.airflow.clock import is_between, is_day, time_has_come
from nbdag.task_api.context import DagRun

NOW = datetime(2026, 7, 15, 22, 30, tzinfo=UTC)  # a Wednesday, and Thursday in Paris
RUN = DagRun.of({"logical_date": "2026-01-03T00:00:00+00:00", "data_interval_end": "2026-07-15T22:00:00+00:00"})


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"delay": 29 * 60}, True),
        ({"delay": 31 * 60}, False),
        ({"at": "22:29:00"}, True),
        ({"at": "22:31:00"}, False),
        ({"at": "22:31:00", "zone": "Europe/Paris"}, False),  # the 16th has begun there, so it is 22:31 of that day
        ({"at": "00:29:00", "zone": "Europe/Paris"}, True),
        ({"at": "2026-07-15T22:29:59Z"}, True),
        ({"at": "2026-07-16T00:31:00+02:00"}, False),
    ],
)
def test_sensors_of_the_clock_compare_with_the_time(given, answer):
    assert time_has_come(RUN, now=NOW, **given) is answer


def test_days_are_those_of_the_clock_or_of_the_run():
    assert is_day(RUN, [3], now=NOW)
    assert is_day(RUN, [4], now=NOW, zone="Europe/Paris")
    assert is_day(RUN, [6], now=NOW, of_run=True)


@pytest.mark.parametrize(
    ("lower", "upper", "answer"),
    [
        ("22:00:00", "23:00:00", True),
        ("22:31:00", None, False),
        (None, "22:29:00", False),
        ("21:00:00", "02:00:00", True),  # until the next morning
        ("23:00:00", "02:00:00", False),
        ("2026-07-15T22:30:00+00:00", "2026-07-15T22:30:00+00:00", True),
        ("2026-07-16T00:00:00", None, False),
    ],
)
def test_branches_compare_with_both_times(lower, upper, answer):
    assert is_between(RUN, lower, upper, now=NOW) is answer


HEAD = """from nbdag.airflow import DAG, EmptyOperator, TaskGroup, task
DAG("d")
@task
def start(): return 1
@task
def stop(): return 1
@task
def a(): return 1
@task
def b(): return 1
@task
def c(): return 1
"""


@pytest.mark.parametrize(
    ("body", "edges"),
    [
        ("with stop().as_teardown(setups=start()):\n    a() >> b()\n    c()", "a-b b-stop c-stop start-a start-c start-stop"),
        ("s, t = start(), stop()\ns >> t.as_teardown()\nwith s.as_setup():\n    a() >> b()",
         "a-b b-stop start-a start-stop"),
        ("s = EmptyOperator(task_id='s').as_setup()\nwith EmptyOperator(task_id='t').as_teardown(setups=s):\n"
         "    a() >> b()", "a-b b-t s-a s-t"),
        ("with TaskGroup('g'):\n    with stop().as_teardown(setups=start()):\n        a()\nc()",
         "g.a-g.stop g.start-g.a g.start-g.stop"),
        # A task in the block that already follows another one does not follow the setup task.
        ("x = a()\nwith stop().as_teardown(setups=start()):\n    x >> b()\n    c()",
         "a-b b-stop c-stop start-c start-stop"),
    ],
)  # fmt: skip
def test_the_tasks_of_a_with_block_run_between_setup_and_teardown(body, edges, build):
    _, made = build(f"{HEAD}{body}")
    assert " ".join(sorted(f"{before}-{after}" for before, after in made.edges)) == edges
