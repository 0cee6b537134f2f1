"""The pictures that bare `%dag` has drawn, kept alive: each is drawn again, in its place, as cells run."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from .. import graphs
from ..core.dag import Dag
from ..session import Session

_KEPT = 4  # pictures that are kept alive: of one that was drawn again elsewhere, the latest


class Pictures:
    """The living pictures of one kernel."""

    def __init__(self, shell: Any, session: Session) -> None:
        self.shell = shell
        self.session = session
        self.alive = hasattr(shell, "kernel")  # whether the frontend can draw anew what it has drawn; a terminal cannot
        self._shown: dict[str, dict[str, str]] = {}  # display id → what was last sent to it

    def draw(self) -> None:
        """Draw the graph as it stands, here."""
        bundle = self._bundle()
        if not self.alive:
            self.shell.display_pub.publish(bundle)
            return
        name = uuid4().hex
        self.shell.display_pub.publish(bundle, transient={"display_id": name})
        self._shown[name] = bundle
        for oldest in list(self._shown)[:-_KEPT]:
            del self._shown[oldest]

    def refresh(self) -> None:
        """Draw the living pictures again, if anything on them has changed."""
        if not self._shown:
            return
        bundle = self._bundle()
        for name, shown in self._shown.items():
            if shown != bundle:
                self.shell.display_pub.publish(bundle, transient={"display_id": name}, update=True)
                self._shown[name] = bundle

    def _bundle(self) -> dict[str, str]:
        return graphs.bundle(*self.session.look())


def mimebundle(dag: Dag, include: Any = None, exclude: Any = None) -> dict[str, str]:
    """A Dag that is a cell's last value draws itself. IPython picks from what is offered."""
    return graphs.bundle(dag)
