"""Write the DAG file that runs a pipeline under Airflow 3.

Each task of the pipeline is a task of Airflow that executes `python -m nbdag attempt`, in the operator that was asked
for. Airflow decides when a task starts: schedule, retries, pools, trigger rules and dependencies are Airflow's own.
Three kinds of tasks need a second one there:

- a mapped task: `trial__elements` evaluates --map, and `trial` expands over its result;
- a branch: `gate__choice` follows `gate`, and lets Airflow skip the tasks that the branch did not choose;
- a task with --short-circuit: `gate__condition` lets Airflow skip all tasks below if the condition is false.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.model.dag import Dag, Task, group_of
from ..core.model.secret_names import masked_sources
from ..core.options.options import TaskOptions
from . import ExportError
from .airflow_operators import OPERATORS, AttemptOperator
from .airflow_schedule import NoEqualError, asset, schedule
from .python_text import WIDTH, Code, block, call, duration, identifier, indented, literal

MAX_MAP_LENGTH = 1024  # Airflow's default limit for the elements of a mapped task
_MOST_NAMES = 4  # number of variables that the comment of a dependency names
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
# Names that the file uses itself, besides those that the operator imports.
_RESERVED = (
    "attempt", "execute", "follow", "go_on", "parsed", "task", "json", "shlex", "pendulum", "timedelta", "NOTEBOOK",
    "CODE_VERSION", "STORAGE", "PYTHON", "IMAGE", "DAG", "TaskGroup", "Param", "Asset", "AssetOrTimeSchedule",
    "CronTriggerTimetable", "DeltaTriggerTimetable", "BashSensor", "Mount",
)  # fmt: skip
_NOTICES = ("on_failure", "on_success", "on_retry", "on_deadline", "on_approval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The place where Airflow executes the attempts."""

    operator: str  # a key of `airflow_operators.OPERATORS`
    notebook: str  # path of the notebook where the tasks run
    storage: str  # folder or URL for values, notebooks and logs
    version: str  # version of the notebook's code
    python: str = "python"  # the Python that executes the attempts
    image: str = ""  # image of the container, for operators that start one
    command: str = ""  # the command that has written the file


def airflow_file(dag: Dag, target: Target) -> str:
    """Return the DAG file. Raise `ExportError` if something has no equivalent in Airflow."""
    return _File(dag, target).text()


