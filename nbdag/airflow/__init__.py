"""Airflow's names for the body of a `%%dag` cell: a DAG file runs when its imports name `nbdag.airflow`.

    %%dag
    from datetime import datetime
    from nbdag.airflow.sdk import DAG, task
    from nbdag.airflow.providers.standard.operators.bash import BashOperator

    with DAG("etl", schedule="@daily", start_date=datetime(2026, 1, 1), default_args={"retries": 2}):
        @task
        def extract(ds):
            return load(ds)

        extract() >> BashOperator(task_id="report", bash_command="echo {{ ds }} {{ ti.xcom_pull('extract') }}")

Every path of Airflow's packages below `nbdag.airflow` has all names of the table below, so only the prefix changes. The
DAG's options become the pipeline's options, and its params become the notebook's parameters. A result, Airflow's XCom,
is the variable `TASK_result`, which later cells of the notebook can read. Names of the context (`ds`, `params`, `ti`,
`dag_run`, …) are passed to functions that ask for them, and templates are rendered, as `nbdag.templates` describes.
Connections and variables come from `nbdag.secrets`.

What differs:

- One cell makes one DAG, since a notebook is one pipeline.
- In a mapped group, a result that is passed as an argument is that of the same element, and `xcom_pull` returns the
  list of the results that exist already, as in Airflow. Such a group has no branch, setup or teardown task.
- `xcom_pull` orders tasks: a task that pulls from another runs after it.
- Bash gets the values of templates as data; `{{ value | safe }}` pastes a value as a part of the command.
- A function's code, and what it reads, are copied into cells. So it cannot read variables that change in a loop.
- A callback of the DAG runs in a process of its own after the run, where the setup of the notebook is executed again.
  Callbacks of tasks run in the task's kernel, and so not if a timeout or a signal ends it. `XComArg.map` is applied to
  all elements at once, before the instances run. A sensor of the user is made again for each poke.
- Not supported, and rejected with what to write instead: mail, hooks, deferrable operators, an `execute` of the
  user in a branch, a short circuit, a trigger or a `PythonSensor`, `expand` over results of a task that may be missing,
  `@task.virtualenv`, `docker` and `kubernetes`, and every operator that is not in the table.
- Without an effect, and reported by `nbdag check` (NB117): labels of edges, texts for Airflow's page, settings of its
  executors (`keywords.TASK_IGNORED` and `keywords.DAG_IGNORED`), `dag.test()`.
"""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..operators import OperatorError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Name → the module of this package that defines it.
NAMES = {
    "AirflowException": "kernel",
    "AirflowFailException": "kernel",
    "AirflowSkipException": "kernel",
    "Asset": "assets",
    "AssetAll": "assets",
    "AssetAny": "assets",
    "AssetOrTimeSchedule": "assets",
    "BaseBranchOperator": "custom",
    "BaseHook": "kernel",
    "BaseOperator": "custom",
    "BaseSensorOperator": "custom",
    "BashOperator": "classic",
    "BranchPythonOperator": "classic",
    "Connection": "kernel",
    "CronTriggerTimetable": "keywords",
    "DAG": "pipeline",
    "Dataset": "assets:Asset",
    "DatasetAll": "assets:AssetAll",
    "DatasetAny": "assets:AssetAny",
    "DatasetOrTimeSchedule": "assets:AssetOrTimeSchedule",
    "DummyOperator": "classic:EmptyOperator",
    "EmptyOperator": "classic",
    "FileSensor": "classic",
    "Label": "pipeline",
    "LatestOnlyOperator": "classic",
    "PapermillOperator": "classic",
    "Param": "parameters",
    "PokeReturnValue": "kernel",
    "PythonOperator": "classic",
    "PythonSensor": "classic",
    "SQLExecuteQueryOperator": "classic",
    "ShortCircuitOperator": "classic",
    "TaskGroup": "pipeline",
    "TriggerDagRunOperator": "classic",
    "TriggerRule": "keywords",
    "Variable": "kernel",
    "WeightRule": "keywords",
    "XComArg": "base",
    "apply_defaults": "custom",
    "chain": "pipeline",
    "cross_downstream": "pipeline",
    "dag": "pipeline",
    "get_current_context": "kernel",
    "setup": "taskflow",
    "task": "taskflow",
    "task_group": "pipeline",
    "teardown": "taskflow",
    # The names below are helpers that only generated cells call.
    "begun": "kernel",
    "calling": "kernel",
    "ended": "kernel",
    "file_exists": "kernel",
    "latest_only": "kernel",
    "poked": "kernel",
    "run_bash": "kernel",
    "run_papermill": "kernel",
    "run_sql": "kernel",
}

