"""The results of Airflow's code in the body of a %%dag cell: cells, warnings and errors. No kernel runs."""

from __future__ import annotations

import importlib

import pytest

from nbdag import airflow
from nbdag.airflow.kernel import run_bash, run_sql
from nbdag.core.cells.cells import RawCell
from nbdag.notebooks import read_cells
from nbdag.operators import OperatorError
from nbdag.task_api.context import DagRun

NAMES = (
    "from datetime import datetime, timedelta, timezone\nfrom zoneinfo import ZoneInfo\nfrom nbdag.airflow import "
    + ", ".join(sorted(airflow.NAMES))
)
LINES = NAMES.count("\n") + 1

# arguments of DAG, the header of %dag
DAGS = [
    ("'etl'", "%dag etl"),
    ("dag_id='etl', schedule='@daily'", "%dag etl --schedule @daily"),
    ("'etl', schedule_interval='0 6 * * *', catchup=True, start_date=datetime(2026, 1, 1)",
     "%dag etl --schedule '0 6 * * *' --start-date 2026-01-01 --catchup"),
    ("'etl', schedule='@midnight'", "%dag etl --schedule @daily"),
    ("'etl', schedule=timedelta(hours=1, minutes=30)", "%dag etl --schedule 'every 1h30m'"),
    ("'etl', schedule=CronTriggerTimetable('0 1 * * *', timezone='Europe/Riga')",
     "%dag etl --schedule '0 1 * * *' --tz Europe/Riga"),
    ("'etl', schedule=None, schedule_interval=None", "%dag etl"),
    ("'etl', schedule='@once'", "%dag etl --schedule @once"),
    ("'etl', 'about it', '@hourly'", "%dag etl --schedule @hourly --description 'about it'"),
    ("'etl', start_date=datetime(2026, 1, 1, 6, tzinfo=ZoneInfo('Europe/Paris'))",
     "%dag etl --start-date 2026-01-01T06:00:00 --tz Europe/Paris"),
    ("'etl', start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), end_date=datetime(2027, 1, 1)",
     "%dag etl --start-date 2026-01-01 --end-date 2027-01-01"),
    ("'etl', tags=['a b', 'c'], max_active_runs=1, max_active_tasks=4, dagrun_timeout=timedelta(hours=2)",
     "%dag etl --max-active-runs 1 --max-active-tasks 4 --timeout 2h --tags 'a b' c"),
    ("'etl', default_args={'owner': 'ml', 'retries': 2}", "%dag etl --owner ml --retries 2 --retry-delay 5m"),
    ("'etl', default_args={'retries': 1, 'retry_delay': timedelta(seconds=9), 'retry_exponential_backoff': True}",
     "%dag etl --retries 1 --retry-delay 9s --retry-backoff 2"),
    ("'etl', default_args={'start_date': datetime(2026, 1, 1), 'email': ['a@b'], 'email_on_failure': False, "
     "'email_on_retry': False, 'depends_on_past': False}", "%dag etl --start-date 2026-01-01 --no-depends-on-past"),
    ("'etl', default_args={'pool': 'gpu', 'priority_weight': 3, 'weight_rule': 'absolute', 'execution_timeout': "
     "timedelta(minutes=5), 'trigger_rule': 'all_done'}",
     "%dag etl --weight-rule absolute --trigger all_done --task-timeout 5m --priority 3 --pool gpu"),
    ("'etl', on_failure='mailto://a:b@c', fail_fast=True", "%dag etl --fail-fast --on-failure mailto://a:b@c"),
    ("'etl', default_args={'bash_command': 'ls'}, is_paused_upon_creation=False, doc_md='# Title\\nmore'",
     "%dag etl --description Title"),
    ("'etl', start_date='2026-01-01'", "%dag etl --start-date 2026-01-01"),
    ("'etl', deadline='+2h', on_deadline='team:ask'", "%dag etl --deadline +2h --on-deadline team:ask"),
    ("'etl', schedule=[Asset('s3://a'), Dataset('b')]", "%dag etl --schedule 'on s3://a and b'"),
    ("'etl', schedule=Asset(name='a', uri='file:a.csv')", "%dag etl --schedule 'on file:a.csv'"),
    ("'etl', schedule=(Asset('a') | Asset('b')) & Asset('c')", "%dag etl --schedule 'on (a or b) and c'"),
    ("'etl', schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable('0 6 * * *', timezone='Europe/Riga'), "
     "assets=AssetAny(Asset('a'), Asset('b')))", "%dag etl --schedule 'on a or b or at 0 6 * * *' --tz Europe/Riga"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "header"), DAGS)
