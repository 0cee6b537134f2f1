"""DAG files as Airflow's users write them, with Airflow's own imports. `as_cell` makes the body of a %%dag cell of one.

tests/airflow/record.py runs the same files under Airflow and writes states and XComs into expected.json, with which
test_dag_files.py compares the runs of nbdag.
"""

from __future__ import annotations

import re

import airflow_more_files

# Environment variables with the settings and connections that the files use.
SETTINGS = {
    "AIRFLOW_VAR_BUCKET": "s3://lake",
    "AIRFLOW_VAR_LIMITS": '{"rows": 5}',
    "AIRFLOW_CONN_FS_DEFAULT": "fs://",
    "AIRFLOW_CONN_WAREHOUSE": "postgres://ana:pw@db.example:5433/sales",
}

# The one that everyone knows: four functions in a row.
ML_TUTORIAL = """
from datetime import datetime, timedelta

from airflow import DAG
from airflow.operators.python import PythonOperator

default_args = {
    "owner": "ml-team",
    "start_date": datetime(2026, 1, 1),
    "retries": 1,
    "retry_delay": timedelta(seconds=1),
}

dag = DAG("ml_tutorial", default_args=default_args, schedule_interval="@daily", catchup=False, tags=["ml"])


def extract_data():
    return [[1.0, 2.1], [2.0, 3.9], [3.0, 6.2]]


def pre_process_data(**kwargs):
    rows = kwargs["ti"].xcom_pull(task_ids="extract_data")
    mean = sum(x for x, _ in rows) / len(rows)
    kwargs["ti"].xcom_push(key="mean", value=mean)
    return [[x - mean, y] for x, y in rows]


def train_model(ti):
    rows = ti.xcom_pull(task_ids="pre_process_data")
    slope = sum(x * y for x, y in rows) / sum(x * x for x, _ in rows)
    return {"slope": round(slope, 3), "mean": ti.xcom_pull(task_ids="pre_process_data", key="mean")}


def deploy_model(ti=None, ds=None):
    model = ti.xcom_pull(task_ids="train_model")
    print(f"deploying {model} on {ds}")
    return f"slope {model['slope']}"


extract = PythonOperator(task_id="extract_data", python_callable=extract_data, dag=dag)
process = PythonOperator(task_id="pre_process_data", python_callable=pre_process_data, dag=dag)
train = PythonOperator(task_id="train_model", python_callable=train_model, dag=dag)
deploy = PythonOperator(task_id="deploy_model", python_callable=deploy_model, dag=dag)

extract >> process >> train >> deploy
"""

# Functions inside the function of the DAG, a dictionary as several outputs, arguments of the DAG.
TASKFLOW = '''
from airflow.sdk import dag, task

RATE = 0.3


@dag(schedule=None, tags=["orders"])
def orders(currency: str = "EUR"):
    """Sum up the orders of a day."""
    least = 15

    @task(retries=0)
    def extract() -> dict:
        return {"a": 10, "b": 20, "c": 35}

    @task(multiple_outputs=True)
    def transform(values: dict):
        """Sum and count.

        Small ones are left out.
        """
        kept = [each for each in values.values() if each >= least]
        return {"total": sum(kept), "count": len(kept)}

    @task
    def tax(total):
        return round(total * RATE, 2) + 0.25

    @task
    def report(total, count, taxes, unit):
        return f"{count} orders, {total} {unit}, {taxes} of taxes"

    summary = transform(extract())
    taxes = tax(summary["total"])
    report(summary["total"], summary["count"], taxes, unit=currency)
    tax.override(task_id="tax_of_ten")(10)


orders()
'''

# A branch that joins, once with functions and once with operators.
BRANCHES = """
from airflow.sdk import DAG, Label, TriggerRule, task
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import BranchPythonOperator


def choose_all(sizes):
    return [f"{size}_box" for size in sizes]


with DAG("branches", schedule="0 6 * * 1-5") as dag:

    @task
    def count():
        return 7

    @task.branch
    def choose(number):
        return "many" if number > 5 else "few"

    @task
    def many():
        return "lots"

    @task
    def few():
        return "some"

    @task(trigger_rule="none_failed_min_one_success")
    def join(first, second):
        return [first, second]

    chosen = choose(count())
    first, second = many(), few()
    chosen >> Label("more than five") >> first
    chosen >> [second]
    join(first, second)

    sizes = BranchPythonOperator(task_id="sizes", python_callable=choose_all, op_args=[["small", "large"]])
    boxes = [EmptyOperator(task_id=f"{size}_box") for size in ("small", "medium", "large")]
    packed = EmptyOperator(task_id="packed", trigger_rule=TriggerRule.NONE_FAILED)
    strict = EmptyOperator(task_id="strict")
    sizes >> boxes >> packed
    boxes >> strict
"""

