"""The live graph of a notebook, which a bare `%dag` displays if the front end supports Jupyter widgets.

Each kernel has one widget, which can be displayed any number of times. The widget reports changes to the front end:
cells executed in this kernel, and runs of the notebook in any process. It also performs the actions that the front end
requests. A headless run is a separate `nbdag run` process, so the kernel stays free, and the run continues after the
kernel has ended. The messages are defined in `frontend.messages`. A change of state sends one small message, and never
a new layout.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import anywidget
import traitlets

from .. import home as homes
from .. import runs
from ..core.cells.parameter_schema import schema_of
from ..core.model.dag import Dag
from ..errors import NbdagError
from ..graphs import Mark
from ..packages import BUNDLE
from ..session import Session
from . import outputs, status, task
from .actions import Actions
from .graph import picture
from .history import LATEST, History
from .load_task import load_task
from .messages import (
    CellPlace,
    InitialState,
    Message,
    Picture,
    Request,
    RunSummary,
    TaskDetails,
    TaskStatus,
    ValueMessage,
    ValueRequest,
)
from .validation import parse_request
from .watcher import RunWatcher


class GraphWidget(anywidget.AnyWidget):
    """The kernel's end of the connection (comm) to the pages. A page reads `initial_state` when it opens."""

    identity = traitlets.Unicode().tag(sync=True)
    picture = traitlets.Dict().tag(sync=True)
    initial_state = traitlets.Dict().tag(sync=True, to_json=lambda _, widget: widget.get_initial_state())

    def __init__(
        self, drawn: Picture, get_initial_state: Callable[[], InitialState], receive: Callable[[object], None]
    ) -> None:
        self.get_initial_state = get_initial_state
        identity = uuid4().hex
        self._esm = (BUNDLE / "widget.js").read_text(encoding="utf-8")
        self._css = (BUNDLE / "widget.css").read_text(encoding="utf-8")
        super().__init__(model_id=identity, identity=identity, picture=drawn)
        self.on_msg(lambda _, content, buffers: receive(content))

    def send_message(self, message: Message) -> None:
        """Send a message to every page that shows the widget."""
        self.send(message)


