"""What a bare `%dag` shows: the living widget where one can show, and with it, in the same output, a picture.

The picture is what GitHub, nbviewer and a PDF show of the notebook. Where nobody has shown the widget, the picture is
what is kept alive: it is drawn again, in its place, as cells run.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .. import graphs
from ..core.model.dag import Dag
from ..packages import is_built, unbuilt
from ..session import Session

if TYPE_CHECKING:
    from ..frontend.widget import LiveGraph

_KEPT = 4  # pictures that are kept alive: of one that was drawn again elsewhere, the latest
_VIEW = "application/vnd.jupyter.widget-view+json"
# Where these are set, a page is there that may well show widgets, and is given so many seconds to say so.
_PAGES = ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")
PATIENCE = 5.0


class Pictures:
    """The living pictures of one kernel."""

    def __init__(self, shell: Any, session: Session) -> None:
        self.shell = shell
        self.session = session
        self.alive = hasattr(shell, "kernel")  # whether the frontend can draw anew what it has drawn; a terminal cannot
        self._shown: dict[str, dict[str, Any]] = {}  # display id → what was last sent to it
        self._living: LiveGraph | None = None
        self._told = False  # that no front end was built
        self._asked = 0.0  # when a page was last given the widget to show

    def draw(self) -> None:
        """Draw the graph as it stands, here."""
        if not self.alive:
            self.shell.display_pub.publish(self._bundle())
            return
        if self._living is None:
            self._living = self._begin()
        name = uuid4().hex
        bundle = self._bundle()
        self.shell.display_pub.publish(bundle, transient={"display_id": name})
        self._shown[name] = bundle
        self._asked = time.monotonic()
        for oldest in list(self._shown)[:-_KEPT]:
            del self._shown[oldest]

    def refresh(self) -> None:
        """Draw the living pictures again, if anything on them has changed."""
        if not self._shown:
            return
        if self._living is not None:
            self._living.refresh()
            if self._living.answered or self._may_answer():
                return  # to send the output again would make a page begin again
        bundle = self._bundle()
        for name, shown in self._shown.items():
            if shown != bundle:
                self.shell.display_pub.publish(bundle, transient={"display_id": name}, update=True)
                self._shown[name] = bundle

    def _may_answer(self) -> bool:
        """Whether a page is there that has not had the time to show the widget."""
        return any(os.environ.get(name) for name in _PAGES) and time.monotonic() < self._asked + PATIENCE

    def close(self) -> None:
        """Let go of what keeps them alive."""
        if self._living is not None:
            self._living.close()
            self._living = None

    def _begin(self) -> LiveGraph | None:
        if not is_built():
            if not self._told:
                self._told = True
                print(unbuilt(), file=sys.stderr)
            return None
        from ..frontend.widget import LiveGraph  # heavy, and needed once a graph is drawn

        def display(value: object) -> Mapping[str, Any]:
            data, _ = self.shell.display_formatter.format(value)
            return dict(data)

        return LiveGraph(self.session, self.shell.user_ns, display=display)

    def _bundle(self) -> dict[str, Any]:
        dag, marks = self.session.look()
        bundle: dict[str, Any] = dict(graphs.bundle(dag, marks))
        if self._living is not None:
            # First, as some pages take the first that they know.
            view = {"version_major": 2, "version_minor": 0, "model_id": self._living.widget.model_id}
            bundle = {_VIEW: view, **bundle}
        return bundle


def mimebundle(dag: Dag, include: Any = None, exclude: Any = None) -> dict[str, str]:
    """A Dag that is a cell's last value draws itself. IPython picks from what is offered."""
    return graphs.bundle(dag)
