"""Notify the recipients of a DAG when a run ends, a task is retried or asks for approval, or a deadline is missed.

Ended runs are also logged to MLflow (`mlflow_log`).

`%dag --on-failure`, `--on-success`, `--on-retry`, `--on-approval` and `--on-deadline` name the recipients. A recipient
is an apprise URL, a function of a module (`module:function`), or a function of the notebook's setup (`:function`). A
function is called with a mapping that has the keys `event`, `dag`, `run_id`, `state`, `task`, `title`, `message`, `url`
and `report`. For a recipient `:function`, the setup is executed again, and the mapping also has the names of a task's
context (`ds`, `params`, `dag_run`, …) and the `reason`. A separate thread starts one process per notification, in the
run's folder. Tasks do not wait for this process. The process has a time limit and cannot change the run. A failed
notification is recorded as a note on the run.

If the address of the page is known (`page_urls`), the message ends with a link to the page, and `url` is this link.
With `--attach html`, the report so far is attached as an HTML page. `report` is then the path of the HTML file, and the
file is deleted after the call.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.model.dag import CellKind, Dag
from ...core.model.job import Note
from ...core.model.secret_names import masked_recipient, without_passwords
from ...core.model.states import ACTIVE, RunState, TaskState
from ...core.model.text import run_selector, task_label
from ...errors import NbdagError
from ...home import Home, path_part
from ...page_urls import run_url, task_url
from ...scheduler import OwnedRun
from ...store.rows import RunRow
from ..queries.pinned import run_dag
from ..queries.runs import read_runs
from . import mlflow_log
from .report import report_notebook
from .side_process import call_module

if TYPE_CHECKING:
    from ...store.store import Store

LIMIT = 120.0  # time limit for one notification, in seconds; on a busy machine, the imports of a setup take long
_MAX_REPORT = 20_000_000  # bytes; many mail servers reject a larger attachment
Message = Mapping[str, Any]
Setup = Mapping[str, Any]  # see `_setup_of`
_RECIPIENTS = ("on_failure", "on_success", "on_retry", "on_approval", "on_deadline")  # fields of DagOptions


class Notifier:
    """Sends the notifications of the runs that this process executes."""

    def __init__(self, store: Store, home: Home, limit: float = LIMIT) -> None:
        self._store = store
        self._home = home
        self._limit = limit
        # Key: function to call; value: its threads. They are separate, because a hanging MLflow server must delay no
        # notification.
        self._pools: dict[Callable[..., None], ThreadPoolExecutor] = {}
        self._retries: dict[
            int, set[tuple[str, int, int]]
        ] = {}  # key: run number; value: reported retries and questions, as (task, map index, try number)

    def on_change(self, run: OwnedRun) -> None:
        """Notify about the changes of a run since the last call."""
        if run.finished and mlflow_log.is_wanted():
            self._submit(self._log_to_mlflow, run.row, run.dag)
        options = run.dag.options
        if not any(getattr(options, name) for name in _RECIPIENTS):
            return
        for recipient, message in self._messages(run):
            setup = _setup_of(run) if recipient.startswith(":") else None
            self._submit(self._send, run.row, run.dag, recipient, message, setup)

    def has_ended(self, run: RunRow) -> None:
        """Notify about a run that was recorded as failed because its owner had died."""
        # Errors are ignored: without the pinned notebook, the recipients are unknown.
        with contextlib.suppress(NbdagError):
            self.on_change(OwnedRun.of(run, run_dag(self._home, run), (), (), {}))

    def close(self) -> None:
        """Wait for all notifications and logs of runs, but for none longer than its own time limit."""
        for pool in self._pools.values():
            pool.shutdown()

    def _submit(self, call: Callable[..., None], *arguments: Any) -> None:
        if call not in self._pools:
            self._pools[call] = ThreadPoolExecutor(4, thread_name_prefix="nbdag-notify")
        self._pools[call].submit(call, *arguments)

    def _log_to_mlflow(self, row: RunRow, dag: Dag) -> None:
        with contextlib.suppress(NbdagError):
            report = self._report(row, dag)
            (run,) = read_runs(self._store, self._home, [row])
            entry = mlflow_log.entry_of(run, row, dag, database=self._store.where, report=report)
            if why := mlflow_log.log_run(entry, cwd=row.cwd):
                text = f"the run was not logged to MLflow: {why}"
                self._store.add_note(row.id, Note(code="NB418", name="mlflow", message=text), once=True)

    def _report(self, row: RunRow, dag: Dag) -> dict[str, Any] | None:
        """Return the report of a run so far, or None if it cannot be read."""
        with contextlib.suppress(NbdagError, OSError):
            return report_notebook(self._store, self._home, self._store.run(row.id), dag)
        return None

    def _messages(self, run: OwnedRun) -> Iterator[tuple[str, Message]]:
        row, options = run.row, run.dag.options
        about: dict[str, Any] = {"dag": row.dag, "run_id": row.name}
        seen = self._retries.setdefault(row.id, set())
        for each in run.instances.values() if options.on_retry else ():
            # A task that is retried without a delay may already be running again in the saved change.
            failed = each.tries if each.state is TaskState.UP_FOR_RETRY else each.tries - 1
            again = each.state is TaskState.UP_FOR_RETRY or (each.state in ACTIVE and failed > each.tries_before_reset)
            key = (each.task, each.map_index, failed)
            if again and key not in seen:
                seen.add(key)
                task = task_label(each.task, each.map_index)
                title = f"{task} of {row.dag} failed (try {failed}) and is retried"
                what = {"event": "retry", **about, "state": each.state.value, "task": task, "title": title}
                what |= _with_link(f"run {row.name}", task_url(row.dag, row.name, each.task, each.map_index))
                yield from ((recipient, what) for recipient in options.on_retry)
        for each in run.instances.values() if options.on_approval else ():
            asked = ("?" + each.task, each.map_index, each.tries)  # no name of a task begins with ?
            if each.asks and asked not in seen:
                seen.add(asked)
                task = task_label(each.task, each.map_index)
                title = f"{task} of {row.dag} asks: {each.answer['question']}"
                how = f"answer with: nbdag approve {run_selector(row.name, row.dag)} {task}"
                what = {"event": "approval", **about, "state": each.state.value, "task": task, "title": title}
                what |= _with_link(how, task_url(row.dag, row.name, each.task, each.map_index))
                yield from ((recipient, what) for recipient in options.on_approval)
        for missed in run.missed_now:
            sentence = missed.describe(run.dag, missed.at)
            what = {"event": "deadline", **about, "state": row.state.value, "task": missed.task}
            what |= {
                "title": f"{row.dag}: {sentence}",
                **_with_link(f"run {row.name} goes on", run_url(row.dag, row.name)),
            }
            yield from ((each, what) for each in options.on_deadline or options.on_failure)
        if not run.finished:
            return
        self._retries.pop(row.id, None)
        recipients = {RunState.FAILED: options.on_failure, RunState.SUCCESS: options.on_success}.get(row.state, ())
        event = "failure" if row.state is RunState.FAILED else "success"
        title = f"{row.dag}: run {row.name} {'failed' if event == 'failure' else 'succeeded'}"
        what = {"event": event, **about, "state": row.state.value, "task": None, "title": title}
        what |= _with_link(row.error or title, run_url(row.dag, row.name))
        yield from ((each, what) for each in recipients)

    def _send(self, run: RunRow, dag: Dag, recipient: str, message: Message, setup: Setup | None) -> None:
        # If the report cannot be read, the notification is sent without a report.
        report = self._report(run, dag) if dag.options.attach else None
        why = send(recipient, message, cwd=run.cwd, limit=self._limit, report=report, setup=setup)
        if why:
            # Show only the scheme, because a URL may contain a password.
            name = recipient.partition("://")[0] if "://" in recipient else recipient
            why = without_passwords(why.replace(recipient, masked_recipient(recipient)))
            text = f"{name} was not notified of the {message['event']}: {why}"
            note = Note(code="NB415", name=name, message=text)
            with contextlib.suppress(NbdagError):
                self._store.add_note(run.id, note)


def _setup_of(run: OwnedRun) -> Setup:
    """Return what a process needs to call a function of the notebook: the cells to execute, and the run's context.

    The context describes a failed task, or the first task if none failed.
    """
    row, cells = run.row, run.dag.cells
    failed = (each for each in run.instances.values() if each.state is TaskState.FAILED)
    about = next(failed, next(iter(run.instances.values()), None))
    context: dict[str, Any] = {"dag_id": row.dag, "run_id": row.name, "params": dict(row.parameters)}
    for name in ("logical_date", "interval_start", "interval_end"):
        moment = datetime.fromtimestamp(getattr(row, name), UTC).isoformat()
        context[name.replace("interval", "data_interval")] = moment
    if about is not None:
        context |= {"task_id": about.task, "map_index": about.map_index, "try_number": about.tries}
    return {
        "context": context | {"asset_events": list(row.events or ())},
        "parameter_names": list(run.dag.parameters),
        "parameter_cells": [each.code for each in cells if each.kind is CellKind.PARAMETERS],
        "setup_cells": [each.code for each in cells if each.kind is CellKind.SETUP],
    }


def _with_link(text: str, url: str) -> dict[str, str]:
    return {"message": f"{text}\n{url}" if url else text, "url": url}


def send(
    recipient: str,
    message: Message,
    *,
    cwd: str,
    limit: float = LIMIT,
    report: Mapping[str, Any] | None = None,
    setup: Setup | None = None,
) -> str:
    """Send one notification, with an HTML page of `report` (nbformat's dict) attached.

    `setup` is needed if the recipient is a function of the notebook.

    Return why the notification failed, or "" if it was sent.
    """
    given = {"recipient": recipient, "message": dict(message), "report": report, "setup": setup}
    return call_module(__name__, given, cwd=cwd, limit=limit)


def combine_listeners(*listeners: Callable[[OwnedRun], None]) -> Callable[[OwnedRun], None]:
    """Return one listener that calls all given listeners."""

    def on_change(run: OwnedRun) -> None:
        for each in listeners:
            each(run)

    return on_change


def _main() -> None:
    """Send one notification. This is the main function of the separate process."""
    sys.path.insert(0, "")
    given = json.load(sys.stdin)
    message = {**given["message"], "report": ""}
    with tempfile.TemporaryDirectory(prefix="nbdag-notice-") as folder:
        if given["report"] is not None:
            message |= _attach(given["report"], message, Path(folder))
        if given["recipient"].startswith(":"):
            _call(given["recipient"].removeprefix(":"), given["setup"], message)
        else:
            _deliver(given["recipient"], message)


def _attach(report: Mapping[str, Any], message: Message, folder: Path) -> dict[str, str]:
    """Write the HTML page of a report into this folder; return the changed items of the message."""
    from ...html_report import to_html

    page = to_html(report, folder=Path.cwd()).encode()
    if len(page) > _MAX_REPORT:
        return {"message": f"{message['message']}\n(the report has {len(page) / 1e6:.0f} MB, too much to attach)"}
    path = folder / f"{path_part(message['dag'])}-report.html"
    path.write_bytes(page)
    return {"report": str(path)}


def _call(name: str, setup: Setup, message: Message) -> None:
    """Execute the notebook's setup, and call the function `name` with the context of the run and the message."""
    from IPython.core.interactiveshell import InteractiveShell

    from ...task_api.context import DagRun, set_current

    shell = InteractiveShell.instance()
    names, given = shell.user_ns, setup["context"]["params"]
    for code in setup["parameter_cells"]:
        shell.run_cell(code).raise_error()
    names.update(given)
    params = {each: names[each] for each in (*setup["parameter_names"], *given) if each in names}
    names["dag_run"] = dag_run = DagRun.of(setup["context"], params=params, conf=given)
    set_current(dag_run)
    for code in setup["setup_cells"]:
        shell.run_cell(code).raise_error()
    function = names.get(name)
    if not callable(function):
        sys.exit(f"no setup cell defines the function {name}")
    # In the context, `dag` and `task` are objects, as in the context of a task.
    about = {key: value for key, value in message.items() if key not in ("dag", "task")}
    function({**dag_run.context, **about, "reason": message["message"]})


def _deliver(recipient: str, message: Message) -> None:
    if "://" not in recipient:
        module, _, name = recipient.partition(":")
        getattr(import_module(module), name)(message)
        return
    try:
        apprise = import_module("apprise")
    except ImportError:
        sys.exit("apprise is not installed: pip install 'nbdag[notify]'")
    service = apprise.Apprise()
    if not service.add(recipient):
        sys.exit("apprise does not know this kind of URL")
    attach = {"attach": message["report"]} if message["report"] else {}
    if not service.notify(title=message["title"], body=message["message"], **attach):
        sys.exit("apprise could not deliver the notification")


if __name__ == "__main__":
    _main()