def test_the_options_of_a_dag_become_those_of_the_pipeline(arguments, header, build):
    cells, made = build(f"{NAMES}\nDAG({arguments})")
    assert cells[0].source == header
    assert made.warnings == []


DEF = "def load(x=1, *, ds=None): return x\n"

# body; cells of tasks
TASKS = [
    # functions and their context
    (DEF + "PythonOperator(task_id='a', python_callable=load, op_args=[2])",
     ["%%task a --out a_result\na_result = load(2, ds=dag_run.ds)"]),
    ("def f(): print(1)\nPythonOperator(task_id='a', python_callable=f)", ["%%task a\nf()"]),
    ("def f(**context): print(context)\nPythonOperator(task_id='a', python_callable=f, provide_context=True)",
     ["%%task a\nf(**dag_run.context)"]),
    ("def f(ds, **kwargs): print(ds)\nPythonOperator(task_id='a', python_callable=f, op_kwargs={'ds': 'x', 'y': 2})",
     ["%%task a\nf(ds='x', y=2, **{name: each for name, each in dag_run.context.items() if name not in ('ds',)})"]),
    ("def f(ti, logical_date, dag_run): return 1\nPythonOperator(task_id='a', python_callable=f)",
     ["%%task a --out a_result\na_result = f(dag_run=dag_run, logical_date=dag_run.context['logical_date'], ti=dag_run.ti)"]),
    ("def f(a, b): return 1\nPythonOperator(task_id='a', python_callable=f, op_args=['{{ ds }}', {'x': ['{{ ts }}', 1]}])",
     ["%%task a --out a_result\na_result = f(dag_run.render('{{ ds }}'), {'x': [dag_run.render('{{ ts }}'), 1]})"]),
    ("PythonOperator(task_id='a', python_callable=lambda n=2: n, do_xcom_push=False)",
     ["%%task a\n(lambda n=2: n)()"]),
    ("for n in (1, 2): PythonOperator(task_id=f'a{n}', python_callable=lambda n=n: print(n))",
     ["%%task a1 --out a1_result\na1_result = (lambda n=1: print(n))()",
      "%%task a2 --out a2_result\na2_result = (lambda n=2: print(n))()"]),
    ("from functools import partial\ndef f(a, b): print(a)\nPythonOperator(task_id='a', python_callable=partial(f, 1, b=2))",
     ["%%task a\nf(1, b=2)"]),
    ("async def f(): return 1\nPythonOperator(task_id='a', python_callable=f)",
     ["%%task a --out a_result\na_result = await f()"]),
    # options
    (DEF + "PythonOperator(task_id='a', python_callable=load, retries=1, pool='p', trigger_rule=TriggerRule.ALL_DONE, "
     "execution_timeout=timedelta(seconds=30), doc_md='## Loads\\nit')",
     ["%%task a --trigger all_done --retries 1 --retry-delay 5m --timeout 30s --pool p --out a_result --doc Loads\n"
      "a_result = load(ds=dag_run.ds)"]),
    ("with DAG('d', default_args={'retries': 3, 'op_kwargs': {'x': 5}}):\n    def f(x): print(x)\n"
     "    PythonOperator(task_id='a', python_callable=f, retries=0)", ["%%task a --retries 0\nf(x=5)"]),
    ("a = EmptyOperator(task_id='a')\na.doc_md = '''\n# What it does\n'''", ["%%task a --doc 'What it does'\npass"]),
    ("EmptyOperator(task_id='a', sla=timedelta(hours=1, minutes=30))", ["%%task a --deadline +1h30m\npass"]),
    # order
    ("a, b, c, d = (DummyOperator(task_id=i) for i in 'abcd')\ncross_downstream([a, b], [c, d])\na.set_downstream([b])",
     ["%%task a\npass", "%%task b --after a\npass", "%%task c --after a b\npass", "%%task d --after a b\npass"]),
    ("a, b, c = (EmptyOperator(task_id=i) for i in 'abc')\nc << Label('x') << [a, b]",
     ["%%task a\npass", "%%task b\npass", "%%task c --edge-label a=x b=x\npass"]),
    ("a, b, c, d = (EmptyOperator(task_id=i) for i in 'abcd')\na >> Label('no\\nerrors') >> b\nchain([b, c], Label(''), d)",
     ["%%task a\npass", "%%task b --edge-label 'a=no errors'\npass", "%%task c\npass", "%%task d --after b c\npass"]),
    ("a = EmptyOperator(task_id='a')\nwith TaskGroup('g') as g:\n    b = EmptyOperator(task_id='b')\n"
     "    c = EmptyOperator(task_id='c')\n    b >> c\nd = EmptyOperator(task_id='d')\na >> g >> d",
     ["%%task a\npass", "%%task g.b --after a\npass", "%%task g.c --after g.b\npass", "%%task d --after g.c\npass"]),
    # results of tasks
    ("def f(): return 1\ndef g(x): print(x)\na = PythonOperator(task_id='a', python_callable=f)\n"
     "PythonOperator(task_id='b', python_callable=g, op_args=[a.output])",
     ["%%task a --out a_result\na_result = f()", "%%task b --after a\ng(a_result)"]),
    ("@task\ndef f(): return 1\n@task(trigger_rule='all_done')\ndef g(x): print(x)\ng(f())",
     ["%%task f --out f_result\nf_result = f()", "%%task g --after f --trigger all_done\ng(dag_run.ti.xcom_pull('f'))"]),
    ("def f(ti): print(ti.xcom_pull(task_ids='b'))\nPythonOperator(task_id='a', python_callable=f)\n"
     "@task\ndef b(): return 1\nb()",
     ["%%task b --out b_result\nb_result = b()", "%%task a --after b\nf(ti=dag_run.ti)"]),
    # mapping
    ("@task\ndef f(x, y): return x\nf.partial(y=1).expand(x=[1, 2])",
     ["%%task f --out f_result --map 'f_x=[1, 2]'\nf_result = f(y=1, x=f_x)"]),
    ("@task\ndef f(): return [1]\ndef g(x): return x\n@task\ndef h(x): return x\nh.expand(x=f().map(g).concat(f()))",
     ["%%task f --out f_result\nf_result = f()", "%%task f__1 --out f__1_result\nf__1_result = f()",
      "%%task h --after f f__1 --out h_result --map 'h_x=[*[g(_each) for _each in f_result], *f__1_result]'\nh_result = h(x=h_x)"]),
    # operators of the user
    ("class A(BaseOperator):\n    template_fields = ('x',)\n    def __init__(self, x, **k):\n        super().__init__(**k)\n"
     "        self.x = x\n    def execute(self, context): return self.x\nA(task_id='a', x='{{ ds }}', retries=2)",
     ["%%task a --retries 2 --retry-delay 5m --out a_result\n_operator = A(task_id='a', x='{{ ds }}')\n"
      "a_result = _operator.execute(_begun(_operator, dag_run))"]),
    ("class A(BaseSensorOperator):\n    def poke(self, context): return True\nA(task_id='a', poke_interval=5, mode='reschedule')",
     ["%%task a --timeout 7d --operator sensor --out a_result --poke 5s --reschedule\n_operator = A(task_id='a')\n"
      "_poke = _poked(_operator.poke(_begun(_operator, dag_run)))\na_result = _poke.xcom_value\nbool(_poke)"]),
    # functions that are called at the end
    ("def f(context): ...\nEmptyOperator(task_id='a', on_failure_callback=f, on_success_callback=[f, lambda context: 1])",
     ["%%task a\nwith _calling(dag_run, on_failure_callback=[f], on_success_callback=[f, (lambda context: 1)]):\n    pass"]),
    ("def f(context): ...\n@task.branch(on_success_callback=f)\ndef g(): return 'b'\ng() >> EmptyOperator(task_id='b')",
     ["%%task g --branch --out g_result\nwith _calling(dag_run, on_success_callback=[f]) as _calls:\n    g_result = g()\n"
      "    _calls.value = g_result\n_calls.value", "%%task b --after g\npass"]),
    # commands and sensors
    ("BashOperator(task_id='a', bash_command='echo {{ ds }}', env={'A': '{{ ts }}'})",
     ["%%task a --out a_result\na_result = _run_bash(dag_run, 'echo {{ ds }}', env={'A': dag_run.render('{{ ts }}')})"]),
    ("def f(): return 1\nPythonSensor(task_id='a', python_callable=f, poke_interval=5, timeout=60, mode='reschedule')",
     ["%%task a --timeout 1m --operator sensor --out a_result --poke 5s --reschedule\n"
      "_poke = _poked(f())\na_result = _poke.xcom_value\nbool(_poke)"]),
    ("SQLExecuteQueryOperator(task_id='a', conn_id='db', sql='SELECT {{ ti.xcom_pull(\"b\") }}', parameters={'x': 1})\n"
     "EmptyOperator(task_id='b')",
     ["%%task b\npass",
      "%%task a --after b --out a_result\na_result = _run_sql('SELECT {{ ti.xcom_pull(\"b\") }}', "
      "dag_run.ti.xcom_pull('b'), connection='db', parameters={'x': 1})"]),
    ("SQLExecuteQueryOperator(task_id='a', conn_id='db', sql='SELECT 1', split_statements=False)",
     ["%%task a --out a_result\na_result = _run_sql('SELECT 1', connection='db', split=False)"]),
    (DEF + "BranchPythonOperator(task_id='a', python_callable=load, do_xcom_push=False) >> EmptyOperator(task_id='b')",
     ["%%task a --branch\nload(ds=dag_run.ds)", "%%task b --after a\npass"]),
    ("LatestOnlyOperator(task_id='a', do_xcom_push=False) >> EmptyOperator(task_id='b')",
     ["%%task a --branch\n_latest_only(dag_run, ['b'], None, 'UTC')", "%%task b --after a\npass"]),
    ("PapermillOperator(task_id='a', input_nb='in.ipynb', output_nb='out_{{ ds }}.ipynb', parameters={'x': 1})",
     ["%%task a --out a_result\na_result = _run_papermill('in.ipynb', dag_run.render('out_{{ ds }}.ipynb'), "
      "parameters={'x': 1})"]),
    ("TriggerDagRunOperator(task_id='a', trigger_dag_id='other', conf={'day': '{{ ds }}', 'n': [1]}, "
     "wait_for_completion=True, poke_interval=5)",
     ["%%task a --operator trigger --out a_result --poke 5s --wait\nother\nday = '{{ ds }}'\nn = [1]"]),
    ("FileSensor(task_id='a', filepath='in/{{ ds }}.csv')",
     ["%%task a --timeout 7d --operator sensor\n_file_exists(dag_run.render('in/{{ ds }}.csv'))"]),
]  # fmt: skip