# Short circuits, and exceptions that skip or fail.
GATES = """
from datetime import timedelta

from airflow import DAG
from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import PythonOperator, ShortCircuitOperator
from airflow.sdk import task
from airflow.utils.trigger_rule import TriggerRule

with DAG("gates", default_args={"retries": 2, "retry_delay": timedelta(seconds=1)}):
    closed = ShortCircuitOperator(task_id="closed", python_callable=lambda: False)
    behind = EmptyOperator(task_id="behind")
    far_behind = EmptyOperator(task_id="far_behind", trigger_rule="all_done")
    closed >> behind >> far_behind

    @task.short_circuit
    def opened(least):
        return least < 3

    @task
    def passed():
        return "through"

    opened(2) >> passed()

    @task
    def nothing_new():
        raise AirflowSkipException("no new files")

    @task
    def wrong(ti=None):
        raise AirflowFailException("bad input")

    def tidy(**context):
        return context["ti"].xcom_pull(task_ids=["nothing_new", "wrong"])

    skipped, failed = nothing_new(), wrong()
    after_skip = EmptyOperator(task_id="after_skip")
    after_failure = EmptyOperator(task_id="after_failure")
    skipped >> after_skip
    failed >> after_failure
    [skipped, failed] >> PythonOperator(task_id="tidy", python_callable=tidy, trigger_rule=TriggerRule.ALL_DONE)
    failed >> EmptyOperator(task_id="alarm", trigger_rule="one_failed")
"""

# Commands: templates, environments, results, exit codes.
COMMANDS = """
from airflow.sdk import DAG, Param, task
from airflow.providers.standard.operators.bash import BashOperator

with DAG("commands", schedule=None, params={"name": "world", "times": Param(2, type="integer")}) as dag:
    BashOperator(task_id="greet", bash_command="echo first; echo 'hello {{ params.name }}'")
    day = BashOperator(task_id="day", bash_command="printf '%s' '{{ ds }}' | wc -c; echo days {{ params.times }}")
    BashOperator(
        task_id="own_environment",
        bash_command='echo "$GREETING, ${HOME:-nobody}"',
        env={"GREETING": "hi {{ params.name }}"},
    )
    BashOperator(task_id="more_environment", bash_command='echo "$A${PATH:+ path}"', env={"A": "a"}, append_env=True)
    BashOperator(task_id="skips", bash_command="exit 99")
    BashOperator(task_id="goes_on", bash_command="false; echo goes on")
    last = BashOperator(task_id="last", bash_command="echo {{ ti.xcom_pull(task_ids='day') }} again")
    day >> last
    copy = BashOperator(task_id="copy", bash_command=f"echo copy of {last.output}")
    last >> copy

    @task.bash
    def by_function(times):
        return f"printf 'x%.0s' $(seq {times}); echo; echo done"

    by_function(3)
    copy >> BashOperator(task_id="quiet", bash_command="true", do_xcom_push=False)
"""

# One task for each element.
MAPPING = """
from airflow.sdk import DAG, task
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator


def power(base, exponent=2):
    return base**exponent


with DAG("mapping", schedule=None):

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def add(x, y):
        return x + y

    @task
    def total(values):
        return sum(values)

    @task
    def pair(item):
        return f"{item[0]}={item[1]}"

    added = add.partial(y=10).expand(x=numbers())
    total(added)
    total.override(task_id="product")(add.override(task_id="all_pairs").expand(x=[1, 2], y=[10, 20]))
    pair.expand(item={"a": 1, "b": 2})
    add.override(task_id="rows").expand_kwargs([{"x": 1, "y": 2}, {"x": 3, "y": 4}])
    PythonOperator.partial(task_id="powers", python_callable=power, op_kwargs={"exponent": 3}).expand(op_args=[[1], [2]])
    PythonOperator.partial(task_id="named", python_callable=power).expand(op_kwargs=[{"base": 5}])
    BashOperator.partial(task_id="words", do_xcom_push=True).expand(bash_command=["echo one", "echo two"])
    total.override(task_id="nothing")(add.override(task_id="none").partial(y=1).expand(x=[]))
"""