_OWN = frozenset(each.partition(":")[0] for each in NAMES.values()) | {
    "executables",
    "pulls",
}  # modules of this package

_ASSETS = "write Asset('s3://lake/orders'), with the name of one piece of data"
_FUNCTION = "write a function that does it with a library, and @task above it"

# Names of Airflow that are rejected, each with what to write instead.
REFUSED = {
    "AssetAlias": _ASSETS,
    "DatasetAlias": _ASSETS,
    "Metadata": "call nbdag.produced('s3://lake/orders', rows=10) in the task",
    "asset": "write @task(outlets=[Asset('s3://lake/orders')])",
    "BranchDateTimeOperator": "write @task.branch, and compare logical_date in the function",
    "BranchDayOfWeekOperator": "write @task.branch, and use logical_date.weekday() in the function",
    "CronDataIntervalTimetable": "write schedule='0 6 * * *'",
    "DateTimeSensor": "write @task.sensor above a function that compares the time",
    "DayOfWeekSensor": "write @task.sensor above a function that compares the day",
    "EmailOperator": "write on_failure='mailto://…' in DAG(...), or send the mail in a @task function",
    "ExternalPythonOperator": "choose the notebook's kernel, or run the other Python in a BashOperator",
    "ExternalTaskSensor": "let the other pipeline start this one with TriggerDagRunOperator",
    "HttpOperator": "call the service with requests in a @task function, or write %%task NAME --operator http",
    "HttpSensor": "call the service in a function, and write @task.sensor above it",
    "PythonVirtualenvOperator": "choose the notebook's kernel, or run the other Python in a BashOperator",
    "SimpleHttpOperator": "call the service with requests in a @task function",
    "SmoothOperator": _FUNCTION,
    "SubDagOperator": "write a TaskGroup",
    "TimeDeltaSensor": "write @task.sensor above a function that compares the time",
    "TimeSensor": "write @task.sensor above a function that compares the time",
    "days_ago": "write a fixed date, such as start_date=datetime(2026, 1, 1)",
    "cron_presets": "write the preset itself, such as schedule='@daily'",
    "provide_session": "the database of Airflow does not exist here; remove it",
    "settings": "the database of Airflow does not exist here; remove it",
    "conf": "nbdag has no airflow.cfg; write Variable.get('name', default='…')",
}

# The packages of Airflow whose paths may follow `nbdag.airflow`.
ROOTS = frozenset(
    {
        "assets",
        "configuration",
        "contrib",
        "datasets",
        "decorators",
        "exceptions",
        "hooks",
        "macros",
        "models",
        "operators",
        "providers",
    }
    | {"sdk", "sensors", "timetables", "utils"}
)


def find(name: str) -> Any:
    """Return one of Airflow's names. Raise `OperatorError` with what to write instead if it is not supported."""
    if name in NAMES:
        module, _, member = NAMES[name].partition(":")
        return getattr(import_module(f"{__name__}.{module}"), member or name)
    if name in REFUSED:
        raise OperatorError(f"{name} is not supported by nbdag.airflow", hint=REFUSED[name])
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.85)  # S3ListOperator is not a misspelt BashOperator
    hint = f"did you mean {near[0]}?" if near else _FUNCTION
    raise OperatorError(f"nbdag.airflow has no {name}", hint=f"{hint}; help('nbdag.airflow') lists what it has")


class _Page(ModuleType):
    """A module at a path of Airflow, such as `nbdag.airflow.operators.python`."""

    def __getattr__(self, name: str) -> Any:
        return _attribute(name, self.__name__)

    def __call__(self, *_: Any, **__: Any) -> Any:
        find(self.__name__.rpartition(".")[2])  # a function that this package does not have


class _PathFinder(MetaPathFinder, Loader):
    """Finds the modules at the paths of Airflow's packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, rest = fullname.removeprefix(f"{__name__}.").partition(".")
        if not fullname.startswith(f"{__name__}.") or root not in ROOTS or (rest and not rest.islower()):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Page(spec.name, f"Airflow's names, see `{__name__}`.")

    def exec_module(self, module: ModuleType) -> None: ...


sys.meta_path.append(_PathFinder())


def _attribute(name: str, module: str) -> Any:
    if name.startswith("__") or name == "_ipython_display_" or (module == __name__ and name in _OWN):
        raise AttributeError(name)
    is_path = name.islower() and name not in NAMES and name not in REFUSED
    if is_path and (module != __name__ or name in ROOTS):
        return import_module(f"{module}.{name}")
    return find(name)


if not TYPE_CHECKING:  # a `__getattr__` visible to mypy would make it accept any name

    def __getattr__(name: str) -> Any:
        return _attribute(name, __name__)
