"""Airflow's names for the code of `%%dag` cells. A DAG file runs in a cell if its imports begin with `nbdag.airflow`.

    %%dag
    from datetime import datetime
    from nbdag.airflow.sdk import DAG, task
    from nbdag.airflow.providers.standard.operators.bash import BashOperator

    with DAG("etl", schedule="@daily", start_date=datetime(2026, 1, 1), default_args={"retries": 2}):
        @task
        def extract(ds):
            return load(ds)

        extract() >> BashOperator(task_id="report", bash_command="echo {{ ds }} {{ ti.xcom_pull('extract') }}")

Airflow's module paths exist below `nbdag.airflow`, each with all names in `NAMES`, so only the prefix changes. The
DAG's options become the pipeline's options, and its params become the notebook's parameters. A task's result (in
Airflow an XCom) is the variable `TASK_result`, which later cells of the notebook can read. Names of the context (`ds`,
`params`, `ti`, `dag_run`, …) are passed to functions that ask for them, and templates are rendered, as
`nbdag.templates` describes. Connections and variables come from `nbdag.secrets`.

Differences from Airflow:

- One cell makes one DAG, since a notebook is one pipeline.
- If a task of a mapped group takes the result of another task of the group, each instance gets the result for its own
  element. `xcom_pull` returns the list of the results that exist already, as in Airflow. A mapped group cannot contain
  a branch, setup or teardown task.
- `xcom_pull` orders tasks: a task that pulls from another runs after it.
- Bash gets the values of templates as data; `{{ value | safe }}` pastes a value as a part of the command.
- A function's code is copied into cells, with the variables that the code reads. So a function cannot read a variable
  that changes in a loop.
- A callback of the DAG runs after the run, in a process of its own, which executes the notebook's setup again. A
  callback of a task runs in the task's kernel, so it is not called if a timeout or a signal ends the kernel.
- `XComArg.map` is applied to all elements at once, before the instances run.
- A sensor class of the user is instantiated for each poke.
- A sensor with `deferrable=True` runs in the mode `reschedule`, which keeps no process between pokes. A sensor that
  exceeds its timeout is retried like any other task; Airflow does not retry it.
- Not supported, and rejected with a hint: mail; hooks; `self.defer`; the user's own `execute` in a branch, short
  circuit, trigger or `PythonSensor`; `expand` over results that may be missing; `@task.virtualenv`, `docker` and
  `kubernetes`; every operator that is not in `NAMES`.
- Without an effect, and reported by `nbdag check` (NB117): texts for Airflow's web page, settings of executors
  (`keywords.TASK_IGNORED` and `keywords.DAG_IGNORED`), `dag.test()`.
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

# Key: name; value: the module of this package that defines the name.
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
    "BashSensor": "classic",
    "BranchDateTimeOperator": "clock",
    "BranchDayOfWeekOperator": "clock",
    "BranchPythonOperator": "classic",
    "Connection": "kernel",
    "Context": "kernel",
    "CronTriggerTimetable": "keywords",
    "DAG": "pipeline",
    "Dataset": "assets:Asset",
    "DatasetAll": "assets:AssetAll",
    "DatasetAny": "assets:AssetAny",
    "DatasetOrTimeSchedule": "assets:AssetOrTimeSchedule",
    "DateTimeSensor": "clock",
    "DateTimeSensorAsync": "clock:DateTimeSensor",
    "DayOfWeekSensor": "clock",
    "DummyOperator": "classic:EmptyOperator",
    "EmptyOperator": "classic",
    "FileSensor": "classic",
    "Label": "pipeline",
    "LatestOnlyOperator": "classic",
    "PapermillOperator": "classic",
    "Param": "parameters",
    "ParamsDict": "parameters",
    "PokeReturnValue": "kernel",
    "PythonOperator": "classic",
    "PythonSensor": "classic",
    "SQLExecuteQueryOperator": "classic",
    "ShortCircuitOperator": "classic",
    "TaskGroup": "pipeline",
    "TimeDeltaSensor": "clock",
    "TimeDeltaSensorAsync": "clock:TimeDeltaSensor",
    "TimeSensor": "clock",
    "TimeSensorAsync": "clock:TimeSensor",
    "TriggerDagRunOperator": "classic",
    "TriggerRule": "keywords",
    "Variable": "kernel",
    "WeekDay": "clock",
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
    "bash_succeeds": "kernel",
    "begun": "kernel",
    "calling": "kernel",
    "ended": "kernel",
    "file_exists": "kernel",
    "is_between": "clock",
    "is_day": "clock",
    "latest_only": "kernel",
    "poked": "kernel",
    "run_bash": "kernel",
    "run_papermill": "kernel",
    "run_sql": "kernel",
    "time_has_come": "clock",
}

_OWN = frozenset(each.partition(":")[0] for each in NAMES.values()) | {
    "callbacks",
    "executables",
    "pulls",
    "setup_teardown",
}  # modules of this package

_ASSETS = "write Asset('s3://lake/orders'), with the name of one piece of data"
_APPROVE = "write the option approve='Ship it?' of a task, which then waits for an answer"
_OTHER_PYTHON = "choose the notebook's kernel, or run the other Python in a BashOperator"
_SQL_CHECK = "read the value with SQLExecuteQueryOperator, and compare it in a @task below, which raises an error"
_FUNCTION = "write a function that does it with a library, and @task above it"

# Names of Airflow that are rejected, each with what to write instead.
REFUSED = {
    "AssetAlias": _ASSETS,
    "DatasetAlias": _ASSETS,
    "Metadata": "call nbdag.produced('s3://lake/orders', rows=10) in the task",
    "asset": "write @task(outlets=[Asset('s3://lake/orders')])",
    "ApprovalOperator": _APPROVE,
    "AssetAccessControl": "remove it: nbdag does not manage users",
    "AssetWatcher": "write Asset('file:inbox/*.csv'): a scheduler watches the files of such assets",
    "BranchExternalPythonOperator": _OTHER_PYTHON,
    "BranchPythonVirtualenvOperator": _OTHER_PYTHON,
    "BranchSQLOperator": "read the value with SQLExecuteQueryOperator, and write @task.branch below it",
    "CronDataIntervalTimetable": "write schedule='0 6 * * *'",
    "ExceptionRetryPolicy": "write retry_on='ConnectionError' as an option of the task",
    "DeadlineAlert": "write deadline='+2h' in DAG(...), and on_deadline='…' with a URL of Apprise or module:function",
    "EmailOperator": "write on_failure='mailto://…' in DAG(...), or send the mail in a @task function",
    "ExternalPythonOperator": _OTHER_PYTHON,
    "ExternalTaskMarker": "let this pipeline start the other pipeline with TriggerDagRunOperator",
    "ExternalTaskSensor": "call nbdag.wait_for(dag='other') in a @task function, which waits without a process",
    "HttpOperator": "call the service with requests in a @task function, or write %%task NAME --operator http",
    "HttpSensor": "call nbdag.wait_for('https://…') in a @task function, which waits without a process",
    "HITLBranchOperator": _APPROVE,
    "HITLEntryOperator": _APPROVE,
    "HITLOperator": _APPROVE,
    "ObjectStoragePath": "write UPath of universal_pathlib, or open the URL with fsspec",
    "PythonVirtualenvOperator": _OTHER_PYTHON,
    "SimpleHttpOperator": "call the service with requests in a @task function",
    "SmoothOperator": _FUNCTION,
    "SubDagOperator": "write a TaskGroup",
    "SQLColumnCheckOperator": _SQL_CHECK,
    "SQLTableCheckOperator": _SQL_CHECK,
    "SQLCheckOperator": _SQL_CHECK,
    "SqlSensor": "write %%task NAME --operator sql-sensor in a cell of its own",
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
    """Return one of Airflow's names. For an unsupported name, raise `OperatorError` with a hint."""
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
        find(self.__name__.rpartition(".")[2])  # called like a function: raise the error for an unknown name


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


if not TYPE_CHECKING:  # mypy would accept any name if it saw this `__getattr__`

    def __getattr__(name: str) -> Any:
        return _attribute(name, __name__)
