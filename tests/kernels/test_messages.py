"""A kernel's request and outcome survive as plain data."""

from __future__ import annotations

import ast
import json
from dataclasses import fields
from datetime import UTC, datetime

import nbformat
import pytest

from nbdag.core.model.cell_tags import HELPER, TASK, tags_of
from nbdag.core.model.dag import Definition, Place, Task
from nbdag.core.model.job import Job, Key, Note, Outcome, StoredInput, StoredOutput
from nbdag.core.model.states import TaskState
from nbdag.core.options.options import TaskOptions
from nbdag.kernels.runtime.messages import KernelRequest, outcome_from_dict, outcome_to_dict
from nbdag.kernels.worker.task_notebook import task_notebook


def job(code: str = "x = 1", *, options: TaskOptions | None = None, **fields) -> Job:
    task = Task(
        id="t",
        cell=4,
        options=options or TaskOptions(),
        code=code,
        reads=("a",),
        exports=(("x",), ("y", "z")),
        definitions=(Definition(name="f", source="def f():\n    return '''\"'''", place=Place(cell=1, line=2)),),
    )
    return Job(
        key=Key(dag="d", run="r", task="t"),
        task=task,
        path="/p/1.ipynb",
        values="/v",
        cwd="/",
        kernel_name="python3",
        **fields,
    )


JOBS = [
    job(),
    job(
        inputs=(StoredInput(name="a", source="s", digests=("0" * 32, "1" * 32), is_list=True),), element={"e": "2" * 32}
    ),
    job(
        options=TaskOptions(when="a > 'b'", check=("x == 1", 'y != "\\n"'), map=(("q", "range(3)"),), zip=True),
        expand=True,
    ),
    job(options=TaskOptions(operator="sensor", poke=5.0, reschedule=True), held={}, changed_later={"a": "b"}),
    job(context={"logical_date": datetime(2026, 1, 2, tzinfo=UTC), "params": {"n": float("nan"), "é": [None, True]}}),
]


@pytest.mark.parametrize("job", JOBS)
def test_a_request_survives_the_notebook(job: Job) -> None:
    request = KernelRequest.of(job)
    source = task_notebook(job).cells[0].source
    call = ast.parse(source).body[1].value
    data = ast.literal_eval(call.args[0])
    assert KernelRequest.from_dict(data).to_dict() == request.to_dict()
    assert KernelRequest.from_dict(data).options == job.task.options
    assert "nan" not in {*data}


def test_a_request_omits_defaults() -> None:
    data = KernelRequest.of(job(readers=dict.fromkeys("xyz", "later"))).to_dict()
    assert set(data) == {"task", "values", "context", "reads", "exports", "readers", "definitions"}
    assert KernelRequest.of(job(readers={"x": "later"})).to_dict()["optional"] == ["y", "z"]


def test_the_kernel_receives_every_option_of_the_task() -> None:
    values = {bool: True, int: 7, float: 7.5, str: "seven", tuple: ("seven",), type(None): "seven"}
    options = TaskOptions(
        **{each.name: values[type(getattr(TaskOptions(), each.name))] for each in fields(TaskOptions)}
    )
    data = KernelRequest.of(job(options=options)).to_dict()
    assert set(data["options"]) == {each.name for each in fields(TaskOptions)}
    assert KernelRequest.from_dict(ast.literal_eval(repr(data))).options == options


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(
            state=TaskState.SUCCESS,
            outputs=(StoredOutput(name="x", digest="0" * 32, type="int", bytes=3, summary="1"),),
            notes=(Note(code="NB401", name="x", message="…"),),
        ),
        Outcome(state=TaskState.SUCCESS, length=2, elements=({"a": "1" * 32}, {"a": "2" * 32})),
        Outcome(state=TaskState.SUCCESS, length=0),
        Outcome(state=TaskState.FAILED, error="no", final=True),
        Outcome(state=TaskState.SKIPPED, error="--when False is false", short_circuit=True),
    ],
)
def test_an_outcome_survives_json(outcome: Outcome) -> None:
    assert outcome_from_dict(json.loads(json.dumps(outcome_to_dict(outcome)))) == outcome


@pytest.mark.parametrize(
    ("fields", "sources"),
    [
        ({}, ["begin", "x = 1", "finish"]),
        ({"setup_cells": ("s = 1", "")}, ["begin", "s = 1", "inputs", "x = 1", "finish"]),
        ({"parameter_cells": ("p = 1",)}, ["begin", "p = 1", "inputs", "x = 1", "finish"]),
        ({"parameters": {"p": 1}}, ["begin", "inputs", "x = 1", "finish"]),
        ({"expand": True}, ["begin", "expand"]),
    ],
)
def test_a_task_notebook_has_as_few_cells_as_possible(fields: dict, sources: list[str]) -> None:
    nb = task_notebook(job(**fields))
    nbformat.validate(nb)
    helpers = {
        "begin": "_nbdag = _nbdag(",
        "inputs": "_nbdag.inputs()",
        "finish": "_nbdag.finish()",
        "expand": "_nbdag.expand()",
    }
    assert len(nb.cells) == len(sources)
    for cell, expected in zip(nb.cells, sources, strict=True):
        assert helpers.get(expected, expected) in cell.source
        assert (HELPER in cell.metadata.tags) == (expected in helpers)
    assert sum("parameters" in cell.metadata.tags for cell in nb.cells) == 1
    assert sum(TASK in tags_of(cell) for cell in nb.cells) == (0 if fields.get("expand") else 1)


def test_overrides_follow_the_last_parameters_cell() -> None:
    nb = task_notebook(job(parameter_cells=("a = 1", "b = 2")))
    assert [cell.source for cell in nb.cells if "parameters" in tags_of(cell)] == ["b = 2"]
