"""Assemble the job of one attempt, which is sent to a worker.

A job holds exactly what an attempt needs: the cells that run before the task, the inputs that other tasks stored, the
paths to write to. If several earlier tasks may have written an input, the value comes from the nearest task that
succeeded. Nothing here touches a file, a clock or a database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..analysis.hidden_state import BY_KEY, is_library_function, may_be_local
from ..cells.imports import imports
from ..cells.kernel_values import kernel_values
from ..dataflow.in_step import element_sources
from ..model.dag import CellKind, Dag, Task
from ..model.job import PUSHED, Job, Key, PulledInput, StoredInput


@dataclass(frozen=True, slots=True)
class StoredOutputs:
    """The values that one succeeded instance of a task stored."""

    map_index: int
    # Key: name of a variable; value: digest of the variable's value.
    digests: Mapping[str, str] = field(default_factory=dict)


# An attempt searches for objects of its inputs in at most this many values of other tasks. Further values are treated
# like values that are not stored yet: if the task changes an input without declaring this in its header, the warning
# names these values.
MOST_COMPARED = 200
OutputsOf = Callable[[str], Sequence[StoredOutputs]]  # returns the stored outputs of a task's succeeded instances


def assemble(
    dag: Dag,
    key: Key,
    *,
    outputs_of: OutputsOf,
    path: str,
    values: str,
    cwd: str,
    kernel_name: str,
    storage: str = "",
    home: str = "",
    kernels: str = "warm",
    parameters: Mapping[str, Any] | None = None,
    element: Mapping[str, str] | None = None,
    expand: bool = False,
    mark: str = "",
    context: Mapping[str, Any] | None = None,
    to_come: int | None = None,
) -> Job:
    """Return the job of one attempt.

    `outputs_of` returns the outputs that a task has stored so far, in this run or in the run whose values are reused.
    """
    task = dag.tasks[key.task]
    stored, awaited = given_below(dag, task, outputs_of)
    element = dict(element or {})
    in_step = own_elements(dag, task, key.map_index, element, outputs_of)
    return Job(
        key=key,
        task=task,
        path=path,
        values=values,
        cwd=cwd,
        kernel_name=kernel_name,
        storage=storage,
        home=home,
        packages=dag.packages,
        pinned_files=dag.pinned_files,
        kernels=kernels,
        parameter_cells=tuple(cell.code for cell in dag.cells if cell.kind is CellKind.PARAMETERS),
        setup_cells=tuple(dag.cells[index].code for index in task.setup),
        imports=imports(dag),
        readers=readers(dag, task.id),
        inputs=tuple(each for each in inputs(dag, task, outputs_of) if each.name not in in_step.names),
        pulled=pulled_inputs(dag, task, outputs_of),
        pull_tasks=tuple(dict.fromkeys(each.task for each in task.pulls)),
        parameters=kernel_values(dag.parameter_schemas, parameters or {}),
        element={**element, **in_step.digests},
        expand=expand,
        mark=mark,
        context={
            **(context or {}),
            **({"folder": cwd} if dag.pinned_files else {}),
            "parameter_names": tuple(dag.parameters),
            "owner": dag.options.owner,
        },
        held=names_missing_hidden_changes(dag, task),
        beside=beside(dag, task),
        changed_later=changed_later(dag, task),
        given_below=stored,
        awaited_below=awaited,
        of_setup_below=of_setup_below(dag, task),
        choices=dag.choices(task.id) if task.options.branch else (),
        state_observers=state_observers(dag, task),
        seeded_before=seeded_before(dag, task),
        to_come=to_come,
    )


def inputs(dag: Dag, task: Task, outputs_of: OutputsOf) -> tuple[StoredInput, ...]:
    """Return the stored values of a task's inputs. An input is omitted if no succeeded task has stored it."""
    given = []
    for wanted in task.inputs:
        for source in wanted.sources:
            instances = sorted(outputs_of(source), key=lambda each: each.map_index)
            if not instances:
                continue  # this writer did not succeed, so an earlier writer provides the value
            digests = tuple(each.digests[wanted.name] for each in instances if wanted.name in each.digests)
            if digests:
                mapped = bool(dag.tasks[source].options.map)
                given.append(StoredInput(name=wanted.name, source=source, digests=digests, is_list=mapped))
            break
    return tuple(given)


@dataclass(frozen=True, slots=True)
class OwnElements:
    """The elements that an instance of a task in step (option --in-step) gets from upstream tasks in step with it."""

    digests: Mapping[str, str] = field(default_factory=dict)  # key: variable of --map; value: digest of the element
    names: frozenset[str] = frozenset()  # names of these results, which the instance does not also get as lists


