"""Further DAG files with Airflow's own imports, as `airflow_files` describes them."""

from __future__ import annotations

# Work between setup and teardown tasks, by `with` statements, one in the other.
SCOPES = """
from airflow.sdk import DAG, setup, task, teardown

with DAG("scopes", schedule=None):

    @setup
    def start_cluster():
        return "c-1"

    @teardown
    def stop_cluster(name):
        print("stop", name)

    @task
    def open_table(name):
        return f"{name}/t"

    @task
    def close_table():
        print("close")

    @task
    def load(table):
        return f"{table} loaded"

    @task
    def fails():
        raise ValueError("no")

    @task
    def after():
        return 1

    name = start_cluster()
    with stop_cluster(name):
        table = open_table(name).as_setup()
        with close_table().as_teardown(setups=table):
            load(table) >> [fails(), after()]
"""

# Branches and sensors of the clock, a soft short circuit, labels, and commands with several outputs.
CLOCKS = """
from __future__ import annotations

import json
from datetime import datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

from airflow.sdk import DAG, BaseOperator, Label, chain, task
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.datetime import BranchDateTimeOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.providers.standard.operators.weekday import BranchDayOfWeekOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.providers.standard.sensors.date_time import DateTimeSensor
from airflow.providers.standard.sensors.time import TimeSensor
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.providers.standard.sensors.weekday import DayOfWeekSensor
from airflow.providers.standard.utils.weekday import WeekDay

if TYPE_CHECKING:
    from airflow.sdk import Context


class Keyed(BaseOperator):
    def execute(self, context: Context) -> dict:
        return {"a": 1, "b": context["ti"].task_id}


with DAG("clocks", schedule=None):
    sensors = [
        TimeDeltaSensor(task_id="an_hour_ago", delta=timedelta(hours=-1)),
        DateTimeSensor(task_id="in_2020", target_time="{{ macros.datetime(2020, 1, 1).isoformat() }}Z", mode="reschedule"),
        DateTimeSensor(task_id="in_2021", target_time=datetime(2021, 1, 1, tzinfo=timezone.utc)),
        TimeSensor(task_id="since_midnight", target_time=time(0)),
        DayOfWeekSensor(task_id="any_day", week_day=set(WeekDay)),
        BashSensor(task_id="found", bash_command="test {{ ti.task_id }} = found", poke_interval=1),
    ]
    by_day = BranchDayOfWeekOperator(
        task_id="by_day",
        follow_task_ids_if_true="every_day",
        follow_task_ids_if_false=["never"],
        week_day=[day.name.title() for day in WeekDay],
    )
    by_date = BranchDateTimeOperator(
        task_id="by_date",
        follow_task_ids_if_true=["before_2020"],
        follow_task_ids_if_false=["later"],
        target_lower=None,
        target_upper=datetime(2020, 1, 1),
    )
    chain(sensors, [by_day, by_day, by_day, by_date, by_date, by_date])
    by_day >> Label("a day") >> EmptyOperator(task_id="every_day")
    by_day >> Label("no day") >> EmptyOperator(task_id="never")
    by_date >> [EmptyOperator(task_id="before_2020"), EmptyOperator(task_id="later")]

    soft = ShortCircuitOperator(
        task_id="soft", python_callable=lambda: False, ignore_downstream_trigger_rules=False
    )
    soft >> EmptyOperator(task_id="gone") >> EmptyOperator(task_id="runs", trigger_rule="all_done")

    answer = BashOperator(
        task_id="answer",
        bash_command="echo first; printf '{\\"x\\": 1, \\"y\\": \\"two\\"}'",
        output_processor=json.loads,
        multiple_outputs=True,
    )
    nothing = BashOperator(task_id="nothing", bash_command="true")

    @task
    def show(x, y):
        return [x, y]

    answer >> show("{{ ti.xcom_pull('answer', key='x') }}", answer.output["y"])
    Keyed(task_id="keyed", multiple_outputs=True)
"""

# Params by JSON Schema, and an asset with facts about its new version.
FORMS = """
from __future__ import annotations

import datetime
from pathlib import PurePath

from airflow.sdk import DAG, Asset, Param, ParamsDict, get_current_context, task
from airflow.sdk.definitions.context import Context
from airflow.providers.standard.operators.bash import BashOperator

reports = Asset(name="reports", uri="s3://lake/reports", extra={"team": "bi"})
rates = Asset("rates")

with DAG(
    dag_id=PurePath("/dags/forms.py").stem,
    schedule=None,
    start_date=datetime.datetime(2022, 3, 4),
    params={
        "x": 3,
        "text": Param("Hello World!", type="string", title="A text", description="Say it", minLength=3, maxLength=20),
        "many": Param(["a", "b"], type="array", title="Words", items={"type": "string"}),
        "pick": Param("one", enum=["one", "two", 3], section="Choices"),
        "maybe": Param(None, type=["null", "integer"], description="A number, or nothing"),
        "share": Param(0.5, type="number", minimum=0, exclusiveMaximum=1),
        "day": Param("2026-01-31", type="string", format="date"),
        "deep": Param({"k": [1, {"z": None}]}, type="object"),
        "on": Param(True, type="boolean", description_md="**On** or off"),
    },
):

    @task(outlets=[reports])
    def show(params: ParamsDict, *, outlet_events):
        outlet_events[reports].extra = {"rows": params["x"]}
        return {name: value for name, value in params.items() if name != "maybe"}

    @task(inlets=[reports, rates])
    def again(*, triggering_asset_events=None):
        context: Context = get_current_context()
        return [context["params"]["maybe"], len(triggering_asset_events)]

    @task(params={"x": 5, "own": "it's"})
    def task_params(params, text):
        return [params["x"], params["own"], params["pick"], text]

    show() >> again() >> task_params(text="{{ params.own }}{{ params.x }}")
    BashOperator(task_id="command", bash_command="echo {{ params.table }}", params={"table": Param("t")})
"""
