"""Write a pipeline's options as arguments of Airflow's DAG(…), and its tasks' options as arguments of operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.model.dag import Dag, Task
from ..core.model.secret_names import masked_sources
from ..core.options.options import TaskOptions
from .airflow_operators import OPERATORS, Target
from .airflow_schedule import NoEqualError, asset, schedule
from .python_text import Code, Imports, block, call, literal

# Name of the constant that is added to each execution_timeout. nbdag has to end a task before Airflow does, because
# only nbdag applies --soft-fail and --retry-on. Airflow's timeout also includes the start of Python or of a container.
MARGIN = "MARGIN"

_FAIL_FAST_RULES = ("all_success", "all_done_setup_success")  # the rules that Airflow allows with fail_fast

# Options of tasks as keywords of Airflow's operators. Key: field of TaskOptions; value: keyword.
_KEYWORDS = {
    "trigger": "trigger_rule",
    "retries": "retries",
    "retry_delay": "retry_delay",
    "retry_backoff": "retry_exponential_backoff",
    "max_retry_delay": "max_retry_delay",
    "timeout": "execution_timeout",
    "pool": "pool",
    "slots": "pool_slots",
    "priority": "priority_weight",
    "depends_on_past": "depends_on_past",
    "wait_for_downstream": "wait_for_downstream",
}
_DURATIONS = frozenset({"retry_delay", "max_retry_delay", "timeout"})
_OF_RETRIES = frozenset({"retry_delay", "retry_backoff", "max_retry_delay"})
# Fields whose default differs from Airflow's.
_OTHER_DEFAULTS = frozenset({"retry_delay"})
_NOTICES = ("on_failure", "on_success", "on_retry", "on_deadline", "on_approval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Writes the arguments, and adds what they need to the imports of the file."""

    dag: Dag
    target: Target
    imports: Imports
    refused: list[str]  # receives a sentence about each option that has no equivalent

    def of_dag(self) -> str:
        """Return the arguments of DAG(…), one per line."""
        options = self.dag.options
        lines: list[str] = [literal(self.dag.id)]
        if options.description:
            lines.append(f"description={literal(options.description)}")
        try:
            value, names, comments = schedule(options)
        except NoEqualError as reason:
            self.refused.append(str(reason))
            value, names, comments = None, (), ()
        if names:
            self.imports.add("airflow.sdk", *names)
        lines += [f"# {comment}" for comment in comments]
        lines.append(f"schedule={literal(value)}")
        if "timedelta(" in str(value):
            self.imports.add("datetime", "timedelta")
        for name in ("start_date", "end_date"):
            moment = getattr(options, name)
            if moment is not None:
                self.imports.add("pendulum")
                parts = [moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second]
                while len(parts) > 3 and not parts[-1]:
                    parts.pop()
                lines.append(f"{name}={call('pendulum.datetime', parts, {'tz': options.tz})}")
        if options.catchup:
            lines.append("catchup=True")
        for name, default in (("max_active_runs", 16), ("max_active_tasks", 16)):
            if getattr(options, name) != default:
                lines.append(f"{name}={getattr(options, name)}")
        if options.timeout is not None:
            lines.append(f"dagrun_timeout={self.imports.duration(options.timeout)}")
        lines += self._fail_fast()
        if options.deadline:
            lines.append(f"# --deadline {options.deadline} is not exported; use DeadlineAlert of Airflow")
        for name in _NOTICES:
            if getattr(options, name):
                flag = f"--{name.replace('_', '-')}"
                lines.append(f"# {flag} is not exported: its URLs may contain tokens; use a notifier of Airflow")
        if options.tags:
            lines.append(f"tags={literal(options.tags)}")
        lines += self._parameters()
        arguments = {key: literal(value) for key, value in self._default_args().items()}
        items = [f"{literal(key)}: {value}" for key, value in arguments.items()]
        if options.defaults.get("cache"):
            items.insert(0, "# --cache has no equivalent in Airflow: the tasks are executed in every run")
        lines.append("default_args={\n" + block(items) + "}")
        return block(lines)

    def of_task(self, task: Task) -> dict[str, Any]:
        """Return Airflow's keywords for those options of a task that differ from the defaults."""
        options, defaults = task.options, self.dag.options.defaults
        found: dict[str, Any] = {}
        for name, keyword in _KEYWORDS.items():
            value = getattr(options, name)
            if name == "trigger":
                if value != "all_success" and not options.teardown_for:
                    found[keyword] = value
                continue
            if name in _OF_RETRIES and not options.retries and name not in defaults:
                continue
            given = defaults.get(name, getattr(TaskOptions(), name))
            if value != given:
                found[keyword] = self._value(name, value)
        for keyword, names in (("outlets", options.produces), ("inlets", options.consumes)):
            if names:
                self.imports.add("airflow.sdk", "Asset")
                found[keyword] = [asset(name) for name in names]
        if options.doc:
            found["doc_md"] = options.doc
        return found

    def of_sensor(self, options: TaskOptions) -> dict[str, Any]:
        """Return the further keywords of a sensor that frees its slot between two polls."""
        found: dict[str, Any] = {"poke_interval": self.imports.duration(options.poke), "mode": "reschedule"}
        if options.timeout is not None:
            found["timeout"] = self.imports.duration(options.timeout)
        if options.soft_fail:
            found["soft_fail"] = True
        return found

    def _fail_fast(self) -> list[str]:
        if not self.dag.options.fail_fast:
            return []
        others = [each.id for each in self.dag.tasks.values() if each.options.trigger not in _FAIL_FAST_RULES]
        if others:
            return [f"# --fail-fast is not exported: Airflow does not allow it with the trigger rule of {others[0]}"]
        return ["fail_fast=True"]

    def _parameters(self) -> list[str]:
        if not self.dag.parameters:
            return []
        items: list[str] = []
        shown = masked_sources(self.dag.parameters)
        for name, source in self.dag.parameters.items():
            rules = dict(self.dag.parameter_schemas.get(name, {}))
            if rules.get("writeOnly") or shown[name] != source:
                items.append(f"# {name} is a secret: it is looked up by each task, and never passes through Airflow")
            elif "default" not in rules:
                shortened = source if len(source) <= 50 and "\n" not in source else "a computed default"
                items.append(f"# {name} = {shortened}: computed in each task; a run sets it by its configuration")
            else:
                default = rules.pop("default")
                rules = {key: value for key, value in rules.items() if not key.startswith("x-") and key != "writeOnly"}
                items.append(f"{literal(name)}: {self._parameter(default, rules)}")
        return ["params={\n" + block(items) + "}"]

    def _parameter(self, default: Any, rules: Mapping[str, Any]) -> str:
        if not rules:
            return literal(default)
        self.imports.add("airflow.sdk", "Param")
        return call("Param", [default], {key: value for key, value in rules.items() if key.isidentifier()}, indent=12)

    def _default_args(self) -> dict[str, Any]:
        options = self.dag.options
        found: dict[str, Any] = {"owner": options.owner} if options.owner else {}
        retried = any(each.options.retries for each in self.dag.tasks.values())
        for name, keyword in _KEYWORDS.items():
            if name in options.defaults and name != "trigger":
                found[keyword] = self._value(name, options.defaults[name])
            elif name in _OTHER_DEFAULTS and retried:
                found[keyword] = self._value(name, getattr(TaskOptions(), name))
        if options.weight_rule != "downstream":
            found["weight_rule"] = options.weight_rule
        return found | OPERATORS[self.target.operator].default_args(self.target)

    def _value(self, name: str, value: Any) -> Any:
        if name not in _DURATIONS or value is None:
            return value
        written = self.imports.duration(value)
        return Code(f"{written} + {MARGIN}") if name == "timeout" else written