def own_elements(
    dag: Dag, task: Task, map_index: int, element: Mapping[str, str], outputs_of: OutputsOf
) -> OwnElements:
    """Return the elements that an instance of a task in step gets from upstream tasks in step with it.

    Such an element is the result of the upstream instance with the same index; it is omitted if there is no such
    result. `element` has the other elements of the instance. It has all elements if the leader (the task that --in-step
    names) is not part of the run, because the run then evaluates --map of `task` itself.
    """
    if task.options.in_step is None or map_index < 0:
        return OwnElements()
    found = {each: place for each, place in element_sources(dag, task).items() if each not in element}
    digests = {}
    for variable, (name, sources) in found.items():
        stored = (each for source in sources for each in outputs_of(source) if each.map_index == map_index)
        digest = next((each.digests[name] for each in stored if name in each.digests), None)
        if digest is not None:
            digests[variable] = digest
    return OwnElements(digests, frozenset(name for name, _ in found.values()))


def pulled_inputs(dag: Dag, task: Task, outputs_of: OutputsOf) -> tuple[PulledInput, ...]:
    """Return the stored values that a task may get with `ti.xcom_pull`.

    These are the variables that the task pulls, and all values that the pulled tasks stored with `ti.xcom_push`. Such a
    pushed value takes precedence over a variable.
    """
    found: dict[tuple[str, str], PulledInput] = {}

    def add(source: str, key: str, name: str) -> None:
        instances = sorted(outputs_of(source), key=lambda each: each.map_index)
        digests = tuple(each.digests[name] for each in instances if name in each.digests)
        if digests:
            is_list = bool(dag.tasks[source].options.map)
            found[source, key] = PulledInput(task=source, key=key, name=name, digests=digests, is_list=is_list)

    for each in task.pulls:
        if each.name is not None:
            add(each.task, each.key, each.name)
    for source in dict.fromkeys(each.task for each in task.pulls):
        names = dict.fromkeys(name for each in outputs_of(source) for name in each.digests)
        for name in names:
            if name.startswith(PUSHED):
                add(source, name.removeprefix(PUSHED), name)
    return tuple(found.values())


def readers(dag: Dag, task: str) -> dict[str, str]:
    """Return the names that other tasks read from this task, each with its first reader in notebook order."""
    found: dict[str, str] = {}
    for reader in dag.tasks.values():
        for wanted in reader.inputs:
            if task in wanted.sources:
                found.setdefault(wanted.name, reader.id)
        for pull in reader.pulls:
            if pull.task == task and pull.name is not None:
                found.setdefault(pull.name, reader.id)
    return found


def names_missing_hidden_changes(dag: Dag, task: Task) -> dict[str, tuple[str, ...]]:
    """Return the objects of this task that other tasks read too, and whose hidden changes they would miss.

    A change is hidden if the task's code does not show it. Key: name by which this task reads the object; value: names
    by which other tasks read it. All later tasks that take the same input would miss a change of an input. All other
    tasks would miss a change of an object of setup, because setup creates the object again for each task. If the task
    is cached, every input counts, because the stored result may later be used in a notebook in which more tasks read
    that input.
    """
    given = {each.name for each in task.inputs}
    below: set[str] = set()
    anywhere: set[str] = set()
    for other in dag.tasks.values():
        if other.id == task.id:
            continue
        sources = {each.name: dag.tasks[each.sources[0]].cell for each in other.inputs}
        anywhere.update(name for name in other.reads if name not in sources)
        if other.cell > task.cell:
            below.update(name for name in other.reads if sources.get(name, -1) < task.cell)
    found = {}
    for name in dict.fromkeys((*task.reads, *(sorted(anywhere) if task.opaque else ()))):
        names = (name, *task.aliases.get(name, ()))
        if not (task.options.cache and name in given):
            names = tuple(each for each in names if each in (below if name in given else anywhere | below))
        if names:
            found[name] = names
    # An element may be a part of an object to which the --map expression refers.
    for name, expression in task.options.map:
        names = tuple(each for word in re.findall(r"\w+", expression) for each in found.get(word, ()))
        if names:
            found[name] = names
    return found


def beside(dag: Dag, task: Task) -> dict[str, tuple[str, ...]]:
    """Return the inputs, each with those other outputs of its writer that later tasks load."""
    given_below = {
        (each.name, source)
        for other in dag.tasks.values()
        if other.cell > task.cell
        for each in other.inputs
        for source in each.sources
    }
    found = {}
    for each in task.inputs:
        names = dict.fromkeys(
            name
            for source in each.sources
            for group in dag.tasks[source].exports
            for name in group
            if name != each.name and (name, source) in given_below
        )
        if names:
            found[each.name] = tuple(names)
    return found


def changed_later(dag: Dag, task: Task) -> dict[str, str]:
    """Return the names that later tasks change in place, each with the first task that does."""
    found: dict[str, str] = {}
    for other in dag.tasks.values():
        if other.cell <= task.cell:
            continue
        for name in (*other.changes, *other.options.change):
            if not _bound_anew(dag, name, task, other):
                found.setdefault(name, other.id)
    return found