class LiveGraph:
    """The state of one kernel's widget; it also handles the requests of pages."""

    def __init__(
        self,
        session: Session,
        namespace: dict[str, Any],
        *,
        home: Callable[[], homes.Home] = homes.find,
        display: Callable[[object], Mapping[str, Any]] = lambda value: {"text/plain": repr(value)},
    ) -> None:
        self.session = session
        self.namespace = namespace  # the notebook's global variables
        self.answered = False  # whether a page has sent a request; a page does so only if it shows the widget
        self._home = home
        self._display = display
        # A lock, because the kernel's main thread and the watcher's thread both send changes.
        self._lock = threading.RLock()
        self._number = 0
        self._dag, marks = session.dag_and_marks()
        self._drawn = self._with_files(self._dag)
        self._session = status.session_statuses(marks)
        self._runs = self._latest_runs()
        self._shape = self._shape_of(self._dag)
        self._details: TaskDetails | None = None  # the task details that were sent last
        self._actions = Actions(home, lambda: self._dag.id, lambda: session.path, lambda notice: self._send(notice))
        self.widget = GraphWidget(picture(self._drawn, notebook=session.path), self.initial_state, self.receive)
        self._watcher = RunWatcher(home, lambda: self._dag.id, self._run_changed)
        self._watcher.start()

    def close(self) -> None:
        """Stop the watcher."""
        self._watcher.stop()

    def initial_state(self) -> InitialState:
        """Return the complete state, which a page reads when it opens."""
        with self._lock:
            summaries = sorted((summary for summary, _ in self._runs.values()), key=lambda each: -each["created"])
            return {
                "number": self._number,
                "session": dict(self._session),
                "runs": summaries,
                "actions": self._actions.available(),
            }

    def refresh(self) -> None:
        """Send the changes since the last cell started or ended."""
        self.show(*self.session.dag_and_marks())

    def show(self, dag: Dag, marks: Mapping[str, Mark]) -> None:
        """Send the notebook's graph and the statuses in the live session if they have changed since the last call."""
        with self._lock:
            renamed = dag.id != self._dag.id
            self._dag = dag
            if renamed:  # From now on, the runs of the DAG with the new name are shown.
                self._runs = self._latest_runs()
                self._session = status.session_statuses(marks)
                self._number += 1
                self._send({"kind": "reset", "state": self.initial_state()})
            if (shape := self._shape_of(dag)) != self._shape:
                self._shape = shape
                self._draw()
            now = status.session_statuses(marks)
            changed = status.changed_statuses(self._session, now)
            self._session = now
            if changed:
                self._send_change("", changed, None)

    def receive(self, content: object) -> None:
        """Handle a request from a page; an error is sent as a notice."""
        self.answered = True
        try:
            self._answer(parse_request(content))
        except NbdagError as error:
            self._send({"kind": "notice", "level": "error", "text": str(error)})

    def _answer(self, request: Request) -> None:
        history = self._history()
        if request["kind"] == "hello":
            if request["number"] != self._number:
                self._send({"kind": "reset", "state": self.initial_state()})
        elif request["kind"] == "saved":
            self.session.saved()
            self.refresh()
        elif request["kind"] == "edited":
            self.session.edit(request["cells"])
            self.refresh()
            self._update_details(history)
        elif request["kind"] == "layout":
            direction, collapsed, folded = request["direction"], request["collapsed"], request["folded"]
            space = (request["width"], request["height"]) if "width" in request and "height" in request else None
            drawn = picture(
                self._drawn,
                direction=direction,
                collapsed=collapsed,
                folded=folded,
                notebook=self.session.path,
                space=space,
            )
            self._send({"kind": "picture", "view": request["view"], "picture": drawn})
        elif request["kind"] == "run":
            self._send(history.run(request["run"]))
        elif request["kind"] == "task":
            if request["task"] in self._dag.tasks:
                self._details = self._task_details(history, request["task"], request["run"])
                self._send(self._details)
        elif request["kind"] == "attempt":
            map_index, try_number = request["map_index"], request["try_number"]
            self._send(history.attempt(request["run"], request["task"], map_index, try_number))
        elif request["kind"] == "value":
            self._send(self._value(history, request))
        elif request["kind"] == "timeline":
            self._send(history.timeline(request["run"]))
        elif request["kind"] == "grid":
            self._send(history.grid())
        elif request["kind"] == "metrics":
            self._send(history.metrics())
        elif request["kind"] == "parameters":
            self._send({"kind": "parameters", "parameters": schema_of(self._dag.parameter_schemas)})
        elif request["kind"] == "stale":
            cells: list[CellPlace] = [{"index": index, "id": id} for index, id in self.session.stale_cells()]
            self._send({"kind": "stale", "cells": cells})
        elif request["action"] == "load":
            self._load(history, request["run"], request["task"])
        else:
            self._actions.perform(request)

    def _value(self, history: History, request: ValueRequest) -> ValueMessage:
        run, task, name = request["run"], request["task"], request["name"]
        found = runs.load(self._dag.id, run=run, task=task, home=history.home)
        if name not in found:
            writes = task in self._dag.tasks and name in self._dag.tasks[task].writes
            raise runs.ValueNotStoredError(run, name, (task,) if writes else (), tuple(sorted(found)))
        shown = outputs.bundle_outputs(self._display(found[name]))
        return {"kind": "value", "run": run, "task": task, "name": name, "outputs": shown}

    def _task_details(self, history: History, name: str, run: str) -> TaskDetails:
        details = task.task_details(self._dag, name, run=run)
        if run:
            found = runs.find_run(run, self._dag.id, home=history.home)
            details["inputs"], details["outputs"] = task.run_values(self._dag, name, found)
            details["attempts"] = history.attempts(run, name)
            details["changed"] = self._is_changed(history, name, run)
        else:
            details["inputs"], details["outputs"] = task.live_values(self._dag, name, self.namespace)
        details["durations"] = history.durations(name)
        return details

    def _update_details(self, history: History) -> None:
        """If an edit has changed the field `changed` of the shown task's details, send the details again."""
        shown = self._details
        if shown is None or not shown["run"]:
            return
        changed = self._is_changed(history, shown["task"], shown["run"])
        if changed != shown.get("changed"):
            self._details = {**shown, "changed": changed}
            self._send(self._details)

    def _is_changed(self, history: History, task: str, run: str) -> bool:
        return self.session.text_of(task) not in (None, history.source(run, task))

    def _load(self, history: History, run: str, name: str) -> None:
        found = load_task(name, session=self.session, namespace=self.namespace, run=run, home=history.home)
        self._send({"kind": "notice", "level": "info", "text": found.text})
        if found.cell is not None:
            self._send({"kind": "place", "cell": found.cell, "line": found.line})
        self.refresh()

    def _run_changed(self, run: runs.Run) -> None:
        """Send the changes of a run. The watcher's thread calls this method."""
        with self._lock:
            summary, now = status.run_summary(run), status.run_statuses(run)
            if run.dag != self._dag.id:
                return  # The DAG was renamed after the watcher had read this run.
            before = self._runs.get(run.id)
            self._runs[run.id] = (summary, now)
            if len(self._runs) > LATEST:
                del self._runs[min(self._runs, key=lambda each: self._runs[each][0]["created"])]
            changed = status.changed_statuses(before[1] if before else {}, now)
            if changed or before is None or before[0] != summary:
                self._send_change(run.id, changed, None if before and before[0] == summary else summary)
            if run.ended is not None and (before is None or before[0]["ended"] is None):
                known = self._drawn.file_edges
                if self._with_files(self._dag).file_edges != known:
                    self._draw()

    def _with_files(self, dag: Dag) -> Dag:
        """Return the DAG with the file conflicts of earlier runs. The conflicts are read again after each run."""
        return runs.remember_files(dag, home=self._home())

    def _draw(self) -> None:
        self._drawn = self._with_files(self._dag)
        self.widget.set_trait("picture", picture(self._drawn, notebook=self.session.path))

    def _send_change(self, run: str, tasks: dict[str, TaskStatus], summary: RunSummary | None) -> None:
        self._number += 1
        self._send({"kind": "change", "number": self._number, "run": run, "tasks": tasks, "summary": summary})

    def _send(self, message: Message) -> None:
        self.widget.send_message(message)

    def _latest_runs(self) -> dict[str, tuple[RunSummary, dict[str, TaskStatus]]]:
        """Return the summary and the task statuses of each of the latest runs, by run id."""
        return {run.id: (status.run_summary(run), status.run_statuses(run)) for run in self._history().runs()}

    def _history(self) -> History:
        return History(self._home(), self._dag.id)

    def _shape_of(self, dag: Dag) -> object:
        """Return a key for a graph's layout. Graphs with equal keys have the same layout."""
        tasks = [(each.id, each.options.map, each.options.operator, each.options.doc) for each in dag.tasks.values()]
        return dag.id, self.session.path, tasks, tuple(dag.parameters), dag.edges, dag.file_edges, dag.problems