def tasks_of(cells: list[RawCell]) -> list[str]:
    return [cell.source for cell in cells if cell.source.startswith("%%task")]


@pytest.mark.parametrize(("body", "cells"), TASKS)
def test_an_operator_becomes_a_cell(body, cells, build):
    assert tasks_of(build(f"{NAMES}\n{body}")[0]) == cells


@pytest.mark.parametrize("body", [body for body, _ in TASKS])
def test_built_cells_have_no_problem(body, build):
    cells = build(f"{NAMES}\n{body}")[0]
    dag = read_cells([RawCell("%%dag", built=0), *cells], name="nb")
    assert [each for each in dag.problems if each.severity == "error"] == []


# body; line, message, hint
REFUSED = [
    ("from nbdag.airflow.providers.amazon.aws.operators.s3 import S3ListOperator", 1, "nbdag.airflow has no S3ListOperator", "@task"),
    ("from nbdag.airflow.utils.dates import days_ago", 1, "days_ago is not supported", "start_date=datetime(2026, 1, 1)"),
    ("from nbdag.airflow.operators.python import PythonOperater", 1, "nbdag.airflow has no PythonOperater", "did you mean PythonOperator?"),
    ("from nbdag.airflow.datasets import DatasetAlias", 1, "DatasetAlias is not supported", "write Asset('s3://lake/orders')"),
    ("DAG()", 1, "a DAG needs an id", "DAG('etl'"),
    ("DAG('a b')", 1, "the id 'a b' of the DAG is not a valid id", "use letters"),
    ("DAG('a')\nDAG('b')", 2, "a second DAG, b; a notebook is one pipeline", "a separate notebook"),
    ("DAG('a', schedule='@dayly')", 1, "@dayly", ""),
    ("DAG('a', schedule=[1])", 1, "schedule is a list, which is not supported", "cron expression"),
    ("DAG('a', sla_miss_callback=print)", 1, "sla_miss_callback=print of DAG is not supported", "on_deadline="),
    ("DAG('a', user_defined_macros={'x': 1})", 1, "user_defined_macros", "@task"),
    ("DAG('a', catch_up=True)", 1, "unknown keyword catch_up for DAG", "did you mean catchup?"),
    ("DAG('a', default_args={'retris': 2})", 1, "unknown keyword retris for default_args", "did you mean retries?"),
    ("DAG('a', default_args={'email': 'a@b'})", 1, "email_on_failure=True of default_args", "on_failure='…'"),
    ("DAG('a', params={'a-b': 1})", 1, "the param 'a-b' is not a variable name", "rename it"),
    ("DAG('a', timetable=CronTriggerTimetable('0 1 * * *'))", 1, "timetable=", "write schedule="),
    ("DAG('a', allowed_run_types=['manual'])", 1, "allowed_run_types=['manual'] of DAG", "every pipeline can be run"),
    ("TriggerDagRunOperator(task_id='a', trigger_dag_id='b', allowed_states=['failed'])", 1, "allowed_states=['failed']", "trigger rule"),
    ("@task.bash(output_encoding='latin-1')\ndef f(): return 'ls'\nf()", 3, "output_encoding='latin-1'", "UTF-8"),
    ("@task.sensor(templates_exts=['.sql'])\ndef f(): return True\nf()", 3, "templates_exts=['.sql']", "read the file"),
    ("\nEmptyOperator()", 2, "a EmptyOperator needs a task_id", "task_id='load'"),
    ("EmptyOperator(task_id='a', task_idd=1)", 1, "unknown keyword task_idd for EmptyOperator", ""),
    ("EmptyOperator(task_id='a', sla='soon')", 1, "sla='soon' has a wrong type for EmptyOperator", ""),
    ("DAG('a', deadline=5)", 1, "deadline", ""),
    ("EmptyOperator(task_id='a', outlets=[5])", 1, "5 is no asset", "write Asset('s3://lake/orders')"),
    ("EmptyOperator(task_id='a', outlets=[Asset('a b')])", 1, "'a b' is not the name of an asset", "without blanks"),
    ("DAG('a', schedule=[Asset('a'), 5])", 1, "schedule is a list, which is not supported", "[Asset('orders')]"),
    ("DAG('a', on_failure_callback=print)", 1, "on_failure_callback of DAG is print, which is no function of this cell",
     "write on_failure_callback= and a function"),
    ("DAG('a', on_success_callback=lambda context: None)", 1, "on_success_callback of DAG is <lambda>", "a function"),
    ("EmptyOperator(task_id='a', trigger_rule='all_succes')", 1, "is unknown", "did you mean all_success?"),
    ("EmptyOperator(task_id='a', start_date=datetime(2020, 1, 1))", 1, "start_date of EmptyOperator differs", "in DAG(...)"),
    ("EmptyOperator(task_id='a')\nEmptyOperator(task_id='a')", 2, "task a already exists, created in line", "different ids"),
    ("PythonOperator(task_id='a')", 1, "a calls None, which is not a function", "python_callable=load"),
    ("def f(x): ...\nPythonOperator(task_id='a', python_callable=f)", 2, "missing a required argument: 'x'", "op_kwargs"),
    ("def f(): ...\nPythonOperator(task_id='a', python_callable=f, op_kwargs={'y': 1})", 2, "unexpected argument 'y'", ""),
    ("def f(): ...\nPythonOperator(task_id='a', python_callable=f, op_args=[1])", 2, "too many positional arguments", ""),
    ("def f(execution_date): ...\nPythonOperator(task_id='a', python_callable=f)", 2, "f asks for execution_date", "write logical_date"),
    ("def f(conf=None): ...\nPythonOperator(task_id='a', python_callable=f)", 2, "f asks for conf", "configuration"),
    ("def f(x): ...\nPythonOperator(task_id='a', python_callable=f, op_args=['{{ dss }}'])", 2, "unknown name 'dss'", "did you mean ds?"),
    ("BashOperator(task_id='a', bash_command='{{ ds')", 1, "the template", ""),
    ("BashOperator(task_id='a')", 1, "a has no bash_command", "bash_command='ls -l'"),
    ("def f(task_state_store=None): ...\nPythonOperator(task_id='a', python_callable=f)", 2, "f asks for task_state_store",
     "write nbdag.state"),
    ("@task.short_circuit(templates_exts=['.sql'])\ndef f(): return True\nf()", 3,
     "templates_exts=['.sql'] of @task.short_circuit", "read the file"),
    ("EmptyOperator(task_id='a', params={'x': Param(1, minimum=0)})", 1, "the param x of a has a schema",
     "write it in params of DAG(...)"),
    ("TriggerDagRunOperator(task_id='a', trigger_dag_id='b', params={'x': 1})", 1,
     "params of TriggerDagRunOperator is not supported", "write it in params of DAG(...)"),
    ("with EmptyOperator(task_id='a'): pass", 1, "`with` needs a setup or a teardown task, and a is neither",
     "as_teardown(setups=start())"),
    ("DayOfWeekSensor(task_id='a', week_day='Mon')", 1, "'Mon' of a is not a day of the week", "week_day='Monday'"),
    ("DayOfWeekSensor(task_id='a')", 1, "a has no week_day", "week_day='Monday'"),
    ("TimeSensor(task_id='a', target_time='6:00')", 1, "the target_time of a is not a time", "time(6, 30)"),
    ("DateTimeSensor(task_id='a')", 1, "the target_time of a is not a date", "datetime(2026, 1, 31, 6)"),
    ("TimeDeltaSensor(task_id='a', delta='1h')", 1, "the delta of a is not a duration", "timedelta(hours=1)"),
    ("BashSensor(task_id='a')", 1, "a has no bash_command", "test -e data.csv"),
    ("BranchDayOfWeekOperator(task_id='a', week_day='Monday')", 1, "a has no follow_task_ids_if_false", "='train'"),
    ("BranchDateTimeOperator(task_id='a', follow_task_ids_if_true='b', follow_task_ids_if_false='c')", 1,
     "a has no times to compare with", "target_lower=time(8)"),
    ("FileSensor(task_id='a', filepath='x', never_fail=True)", 1, "never_fail=True of FileSensor is not supported",
     "catch the error"),
    ("@task.virtualenv\ndef f(): ...", 1, "@task.virtualenv is not supported", "write @task"),
    ("@task\ndef f(): return [1]\nfor x in f(): print(x)", 3, "the result of f has no value when %%dag runs", "expand"),
    ("@task\ndef f(): return 1\nif f(): pass", 3, "the result of f has no value when %%dag runs", ""),
    ("@task\ndef f(x): return 1\nf.expand()", 3, "expand maps no argument", "f.expand("),
    ("@task\ndef f(x): return 1\nf >> f", 3, "f is not called", "write f() >> …"),
    ("@task\ndef f(): return 1\nf().map('str')", 3, "map needs a function, not a str", "write map(convert)"),
    ("@task\ndef f(): return [1]\nf().zip([2])", 3, "a list is not the result of a task", "write first().zip(second())"),
    ("@task\ndef f(): return [1]\nf().map(lambda x: x)['k']", 3, "list has no keys", "map a function"),
    ("@task\ndef f(x): return x\n@task_group\ndef g(x): f.expand(x=[x])\ng.expand(x=[1, 2])", 4,
     "g.f is mapped, and its group g is mapped too", "map it outside of the group"),
    ("@task_group\ndef h(x): EmptyOperator(task_id='a')\n@task_group\ndef g(x): h.expand(x=[3])\ng.expand(x=[1])", 4,
     "the mapped group g.h is inside of the mapped group g", "map one of them"),
    ("@task.branch\ndef f(): return 'a'\n@task_group\ndef g(x): f()\ng.expand(x=[1])", 4,
     "g.f is a branch, which a mapped group cannot contain", "raise AirflowSkipException in a @task"),
    ("@task\ndef f(x): return x\nfound = []\n@task_group\ndef g(x): found.append(x); f(x)\n"
     "g.expand(x=[1])\nf(found[0])", 7, "f uses an element of the mapped group g, but is not in it", "return the result"),
    ("@task_group\ndef g(x, y): EmptyOperator(task_id='a')\ng.expand(x=[1])", 3, "g missing a required argument: 'y'",
     "in partial(…) or expand(…)"),
    ("@task_group\ndef g(x): EmptyOperator(task_id='a')\ng.expand()", 3, "expand maps no argument", "write g.expand(x="),
    ("@task_group\ndef g(x): EmptyOperator(task_id='a')\ng.expand(x=5)", 3, "expand cannot map x over 5", "write a list"),
    ("@task\ndef f(x): return x\n@task_group\ndef g(x): f(f'{x}')\ng.expand(x=[1])", 4,
     "an element of a mapped group is no text when %%dag runs", "pass it to a @task"),
    ("@task\ndef n(): return [1]\n@task\ndef f(x): return x\n@task_group\n"
     "def g(x): f.override(task_id='b', trigger_rule='one_success')(f(x))\ng.expand(x=n())", 6,
     "the trigger rule one_success of g.b would count n as well", "write trigger_rule='all_done'"),
    ("EmptyOperator(task_id='a', on_success_callback='report')", 1, "on_success_callback of EmptyOperator is not a function",
     "write on_success_callback=report"),
    ("class Loud(LatestOnlyOperator):\n    def execute(self, context): return 1", 1, "Loud changes execute of LatestOnlyOperator",
     "write class Loud(BaseOperator) with its own execute"),
    ("class A(BaseOperator): ...\nA(task_id='a')", 2, "A has no method execute", "write the method"),
    ("class A(BaseSensorOperator): ...\nA(task_id='a')", 2, "A has no method poke", "write the method"),
    ("class A(BaseOperator):\n    def __init__(self, **k): ...\n    def execute(self, context): ...\nA(task_id='a')", 4,
     "A does not pass its keywords on", "write super().__init__(**kwargs)"),
    ("class A(BaseOperator):\n    def execute(self, context): ...\nA('a')", 3, "the arguments of A have no names", "task_id="),
    ("class A(BaseOperator):\n    def execute(self, context): ...\nA(task_id='a', retris=1)", 3,
     "unknown keyword retris for A", "did you mean retries?"),
    ("class A(BaseOperator):\n    def execute(self, context): ...\nA.partial(task_id='a').expand(retries=[1])", 3,
     "expand cannot map retries of A", "write it in partial"),
    ("with TaskGroup('g'): pass\nwith TaskGroup('g'): pass", 2, "a second TaskGroup is named g", "rename"),
    ("def f(ti): return ti.xcom_pull('a')\na, b = EmptyOperator(task_id='a'), EmptyOperator(task_id='b')\n"
     "a >> b >> PythonOperator(task_id='c', python_callable=f, trigger_rule='one_success')", 3,
     "its trigger rule one_success would then count a as well", "write a >> c"),
    ("def outer():\n    model = object()\n    @task\n    def f(): return model\n    f()\nouter()", 4,
     "f reads model of the enclosing function", "pass model as an argument"),
]  # fmt: skip


