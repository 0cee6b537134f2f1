"""The code that runs inside a task's kernel, around the user's cells.

    begin ▸ parameters ▸ setup ▸ definitions and inputs ▸ the cell ▸ checks, outputs

Each step is a line in a cell of the attempt's notebook, so that a reader sees the steps and can repeat them by hand.
nbdag adds two names to the user's namespace: `dag_run` and `_nbdag`. The kernel publishes one `Outcome`, either from
`finish` or when a cell fails.
"""

from __future__ import annotations
import __future__

import linecache
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import ExecutionResult
from IPython.utils.capture import capture_output

from ... import secrets
from ...core.model.job import PUSHED, Note, Outcome, StoredOutput
from ...core.model.metrics import metrics_of
from ...core.model.states import TaskState
from ...errors import Fail, NbdagError, Skip, error
from ...processes.identity import HASH_SEED, MARK_VARIABLE
from ...processes.marks import adopt_mark, has_children
from ...processes.parent_watchdog import start_parent_watchdog
from ...secrets.parameters import resolved
from ...task_api.asset_facts import the_produced
from ...task_api.context import DagRun, PulledValues, set_current
from ...task_api.task_state import state
from ...task_api.waiting import Postponed, the_waiter
from ...values import Origins, UnreadableValueError, UnstorableError, ValueStore
from . import rehearsal_observer
from .expressions import check, choice, elements, error_kinds, evaluate, is_true, when_holds
from .file_watch import FileWatch
from .messages import MIME, PROCESSES, RENDERED_MIME, KernelRequest, masked_outcome, outcome_to_dict
from .mutation_check import MutationCheck
from .rehearsal_observer import VARIABLE
from .state_check import StateCheck
from .stored_values import (
    address_notes,
    finaliser_notes,
    order_notes,
    reset_notes,
    secret_notes,
    sharing_notes,
    size_notes,
)
from .stream_flush import wait_for_streams
from .tracebacks import hint_for, show_headers

_ANNOTATIONS: int = __future__.annotations.compiler_flag
_MAX_RENDERED = 1_000_000  # maximum number of characters of a rendered text that are published
_FUTURE_FLAGS: int = reduce(or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))


@error
class InputError(NbdagError):
    """A name that a task needs is missing from its stored value."""

    name: str
    source: str  # the task that stored the value
    template = "task {source} stored no {name!r}; clear {source} so that it runs again"


@error
class UnreadableInputError(NbdagError):
    """A value that a task needs cannot be loaded in its kernel."""

    name: str
    source: str  # the task that stored the value
    why: str
    template = (
        "{name!r}, which task {source} stored, cannot be loaded here ({why}): pass only the data that this task "
        "needs, or create the value in this task"
    )


def begin(request: Mapping[str, Any]) -> Runtime:
    """Return the runtime of this attempt, whose methods are the later steps."""
    shell = get_ipython()
    assert shell is not None
    return Runtime(shell, KernelRequest.from_dict(request))


