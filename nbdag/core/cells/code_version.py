"""The version of a notebook's code: a digest that does not depend on outputs, markdown and scratch cells."""

from __future__ import annotations

import hashlib
import json

from ..model.dag import CellKind, Dag

_KINDS = frozenset({CellKind.PARAMETERS, CellKind.SETUP, CellKind.TASK, CellKind.CONTROL, CellKind.BUILDER})
_LENGTH = 12  # number of hexadecimal digits


def code_version(dag: Dag) -> str:
    """Return the version of the code that a run executes, including the tasks that %%dag cells have built."""
    parts = [[cell.kind.value, cell.source] for cell in dag.cells if cell.kind in _KINDS]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_LENGTH]
