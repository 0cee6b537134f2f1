"""A task's job contains the facts about the values of other tasks."""

from __future__ import annotations

from nbdag.core.dataflow.graph import dag_from_cells
from nbdag.core.model.dag import Cell, CellKind
from nbdag.core.options.options import DagOptions
from nbdag.core.planning.assemble import MOST_COMPARED, StoredOutputs, given_below


def test_a_value_that_is_not_searched_for_an_input_is_named_if_the_input_changes():
    holders = [f"h{number:03}" for number in range(MOST_COMPARED + 3)]
    codes = {"start": "xs = []"} | {f"make_{name}": f"{name} = hold(xs)" for name in holders}
    codes |= {"change": "use(xs)", "last": f"print({', '.join(holders)})"}
    cells = [
        Cell(index=index, kind=CellKind.TASK, source=code, code=code, task=task)
        for index, (task, code) in enumerate(codes.items())
    ]
    setup = Cell(index=len(cells), kind=CellKind.SETUP, source="", code="def hold(x): ...\ndef use(x): ...")
    dag = dag_from_cells([*cells, setup], dag_id="nb", options=DagOptions(), task_options={})

    def outputs_of(task: str) -> list[StoredOutputs]:
        return [StoredOutputs(map_index=-1, digests={name: f"digest of {name}" for name in dag.tasks[task].writes})]

    searched, named = given_below(dag, dag.tasks["change"], outputs_of)
    assert [each.name for each in searched] == holders[:MOST_COMPARED]
    rest = tuple(holders[MOST_COMPARED:])
    assert named == {"xs": rest, "hold": rest}  # `hold` is of setup, and may hold an object of setup that `use` changes
