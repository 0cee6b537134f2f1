"""The names that templates can use, as in Airflow: `context_of` returns them with their values for one task.

A function with parameters of these names receives the same values: `def load(ds, params, ti)`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, SimpleNamespace
from typing import Any

from ..errors import NbdagError
from ..secrets.sources import BackendError, EnvFileError
from . import macros

_REQUIRED = object()

# Key: name of Airflow that nbdag does not support; value: what to write instead.
INSTEAD = {
    "execution_date": "write logical_date",
    "next_execution_date": "write data_interval_end",
    "prev_execution_date": "write data_interval_start",
    "next_ds": "write {{ data_interval_end | ds }}",
    "next_ds_nodash": "write {{ data_interval_end | ds_nodash }}",
    "prev_ds": "write {{ data_interval_start | ds }}",
    "prev_ds_nodash": "write {{ data_interval_start | ds_nodash }}",
    "yesterday_ds": "write {{ macros.ds_add(ds, -1) }}",
    "yesterday_ds_nodash": "write {{ (logical_date - macros.timedelta(days=1)) | ds_nodash }}",
    "tomorrow_ds": "write {{ macros.ds_add(ds, 1) }}",
    "tomorrow_ds_nodash": "write {{ (logical_date + macros.timedelta(days=1)) | ds_nodash }}",
    "conf": "nbdag has no configuration of Airflow; write {{ var.value.NAME }} or {{ params.NAME }}",
    "asset_state_store": "write nbdag.state, which lives across the tries of the task",
    "expanded_ti_count": "pass the number of elements as an argument",
    "inlets": "write the asset's name",
    "outlets": "write the asset's name; nbdag.produced(name, rows=10) records facts about its new version",
    "prev_data_interval_start_success": "keep the date of the last success in a file or a table",
    "prev_data_interval_end_success": "keep the date of the last success in a file or a table",
    "prev_start_date_success": "keep the date of the last success in a file or a table",
    "prev_end_date_success": "keep the date of the last success in a file or a table",
    "task_reschedule_count": "keep a count in nbdag.state",
    "task_state_store": "write nbdag.state, which lives across the tries of the task",
    "triggering_dataset_events": "write triggering_asset_events",
}


class Lookup(Mapping[str, Any]):
    """Values that a function looks up by name: as attributes, as items, or by `get` with a default."""

    def __init__(self, kind: str, look_up: Callable[..., Any]) -> None:
        self._kind = kind
        self._look_up = look_up

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        return self._look_up(name)

    def get(self, name: str, default: Any = _REQUIRED) -> Any:
        """Return the value of a name, or the default if the value is missing and a default is given.

        If a source of values fails, raise its error even with a default, because the source may know the name.
        """
        try:
            return self._look_up(name)
        except (NbdagError, LookupError) as failure:
            if default is _REQUIRED or isinstance(failure, BackendError | EnvFileError):
                raise
            return default

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"<{self._kind}>"


class Params(Mapping[str, Any]):
    """The parameters of a run, as items and attributes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = MappingProxyType(dict(values))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(name)
        return self._values[name]

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self._values))

    def __str__(self) -> str:
        return repr(self)


# The names that `context_of` returns, for checks without a run.
NAMES = (
    "conn",
    "dag",
    "dag_run",
    "data_interval_end",
    "data_interval_start",
    "ds",
    "ds_nodash",
    "inlet_events",
    "logical_date",
    "macros",
    "map_index",
    "outlet_events",
    "params",
    "run_id",
    "task",
    "task_instance",
    "task_instance_key_str",
    "test_mode",
    "ti",
    "triggering_asset_events",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
    "var",
)


def context_of(
    dag_run: Any,
    params: Mapping[str, Any] | None = None,
    *,
    ti: Any = None,
    task: Any = None,
    dag: Any = None,
    variable: Callable[..., Any] | None = None,
    connection: Callable[[str], Any] | None = None,
    inlet_events: Any = None,
    outlet_events: Any = None,
    triggering_asset_events: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the names that a task's templates can use, with their values.

    `dag_run` has the attributes of `nbdag.task_api.context.DagRun`; `params` replaces the parameters of `dag_run`.
    `variable(name)` and `connection(name)` look up the values of `var` and `conn`. The last three arguments are the
    values of the names `inlet_events`, `outlet_events` and `triggering_asset_events`.
    """
    logical = macros.Moment.of(dag_run.logical_date)
    task_id = dag_run.task_id or "interactive"
    values = Params(dag_run.params if params is None else params)
    instance = ti if ti is not None else SimpleNamespace(task_id=task_id)
    return {
        "conn": Lookup("conn", connection or _unavailable("conn", "connection")),
        "dag": dag if dag is not None else SimpleNamespace(dag_id=dag_run.dag_id),
        "dag_run": dag_run,
        "data_interval_end": macros.Moment.of(dag_run.data_interval_end),
        "data_interval_start": macros.Moment.of(dag_run.data_interval_start),
        "ds": macros.ds(logical),
        "ds_nodash": macros.ds_nodash(logical),
        "logical_date": logical,
        "macros": macros.macros(),
        "map_index": dag_run.map_index,
        "inlet_events": {} if inlet_events is None else inlet_events,
        "outlet_events": {} if outlet_events is None else outlet_events,
        "params": values,
        "run_id": dag_run.run_id,
        "task": task if task is not None else SimpleNamespace(task_id=task_id),
        "task_instance": instance,
        "task_instance_key_str": f"{dag_run.dag_id}__{task_id}__{macros.ds_nodash(logical)}",
        "test_mode": False,
        "ti": instance,
        "triggering_asset_events": {} if triggering_asset_events is None else triggering_asset_events,
        "ts": macros.ts(logical),
        "ts_nodash": macros.ts_nodash(logical),
        "ts_nodash_with_tz": macros.ts_nodash_with_tz(logical),
        "var": _variables(variable or _unavailable("var", "variable")),
    }


def _variables(variable: Callable[..., Any]) -> SimpleNamespace:
    def parsed(name: str) -> Any:
        value = variable(name)
        return json.loads(value) if isinstance(value, str) else value

    return SimpleNamespace(value=Lookup("var.value", variable), json=Lookup("var.json", parsed))


def _unavailable(name: str, what: str) -> Callable[[str], Any]:
    def look_up(wanted: str) -> Any:
        raise NbdagError(f"the {what} {wanted!r} cannot be looked up here, so {name} has no values")

    return look_up
