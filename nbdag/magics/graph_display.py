"""The output of a bare `%dag`: the live widget and, in the same output, a static picture of the graph.

GitHub, nbviewer and PDF files show the picture. Until a page shows the widget, the picture in the output is updated
after every cell.
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

_MAX_UPDATED = 4  # maximum number of pictures that are updated; older pictures stay as they are
_VIEW = "application/vnd.jupyter.widget-view+json"
# If one of these environment variables is set, the front end can probably show widgets.
_FRONT_ENDS = ("JPY_SESSION_NAME", "VSCODE_PID", "COLAB_RELEASE_TAG")
# Seconds that a front end has to show the widget; after this time, the picture is updated instead.
WIDGET_TIMEOUT = 5.0


class GraphDisplay:
    """The graphs that one kernel displays and updates."""

    def __init__(self, shell: Any, session: Session) -> None:
        self.shell = shell
        self.session = session
        self.can_update = hasattr(shell, "kernel")  # whether outputs can be updated, which a terminal cannot do
        # Key: display id of a picture; value: MIME bundle that was last sent.
        self._sent: dict[str, dict[str, Any]] = {}
        self._living: LiveGraph | None = None
        self._warned = False  # whether the warning that the front end is not built has been printed
        self._drawn_at = 0.0  # monotonic time at which a graph was last drawn in an output

    def draw(self) -> None:
        """Draw the current graph in the output of the running cell."""
        if not self.can_update:
            self.shell.display_pub.publish(self._bundle())
            return
        if self._living is None:
            self._living = self._open_widget()
        name = uuid4().hex
        bundle = self._bundle()
        self.shell.display_pub.publish(bundle, transient={"display_id": name})
        self._sent[name] = bundle
        self._drawn_at = time.monotonic()
        for oldest in list(self._sent)[:-_MAX_UPDATED]:
            del self._sent[oldest]

    def refresh(self) -> None:
        """Update the widget. If no page has shown the widget, update the pictures that have changed."""
        if not self._sent:
            return
        if self._living is not None:
            self._living.refresh()
            if self._living.answered or self._may_answer():
                return  # updating the output would make the page create a second widget
        bundle = self._bundle()
        for name, sent in self._sent.items():
            if sent != bundle:
                self.shell.display_pub.publish(bundle, transient={"display_id": name}, update=True)
                self._sent[name] = bundle

    def _may_answer(self) -> bool:
        """Return whether a page may still show the widget: fewer than `WIDGET_TIMEOUT` seconds have passed."""
        has_page = any(os.environ.get(name) for name in _FRONT_ENDS)
        return has_page and time.monotonic() < self._drawn_at + WIDGET_TIMEOUT

    def close(self) -> None:
        """Close the widget."""
        if self._living is not None:
            self._living.close()
            self._living = None

    def _open_widget(self) -> LiveGraph | None:
        if not is_built():
            if not self._warned:
                self._warned = True
                print(unbuilt(), file=sys.stderr)
            return None
        # Imported here because it is slow to import and not needed before the first graph.
        from ..frontend.widget import LiveGraph

        def display(value: object) -> Mapping[str, Any]:
            data, _ = self.shell.display_formatter.format(value)
            return dict(data)

        return LiveGraph(self.session, self.shell.user_ns, display=display)

    def _bundle(self) -> dict[str, Any]:
        dag, marks = self.session.dag_and_marks()
        bundle: dict[str, Any] = dict(graphs.bundle(dag, marks))
        if self._living is not None:
            # The widget comes first, because some front ends show the first format that they support.
            view = {"version_major": 2, "version_minor": 0, "model_id": self._living.widget.model_id}
            bundle = {_VIEW: view, **bundle}
        return bundle


def mimebundle(dag: Dag, include: Any = None, exclude: Any = None) -> dict[str, str]:
    """Return a picture of a `Dag` in all formats from which a front end can choose."""
    return graphs.bundle(dag)