# Groups, nested and repeated, and the functions that join lists of tasks.
GROUPS = """
from airflow.sdk import DAG, TaskGroup, chain, cross_downstream, task, task_group
from airflow.providers.standard.operators.empty import EmptyOperator


@task
def number(n):
    return n


@task_group(group_id="pair")
def pair(n):
    @task
    def double(x):
        return x * 2

    @task
    def minus(x):
        return x - 1

    return minus(double(n))


with DAG("groups", schedule=None):
    start, end = EmptyOperator(task_id="start"), EmptyOperator(task_id="end")
    with TaskGroup("eu", tooltip="Europe", default_args={"retries": 1}) as eu:
        load = EmptyOperator(task_id="load")
        with TaskGroup("checks") as checks:
            rows, types = EmptyOperator(task_id="rows"), EmptyOperator(task_id="types")
        with TaskGroup("plain", prefix_group_id=False):
            publish = EmptyOperator(task_id="publish")
        load >> checks >> publish
    start >> eu >> end

    first = pair(number(5))
    second = pair(first)
    number.override(task_id="again")(second)

    a, b, c, d, e, f = (EmptyOperator(task_id=each) for each in "abcdef")
    chain(end, [a, b], [c, d], e)
    cross_downstream([a, b], [f])
    e.set_upstream(f)
"""

# All ways to get at the context.
CONTEXT = """
from datetime import datetime, timezone

from airflow.sdk import DAG, get_current_context, task
from airflow.providers.standard.operators.python import PythonOperator


def show(**context):
    names = ("ds", "ts", "run_id", "logical_date", "ti", "params", "dag_run", "data_interval_start", "var", "task")
    return [name for name in names if context[name] is None]


def named(ds, ti, params, prefix, dag_run=None):
    return [prefix, len(ds), ti.task_id, params["limit"], dag_run.run_id == ti.run_id]


def templated(day, nested, templates_dict=None):
    return [len(day), nested, templates_dict["limit"], "{{ ds }}".strip("{} ")]


def push(ti):
    ti.xcom_push(key="rows", value=3)
    ti.xcom_push("names", ["a", "b"])
    return "pushed"


def pull(ti, **context):
    names = ["push", "named"]
    return {
        "rows": ti.xcom_pull(task_ids="push", key="rows"),
        "names": context["task_instance"].xcom_pull("push", key="names"),
        "several": [each is not None for each in ti.xcom_pull(task_ids=names)],
    }


def outer():
    return get_current_context()["ti"].task_id


with DAG("context", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), params={"limit": 5}, schedule=None) as dag:
    first = PythonOperator(task_id="show", python_callable=show)
    second = PythonOperator(task_id="named", python_callable=named, op_args=[], op_kwargs={"prefix": "p"})
    PythonOperator(
        task_id="templated",
        python_callable=templated,
        op_args=["{{ ds }}"],
        op_kwargs={"nested": ["{{ params.limit }}", {"x": "{{ ti.task_id }}"}]},
        templates_dict={"limit": "{{ params.limit + 1 }}"},
    )
    pushed = PythonOperator(task_id="push", python_callable=push)
    pulled = PythonOperator(task_id="pull", python_callable=pull)
    [pushed, second] >> pulled
    PythonOperator(task_id="outer", python_callable=outer)

    @task
    def by_key(rows, whole, ti=None):
        return [rows, whole, ti.xcom_pull(task_ids="push", key="names")]

    by_key(pushed.output["rows"], pushed.output)
"""

