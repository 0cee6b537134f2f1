"""The living graph of a notebook: what a bare `%dag` shows where widgets can be shown.

One widget for each kernel, shown as often as it is asked for. It tells the front end what moves: cells that were run
here, and runs of the notebook wherever they are driven. And it does what is asked for there: a headless run is a
process of its own, `nbdag run`, so this kernel stays free, and it goes on when the kernel ends. What is said is in
`views.messages`; each change of a state is one small message, and no change of a state lays anything out again.
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
from ..core.model.dag import Dag
from ..errors import NbdagError
from ..graphs import Mark
from ..packages import BUNDLE
from ..session import Session
from . import outputs, status, task, validation
from .actions import Acts
from .graph import picture
from .history import LATEST, History
from .messages import AskValue, Beginning, Picture, Request, RunBrief, Standing, TellTask, TellValue, Told
from .watcher import Watch


class GraphWidget(anywidget.AnyWidget):
    """The front end's end of the wire. `beginning` is asked for when a page opens, and never sent by itself."""

    identity = traitlets.Unicode().tag(sync=True)
    picture = traitlets.Dict().tag(sync=True)
    beginning = traitlets.Dict().tag(sync=True, to_json=lambda _, widget: widget.begin())

    def __init__(self, drawn: Picture, begin: Callable[[], Beginning], hear: Callable[[object], None]) -> None:
        self.begin = begin
        identity = uuid4().hex
        self._esm = (BUNDLE / "widget.js").read_text(encoding="utf-8")
        self._css = (BUNDLE / "widget.css").read_text(encoding="utf-8")
        super().__init__(model_id=identity, identity=identity, picture=drawn)
        self.on_msg(lambda _, content, buffers: hear(content))

    def tell(self, told: Told) -> None:
        """Say something to whoever shows the widget."""
        self.send(told)


