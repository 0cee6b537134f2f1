"""Draw the graph into the report: a bare `%dag` shows the state of every task of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.cells import header
from ...core.model.dag import CellKind, Dag
from ...core.model.states import combined_state
from ...errors import NbdagError
from ...reports import TaskOutcome


def graph_cells(dag: Dag) -> list[int]:
    """Return the indexes of the cells that draw the graph: a bare %dag, or %%dag."""
    return [cell.index for cell in dag.cells if cell.kind is CellKind.CONTROL and _draws(cell.source)]


def outputs(dag: Dag, outcomes: Sequence[TaskOutcome]) -> dict[int, Mapping[str, Any]]:
    """Return the output of each cell that draws the graph, or {} if the graph cannot be drawn."""
    indexes = graph_cells(dag)
    if not indexes:
        return {}
    from ... import graphs

    try:
        bundle = graphs.bundle(dag, {task: _mark(task, outcomes) for task in dag.tasks})
    except NbdagError:
        return {}
    return {index: {"output_type": "display_data", "data": bundle, "metadata": {}} for index in indexes}


def _mark(task: str, outcomes: Sequence[TaskOutcome]) -> Any:
    from ...graphs import Mark

    mine = [each for each in outcomes if each.task == task]
    if not mine:
        return Mark()
    state = combined_state({each.state for each in mine})
    began = [each.started for each in mine if each.started is not None]
    ended = [each.ended for each in mine if each.ended is not None]
    return Mark(
        state=state,
        duration=max(ended) - min(began) if began and len(ended) == len(began) else None,
        count=len(mine) if mine[0].map_index >= 0 else None,
        reason=next((each.error for each in mine if each.error and each.state is state), None) or "",
    )


def _draws(source: str) -> bool:
    for line in source.splitlines():
        if header.is_header(line):
            found = header.parse(line)
            if found.kind == "dag" and (found.is_bare or found.builds):
                return True
    return False