# Tasks that wait.
SENSORS = """
from pathlib import Path

from airflow.exceptions import AirflowFailException
from airflow.sdk import DAG, PokeReturnValue, task
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.providers.standard.sensors.python import PythonSensor


def enough(least, ti):
    return ti.xcom_pull(task_ids="make") >= least


with DAG("sensors", schedule=None, default_args={"poke_interval": 0.2, "timeout": 60}):

    @task
    def make():
        Path("/tmp/nbdag-airflow-inbox").mkdir(exist_ok=True)
        Path("/tmp/nbdag-airflow-inbox/a.csv").write_text("x")
        return 3

    made = make()
    file = FileSensor(task_id="file", filepath="/tmp/nbdag-airflow-inbox/*.csv")
    waited = PythonSensor(task_id="waited", python_callable=enough, op_kwargs={"least": 2}, mode="reschedule")

    @task.sensor(poke_interval=1, timeout=30)
    def ready(ti=None):
        return PokeReturnValue(is_done=True, xcom_value={"rows": 5})

    @task
    def use(found):
        return found["rows"]

    missing = FileSensor(task_id="missing", filepath="/tmp/nbdag-airflow-inbox/*.none", timeout=1, soft_fail=True)

    @task.sensor(soft_fail=True)
    def refused():
        raise AirflowFailException("the account is closed")

    made >> [file, waited, missing, refused()]
    use(ready())
"""

# Settings and connections from the environment, while the file is read and while tasks run.
VARIABLES = """
from airflow.sdk import DAG, BaseHook, Variable, task
from airflow.providers.standard.operators.bash import BashOperator

with DAG("variables", schedule=None):

    @task
    def values():
        return [Variable.get("bucket"), Variable.get("limits", deserialize_json=True)["rows"], Variable.get("no", "-")]

    @task
    def connection():
        found = BaseHook.get_connection("warehouse")
        return [found.conn_type, found.host, found.login, found.port, found.schema]

    values() >> connection()
    BashOperator(task_id="shell", bash_command="echo {{ var.value.bucket }} {{ conn.warehouse.host }}")
"""

# Setup and teardown.
RESOURCES = """
from airflow.sdk import DAG, setup, task, teardown

with DAG("resources", schedule=None):

    @setup
    def create():
        return "cluster"

    @task
    def work(name):
        raise ValueError(f"{name} broke")

    @teardown
    def remove(name):
        return f"{name} removed"

    made = create()
    removed = remove(made)
    made >> work(made) >> removed
    made.operator >> removed
"""

# Setup and teardown of operators: a teardown that fails does not fail the run, unless it is asked to.
CLUSTERS = """
from airflow.sdk import DAG, task
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator


def fail():
    raise ValueError("broke")


with DAG("clusters", schedule=None):
    create = BashOperator(task_id="create", bash_command="echo cluster").as_setup()
    work = PythonOperator(task_id="work", python_callable=fail)
    remove = BashOperator(task_id="remove", bash_command="echo removed").as_teardown(setups=create)
    create >> work >> remove

    skipped = BashOperator(task_id="skipped", bash_command="exit 99").as_setup()
    unused = EmptyOperator(task_id="unused")
    not_needed = EmptyOperator(task_id="not_needed").as_teardown(setups=[skipped])
    skipped >> unused >> not_needed

    prepare = EmptyOperator(task_id="prepare").as_setup()
    use = EmptyOperator(task_id="use")
    clean = PythonOperator(task_id="clean", python_callable=fail).as_teardown(setups=prepare)
    prepare >> use >> clean
    after = EmptyOperator(task_id="after")
    use >> after
"""

