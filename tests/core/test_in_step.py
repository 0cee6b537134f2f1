"""Tasks in step with another: which headers are wrong, and which elements their instances get."""

from __future__ import annotations

import pytest

from nbdag.core.cells.cells import RawCell
from nbdag.core.planning.assemble import StoredOutputs, own_elements
from nbdag.notebooks import read_cells

IDS, LOAD = "%%task ids\nids = [1, 2]", "%%task load --map n=ids\nrows = n"
CLEAN = "%%task clean --map rows=rows --in-step load\ntidy = rows"


@pytest.mark.parametrize(
    "cells",
    [
        [IDS, LOAD, CLEAN],
        [IDS, LOAD, "%%task clean --map r=rows n=ids --in-step load\ntidy = r + n"],
        [
            IDS,
            LOAD,
            CLEAN,
            "%%task last --map tidy=tidy rows=rows --in-step load\nprint(tidy)",
            "%%task all\nprint(tidy)",
        ],
        [IDS, "%%task first --map n=ids --in-step load\nprint(n)", LOAD],
    ],
)
def test_a_task_may_be_in_step(cells):
    dag = read_cells([RawCell(each) for each in cells], name="steps")
    assert dag.problems == ()
    assert dag.order.index("load") == 1


@pytest.mark.parametrize(
    ("cells", "message", "hint"),
    [
        ([IDS, LOAD, CLEAN.replace("-step load", "-step lod")], "--in-step lod names no task", "did you mean load?"),
        (
            [IDS, LOAD, CLEAN.replace("-step load", "-step ids")],
            "--in-step names ids, which has no --map",
            "with --map",
        ),
        ([IDS, LOAD, CLEAN.replace("-step load", "-step clean")], "--in-step names the task itself", "another task"),
        (
            [IDS, LOAD, CLEAN, "%%task last --map tidy=tidy --in-step clean\ntidy"],
            "--in-step names clean, which is in step with another task",
            "write --in-step load",
        ),
        (
            [IDS, LOAD.replace("ids\n", "ids --after early\n"), "%%task early --map n=ids --in-step load\nn"],
            "load runs after early, and cannot lead it",
            "write --in-step early in the header of load",
        ),
        (
            [IDS, LOAD, "%%task clean --map n=[3] --in-step load\nn"],
            "--map n=[3] is neither a result of a task in step nor a map of load",
            "write it in the header of load",
        ),
        (
            [IDS, LOAD, "%%task clean --map n=ids --in-step load\nprint(rows)"],
            "clean is in step with load, but reads rows of all its instances",
            "write --map rows=rows",
        ),
        (
            [IDS, LOAD, "%%task amend --when ids\nrows = [1]", "%%task clean --map n=ids --in-step load\nprint(rows)"],
            "clean is in step with load, but reads rows of all its instances",
            "write --map rows=rows",
        ),
        (
            [IDS, LOAD, "%%task clean --map r=rows --in-step load\nprint(r, rows)"],
            "clean is in step with load, but reads rows of all its instances",
            "write --map rows=rows",
        ),
        (
            [IDS, LOAD, CLEAN.replace("-step load", "-step load --short-circuit")],
            "--short-circuit of clean cannot be combined with --in-step",
            "write --when EXPR",
        ),
        ([IDS, LOAD, "%%task clean --in-step load\n1"], "--in-step is for mapped tasks", "add --map x=x"),
    ],
)
def test_a_header_that_cannot_be_in_step_is_an_error(cells, message, hint):
    found = [
        each
        for each in read_cells([RawCell(each) for each in cells], name="steps").errors
        if "step" in each.message or "lead" in each.message
    ]
    assert [(message in each.message, hint in each.hint) for each in found] == [(True, True)], found


def test_an_instance_gets_the_result_of_the_instance_in_step_and_no_list():
    cells = [IDS, LOAD, "%%task clean --map r=rows n=ids --in-step load\ntidy = r + n"]
    dag = read_cells([RawCell(each) for each in cells], name="steps")
    stored = {"load": [StoredOutputs(1, {"rows": "b"}), StoredOutputs(0, {"rows": "a"})]}
    found = own_elements(dag, dag.tasks["clean"], 1, {"n": "e"}, lambda task: stored.get(task, []))
    assert (found.digests, found.names) == ({"r": "b"}, {"rows"})
    assert own_elements(dag, dag.tasks["clean"], 2, {"n": "e"}, lambda task: stored.get(task, [])).digests == {}
    assert own_elements(dag, dag.tasks["clean"], 1, {"n": "e", "r": "f"}, lambda task: []).names == frozenset()
