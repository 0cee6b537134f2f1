"""Write a pipeline as a Python script that runs without nbdag's scheduler, store and kernels.

The script has the code of the cells in the order of the tasks, in one namespace: parameters, setup, and each task below
a line with its name. The options of a task become plain Python: --check ends the script, --when is an `if`, a mapped
task is a function that is called for each element, a sensor is a loop. A branch task fills the set `skipped`, which
the downstream tasks check. The script ends at the first error, so the tasks upstream of a running task have succeeded
or were skipped.

Magics are translated as IPython does; the script then needs IPython. Cells in another language (operators such as bash
and sql) call functions of nbdag; a comment above each such cell says so.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..core.cells.source import Python, SyntaxProblem, to_python
from ..core.model.dag import Cell, CellKind, Dag, Task
from ..core.options.option_types import write_duration, write_resource
from ..core.options.options import TaskOptions
from . import ExportError
from .python_text import WIDTH, identifier, literal
from .script_analysis import (
    attributes_of_run,
    bound_names,
    code_of_magics,
    is_skip,
    names_in,
    top_level_nodes,
    uses_nbdag,
)
from .script_code import CellCode, code_of, without_future

# Task options that have no effect in a script.
_NO_EFFECT = (
    "retries", "timeout", "pool", "slots", "resources", "priority", "cache", "deadline", "produces", "consumes",
    "depends_on_past", "metric",
    "wait_for_downstream", "reschedule", "soft_fail", "fail_run",
)  # fmt: skip
_ALWAYS_RUN = frozenset({"none_failed", "all_done", "always", "all_done_setup_success"})
_NEVER_RUN = frozenset({"all_failed", "one_failed"})
_ONE_RUNS = frozenset({"one_success", "one_done", "none_failed_min_one_success"})
# The attributes of `dag_run` that a script has; key: attribute; value: source of its value.
_OF_RUN = {
    "dag_id": "{dag!r}",
    "run_id": "'script'",
    "logical_date": "⟦datetime⟧.datetime.now(⟦datetime⟧.timezone.utc)",
    "data_interval_start": "⟦datetime⟧.datetime.now(⟦datetime⟧.timezone.utc)",
    "data_interval_end": "⟦datetime⟧.datetime.now(⟦datetime⟧.timezone.utc)",
}
# Modules that the script's own code uses. If the notebook gives a module's name to something else, the finished script
# imports the module by another name.
_MODULES = ("argparse", "ast", "copy", "datetime", "itertools", "json", "pathlib", "sys", "time", "types")
# The script's own names are marked until the script is finished. Then a marked name is replaced if the notebook also
# uses the name.
_OWN = re.compile(
    rf"⟦(each|show|skipped|not_chosen|parameters|PARAMETERS|TEXTS|results|deadline|run_\w+|{'|'.join(_MODULES)})⟧"
)
_RULE = "-" * 20

_SHOW = '''\
def ⟦show⟧(value):
    """Print the value of a cell's last expression, as Jupyter does."""
    if value is not None:
        print(repr(value))
'''
_NOT_CHOSEN = '''\
def ⟦not_chosen⟧(choice, follows):
    """Return the tasks that a branch leaves out. `follows` has the tasks that follow each choice."""
    names = [choice] if isinstance(choice, str) else choice or []
    chosen = {task for name in names for task in follows[name]}
    return {task for tasks in follows.values() for task in tasks} - chosen