def test_callbacks_of_a_dag_become_recipients(build):
    body = "def tell(context): print(context['ds'])\nDAG('a', on_failure_callback=tell, on_success_callback=[tell], "
    cells, made = build(f"{NAMES}\n{body}on_failure='team:ask')\nEmptyOperator(task_id='a')")
    assert cells[0].source == "%dag a --on-failure team:ask :tell --on-success :tell"
    assert "def tell(context): print(context['ds'])" in cells[1].source
    assert made.warnings == []


def test_outlets_are_produced_and_inlets_consumed(build):
    cells, made = build(
        f"{NAMES}\nEmptyOperator(task_id='a', outlets=[Asset('s3://a'), Dataset('b')], inlets=[Asset('c')])"
    )
    assert cells[0].source == "%%task a --produces s3://a b --consumes c\npass"
    assert made.warnings == []


@pytest.mark.parametrize(("body", "line", "message", "hint"), REFUSED)
def test_an_unsupported_feature_is_rejected_at_its_line(body, line, message, hint, build):
    with pytest.raises(OperatorError) as caught:
        build(f"{NAMES}\n{body}")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.line == line + LINES + 1


# body; message of the warning
WARNINGS = [
    ("EmptyOperator(task_id='a', queue='q')", "queue of EmptyOperator has no effect: it names workers of Airflow"),
    ("EmptyOperator(task_id='a', owner='me')", "owner of EmptyOperator has no effect: a pipeline has one owner"),
    ("EmptyOperator(task_id='a', executor_config={'x': 1})", "executor_config of EmptyOperator has no effect"),
    ("DAG('a', template_undefined=print)", "template_undefined of DAG has no effect: an unknown name"),
    ("DAG('a', orientation='LR')", "orientation of DAG has no effect"),
    (
        "EmptyOperator(task_id='a', on_failure_callback=print, execution_timeout=timedelta(1))",
        "the callbacks of a are not called if a timeout ends the task",
    ),
    (
        "TriggerDagRunOperator(task_id='a', trigger_dag_id='b', on_success_callback=print)",
        "on_success_callback of TriggerDagRunOperator has no effect",
    ),
    (
        "class A(BaseOperator):\n    def execute(self, context): ...\n    def on_kill(self): ...\nA(task_id='a')",
        "on_kill of A has no effect",
    ),
    ("DAG('a').test()", "dag.test() has no effect here"),
    ("EmptyOperator(task_id='a') >> Label('yes') >> 'b'", "the label 'yes' is not drawn, because b is the task of"),
    ("TaskGroup('g', tooltip='t')", "the text 't' of a TaskGroup is not shown"),
]


