"""The API of runs: every verb of the command line is a function here, and every other caller uses the same functions.

The surfaces are the command line, the magics, the widget and the papermill engine. A surface parses its input, calls
one function of this module and shows the result. Code outside this package imports only this module.

    create, execute    run  plan_run  trigger  resume  backfill  schedule  run_child  trigger_child (from a task)
                       has_succeeded  events_for_task (from a task)
                       attempt (one task, for another scheduler)
    export             export_airflow  export_script
    deploy             deploy  remove  pause  unpause  list_dags  find_dag  next_ticks  live_scheduler
    lists              page_of_runs  page_of_dags  dag_entry
    ask                list_runs  find_run  list_attempts  logs  why  why_not_started  owner  follow  watch_runs
                       load  load_task  remember_files  list_assets  asset_events  waits_for  lineage  compare_runs
                       metric_history  questions  report_html  ChangeWatcher  metrics  dag_badge
    change             answer  emit_asset  clear  edited_since  mark  cancel  list_pools  set_pool  delete_pool
    notebooks          check  suggest  import_pipeline  rehearse  rehearsal_page
    maintain           list_connections  test_connections
                       gc  clean_db  check_db  migrate_db  health  doctor  stop_servers

Inside the package, imports point one way: `queries` (read only) < `creation` (check and plan a run) < `execution`
(execute runs, write reports, notify, recover) < `actions` (change runs and deployments). All functions create runs in
the store, and the same class `Scheduler` executes these runs.

Each function or class is imported when it is first used, so a command loads only the modules that it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..building import read
    from ..core.model.events import Event
    from ..rehearse.findings import FINDING_KINDS, Rehearsal, UnknownKindError
    from ..rehearse.page import rehearsal_page
    from ..store.rows import AttemptRow, SchedulerRow
    from .actions.approve import NoQuestionError, NotApproverError, Question, answer, questions
    from .actions.assets import AssetExtraError, AssetNameError, emit_asset
    from .actions.backfill import REPROCESS, Backfill, BackfillError, BackfillRunningError, BackfillTick, backfill
    from .actions.cancel import RunEndedError, cancel
    from .actions.child import (
        ChildRunError,
        NoPipelineError,
        NoSchedulerError,
        events_for_task,
        has_succeeded,
        run_child,
        trigger_child,
    )
    from .actions.clear import MARKS, Cleared, NothingToClearError, clear, edited_since, mark
    from .actions.database import migrate_db
    from .actions.deploy import deploy, pause, remove, trigger, unpause
    from .actions.doctor import doctor, stop_servers
    from .actions.gc import GRACE, Cleaned, clean_db, gc
    from .actions.notebooks.check import CheckedNotebook, NewerTextError, NotRepairedError, check
    from .actions.notebooks.export import (
        ContainerStorageError,
        ImageMissingError,
        UnknownAirflowOperatorError,
        export_airflow,
        export_script,
    )
    from .actions.notebooks.import_pipeline import import_pipeline
    from .actions.notebooks.suggest import SuggestedNotebook, suggest
    from .actions.pools import DefaultPoolError, PoolNameError, PoolSizeError, UnknownPoolError, delete_pool, set_pool
    from .actions.rehearsal.rehearse import rehearse
    from .actions.resume import RunOwnedError, RunSucceededError, requeue, resume
    from .creation.partial_runs import NoStoredValueError
    from .creation.plan import Planned, PoolTooSmallError, plan_run
    from .creation.prepare import (
        EmptySelectionError,
        FolderMissingError,
        KernelMissingError,
        NotebookProblemsError,
        OutputError,
        OutputExistsError,
        ParameterSizeError,
        ParameterValueError,
        UnknownParameterError,
        UnknownTaskError,
        choose,
        plain_parameters,
    )
    from .execution.attempt import FinishedAttempt, MapIndexError, MissingElementError, NotebookVersionError, attempt
    from .execution.daemon import Line, SchedulerRunningError, schedule
    from .execution.foreground import JobsError, PreviousRunError, run
    from .queries.assets import (
        Asset,
        AssetVersion,
        Lineage,
        UnknownAssetError,
        asset_events,
        lineage,
        list_assets,
        unknown_sources,
        waits_for,
    )
    from .queries.connections import KnownConnection, TestedConnection, list_connections, test_connections
    from .queries.database import DatabaseHealth, check_db
    from .queries.deployments import (
        Deployed,
        NotDeployedError,
        Tick,
        deployed_paths,
        find_dag,
        list_dags,
        live_scheduler,
        next_ticks,
    )
    from .queries.file_order import remember_files
    from .queries.files.logs import LogFile, find_log
    from .queries.files.notebooks import (
        PinnedNotebook,
        UnknownVersionError,
        Version,
        find_version,
        list_versions,
        pinned_notebook,
    )
    from .queries.files.report_page import NoReportError, report_html, report_notebook
    from .queries.files.values import LoadedTask, load, load_task
    from .queries.monitoring.badge import dag_badge
    from .queries.monitoring.calendar import Calendar, CalendarDay, calendar
    from .queries.monitoring.changes import Change, ChangeWatcher
    from .queries.monitoring.comparison import (
        ComparedRuns,
        DifferentDagsError,
        NoEarlierRunError,
        compare_runs,
        outputs_by_task,
        parameter_changes,
    )
    from .queries.monitoring.health import Finding, health
    from .queries.monitoring.listings import (
        CursorError,
        DagEntry,
        DagPage,
        RunEntry,
        RunPage,
        dag_entry,
        latest_that_fit,
        page_of_dags,
        page_of_runs,
    )
    from .queries.monitoring.metric_history import MetricHistory, MetricSeries, metric_history
    from .queries.monitoring.metrics import Metrics, metrics
    from .queries.monitoring.overview import OverdueDag, Overview, SchedulerProcess, overview
    from .queries.pinned import PinnedNotebookMissingError
    from .queries.pools import Pool, list_pools
    from .queries.records import (
        AmbiguousInstanceError,
        FailedWriterError,
        Run,
        TaskNotInRunError,
        TaskRun,
        UnknownInstanceError,
        ValueNotStoredError,
    )
    from .queries.run_details import RunDetails, run_details
    from .queries.run_events import RunEvent, run_events
    from .queries.runs import (
        AmbiguousRunError,
        NoLogError,
        RunBusyError,
        UnknownRunError,
        UnknownStateError,
        find_run,
        follow,
        list_attempts,
        list_runs,
        logs,
        owner,
        rendered,
        rendered_in,
        stored_outputs,
        watch_runs,
    )
    from .queries.stored_views import MANY_TASKS, read_view, store_view
    from .queries.why import Why, why, why_not_started

__all__ = [
    "FINDING_KINDS",
    "GRACE",
    "MANY_TASKS",
    "MARKS",
    "REPROCESS",
    "AmbiguousInstanceError",
    "AmbiguousRunError",
    "Asset",
    "AssetExtraError",
    "AssetNameError",
    "AssetVersion",
    "AttemptRow",
    "Backfill",
    "BackfillError",
    "BackfillRunningError",
    "BackfillTick",
    "Calendar",
    "CalendarDay",
    "Change",
    "ChangeWatcher",
    "CheckedNotebook",
    "ChildRunError",
    "Cleaned",
    "Cleared",
    "ComparedRuns",
    "ContainerStorageError",
    "CursorError",
    "DagEntry",
    "DagPage",
    "DatabaseHealth",
    "DefaultPoolError",
    "Deployed",
    "DifferentDagsError",
    "EmptySelectionError",
    "Event",
    "FailedWriterError",
    "Finding",
    "FinishedAttempt",
    "FolderMissingError",
    "ImageMissingError",
    "JobsError",
    "KernelMissingError",
    "KnownConnection",
    "Line",
    "Lineage",
    "LoadedTask",
    "LogFile",
    "MapIndexError",
    "MetricHistory",
    "MetricSeries",
    "Metrics",
    "MissingElementError",
    "NewerTextError",
    "NoEarlierRunError",
    "NoLogError",
    "NoPipelineError",
    "NoQuestionError",
    "NoReportError",
    "NoSchedulerError",
    "NoStoredValueError",
    "NotApproverError",
    "NotDeployedError",
    "NotRepairedError",
    "NotebookProblemsError",
    "NotebookVersionError",
    "NothingToClearError",
    "OutputError",
    "OutputExistsError",
    "OverdueDag",
    "Overview",
    "ParameterSizeError",
    "ParameterValueError",
    "PinnedNotebook",
    "PinnedNotebookMissingError",
    "Planned",
    "Pool",
    "PoolNameError",
    "PoolSizeError",
    "PoolTooSmallError",
    "PreviousRunError",
    "Question",
    "Rehearsal",
    "Run",
    "RunBusyError",
    "RunDetails",
    "RunEndedError",
    "RunEntry",
    "RunEvent",
    "RunOwnedError",
    "RunPage",
    "RunSucceededError",
    "SchedulerProcess",
    "SchedulerRow",
    "SchedulerRunningError",
    "SuggestedNotebook",
    "TaskNotInRunError",
    "TaskRun",
    "TestedConnection",
    "Tick",
    "UnknownAirflowOperatorError",
    "UnknownAssetError",
    "UnknownInstanceError",
    "UnknownKindError",
    "UnknownParameterError",
    "UnknownPoolError",
    "UnknownRunError",
    "UnknownStateError",
    "UnknownTaskError",
    "UnknownVersionError",
    "ValueNotStoredError",
    "Version",
    "Why",
    "answer",
    "asset_events",
    "attempt",
    "backfill",
    "calendar",
    "cancel",
    "check",
    "check_db",
    "choose",
    "clean_db",
    "clear",
    "compare_runs",
    "dag_badge",
    "dag_entry",
    "delete_pool",
    "deploy",
    "deployed_paths",
    "doctor",
    "edited_since",
    "emit_asset",
    "events_for_task",
    "export_airflow",
    "export_script",
    "find_dag",
    "find_log",
    "find_run",
    "find_version",
    "follow",
    "gc",
    "has_succeeded",
    "health",
    "import_pipeline",
    "latest_that_fit",
    "lineage",
    "list_assets",
    "list_attempts",
    "list_connections",
    "list_dags",
    "list_pools",
    "list_runs",
    "list_versions",
    "live_scheduler",
    "load",
    "load_task",
    "logs",
    "mark",
    "metric_history",
    "metrics",
    "migrate_db",
    "next_ticks",
    "outputs_by_task",
    "overview",
    "owner",
    "page_of_dags",
    "page_of_runs",
    "parameter_changes",
    "pause",
    "pinned_notebook",
    "plain_parameters",
    "plan_run",
    "questions",
    "read",
    "read_view",
    "rehearsal_page",
    "rehearse",
    "remember_files",
    "remove",
    "rendered",
    "rendered_in",
    "report_html",
    "report_notebook",
    "requeue",
    "resume",
    "run",
    "run_child",
    "run_details",
    "run_events",
    "schedule",
    "set_pool",
    "stop_servers",
    "store_view",
    "stored_outputs",
    "suggest",
    "test_connections",
    "trigger",
    "trigger_child",
    "unknown_sources",
    "unpause",
    "waits_for",
    "watch_runs",
    "why",
    "why_not_started",
]

_MODULES = {
    "..core.model.events": "Event",
    "..store.rows": "AttemptRow SchedulerRow",
    "..building": "read",
    ".queries.records": (
        "AmbiguousInstanceError FailedWriterError Run TaskNotInRunError TaskRun UnknownInstanceError "
        "ValueNotStoredError"
    ),
    ".queries.runs": (
        "AmbiguousRunError NoLogError RunBusyError UnknownRunError UnknownStateError find_run follow "
        "list_attempts list_runs logs owner rendered rendered_in stored_outputs watch_runs"
    ),
    ".queries.files.report_page": "NoReportError report_html report_notebook",
    ".queries.pinned": "PinnedNotebookMissingError",
    ".queries.stored_views": "MANY_TASKS read_view store_view",
    ".queries.files.values": "LoadedTask load load_task",
    ".actions.notebooks.check": "CheckedNotebook NewerTextError NotRepairedError check",
    ".actions.notebooks.import_pipeline": "import_pipeline",
    ".actions.notebooks.suggest": "SuggestedNotebook suggest",
    "..rehearse.findings": "FINDING_KINDS Rehearsal UnknownKindError",
    "..rehearse.page": "rehearsal_page",
    ".actions.rehearsal.rehearse": "rehearse",
    ".queries.why": "Why why why_not_started",
    ".queries.deployments": (
        "Deployed NotDeployedError Tick deployed_paths find_dag list_dags live_scheduler next_ticks"
    ),
    ".queries.pools": "Pool list_pools",
    ".queries.assets": (
        "Asset AssetVersion Lineage UnknownAssetError asset_events lineage list_assets unknown_sources waits_for"
    ),
    ".queries.monitoring.badge": "dag_badge",
    ".queries.monitoring.metrics": "Metrics metrics",
    ".queries.monitoring.metric_history": "MetricHistory MetricSeries metric_history",
    ".queries.monitoring.changes": "Change ChangeWatcher",
    ".queries.connections": "KnownConnection TestedConnection list_connections test_connections",
    ".queries.database": "DatabaseHealth check_db",
    ".queries.file_order": "remember_files",
    ".queries.monitoring.comparison": (
        "ComparedRuns DifferentDagsError NoEarlierRunError compare_runs outputs_by_task parameter_changes"
    ),
    ".queries.monitoring.health": "Finding health",
    ".queries.monitoring.listings": (
        "CursorError DagEntry DagPage RunEntry RunPage dag_entry latest_that_fit page_of_dags page_of_runs"
    ),
    ".queries.files.notebooks": "PinnedNotebook UnknownVersionError Version find_version list_versions pinned_notebook",
    ".queries.run_details": "RunDetails run_details",
    ".queries.files.logs": "LogFile find_log",
    ".queries.monitoring.overview": "OverdueDag Overview SchedulerProcess overview",
    ".queries.monitoring.calendar": "Calendar CalendarDay calendar",
    ".queries.run_events": "RunEvent run_events",
    ".creation.prepare": (
        "EmptySelectionError FolderMissingError KernelMissingError NotebookProblemsError OutputError "
        "OutputExistsError ParameterSizeError ParameterValueError UnknownParameterError UnknownTaskError choose "
        "plain_parameters"
    ),
    ".creation.partial_runs": "NoStoredValueError",
    ".creation.plan": "Planned PoolTooSmallError plan_run",
    ".execution.foreground": "JobsError PreviousRunError run",
    ".execution.attempt": "FinishedAttempt MapIndexError MissingElementError NotebookVersionError attempt",
    ".execution.daemon": "Line SchedulerRunningError schedule",
    ".actions.deploy": "deploy pause remove trigger unpause",
    ".actions.approve": "NoQuestionError NotApproverError Question answer questions",
    ".actions.assets": "AssetExtraError AssetNameError emit_asset",
    ".actions.backfill": "REPROCESS Backfill BackfillError BackfillRunningError BackfillTick backfill",
    ".actions.child": (
        "ChildRunError NoPipelineError NoSchedulerError events_for_task has_succeeded run_child trigger_child"
    ),
    ".actions.clear": "MARKS Cleared NothingToClearError clear edited_since mark",
    ".actions.cancel": "RunEndedError cancel",
    ".actions.resume": "RunOwnedError RunSucceededError requeue resume",
    ".actions.pools": "DefaultPoolError PoolNameError PoolSizeError UnknownPoolError delete_pool set_pool",
    ".actions.notebooks.export": (
        "ContainerStorageError ImageMissingError UnknownAirflowOperatorError export_airflow export_script"
    ),
    ".actions.gc": "GRACE Cleaned clean_db gc",
    ".actions.database": "migrate_db",
    ".actions.doctor": "doctor stop_servers",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}


if not TYPE_CHECKING:  # hidden from mypy, because with a module `__getattr__` mypy would accept any name

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_MODULE_OF[name], __name__), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