# Operators of the user's own: templates, defaults, hooks around execute, a sensor and a branch.
CUSTOM = """
from abc import ABC, abstractmethod

from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, task
from airflow.providers.standard.operators.branch import BaseBranchOperator
from airflow.providers.standard.operators.empty import EmptyOperator


class Named(BaseOperator, ABC):
    template_fields = ("name", "more", "length")

    def __init__(self, *, name, unit="cm", more=None, **kwargs):
        super().__init__(**kwargs)
        self.name = name
        self.unit = unit
        self.more = more or {}
        self.length = 0

    @abstractmethod
    def text(self): ...

    def execute(self, context):
        self.log.info("%s of %s", self.text(), self.task_id)
        return self.text()


class Measure(Named):
    def __init__(self, *, length, **kwargs):
        kwargs["retries"] = 0
        super().__init__(**kwargs)
        self.length = length

    def text(self):
        return f"{self.name}: {self.length} {self.unit} {sorted(self.more.items())}"


class Pull(BaseOperator):
    template_fields = ("source",)

    def __init__(self, *, source, options="none", **kwargs):
        super().__init__(**kwargs)
        self.source = source
        self.options = options

    def pre_execute(self, context):
        self.kept = "kept"

    def execute(self, context):
        ti = context["ti"]
        ti.xcom_push(key="task", value=context["task"].task_id)
        return [ti.xcom_pull(task_ids="rows", key="n"), self.source, self.options, self.kept]

    def post_execute(self, context, result=None):
        context["ti"].xcom_push(key="ended", value=self.kept)


class Enough(BaseSensorOperator):
    def __init__(self, *, least, **kwargs):
        super().__init__(**kwargs)
        self.least = least

    def poke(self, context):
        return context["ti"].xcom_pull(task_ids="rows", key="n") >= self.least


class Larger(BaseBranchOperator):
    def choose_branch(self, context):
        return "large" if context["ti"].xcom_pull(task_ids="rows", key="n") > 2 else "small"


with DAG("custom", schedule=None, params={"who": "Ana"}, default_args={"unit": "mm", "retries": 1}):

    @task
    def rows(ti=None):
        ti.xcom_push(key="n", value=3)
        return [1, 2]

    counted = rows()
    first = Measure(task_id="first", name="{{ params.who }}", length=counted, more={"a": ["{{ 1 + 1 }}"]})
    pull = Pull(task_id="pull", source=first.output)
    waits = Enough(task_id="waits", least=2, poke_interval=0.2, timeout=60, mode="reschedule")
    larger = Larger(task_id="larger")
    counted >> [pull, waits, larger]
    larger >> [EmptyOperator(task_id="large"), EmptyOperator(task_id="small")]
    Measure.partial(task_id="each", name="x {{ params.who }}").expand(length=counted)
"""

# Functions that tasks call when they begin and end, and lists that are made of results.
CALLBACKS = """
from datetime import timedelta

from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk import DAG, task
from airflow.providers.standard.operators.python import PythonOperator

LOG = "/tmp/nbdag-airflow-callbacks.txt"


def note(event, context):
    with open(LOG, "a") as file:
        file.write(f"{event} {context['ti'].task_id} {str(context.get('exception', ''))}\\n")


def begun(context):
    note("begun", context)


def succeeded(context):
    note("succeeded", context)


def failed(context):
    note("failed", context)


def again(context):
    note("again", context)


def skipped(context):
    note("skipped", context)


def broken(context):
    raise ValueError("a callback may fail")


def wrong():
    raise ValueError("wrong")


args = {"on_failure_callback": failed, "on_retry_callback": [again], "on_skipped_callback": skipped}
with DAG("callbacks", schedule=None, default_args={**args, "retry_delay": timedelta(seconds=1)}):

    @task
    def start():
        open(LOG, "w").close()

    @task(on_execute_callback=begun, on_success_callback=[broken, succeeded])
    def fine():
        return 1

    @task
    def no_data():
        raise AirflowSkipException("no data")

    @task(retries=3)
    def final():
        raise AirflowFailException("at once")

    @task.branch(on_success_callback=succeeded)
    def choose():
        return ["chosen"]

    @task
    def chosen():
        return "chosen"

    @task
    def other():
        return "other"

    @task.sensor(poke_interval=0.2, timeout=60, on_success_callback=succeeded, on_execute_callback=begun)
    def waits():
        return True

    @task(trigger_rule="all_done")
    def lines():
        with open(LOG) as file:
            return sorted(file.read().splitlines())

    twice = PythonOperator(task_id="twice", python_callable=wrong, retries=1)
    branch, follows = choose(), chosen()
    branch >> [follows, other()]
    begin = start()
    events = [fine(), no_data(), final(), twice, waits()]
    begin >> [*events, branch]
    [*events, follows] >> lines()
"""