@pytest.mark.parametrize(("body", "message"), WARNINGS)
def test_what_has_no_effect_is_reported(body, message, build):
    (warning,) = build(f"{NAMES}\n{body}")[1].warnings
    assert message in warning.message
    assert warning.hint
    assert warning.line == LINES + 2 + body.count("\n")


PATHS = [
    "nbdag.airflow",
    "nbdag.airflow.sdk",
    "nbdag.airflow.operators.python",
    "nbdag.airflow.operators.python_operator",
    "nbdag.airflow.providers.standard.operators.bash",
    "nbdag.airflow.models.baseoperator",
    "nbdag.airflow.sdk.definitions.taskgroup",
    "nbdag.airflow.utils.trigger_rule",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_of_airflow_has_every_name(path):
    module = importlib.import_module(path)
    for name in airflow.NAMES:
        assert getattr(module, name) is getattr(airflow, name)


def test_other_modules_do_not_exist():
    for path in ("nbdag.airflow.kubernetes", "nbdag.airflow.operators.Python", "nbdag.airflow.www"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(path)


def test_a_submodule_is_an_attribute():
    from nbdag.airflow import operators, utils

    assert operators.python.PythonOperator is airflow.PythonOperator
    assert utils.trigger_rule.TriggerRule is airflow.TriggerRule


def test_params_become_parameters(build):
    body = (
        "DAG('d', params={'n': Param(5, 'how many', type='integer', minimum=1), 'day': '2026-01-31',\n"
        "    'size': Param('s', enum=['s', 'm']), 'limit': Param(3, '> 5 is slow')})\nEmptyOperator(task_id='a')"
    )
    cells, _ = build(f"{NAMES}\n{body}")
    lines = ['n: int = 5  # {"minimum": 1} how many', "day = '2026-01-31'", 'size = \'s\'  # {"enum": ["s", "m"]}']
    lines.append("limit = 3  # {} > 5 is slow")
    assert cells[1].source.split("\n") == ["%%params", *lines]
    schema = read_cells([RawCell("%%dag", built=0), *cells], name="nb").parameter_schemas
    assert (schema["limit"]["description"], "exclusiveMinimum" in schema["limit"]) == ("> 5 is slow", False)
    assert (schema["n"]["minimum"], schema["n"]["type"], schema["size"]["enum"]) == (1, "integer", ["s", "m"])


def test_functions_are_copied_without_the_decorators_that_made_tasks(build):
    body = (
        "import math\nSCALE = 2\n\ndef help_(x): return math.floor(x) * SCALE\n\n@dag(schedule=None)\ndef etl(limit: int = 3):\n"
        "    offset = 4\n\n    @task(retries=1)\n    def extract(n):\n        # keeps\n        return help_(n) + offset\n\n"
        "    extract(limit)\n\netl()"
    )
    cells, _ = build(f"{NAMES}\n{body}")
    setup = next(cell.source for cell in cells if cell.source.startswith("%%setup"))
    assert setup == (
        "%%setup\noffset = 4\nimport math\nSCALE = 2\ndef help_(x): return math.floor(x) * SCALE\n"
        "def extract(n):\n    # keeps\n    return help_(n) + offset"
    )
    assert [cell.source for cell in cells if cell.source.startswith("%%params")] == ["%%params\nlimit = 3"]


def test_the_environment_of_a_command_is_no_template(capfd):
    made = run_bash(DagRun.of({"task_id": "a"}), 'echo "$A $B"', env={"A": "{{ ds }}", "B": 3}, append_env=True)
    assert made == "{{ ds }} 3"


def test_a_list_of_sql_uses_one_connection(monkeypatch):
    monkeypatch.setenv("NBDAG_CONN_MEMORY", "sqlite://")
    texts = ["CREATE TABLE t (n INT)", "INSERT INTO t VALUES (%(n)s)", "SELECT n FROM t"]
    assert run_sql(texts, connection="memory", parameters={"n": 5}) == [(5,)]
    assert run_sql(texts[:2], connection="memory", parameters={"n": 5}) is None