class Runtime:
    """The steps of one attempt that run in its kernel."""

    def __init__(self, shell: Any, request: KernelRequest) -> None:
        self._shell = shell
        self._request = request
        self._names: dict[str, Any] = shell.user_ns
        secrets.hide_known_values()
        secrets.protect_kernel()
        self._store = ValueStore(request.values, f"{request.storage}/values" if request.storage else "")
        # Records the loaded values, so that each stored value is loaded only once, even if it contains several names.
        self._origins = Origins()
        self._mutation_check: MutationCheck | None = None
        self._state_check = StateCheck(request)
        # Result of the latest cell of the user; in `finish`, this is the task's cell.
        self._last: ExecutionResult | None = None
        self._in_own_step = False  # whether a cell of nbdag is running rather than a cell of the user
        self._ready = False  # whether the inputs are loaded, so that the next cell is the task's
        self._published = False
        if date := request.context.get("logical_date"):
            the_waiter.logical_date = datetime.fromisoformat(date)
        if files := request.context.get("state_files"):
            state.begin(*map(Path, files))
        folder, here = request.context.get("folder"), str(Path.cwd())
        self._files = FileWatch(folder or here, str(Path(request.values).parent), view=here if folder else "")
        the_produced.declared = request.options.produces
        # The run's parameters; defaults are added when the parameters cell has run.
        self._params: dict[str, Any] = dict(request.context.get("params", {}))
        self._conf: dict[str, Any] = dict(self._params)
        self._rendered: dict[str, str] = {}
        self._dag_run = DagRun.of(
            request.context,
            params=self._params,
            conf=self._conf,
            found=self._pulled,
            tasks=request.pull_tasks,
            on_rendered=self._publish_rendered,
            home=request.home or str(Path(request.values).parent),
        )
        set_current(self._dag_run)
        self._own_names = {"_nbdag": self, "dag_run": self._dag_run}
        self._restore_names()
        shell.set_custom_exc((NbdagError,), _show_error)
        show_headers(shell)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        if os.environ.get(HASH_SEED[0]) == HASH_SEED[1]:
            del os.environ[HASH_SEED[0]]
        start_parent_watchdog()
        if mark := os.environ.get(MARK_VARIABLE):
            adopt_mark(mark)
        self._state_check.begin()
        self._resolve_parameters()
        if folder := os.environ.get(VARIABLE):
            rehearsal_observer.begin(shell, folder)

    def __repr__(self) -> str:
        return f"<nbdag: task {self._request.task}>"

    def _resolve_parameters(self) -> None:
        """Look up the secret parameters, of which the job has only the names."""
        for values in (self._params, self._conf):
            values.update(resolved(values))

    def secret_parameter(self, name: str) -> Any:
        """Return the value of a secret parameter."""
        return self._params[name]

    # -- before the cell ----------------------------------------------------------------------------------------

    def inputs(self) -> None:
        """Replay the definitions and load the inputs of the task; skip the task if `--when` is false."""
        self._in_own_step = True
        if self._published:
            raise Fail("a cell above the task ended with an error")
        secrets.hide_known_values()  # setup may have set environment variables that contain secrets
        self._replay()
        made_before = self._made_before()
        # Each kernel has a `dag_run` of its own, so no stored value refers to it.
        own = self._dag_run
        self._origins.add_setup({name: value for name, value in made_before.items() if value is not own})
        names = self._request.context.get("parameter_names", ())
        self._params.update((name, made_before[name]) for name in names if name in made_before)
        self._conf.update((name, self._params[name]) for name in self._conf)
        request, when = self._request, self._request.options.when
        for given in request.inputs:
            parts = [self._value(digest, given.name, given.source) for digest in given.digests]
            self._names[given.name] = parts if given.is_list else parts[0]
        for name, digest in request.element.items():
            self._names[name] = self._value(digest, name, request.task)
        if when is not None and not request.expand and not when_holds(when, self._names):
            raise Skip(f"--when {when} is false")
        if request.options.approve is not None and not request.expand:
            self._ask(request.options.approve)
        self._mutation_check = MutationCheck.of(request, self._names, self._origins, self._store)
        self._state_check.before_cell()
        if request.future_annotations:
            self._shell.compile.flags |= _ANNOTATIONS
        self._in_own_step = False
        self._ready = True

    def _ask(self, question: str) -> None:
        """Do nothing if a person has approved the task; otherwise skip, fail or postpone the task."""
        answer = self._request.context.get("answer") or {}
        if "approved" not in answer:
            if answer.get("until") is not None and time.time() >= answer["until"]:
                raise Fail(f"nobody has answered {answer['question']!r} in time; clear the task to ask again")
            raise Postponed("waits for approval", None, str(eval(question, self._names)))
        words = f"{answer['by']}{': ' + answer['why'] if answer.get('why') else ''}"
        if not answer["approved"]:
            raise Skip(f"rejected by {words}")
        print(f"approved by {words}")

    def _replay(self) -> None:
        pages: dict[str, list[str]] = {}
        for cell, line, source, future in self._request.definitions:
            # Each definition keeps the line number of its original cell, so that tracebacks show the original line.
            file, page = f"<{cell}>", pages.setdefault(cell, [])
            code = self._shell.transform_cell(source)
            lines = code.splitlines()
            page.extend([""] * (line - 1 + len(lines) - len(page)))
            page[line - 1 : line - 1 + len(lines)] = lines
            text = "\n".join(page) + "\n"
            linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
            # As in the notebook, `__future__` imports of earlier cells apply to the definition.
            compiled = compile("\n" * (line - 1) + code, file, "exec", self._flags(future), True)
            exec(compiled, self._names)

    def _flags(self, future_annotations: bool) -> int:
        flags = int(getattr(self._shell.compile, "flags", 0)) & _FUTURE_FLAGS
        return flags | _ANNOTATIONS if future_annotations else flags

    def _value(self, digest: str, name: str, source: str) -> Any:
        try:
            return self._store.open(digest, origins=self._origins).values[name]
        except KeyError:
            raise InputError(name, source) from None
        except UnreadableValueError as error:
            raise UnreadableInputError(name, source, error.why) from error

    def _pulled(self, task: str, key: str) -> PulledValues | None:
        """Return the values for `ti.xcom_pull`, or None if there are none. Each value is loaded when it is used."""
        given = next((each for each in self._request.pulled if (each.task, each.key) == (task, key)), None)
        if given is None:
            return None
        parts = tuple(partial(self._value, digest, given.name, task) for digest in given.digests)
        return PulledValues(parts, given.is_list)

    def _publish_rendered(self, what: str, text: str) -> None:
        """Publish the text of a rendered template. The text is stored in the attempt's notebook."""
        self._rendered[what] = secrets.mask(text)[:_MAX_RENDERED]  # masked first, because a cut secret is not found
        self._shell.display_pub.publish({RENDERED_MIME: dict(self._rendered)})

    def _made_before(self) -> dict[str, Any]:
        """Return the names that parameters, setup and definitions have set, with their values."""
        hidden = getattr(self._shell, "user_ns_hidden", {})
        return {name: value for name, value in self._names.items() if hidden.get(name, self) is not value}

    # -- after the cell -----------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Evaluate the checks, store the values that later tasks read, and publish the outcome."""
        self._in_own_step = True
        self._files.stop()
        if self._published:
            return
        options, cell = self._request.options, self._last
        if self._request.polls and cell is not None and not self._poll(cell, options.poke):
            return
        for expression in options.check:
            check(expression, self._names)
        notes = list(self._mutation_check.notes(self._names)) if self._mutation_check is not None else []
        notes += self._state_check.notes()
        if cell is not None and _is_quiet_exit(cell.error_in_exec):
            notes.append(self._exit_note())
        task, value = self._request.task, None if cell is None else cell.result
        chosen = choice(value, self._request.choices, task) if options.branch else None
        decides = options.short_circuit and options.when is None
        outputs, shared = self._save()
        names = {**self._names, **self._pushed()}
        metrics, refused = metrics_of(names, options.metric, [each.name for each in outputs])
        notes += [_metric_note(task, name, why) for name, why in refused.items()]
        self._publish(
            Outcome(
                state=TaskState.SUCCESS,
                outputs=outputs,
                metrics=metrics,
                notes=(*notes, *shared),
                chosen=chosen,
                short_circuit=decides and not is_true(value, task),
            )
        )

    def expand(self) -> None:
        """Evaluate `--map` instead of executing the cell: store and publish the elements of all instances."""
        self._in_own_step = True
        options = self._request.options
        columns, rows = elements(options.map, self._names, in_step=options.paired, limit=options.max_map_length)
        notes: dict[str, Note] = {}
        stored = [(name, [self._element(name, value, notes) for value in column]) for name, column in columns.items()]
        given = tuple({name: digests[at] for (name, digests), at in zip(stored, row, strict=True)} for row in rows)
        self._publish(Outcome(state=TaskState.SUCCESS, length=len(given), elements=given, notes=tuple(notes.values())))

    def _element(self, name: str, value: object, notes: dict[str, Note]) -> str:
        """Store an element of a `--map` variable and return its digest. Add a note for the first one with a secret."""
        saved = self._store.save({name: value}, readers={name: self._request.task}, origins=self._origins)
        for note in secret_notes(self._request, saved):
            notes.setdefault(name, note)
        return saved.outputs[0].digest

    def _poll(self, cell: ExecutionResult, seconds: float) -> bool:
        """Repeat a sensor's cell until its last expression is true.

        Return False if the cell raises an exception or is postponed. In both cases, the outcome is published already.
        """
        assert cell.info is not None
        value = cell.result
        while not value:
            if self._request.options.reschedule:
                self._publish(Outcome(state=TaskState.UP_FOR_RESCHEDULE))
                return False
            time.sleep(seconds)
            captured: Any
            with capture_output() as captured:
                hook = sys.displayhook = _ValueHook()
                done = self._shell.run_cell(cell.info.raw_cell, store_history=False)
            value = hook.value
            if not done.success:  # `_after_cell` has shown and published the error
                captured.show()
                return False
            if value:
                captured.show()
        return True

    def _save(self) -> tuple[tuple[StoredOutput, ...], list[Note]]:
        groups = [[name for name in group if name in self._names] for group in self._request.exports]
        values = {name: self._names[name] for group in groups for name in group}
        pushed = self._pushed()
        values |= pushed
        groups += [[name] for name in pushed]
        while True:
            try:
                saved = self._store.save(values, groups, readers=self._request.readers, origins=self._origins)
            except UnstorableError as error:
                if error.name not in self._request.optional:
                    raise
                del values[error.name]
            else:
                notes = (sharing_notes, order_notes, reset_notes, address_notes, finaliser_notes)
                of_values = [note for each in notes for note in each(self._request, saved, self._names)]
                return saved.outputs, [*of_values, *size_notes(saved), *secret_notes(self._request, saved)]

    def _pushed(self) -> dict[str, Any]:
        """Return the values that the cell has passed to `ti.xcom_push`, by the names under which they are stored."""
        return {f"{PUSHED}{key}": value for key, value in self._dag_run.ti.pushed.items()}

    def _exit_note(self) -> Note:
        task = self._request.task
        message = (
            f"{task} was ended by sys.exit, which ends only this task: it succeeded, and later tasks run, although the "
            "notebook stops here; raise nbdag.Skip to skip the tasks that need it, or nbdag.Fail to fail"
        )
        return Note(code="NB472", name=task, message=message)

    # -- the outcome --------------------------------------------------------------------------------------------

    def _restore_names(self, *_: object) -> None:
        """Restore the names that nbdag sets in the namespace, because `%reset` deletes them."""
        for name, value in self._own_names.items():
            self._names.setdefault(name, value)

    def _before_cell(self, info: object) -> None:
        self._restore_names()
        if self._ready and not self._published:
            self._files.start()

    def _after_cell(self, result: ExecutionResult) -> None:
        self._files.stop()
        if not self._in_own_step:
            self._last = result
            wait_for_streams()
        error = result.error_before_exec or result.error_in_exec
        if error is None or self._published or _is_quiet_exit(error):
            return
        if isinstance(error, Postponed):
            outcome = Outcome(state=TaskState.UP_FOR_RESCHEDULE, wake=error.wake, question=error.question)
            self._publish(outcome)
        elif isinstance(error, Skip):
            options = self._request.options
            by_when = self._in_own_step and options.when is not None
            short = by_when and options.short_circuit
            self._publish(Outcome(state=TaskState.SKIPPED, error=str(error), short_circuit=short))
        else:
            self._publish(self._failure(error))

    def _failure(self, error: BaseException) -> Outcome:
        options, text = self._request.options, _one_line(error)
        kinds = error_kinds(error, options.retry_on) if options.retry_on or options.soft_fail else ()
        retry = None
        if options.retry_if is not None and not isinstance(error, Fail):
            try:
                retry = bool(evaluate(options.retry_if, {**self._names, "error": error}))
            except Exception as failure:
                retry = False
                text += f"; cannot evaluate --retry-if {options.retry_if}: {type(failure).__name__}: {failure}"
        return Outcome(state=TaskState.FAILED, error=text, final=isinstance(error, Fail), kinds=kinds, retry=retry)

    def _publish(self, outcome: Outcome) -> None:
        self._published = True
        files = self._files.uses(self._request.task)
        notes = (*outcome.notes, *self._files.notes)
        outcome = masked_outcome(replace(outcome, files=files, notes=notes, assets=the_produced.extra))
        self._shell.display_pub.publish({MIME: {**outcome_to_dict(outcome), PROCESSES: has_children()}})


class _ValueHook:
    """A display hook that stores the value of a cell's last expression instead of displaying it."""

    value: Any = None

    def __call__(self, value: Any) -> None:
        self.value = value


def _metric_note(task: str, name: str, why: str) -> Note:
    return Note(code="NB474", name=name, message=f"the metric {name} of {task} is not kept, because {why}")


def _one_line(error: BaseException) -> str:
    if isinstance(error, NbdagError):
        return str(error)
    # The list of attempts shows only the first line of this text, so the first line contains the hint.
    text, hint = str(error).strip(), hint_for(error)
    shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return shown if hint is None else f"{shown}; {hint}"


def _is_quiet_exit(error: BaseException | None) -> bool:
    """Return whether an exception is `sys.exit()` without an error code, which ends a cell successfully."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def _show_error(shell: Any, kind: type[BaseException], error: BaseException, tb: Any, tb_offset: Any = None) -> None:
    """Make the shell show only the message of nbdag's own errors, without a traceback."""
    if isinstance(error, Skip):
        print(f"skipped: {error}")
    elif isinstance(error, Postponed):
        print(f"{error}; the task goes on later")
    else:
        shell._showtraceback(kind, error, [f"{kind.__name__}: {error}"])