LISTS = """
from airflow.sdk import DAG, task


def double(x):
    return x * 2


with DAG("lists", schedule=None):

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def letters():
        return ["a", "b"]

    @task
    def show(x):
        return f"<{x}>"

    @task
    def total(values):
        return [value for value in values]

    total(show.expand(x=numbers().map(double)))
    show.override(task_id="pairs").expand(x=numbers().zip(letters()))
    show.override(task_id="padded").expand(x=numbers().zip(letters(), fillvalue="-"))
    show.override(task_id="joined").expand(x=numbers().concat(letters()))
    show.override(task_id="lambda").expand(x=numbers().map(lambda n: n + 1).map(double))
"""

# Groups with one instance for each element: a task in them follows the instance of the same element.
MAPPED_GROUPS = """
from airflow.sdk import DAG, task, task_group
from airflow.providers.standard.operators.bash import BashOperator
from airflow.exceptions import AirflowSkipException

with DAG("mapped_groups", schedule=None):

    @task
    def numbers():
        return [1, 2, 3, 4]

    @task
    def half(x):
        if x == 3:
            raise AirflowSkipException("odd")
        if x == 4:
            raise ValueError("four")
        return x * 10

    @task
    def add(a, b=100):
        return a + b

    @task
    def where(x, ti=None):
        return [x, ti.map_index]

    @task(trigger_rule="all_done")
    def always(a):
        return f"got {a}"

    @task
    def alone():
        return 7

    @task
    def total(values):
        return sum(values)

    @task(trigger_rule="all_done")
    def after(values):
        return list(values)

    @task
    def join(a, b):
        return f"{a} and {b}"

    @task_group
    def each(x, y=5):
        first = half(x)
        second = add(first, b=y)
        first >> where(x)
        always(second)
        alone()
        return second

    @task_group
    def constants(n, k):
        return add.override(task_id="plus")(add.override(task_id="inc")(n), b=k)

    @task_group
    def pairs(a, b):
        join(a, b) >> BashOperator(task_id="echo", bash_command="echo index {{ ti.map_index }}")

    after(each.expand(x=numbers()))
    total.override(task_id="sums")(constants.partial(k=2).expand(n=[1, 2]))
    pairs.expand(a={"k": 1}, b=["x", "y"])
    pairs.override(group_id="rows").expand_kwargs([{"a": 1, "b": 2}])
    total.override(task_id="empty")(each.override(group_id="nothing").expand(x=[]))
"""

# Operators whose methods the user overrides.
SUBCLASSES = """
from airflow.sdk import DAG, task
from airflow.exceptions import AirflowSkipException
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.filesystem import FileSensor


class Loud(BashOperator):
    def __init__(self, *, times=1, **kwargs):
        super().__init__(**kwargs)
        self.times = times

    def execute(self, context):
        return [super().execute(context)] * self.times


class Twice(PythonOperator):
    def execute(self, context):
        self.log.info("calling %s", self.python_callable.__name__)
        return super().execute(context) * 2


class Gate(EmptyOperator):
    def execute(self, context):
        raise AirflowSkipException("no")


class Seen(FileSensor):
    def poke(self, context):
        return super().poke(context) or context["params"]["enough"]


class Prepared(BashOperator):
    def pre_execute(self, context):
        context["ti"].xcom_push("before", "yes")


def area(w, h, ds=None):
    return w * h if ds else 0


with DAG("subclasses", schedule=None, params={"enough": True}):

    @task
    def first():
        return "word"

    made = first()
    loud = Loud(task_id="loud", bash_command="echo {{ params.enough }} {{ ti.xcom_pull('first') }}", times=2)
    made >> loud
    Twice(task_id="twice", python_callable=area, op_args=[2], op_kwargs={"h": 5})
    Gate(task_id="gate") >> EmptyOperator(task_id="skipped")
    Seen(task_id="seen", filepath="/nothing/{{ ds }}", poke_interval=1)
    Prepared(task_id="prepared", bash_command="echo ok")
"""

DAG_FILES = {
    name.lower(): text.strip() + "\n"
    for name, text in [*globals().items(), *vars(airflow_more_files).items()]
    if name.isupper() and isinstance(text, str)
}


def as_cell(source: str) -> str:
    """Return a %%dag cell with a DAG file in which only the prefix of the imports has changed."""
    changed = re.sub(r"^(\s*(?:from|import) )airflow\b", r"\1nbdag.airflow", source, flags=re.MULTILINE)
    return f"%%dag\n{changed}"