def given_below(
    dag: Dag, task: Task, outputs_of: OutputsOf
) -> tuple[tuple[StoredInput, ...], dict[str, tuple[str, ...]]]:
    """Return the values of earlier tasks that later tasks load and that may contain objects of this task's inputs.

    The first part of the result has the stored values, at most `MOST_COMPARED`. The second part has the names of the
    other values, and of values that are not stored yet. Key: input; value: names of values that may have its objects.

    Objects pass between tasks only as inputs. So a value can contain an object of an input only in two cases: the tasks
    that stored the value and the input have both loaded values of a common task, or one of them has loaded a value of
    the other. In addition, an object of setup that `task` reads may be part of another object of setup. So a value is
    also returned if the task that stored it reads another object of setup; the key in the second part is then the name
    of this object.
    """
    origins = {each.name: [dag.value_ancestors[source] for source in each.sources] for each in task.inputs}
    reads_setup = any(name not in origins for name in task.reads)
    if not origins and not reads_setup:
        return (), {}
    own = {(each.name, source) for each in task.inputs for source in each.sources}
    stored: dict[tuple[str, str], StoredInput] = {}
    awaited: dict[str, dict[str, None]] = {}
    # Key: task that stored a value; value: names of inputs whose objects may be part of the stored value.
    related: dict[str, list[str]] = {}
    for other in dag.tasks.values():
        for each in other.inputs if other.cell > task.cell else ():
            name, source = each.name, each.sources[0]
            if (name, source) in stored or (name, source) in own or dag.tasks[source].cell >= task.cell:
                continue
            if source not in related:
                ancestors = dag.value_ancestors[source]
                related[source] = [given for given, found in origins.items() if any(ancestors & each for each in found)]
                if reads_setup:
                    known = {*task.reads, *(each.name for each in dag.tasks[source].inputs)}
                    related[source] += [name for name in dag.tasks[source].reads if name not in known]
            if not related[source]:
                continue
            instances = sorted(outputs_of(source), key=lambda instance: instance.map_index)
            digests = tuple(instance.digests[name] for instance in instances if name in instance.digests)
            if digests and len(stored) < MOST_COMPARED:
                stored[name, source] = StoredInput(name=name, source=source, digests=digests, is_list=False)
            elif digests or not instances:
                for given in related[source]:
                    awaited.setdefault(given, {})[name] = None
    return tuple(stored.values()), {given: tuple(names) for given, names in awaited.items()}


def of_setup_below(dag: Dag, task: Task) -> tuple[str, ...]:
    """Return the names that later tasks read but do not load, because setup creates them for every task."""
    found: dict[str, None] = {}
    for other in dag.tasks.values():
        if other.cell > task.cell:
            given = {each.name for each in other.inputs}
            found.update((name, None) for name in other.reads if name not in given)
    return tuple(found)


def _bound_anew(dag: Dag, name: str, above: Task, below: Task) -> bool:
    """Return whether a task between `above` and `below` rebinds a name without reading the name's old value."""
    wanted = next((each for each in below.inputs if each.name == name and not each.optional), None)
    sources = [dag.tasks[source] for source in wanted.sources] if wanted is not None else []
    return bool(sources) and all(
        source.cell > above.cell
        and not source.opaque
        and (_bound_anew(dag, name, above, source) if name in source.reads else name in source.writes)
        for source in sources
    )


def state_observers(dag: Dag, task: Task) -> dict[str, str]:
    """Return the kinds of state that this task may change, each with the first later task that may observe the change.

    The keys are those of `Task.state_observed`: kinds of state, modules that may be the user's own, and functions of
    libraries. For a random generator that this task's code seeds, only a later task that certainly draws from the
    generator counts as an observer.
    """
    found: dict[str, str] = {}
    for other in dag.tasks.values():
        if other.cell <= task.cell:
            continue
        for key, certain in other.state_observed.items():
            kind = BY_KEY.get(key)
            if key in found or (kind is None and not may_be_local(key) and not is_library_function(key)):
                continue
            seeds_itself = key in other.state_changed or (key in task.state_changed and not certain)
            if kind is None or not (kind.is_generator and seeds_itself):
                found[key] = other.id
    return found


def seeded_before(dag: Dag, task: Task) -> dict[str, str]:
    """Return the random generators that earlier tasks in the notebook seed, each with the last task that seeds it.

    Generators that `task` itself seeds are left out.
    """
    found: dict[str, str] = {}
    for other in dag.tasks.values():
        if other.cell < task.cell:
            for key in other.state_changed:
                if BY_KEY[key].is_generator and key not in task.state_changed:
                    found[key] = other.id
    return found