class Living:
    """What the widget of one kernel knows and does."""

    def __init__(
        self,
        session: Session,
        namespace: dict[str, Any],
        *,
        home: Callable[[], homes.Home] = homes.find,
        display: Callable[[object], Mapping[str, Any]] = lambda value: {"text/plain": repr(value)},
    ) -> None:
        self.session = session
        self.namespace = namespace  # the notebook's
        self.answered = False  # a front end has shown the widget
        self._home = home
        self._display = display
        self._lock = threading.RLock()  # cells and the watch both tell
        self._number = 0
        self._dag, marks = session.dag_and_marks()
        self._session = status.of_session(marks)
        self._runs = self._latest()
        self._shape = self._shape_of(self._dag)
        self._acts = Acts(home, lambda: self._dag.id, lambda: session.path, lambda told: self.widget.tell(told))
        self.widget = GraphWidget(picture(self._dag, notebook=session.path), self.begin, self.hear)
        self._watch = Watch(home, lambda: self._dag.id, self._moved)
        self._watch.start()

    def close(self) -> None:
        """Stop watching."""
        self._watch.stop()

    def begin(self) -> Beginning:
        """All that a front end needs to begin with."""
        with self._lock:
            briefs = sorted((brief for brief, _ in self._runs.values()), key=lambda brief: -brief["created"])
            return {
                "number": self._number,
                "session": dict(self._session),
                "runs": briefs,
                "can": [*self._acts.can(), "load"],
            }

    def refresh(self) -> None:
        """A cell has begun or ended: tell what that moved."""
        self.show(*self.session.dag_and_marks())

    def show(self, dag: Dag, marks: Mapping[str, Mark]) -> None:
        """The live session stands so."""
        with self._lock:
            renamed = dag.id != self._dag.id
            self._dag = dag
            if renamed:  # its runs are others
                self._runs = self._latest()
                self._session = status.of_session(marks)
                self._number += 1
                self.widget.tell({"kind": "all", "all": self.begin()})
            if (shape := self._shape_of(dag)) != self._shape:
                self._shape = shape
                self.widget.set_trait("picture", picture(dag, notebook=self.session.path))
            now = status.of_session(marks)
            moved = status.changes(self._session, now)
            self._session = now
            if moved:
                self._tell("", moved, None)

    def hear(self, content: object) -> None:
        """The front end asks. What cannot be answered is said there in one sentence."""
        self.answered = True
        try:
            self._answer(validation.read(content))
        except NbdagError as error:
            self.widget.tell({"kind": "notice", "level": "error", "text": str(error)})

    def _answer(self, request: Request) -> None:
        tell, history = self.widget.tell, self._history()
        if request["kind"] == "hello":
            if request["number"] != self._number:
                tell({"kind": "all", "all": self.begin()})
        elif request["kind"] == "saved":
            self.refresh()
        elif request["kind"] == "arrange":
            way, collapsed = request["direction"], request["collapsed"]
            drawn = picture(self._dag, direction=way, collapsed=collapsed, notebook=self.session.path)
            tell({"kind": "picture", "view": request["view"], "picture": drawn})
        elif request["kind"] == "look":
            tell(history.run(request["run"]))
        elif request["kind"] == "task":
            if request["task"] in self._dag.tasks:
                tell(self._detail(history, request["task"], request["run"]))
        elif request["kind"] == "try":
            tell(history.one_try(request["run"], request["task"], request["map_index"], request["number"]))
        elif request["kind"] == "value":
            tell(self._value(history, request))
        elif request["kind"] == "timeline":
            tell(history.timeline(request["run"]))
        elif request["kind"] == "grid":
            tell(history.grid())
        elif request["kind"] == "act" and request["what"] == "load":
            self._load(history, request["run"], request["task"])
        elif request["kind"] == "act":
            self._acts.do(request)

    def _value(self, history: History, asked: AskValue) -> TellValue:
        run, task, name = asked["run"], asked["task"], asked["name"]
        found = runs.load(self._dag.id, run=run, task=task, home=history.home)
        if name not in found:
            writes = task in self._dag.tasks and name in self._dag.tasks[task].writes
            raise runs.ValueNotStoredError(run, name, (task,) if writes else (), tuple(sorted(found)))
        shown = outputs.of_bundle(self._display(found[name]))
        return {"kind": "value", "run": run, "task": task, "name": name, "outputs": shown}

    def _detail(self, history: History, name: str, run: str) -> TellTask:
        told = task.detail(self._dag, name, run=run)
        if run:
            found = runs.find_run(run, self._dag.id, home=history.home)
            told["inputs"], told["outputs"] = task.run_values(self._dag, name, found)
            told["tries"] = history.tries(run, name)
        else:
            told["inputs"], told["outputs"] = task.live_values(self._dag, name, self.namespace)
        told["past"] = history.past(name)
        return told

    def _load(self, history: History, run: str, name: str) -> None:
        found = runs.load(self._dag.id, run=run, task=name, home=history.home)
        self.namespace.update(found)
        text = f"{', '.join(found) or 'nothing'} of {name} in run {run} is now in this kernel"
        self.widget.tell({"kind": "notice", "level": "info", "text": text})

    def _moved(self, run: runs.Run) -> None:
        """A run has moved; the watch says so, from its thread."""
        with self._lock:
            brief, now = status.brief(run), status.of_run(run)
            if run.dag != self._dag.id:
                return  # it was looked for before the notebook was renamed
            before = self._runs.get(run.id)
            self._runs[run.id] = (brief, now)
            if len(self._runs) > LATEST:
                del self._runs[min(self._runs, key=lambda each: self._runs[each][0]["created"])]
            moved = status.changes(before[1] if before else {}, now)
            if moved or before is None or before[0] != brief:
                self._tell(run.id, moved, None if before and before[0] == brief else brief)

    def _tell(self, of: str, tasks: dict[str, Standing], run: RunBrief | None) -> None:
        self._number += 1
        self.widget.tell({"kind": "change", "number": self._number, "of": of, "tasks": tasks, "run": run})

    def _latest(self) -> dict[str, tuple[RunBrief, dict[str, Standing]]]:
        """The latest runs, as they are told."""
        return {run.id: (status.brief(run), status.of_run(run)) for run in self._history().runs()}

    def _history(self) -> History:
        return History(self._home(), self._dag.id)

    def _shape_of(self, dag: Dag) -> object:
        """What the picture is made of: while it is equal, the picture is."""
        tasks = [(each.id, each.options.map, each.options.operator, each.options.doc) for each in dag.tasks.values()]
        return dag.id, self.session.path, tasks, dag.edges, dag.problems
