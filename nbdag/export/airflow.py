"""Write the DAG file that runs a pipeline under Airflow 3.

Each task of the pipeline is a task of Airflow that executes `python -m nbdag attempt`, with the chosen operator of
Airflow. Airflow decides when a task starts: schedule, retries, pools, trigger rules and dependencies are Airflow's own.
Three kinds of tasks need a second task in Airflow:

- a mapped task: `trial__elements` evaluates --map, and `trial` expands over its result;
- a branch task: `gate__choice` follows `gate`, and lets Airflow skip the tasks that `gate` did not choose;
- a task with --short-circuit: `gate__condition` lets Airflow skip all downstream tasks if the condition is false.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..core.model.dag import Dag, Task, group_of
from ..core.options.option_types import write_resource
from . import ExportError
from .airflow_arguments import MARGIN, Arguments
from .airflow_operators import OPERATORS, AttemptOperator, Target
from .python_text import WIDTH, Code, Imports, block, call, identifier, indented, literal

MAX_MAP_LENGTH = 1024  # Airflow's default limit for the elements of a mapped task
_MOST_NAMES = 4  # maximum number of variables that the comment of a dependency names


# Names that the file itself uses; the operator's imports add more.
_RESERVED = (
    "attempt", "execute", "follow", "go_on", "parsed", "task", "json", "shlex", "pendulum", "timedelta", "NOTEBOOK",
    "CODE_VERSION", "STORAGE", MARGIN,
    "PINNED_FILES", "ENVIRONMENT", "PYTHON", "IMAGE", "DAG", "TaskGroup", "Param", "Asset", "AssetOrTimeSchedule",
    "CronTriggerTimetable", "DeltaTriggerTimetable", "BashSensor", "Mount",
)  # fmt: skip


def airflow_file(dag: Dag, target: Target) -> str:
    """Return the DAG file. Raise `ExportError` if something has no equivalent in Airflow."""
    return _File(dag, target).text()


@dataclass
class _File:
    """The parts of a DAG file while it is written."""

    dag: Dag
    target: Target
    imports: Imports = field(default_factory=Imports)
    names: dict[str, str] = field(default_factory=dict)  # key: id of an Airflow task; value: its variable in the file
    refused: list[str] = field(default_factory=list)

    @property
    def operator(self) -> AttemptOperator:
        """Return the Airflow operator that executes the attempts."""
        return OPERATORS[self.target.operator]

    @property
    def arguments(self) -> Arguments:
        """Return the writer of the arguments of the DAG and of its tasks."""
        return Arguments(dag=self.dag, target=self.target, imports=self.imports, refused=self.refused)

    def text(self) -> str:
        """Return the whole file."""
        self._check()
        reserved = {*_RESERVED, *(name for names in self.operator.imports.values() for name in names)}
        for each in self.dag.tasks.values():
            for name in (each.id, *filter(None, (self._second(each),))):
                self.names[name] = identifier(name.replace(".", "__"), {*self.names.values(), *reserved})
        self.imports.add("airflow.sdk", "DAG")
        arguments = self.arguments.of_dag()
        body = [*self._tasks(), "", *self._edges()] if self.dag.tasks else ["pass"]
        helpers = self._helpers(body)
        for module, names in self.operator.imports.items():
            self.imports.add(module, *names)
        if self.target.operator == "docker" and "://" not in self.target.storage:
            self.imports.add("docker.types", "Mount")
        if self.refused:
            raise ExportError(self.dag.id, "Airflow", tuple(self.refused))
        parts = [
            self._docstring(),
            "",
            *self.imports.lines(),
            "",
            *self._constants(),
            *self._margin("\n".join([arguments, *body])),
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

    def _constants(self) -> list[str]:
        target = self.target
        lines = [
            f"NOTEBOOK = {literal(target.notebook)}  # where the tasks run",
            f"CODE_VERSION = {literal(target.version)}  # tasks fail if the code has changed since the export",
            f"STORAGE = {literal(target.storage)}  # every task can read and write here",
        ]
        if target.files:
            lines.append(f"PINNED_FILES = {literal(target.files)}  # {_shown('--with', self.dag.options.with_)}")
        if target.environment:
            if self.operator.needs_image:
                lines.append(
                    "# uv makes the environment again in each container, unless NBDAG_CACHE is a mounted folder."
                )
            lines.append(
                f"ENVIRONMENT = {literal(target.environment)}  # {_shown('--requires', self.dag.options.requires)}"
            )
        return [*lines, *self.operator.constants(target)]

    def _margin(self, text: str) -> list[str]:
        """Return the line of the constant MARGIN if the text uses it."""
        if not re.search(rf"\b{MARGIN}\b", text):
            return []
        return [f"{MARGIN} = timedelta(minutes=10)  # nbdag enforces the timeouts; Airflow ends a task this much later"]

    def _helpers(self, body: Sequence[str]) -> list[str]:
        lines = [*self.operator.helper(self.target).splitlines(), "", ""]
        kinds = [each.options for each in self.dag.tasks.values()]
        read = "json.loads(%s)" if self.operator.answers_are_text else "%s"
        if any(each.branch for each in kinds):
            self.imports.add("airflow.sdk", "task")
            lines += _function(
                "@task.branch",
                "follow(chosen)",
                "Skip the tasks that the branch above did not choose.",
                self._chosen(read % "chosen"),
            )
        if any(each.short_circuit for each in kinds):
            self.imports.add("airflow.sdk", "task")
            lines += _function(
                "@task.short_circuit",
                "go_on(condition)",
                "Skip all tasks below if a condition is false.",
                read % "condition",
            )
        if any(each.map for each in kinds) and self.operator.answers_are_text:
            self.imports.add("airflow.sdk", "task")
            lines += _function("@task", "parsed(text)", "Return the value of a text in JSON.", "json.loads(text)")
        if "json.loads" in "\n".join([*lines, *body]):
            self.imports.add("json")
        return lines

    def _chosen(self, chosen: str) -> str:
        """Return an expression for the ids of the Airflow tasks to run; for a mapped task, this is `…__elements`."""
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

    # The tasks

    def _check(self) -> None:
        for each in self.dag.tasks.values():
            options = each.options
            place = f"task {each.id} ({self.dag.cells[each.cell].label})"
            if options.approve:
                self.refused.append(
                    f"{place} has --approve, which needs nbdag; remove the option, and use Airflow's "
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
        """Return the id of the second Airflow task for this task, or None."""
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
                self.imports.add("airflow.sdk", "TaskGroup")
                yield " " * indent + f"with TaskGroup({literal(name)}):"
                yield from lines(f"{group}.{name}" if group else name, indent + 4)

        return lines("", 0)

    def _groups(self) -> dict[str, str]:
        """Return the group of each task; "" if a part of the name is empty, because Airflow allows no empty ids."""
        return {name: group_of(name) if all(name.split(".")) else "" for name in self.dag.tasks}

    def _task(self, task: Task, local: str, indent: int) -> Iterator[str]:
        yield from (f"# {comment}" for comment in self._comments(task))
        options, operator = task.options, self.operator
        variable = self.names[task.id]
        named = self.arguments.of_task(task)
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
            self.imports.add("airflow.providers.standard.sensors.bash", "BashSensor")
            named.pop("execution_timeout", None)
            named |= self.arguments.of_sensor(options)
            yield f"{variable} = {operator.sensor(local, task.id, named, indent=column)}"
            return
        answers = options.branch or options.short_circuit
        yield f"{variable} = {operator.task(local, task.id, (), named, answers=answers, indent=column)}"
        if (follower := self._second(task)) is not None:
            function, suffix = ("follow", "choice") if options.branch else ("go_on", "condition")
            override = f"{function}.override(task_id={literal(f'{local}__{suffix}')})"
            yield f"{self.names[follower]} = {override}({variable}.output)"

    def _comments(self, task: Task) -> Iterator[str]:
        options = task.options
        if options.cache and not self.dag.options.defaults.get("cache"):
            yield "--cache has no equivalent in Airflow: the task is executed in every run"
        if options.metric:
            yield f"--metric {' '.join(options.metric)}: Airflow keeps no metrics; nbdag's own scheduler does"
        if options.deadline:
            yield f"--deadline {options.deadline} has no equivalent in Airflow, whose deadlines are for whole runs"
        if options.resources:
            shown = " ".join(map(write_resource, options.resources))
            yield f"--resources {shown} has no equivalent in Airflow; use a pool, or the resources of the operator"
        if options.map and options.max_map_length != MAX_MAP_LENGTH:
            yield f"--max-map-length {options.max_map_length}: set [core] max_map_length of Airflow to at least this"
        if options.in_step:
            yield f"--in-step {options.in_step} has no equivalent in Airflow: all instances wait for all of that task"
        if task.polls and options.reschedule and (not self.operator.has_sensor or options.when):
            yield "--reschedule has no equivalent in this operator: the task occupies its slot between two polls"
        if task.polls and options.reschedule and options.retries and self.operator.has_sensor:
            yield "Airflow does not retry a BashSensor that fails"

    # Dependencies

    def _edges(self) -> Iterator[str]:
        """Yield the lines that connect the tasks, with comments that name the values passed from task to task."""
        for task in self.dag.tasks.values():
            labels = {edge.source: edge.label for edge in self.dag.edges if edge.target == task.id and edge.label}
            upstream = [name for name in self.dag.upstream[task.id] if name not in labels]
            target = self.names[self._second(task) or ""] if task.options.map else self.names[task.id]
            if upstream:
                sources = [self._source(name) for name in upstream]
                listed = sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"
                if len(listed) > WIDTH - 30:
                    listed = f"[\n{block(sources)}]"
                yield f"{listed} >> {target}{self._passed(task)}"
            for name, text in labels.items():
                self.imports.add("airflow.sdk", "Label")
                passed = "" if upstream else self._passed(task)
                yield f"{self._source(name)} >> Label({literal(text)}) >> {target}{passed}"
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


def _shown(option: str, words: Sequence[str]) -> str:
    """Return an option of %dag for a comment that fits on its line."""
    return textwrap.shorten(f"%dag {option} {' '.join(words)}", 55, placeholder=" …")


def _within(group: str, outer: str) -> bool:
    return not outer or group == outer or group.startswith(f"{outer}.")


def _function(decorator: str, signature: str, about: str, value: str) -> list[str]:
    return [decorator, f"def {signature}:", f'    """{about}"""', f"    return {value}", "", ""]