@dataclass
class _File:
    """The parts of a DAG file while it is written."""

    dag: Dag
    target: Target
    imports: dict[str, set[str]] = field(default_factory=dict)  # key: module; value: names, none for `import module`
    names: dict[str, str] = field(default_factory=dict)  # key: id of a task of Airflow; value: its variable
    refused: list[str] = field(default_factory=list)

    @property
    def operator(self) -> AttemptOperator:
        """Return how a task of Airflow executes an attempt."""
        return OPERATORS[self.target.operator]

    def text(self) -> str:
        """Return the whole file."""
        self._check()
        reserved = {*_RESERVED, *(name for names in self.operator.imports.values() for name in names)}
        for each in self.dag.tasks.values():
            for name in (each.id, *filter(None, (self._second(each),))):
                self.names[name] = identifier(name.replace(".", "__"), {*self.names.values(), *reserved})
        self.imports.setdefault("airflow.sdk", set()).add("DAG")
        arguments = self._dag_arguments()
        body = [*self._tasks(), "", *self._edges()] if self.dag.tasks else ["pass"]
        helpers = self._helpers(body)
        if self.refused:
            raise ExportError(self.dag.id, "Airflow", tuple(self.refused))
        parts = [
            self._docstring(),
            "",
            *self._import_lines(),
            "",
            *self._constants(),
            "",
            "",
            *helpers,
            f"with DAG(\n{arguments}):",
            *(f"    {indented(line)}" if line else "" for line in body),
        ]
        return "\n".join(parts).rstrip("\n") + "\n"

    # The head of the file

    def _docstring(self) -> str:
        about = self.dag.options.description or f"The pipeline {self.dag.id}"
        written = f"`{self.target.command}` has written this file for Airflow 3. To change the pipeline, change the "
        paragraphs = [
            f"{about.rstrip('.')}.",
            written + "notebook and export it again.",
            "Each task executes one cell of the notebook, in a kernel of its own, by `python -m nbdag attempt`. The "
            "values that tasks pass to each other, the executed notebooks and their logs are in STORAGE.",
        ]
        pools = dict.fromkeys(
            each.options.pool for each in self.dag.tasks.values() if each.options.pool != "default_pool"
        )
        if pools:
            paragraphs.append(f"Airflow needs these pools (airflow pools set NAME SLOTS …): {', '.join(pools)}.")
        if self.operator.needs_package:
            paragraphs.append(f"Airflow needs the package {self.operator.needs_package}.")
        text = "\n\n".join(
            textwrap.fill(each, WIDTH, break_long_words=False, break_on_hyphens=False) for each in paragraphs
        )
        text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        return f'"""{text}\n"""'

    def _import_lines(self) -> list[str]:
        for module, names in self.operator.imports.items():
            self.imports.setdefault(module, set()).update(names)
        if self.target.operator == "docker" and "://" not in self.target.storage:
            self._use("docker.types", "Mount")
        standard = ("datetime", "json", "shlex")
        groups = [
            [module for module in sorted(self.imports) if module in standard],
            [module for module in sorted(self.imports) if module not in standard],
        ]
        lines: list[str] = []
        for group in groups:
            plain = [f"import {module}" for module in group if not self.imports[module]]
            lines += [*plain]
            for module in group:
                if self.imports[module]:
                    lines.append(f"from {module} import {', '.join(sorted(self.imports[module], key=_import_order))}")
            lines += [""] if group else []
        return lines[:-1]

    def _constants(self) -> list[str]:
        target = self.target
        lines = [
            f"NOTEBOOK = {literal(target.notebook)}  # where the tasks run",
            f"CODE_VERSION = {literal(target.version)}  # tasks fail if the code has changed since the export",
            f"STORAGE = {literal(target.storage)}  # every task can read and write here",
        ]
        return [*lines, *self.operator.constants(target)]

    def _helpers(self, body: Sequence[str]) -> list[str]:
        lines = [*self.operator.helper().splitlines(), "", ""]
        kinds = [each.options for each in self.dag.tasks.values()]
        read = "json.loads(%s)" if self.operator.answers_are_text else "%s"
        if any(each.branch for each in kinds):
            self._use("airflow.sdk", "task")
            lines += _function(
                "@task.branch",
                "follow(chosen)",
                "Skip the tasks that the branch above did not choose.",
                self._chosen(read % "chosen"),
            )
        if any(each.short_circuit for each in kinds):
            self._use("airflow.sdk", "task")
            lines += _function(
                "@task.short_circuit",
                "go_on(condition)",
                "Skip all tasks below if a condition is false.",
                read % "condition",
            )
        if any(each.map for each in kinds) and self.operator.answers_are_text:
            self._use("airflow.sdk", "task")
            lines += _function("@task", "parsed(text)", "Return the value of a text in JSON.", "json.loads(text)")
        if "json.loads" in "\n".join([*lines, *body]):
            self.imports.setdefault("json", set())
        return lines

    def _chosen(self, chosen: str) -> str:
        """Return the expression of the tasks that Airflow does not skip; a mapped task begins with its elements."""
        mapped = [
            name
            for each in self.dag.tasks.values()
            if each.options.branch
            for name in self.dag.downstream[each.id]
            if self.dag.tasks[name].options.map
        ]
        if not mapped:
            return chosen
        names = literal(list(dict.fromkeys(mapped)))
        return f'[f"{{name}}__elements" if name in {names} else name for name in {chosen}]'

    # The arguments of DAG(…)

    def _dag_arguments(self) -> str:
        options = self.dag.options
        lines: list[str] = [literal(self.dag.id)]
        if options.description:
            lines.append(f"description={literal(options.description)}")
        try:
            value, names, comments = schedule(options)
        except NoEqualError as reason:
            self.refused.append(str(reason))
            value, names, comments = None, (), ()
        self._use("airflow.sdk", *names)
        lines += [f"# {comment}" for comment in comments]
        lines.append(f"schedule={literal(value)}")
        if "timedelta(" in str(value):
            self._use("datetime", "timedelta")
        for name in ("start_date", "end_date"):
            moment = getattr(options, name)
            if moment is not None:
                self.imports.setdefault("pendulum", set())
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
            lines.append(f"dagrun_timeout={self._duration(options.timeout)}")
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
        lines.append("default_args={\n" + block(items) + "}")
        return block(lines)

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
        self._use("airflow.sdk", "Param")
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
        return found | self.operator.default_args(self.target)

    # The tasks

    def _check(self) -> None:
        for each in self.dag.tasks.values():
            options = each.options
            place = f"task {each.id} (cell {self.dag.cells[each.cell].in_file + 1})"
            if options.approve:
                self.refused.append(
                    f"{place} has --approve, whose question nbdag asks; remove the option, and use Airflow's "
                    "ApprovalOperator in a DAG file of your own"
                )
            if options.operator == "trigger":
                self.refused.append(
                    f"{place} triggers a deployed pipeline of nbdag; use --operator notebook to run it in the task"
                )
            if options.map and (options.branch or options.short_circuit):
                flag = "--branch" if options.branch else "--short-circuit"
                self.refused.append(f"{place} combines {flag} with --map; let another task make the choice")
        for text in (self.target.notebook, self.target.python, self.target.storage):
            if any(sign in text for sign in ("{{", "{%", "{#")):
                self.refused.append(f"{text} contains {{{{, {{% or {{#, which Airflow renders as a template; rename it")

    def _second(self, task: Task) -> str | None:
        """Return the id of the second task of Airflow that a task needs, or None."""
        options = task.options
        if options.map:
            return f"{task.id}__elements"
        if options.branch:
            return f"{task.id}__choice"
        return f"{task.id}__condition" if options.short_circuit else None

    def _tasks(self) -> Iterator[str]:
        """Yield the lines that create the tasks; tasks of a group are created in a `with TaskGroup(…)`."""
        groups = self._groups()
        written: set[str] = set()

        def lines(group: str, indent: int) -> Iterator[str]:
            for each in self.dag.tasks.values():
                if each.id in written or not _within(groups[each.id], group):
                    continue
                if groups[each.id] == group:
                    written.add(each.id)
                    local = each.id[len(group) + 1 :] if group else each.id
                    yield from (" " * indent + indented(line, indent // 4) for line in self._task(each, local, indent))
                    continue
                inner = groups[each.id][len(group) + 1 :] if group else groups[each.id]
                name = inner.partition(".")[0]
                self._use("airflow.sdk", "TaskGroup")
                yield " " * indent + f"with TaskGroup({literal(name)}):"
                yield from lines(f"{group}.{name}" if group else name, indent + 4)

        return lines("", 0)

    def _groups(self) -> dict[str, str]:
        """Return the group of each task; "" if a part of the task's name is empty, which Airflow does not allow."""
        return {name: group_of(name) if all(name.split(".")) else "" for name in self.dag.tasks}

    def _task(self, task: Task, local: str, indent: int) -> Iterator[str]:
        yield from (f"# {comment}" for comment in self._comments(task))
        options, operator = task.options, self.operator
        variable = self.names[task.id]
        named = self._arguments(task)
        column = indent + 4 + len(variable) + 3
        if options.map:
            second = self._second(task) or ""
            elements = self.names[second]
            answering = {key: value for key, value in named.items() if key not in ("outlets", "doc_md")}
            wide = column + len("__elements")
            made = operator.task(f"{local}__elements", task.id, ("--elements",), answering, answers=True, indent=wide)
            yield f"{elements} = {made}"
            list_ = f"parsed({elements}.output)" if operator.answers_are_text else f"{elements}.output"
            rest = {key: value for key, value in named.items() if key != "trigger_rule"}
            yield f"{variable} = {operator.mapped(local, task.id, rest, list_, indent=column)}"
            return
        if task.polls and options.reschedule and operator.has_sensor and not options.when:
            self._use("airflow.providers.standard.sensors.bash", "BashSensor")
            named.pop("execution_timeout", None)
            yield f"{variable} = {operator.sensor(local, task.id, {**named, **self._sensor(options)}, indent=column)}"
            return
        answers = options.branch or options.short_circuit
        yield f"{variable} = {operator.task(local, task.id, (), named, answers=answers, indent=column)}"
        if (follower := self._second(task)) is not None:
            function, suffix = ("follow", "choice") if options.branch else ("go_on", "condition")
            override = f"{function}.override(task_id={literal(f'{local}__{suffix}')})"
            yield f"{self.names[follower]} = {override}({variable}.output)"

    def _sensor(self, options: TaskOptions) -> dict[str, Any]:
        found: dict[str, Any] = {"poke_interval": self._duration(options.poke), "mode": "reschedule"}
        if options.timeout is not None:
            found["timeout"] = self._duration(options.timeout)
        return found

    def _arguments(self, task: Task) -> dict[str, Any]:
        """Return the keywords of Airflow for the options of a task that differ from the defaults."""
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
        if options.produces:
            self._use("airflow.sdk", "Asset")
            found["outlets"] = [asset(name) for name in options.produces]
        if options.doc:
            found["doc_md"] = options.doc
        return found

    def _comments(self, task: Task) -> Iterator[str]:
        options = task.options
        if options.cache:
            yield "--cache has no equivalent in Airflow: the task is executed in every run"
        if options.deadline:
            yield f"--deadline {options.deadline} has no equivalent in Airflow, whose deadlines are for whole runs"
        if options.map and options.max_map_length != MAX_MAP_LENGTH:
            yield f"--max-map-length {options.max_map_length}: set [core] max_map_length of Airflow to at least this"
        if task.polls and options.reschedule and (not self.operator.has_sensor or options.when):
            yield "--reschedule has no equivalent in this operator: the task occupies its slot between two polls"
        if task.polls and options.reschedule and options.retries and self.operator.has_sensor:
            yield "Airflow does not retry a BashSensor that fails"

    # Dependencies

    def _edges(self) -> Iterator[str]:
        """Yield a line for each task with upstream tasks, and what the tasks pass as a comment."""
        for task in self.dag.tasks.values():
            upstream = self.dag.upstream[task.id]
            target = self.names[self._second(task) or ""] if task.options.map else self.names[task.id]
            if upstream:
                sources = [self._source(name) for name in upstream]
                listed = sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"
                if len(listed) > WIDTH - 30:
                    listed = f"[\n{block(sources)}]"
                yield f"{listed} >> {target}{self._passed(task)}"
            if task.options.setup and not task.options.teardown_for:
                yield f"{self.names[task.id]}.as_setup()"
        for task in self.dag.tasks.values():
            if task.options.teardown_for:
                setups = [self.names[name] for name in self.dag.members(*task.options.teardown_for)]
                fails = {"on_failure_fail_dagrun": True} if task.options.fail_run else {}
                yield call(
                    f"{self.names[task.id]}.as_teardown",
                    [],
                    {"setups": Code(f"[{', '.join(setups)}]"), **fails},
                    indent=4,
                )

    def _source(self, name: str) -> str:
        task = self.dag.tasks[name]
        second = self._second(task)
        return self.names[name] if second is None or task.options.map else self.names[second]

    def _passed(self, task: Task) -> str:
        names = list(
            dict.fromkeys(
                use.name for edge in self.dag.edges if edge.target == task.id for use in edge.names if not use.imported
            )
        )
        if not names:
            return ""
        shown = ", ".join(names[:_MOST_NAMES])
        more = len(names) - _MOST_NAMES
        return f"  # {shown}{f' and {more} more' if more > 0 else ''}"

    # Small parts

    def _use(self, module: str, *names: str) -> None:
        if names:
            self.imports.setdefault(module, set()).update(names)

    def _duration(self, seconds: float) -> Code:
        self._use("datetime", "timedelta")
        return duration(seconds)

    def _value(self, name: str, value: Any) -> Any:
        return self._duration(value) if name in _DURATIONS and value is not None else value


def _import_order(name: str) -> tuple[bool, bool, str]:
    """Return the key by which isort sorts names: constants, then classes, then functions."""
    return not name.isupper(), not name[0].isupper(), name


def _within(group: str, outer: str) -> bool:
    return not outer or group == outer or group.startswith(f"{outer}.")


def _function(decorator: str, signature: str, about: str, value: str) -> list[str]:
    return [decorator, f"def {signature}:", f'    """{about}"""', f"    return {value}", "", ""]