'''
_PARAMETERS = '''\
def ⟦parameters⟧():
    """Return the parameters of the command line."""
    parser = ⟦argparse⟧.ArgumentParser(description=__doc__, formatter_class=⟦argparse⟧.RawDescriptionHelpFormatter)
    parser.add_argument(
        "-p", "--parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="set a parameter"
    )
    parser.add_argument("-f", "--parameters_file", metavar="FILE", help="set parameters from a JSON file")
    given = parser.parse_args()
    values = {}
    if given.parameters_file:
        with open(given.parameters_file, encoding="utf-8") as file:
            values.update(⟦json⟧.load(file))
    for name, text in given.parameters:
        try:
            values[name] = text if name in ⟦TEXTS⟧ else ⟦ast⟧.literal_eval(text)
        except (SyntaxError, ValueError):  # any other value is a text, as for papermill
            values[name] = text
    for name in values.keys() - ⟦PARAMETERS⟧:
        parser.error(f"unknown parameter {name!r}; expected one of {', '.join(sorted(⟦PARAMETERS⟧))}")
    return values
'''


def script_file(dag: Dag, command: str) -> str:
    """Return the script; `command` is the command that the script names as its origin. Raise `ExportError`."""
    return _Script(dag, command).text()


@dataclass
class _Script:
    """The parts of a script while it is written."""

    dag: Dag
    command: str
    helpers: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    needs_ipython: bool = False
    displays: bool = False  # whether the code calls `display`, which only a kernel has without an import
    future: bool = False  # whether a cell has `from __future__ import annotations`
    of_run: set[str] = field(default_factory=set)  # attributes of `dag_run` that the code uses
    library: list[str] = field(default_factory=list)  # tasks and cells that call functions of the package nbdag

    def text(self) -> str:
        """Return the whole script."""
        self._check_order()
        parts = [
            *self._parameter_cells(),
            *self._setup_cells(),
            *(part for name in self.dag.order for part in self._task(self.dag.tasks[name])),
        ]
        if self.refused:
            raise ExportError(self.dag.id, "a script", tuple(dict.fromkeys(self.refused)))
        body = "\n\n".join([*self._before(), *parts])
        modules = sorted({match[1] for match in _OWN.finditer(body) if match[1] in _MODULES})
        imports = [
            f"import {each}" + (f" as {own}" if (own := self._own_name(each)) != each else "") for each in modules
        ]
        if self.needs_ipython:
            imports.append("from IPython.core.interactiveshell import InteractiveShell")
        if self.displays:
            imports.append("from IPython.display import display")
        head = [self._docstring(), *(["from __future__ import annotations"] if self.future else [])]
        head += ["\n".join(imports)] if imports else []
        text = "\n\n".join([*head, body]).rstrip("\n") + "\n"
        return _OWN.sub(lambda match: self._own_name(match[1]), text)

    def _own_name(self, name: str) -> str:
        """Return the name that the finished script uses for one of its own names or modules."""
        return name if name in _MODULES and name not in self._bound else identifier(name, self._words)

    @cached_property
    def _words(self) -> frozenset[str]:
        """The names that may occur in the notebook."""
        return frozenset(re.findall(r"[^\W\d]\w*", "\n".join(cell.code for cell in self.dag.cells)))

    @cached_property
    def _bound(self) -> frozenset[str]:
        """The names to which the notebook gives a value; imports such as `import time` do not count."""
        variables = {name for task in self.dag.tasks.values() for name, _ in task.options.map}
        found = [to_python(cell.code) for cell in self.dag.cells if cell.kind is not CellKind.PROSE]
        return frozenset(variables).union(
            *(bound_names(each.tree, by_star=_MODULES) for each in found if isinstance(each, Python))
        )

    def _docstring(self) -> str:
        about = self.dag.options.description or f"The pipeline {self.dag.id}"
        paragraphs = [
            f"{about.rstrip('.')}.",
            f"`{self.command}` has written this script. It runs the tasks one after the other and ends at the first "
            "error.",
        ]
        if self.dag.parameters:
            paragraphs.append(
                f"Parameters, such as {', '.join(list(self.dag.parameters)[:3])}, are set by -p NAME VALUE."
            )
        needs = [*(["IPython"] if self.needs_ipython or self.displays else []), *(["nbdag"] if self.library else [])]
        if needs:
            words = "packages" if len(needs) > 1 else "package"
            paragraphs.append(f"Besides the packages of the notebook, it needs the {words} {' and '.join(needs)}.")
        if self.dag.options.requires:
            packages = " ".join(self.dag.options.requires)
            paragraphs.append(f"Before you run it, install the packages of %dag --requires: {packages}.")
        if self.dag.options.with_:
            files = " ".join(self.dag.options.with_)
            paragraphs.append(f"Copy the files of %dag --with ({files}) beside it, and run it in that folder.")
        if self.dag.options.schedule:
            paragraphs.append(f"The schedule of the notebook is {self.dag.options.schedule} ({self.dag.options.tz}).")
        text = "\n\n".join(
            textwrap.fill(each, WIDTH, break_long_words=False, break_on_hyphens=False) for each in paragraphs
        )
        text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        return f'"""{text}\n"""'

    def _before(self) -> Iterator[str]:
        """Yield the script's own code, which is above the code of the cells."""
        if self.needs_ipython:
            yield (
                "# The magics of the notebook need a shell of IPython, which uses the variables of this script.\n"
                'get_ipython = InteractiveShell.instance(user_module=⟦sys⟧.modules["__main__"]).get_ipython'
            )
        yield from (f"\n{helper.rstrip()}" for helper in dict.fromkeys(self.helpers))
        if self.helpers:
            yield ""
        if self.of_run:
            given = ",\n".join(
                f"    {name}={_OF_RUN[name].format(dag=self.dag.id)}" for name in _OF_RUN if name in self.of_run
            )
            yield f"dag_run = ⟦types⟧.SimpleNamespace(\n{given},\n)"

    # Cells

    def _parameter_cells(self) -> Iterator[str]:
        cells = [cell for cell in self.dag.cells if cell.kind is CellKind.PARAMETERS]
        if not cells:
            return
        self.helpers.append(_PARAMETERS)
        yield f"# {_RULE} parameters {_RULE}"
        for cell in cells:
            yield self._code(cell).text
        texts = [name for name in self.dag.parameters if self._is_text(name)]
        known = ", ".join(map(literal, self.dag.parameters))
        yield (
            f"⟦PARAMETERS⟧ = {{{known}}}\n"
            f"⟦TEXTS⟧ = {{{', '.join(map(literal, texts))}}}  # parameters whose values are always texts\n"
            "globals().update(⟦parameters⟧())"
        )
        for name, rules in self.dag.parameter_schemas.items():
            kind = rules.get("x-python")
            if kind in ("date", "datetime", "time"):
                yield f"{name} = ⟦datetime⟧.{kind}.fromisoformat({name}) if isinstance({name}, str) else {name}"
            elif kind == "path":
                yield f"{name} = ⟦pathlib⟧.Path({name})"
            elif kind in ("tuple", "set"):
                yield f"{name} = {kind}({name})"

    def _is_text(self, name: str) -> bool:
        rules = self.dag.parameter_schemas.get(name, {})
        if "type" in rules:
            return bool(rules["type"] == "string")
        return isinstance(rules.get("default"), str)

    def _setup_cells(self) -> Iterator[str]:
        cells = [cell for cell in self.dag.cells if cell.kind is CellKind.SETUP]
        texts = [text for text in (self._code(cell).text for cell in cells) if text.strip()]
        if texts:
            yield f"# {_RULE} setup {_RULE}"
            yield from texts
        if self._skippable:
            yield "⟦skipped⟧ = set()  # tasks that did not run"

    def _code(self, cell: Cell, *, wrap: bool = True) -> CellCode:
        """Return the code of a cell, and record what the code needs."""
        where = f"task {cell.task}" if cell.task else cell.label
        python = to_python(cell.code)
        assert not isinstance(python, SyntaxProblem)  # the caller has rejected notebooks with errors
        code = code_of(cell.code, cell.source)
        self.needs_ipython |= code.needs_ipython
        text, future = without_future(code.text)
        self.future |= future
        tree = ast.parse(code.text)
        parts = [tree, *code_of_magics(tree)]
        self._check_code(parts, where)
        names = (node for part in parts for node in ast.walk(part) if isinstance(node, ast.Name))
        self.displays |= any(each.id == "display" for each in names)
        if any(map(uses_nbdag, parts)):
            self.library.append(where)
        code = CellCode(text, needs_ipython=code.needs_ipython)
        if wrap and python.shown and code.shows:
            self.helpers.append(_SHOW)
            code = code.wrapped("⟦show⟧(", ")")
        return code

    def _check_code(self, parts: Sequence[ast.AST], where: str) -> None:
        """Refuse code that a script cannot run; `parts` are the syntax trees of the cell and of its magics."""
        if any(isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) for node in top_level_nodes(parts[0])):
            self.refused.append(f"{where} has await at its top level; write asyncio.run(…) there")
        if any(isinstance(node, ast.Raise) and is_skip(node.exc) for part in parts for node in ast.walk(part)):
            self.refused.append(f"{where} raises Skip, which only nbdag handles; use the option --when")
        for name in (name for part in parts for name in attributes_of_run(part)):
            if name in _OF_RUN:
                self.of_run.add(name)
            elif name == "params":
                self.refused.append(f"{where} reads dag_run.params; read the variable of the parameter instead")
            else:
                what = f"dag_run.{name}" if name else "dag_run as a whole"
                self.refused.append(f"{where} uses {what}, which only a run of nbdag has; export to Airflow instead")

    # Tasks

    def _task(self, task: Task) -> Iterator[str]:
        options = task.options
        if options.approve:
            self.refused.append(f"task {task.id} has --approve; a script asks nobody, so remove the option")
        if options.operator == "trigger":
            self.refused.append(f"task {task.id} triggers a deployed pipeline; use --operator notebook instead")
        above = self.dag.upstream[task.id]
        after = f" after {', '.join(above)}" if above else ""
        head = [f"# {_RULE} {task.id}{after} {_RULE}"]
        head += [f"# {line}" for line in ([options.doc] if options.doc else [])]
        head += [f"# {line}" for line in self._comments(task)]
        if options.trigger in _NEVER_RUN:
            yield "\n".join([*head, "# It runs only if a task above fails, and then the script ends."])
            return
        cell = self.dag.cells[task.cell]
        before = len(self.library)
        plain = not (options.branch or options.short_circuit or task.polls)
        code = self._code(cell, wrap=plain)
        if len(self.library) > before:
            head.append("# It calls functions of the package nbdag.")
        text = self._with_ending(task, code)
        for check in options.check:
            message = literal(f"task {task.id} failed: {check} is false")
            text += f"\nif not ({check}):\n    ⟦sys⟧.exit({message})"
        if options.map:
            text = self._mapped(task, text)
        if task.id in self._skippable:
            text = self._guarded(task, CellCode(text))
        yield "\n".join([*head, text])

    def _comments(self, task: Task) -> Iterator[str]:
        options, default = task.options, TaskOptions()
        ignored = []
        for name in _NO_EFFECT:
            value = getattr(options, name)
            if value == getattr(default, name) or (name == "timeout" and task.polls):
                continue
            written = write_duration(value) if name == "timeout" else value
            if name == "resources":
                value = tuple(map(write_resource, value))
            shown = "" if value is True else f" {' '.join(value) if isinstance(value, tuple) else written}"
            ignored.append(f"--{name.replace('_', '-')}{shown}")
        if ignored:
            yield f"Without an effect in a script: {', '.join(ignored)}"
        if options.teardown_for:
            yield "If the script ends with an error before, this does not run."
        if options.map:
            yield "Without an element, nbdag skips this task and those below; the script continues with empty lists."

    def _with_ending(self, task: Task, code: CellCode) -> str:
        """Return the code, with its last expression made a choice (branch task), a condition or the end of a loop."""
        options = task.options
        if options.branch:
            self.helpers.append(_NOT_CHOSEN)
            follows = {name: sorted(self.dag.followed(task.id, [name])) for name in self.dag.choices(task.id)}
            return code.wrapped("⟦skipped⟧ |= ⟦not_chosen⟧(", f", {literal(follows)})").text
        if options.short_circuit and not (options.when and not code.shows):
            below = sorted(self.dag.descendants(task.id))
            return code.wrapped("if not (", f"):\n    ⟦skipped⟧ |= {{{', '.join(map(literal, below))}}}").text
        if task.polls:
            return self._loop(task, code)
        return code.text

    def _loop(self, task: Task, code: CellCode) -> str:
        options = task.options
        lines = ["while True:", code.wrapped("if ", ":\n    break").indented()]
        if options.timeout is not None:
            lines.insert(0, f"⟦deadline⟧ = ⟦time⟧.monotonic() + {options.timeout:g}")
            message = literal(f"task {task.id} timed out after {write_duration(options.timeout)}")
            lines += ["    if ⟦time⟧.monotonic() > ⟦deadline⟧:", f"        ⟦sys⟧.exit({message})"]
        return "\n".join([*lines, f"    ⟦time⟧.sleep({options.poke:g})"])

    def _mapped(self, task: Task, text: str) -> str:
        """Return a function for the instances of a mapped task, and its calls; `text` is the code of one instance."""
        options = task.options
        stored = {name for group in task.exports for name in group}
        if later := [each.name for other in self.dag.tasks.values() for each in other.definitions
                     if other.id != task.id and each.place.cell == self.dag.cells[task.cell].in_file]:  # fmt: skip
            self.refused.append(f"task {task.id} is mapped and defines {later[0]}; define it in a setup cell")
        variables = [name for name, _ in options.map]
        if options.branch or (options.short_circuit and not options.when):
            flag = "--branch" if options.branch else "--short-circuit"
            self.refused.append(f"task {task.id} combines {flag} with --map; let another task make the choice")
        if options.when and (read := sorted(names_in(options.when).intersection(variables))):
            self.refused.append(
                f"task {task.id} has --map, and its --when reads the element {read[0]}; write the condition in the cell"
            )
        # Every instance has its own copy of a value that the cell changes or binds again.
        changed = {*task.changes, *options.change, *task.writes} - {*variables}
        own = [each.name for each in task.inputs if each.name in changed]
        function = "⟦run_" + re.sub(r"\W", "_", task.id) + "⟧"
        names = sorted(stored)
        returned = f"\nreturn {', '.join(names)}" if names else ""
        body = CellCode(text + returned).indented()
        values = [f"({expression})" if "," in expression or " for " in expression else expression
                  for _, expression in options.map]  # fmt: skip
        if len(values) == 1:
            # Unlike this comprehension, a `for` statement would change the notebook's variable of this name.
            each = variables[0] if names else "⟦each⟧"
            elements, given = values[0], each
        else:
            kind = "zip({}, strict=True)" if options.paired else "⟦itertools⟧.product({})"
            each, elements, given = "⟦each⟧", kind.format(", ".join(values)), "*⟦each⟧"
        copies = [f"{name}=⟦copy⟧.deepcopy({name})" for name in own]
        call = f"{function}({', '.join([given, *copies])})"
        calls = f"[{call} for {each} in {elements}]"
        head = f"def {function}({', '.join([*variables, *own])}):"
        if not names:
            end = f"for {each} in {elements}:\n    {call}"
        elif len(names) == 1:
            end = f"{names[0]} = {calls}"
        else:
            lists = f"([each[n] for each in ⟦results⟧] for n in range({len(names)}))"
            end = f"⟦results⟧ = {calls}\n{', '.join(names)} = {lists}"
        return f"{head}\n{body}\n\n\n{end}"

    # Skipped tasks

    @cached_property
    def _skippable(self) -> frozenset[str]:
        """Return the tasks that may be skipped."""
        found: set[str] = set()
        cut: set[str] = set()
        for name in self.dag.order:
            options = self.dag.tasks[name].options
            if name in cut or options.when or self._skipped_by_rule(name, found):
                found.add(name)
            if options.branch:
                cut.update(self.dag.downstream[name])
            if options.short_circuit:
                cut.update(self.dag.descendants(name))
        return frozenset(found)

    def _skipped_by_rule(self, name: str, found: Iterable[str]) -> bool:
        rule, above = self.dag.tasks[name].options.trigger, self.dag.upstream[name]
        if rule in _ALWAYS_RUN or not above:
            return False
        if rule in _ONE_RUNS:
            return set(above) <= set(found)
        return rule in _NEVER_RUN or rule == "all_skipped" or bool(set(above) & set(found))

    def _guarded(self, task: Task, code: CellCode) -> str:
        """Return the code, inside an `if` statement if the task may be skipped."""
        options, rule = task.options, task.options.trigger
        above = [
            name for name in self.dag.upstream[task.id] if name in self._skippable and not self._ignored(task, name)
        ]
        listed = f"{{{', '.join(map(literal, above))}}}"
        conditions: list[str] = []
        if any(self._cuts(name, task.id) for name in self.dag.ancestors(task.id)):
            conditions.append(f"{literal(task.id)} not in ⟦skipped⟧")
        if rule == "all_skipped":
            conditions.append(f"⟦skipped⟧ >= {{{', '.join(map(literal, self.dag.upstream[task.id]))}}}")
        elif rule in _ONE_RUNS and set(above) >= set(self.dag.upstream[task.id]):
            conditions.append(f"not ⟦skipped⟧ >= {listed}")
        elif above and rule not in _ALWAYS_RUN and rule not in _ONE_RUNS:
            conditions.append(f"not ⟦skipped⟧ & {listed}")
        if options.when:
            conditions.append(f"({options.when})")
        text = f"if {' and '.join(conditions)}:\n{code.indented() if code.text.strip() else '    pass'}"
        below = self.dag.descendants(task.id)
        ended = {task.id, *(below if options.short_circuit else ())}
        return f"{text}\nelse:\n    ⟦skipped⟧ |= {{{', '.join(map(literal, sorted(ended)))}}}" if below else text

    def _cuts(self, other: str, task: str) -> bool:
        """Return whether the task `other` may skip `task` regardless of the trigger rule."""
        options = self.dag.tasks[other].options
        return options.short_circuit or (options.branch and task in self.dag.downstream[other])

    def _ignored(self, task: Task, other: str) -> bool:
        """Return whether `task` only reads variables of `other`, and a branch task directly upstream leads to both."""
        if not self.dag.only_inferred(task.id, {other}):
            return False
        branches = [name for name in self.dag.upstream[task.id] if self.dag.tasks[name].options.branch]
        return any(
            other in self.dag.downstream[branch] or other in self.dag.descendants(*self.dag.downstream[branch])
            for branch in branches
        )

    # The order of the tasks

    def _check_order(self) -> None:
        """Reject a pipeline in which a task would read a value of a task that is not upstream."""
        writer: dict[str, str] = {}  # key: variable; value: the last task that has set it
        for name in self.dag.order:
            task = self.dag.tasks[name]
            sources = {each.name: each.sources for each in task.inputs}
            for read in task.reads:
                last = writer.get(read)
                if last is not None and last not in sources.get(read, ()) and last not in self.dag.ancestors(name):
                    self.refused.append(
                        f"task {name} reads {read}, which task {last} also sets, although {name} does not follow "
                        f"{last}; use another name in {last}, because a script has one namespace"
                    )
            writer.update(dict.fromkeys((*task.writes, *task.changes), name))
