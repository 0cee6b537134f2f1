"""The facts that make two attempts alike, and those that do not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from nbdag.core.cells.header import parse
from nbdag.core.model.dag import Dag, Definition, Place, Task
from nbdag.core.model.job import Job, Key, StoredInput
from nbdag.core.options.options import OPTIONS, TaskOptions
from nbdag.core.planning.cache_key import cache_key, is_cached, modules_of
from nbdag.notebooks import read_text

CODE = "# %%task train --cache\nmodel = fit(df, alpha)"
TASK = Task(
    id="train",
    cell=3,
    options=TaskOptions(cache=True),
    code=CODE,
    reads=("fit", "df", "alpha"),
    exports=(("model",),),
)
JOB = Job(
    key=Key(dag="churn", run="r1", task="train"),
    task=TASK,
    path="/home/1.ipynb",
    values="/home/values",
    cwd="/churn",
    kernel_name="python3",
    parameter_cells=("alpha = 1",),
    setup_cells=("import lib\nfit = lib.fit",),
    inputs=(StoredInput(name="df", source="load", digests=("d1",)),),
    context={"run_id": "r1", "logical_date": "2026-01-01", "try_number": 1},
)
MODULES = {"lib": "1"}


def key(job: Job = JOB, modules: dict[str, str] = MODULES, python: str = "3.11") -> str:
    return cache_key(job, modules, python)


def job(*, options: dict[str, Any] | None = None, task: dict[str, Any] | None = None, **more: Any) -> Job:
    changed = replace(TASK, options=TaskOptions(cache=True, **(options or {})), **(task or {}))
    return replace(JOB, task=changed, **more)


def code(text: str) -> Job:
    return job(task={"code": text})


ALIKE = {
    "another run, another try": replace(JOB, key=Key(dag="churn", run="r2", task="train", try_number=3)),
    "another place for its files": replace(JOB, path="/other/2.ipynb", values="/other/values", kernels="fresh"),
    "comments, a header, layout": code("\n# once more\nmodel = fit(\n    df, alpha)  # fits"),
    "how to run it": job(
        options={"retries": 3, "timeout": 60.0, "pool": "gpu", "priority": 9, "doc": "x", "poke": 5.0}
    ),
    "its order": job(options={"after": ("load",), "trigger": "all_done"}),
    "its place in the notebook": job(task={"cell": 8}),
    "a parameter that it does not read": replace(JOB, parameters={"beta": 1}),
    "when it is for, which it does not ask": replace(JOB, context={**JOB.context, "logical_date": "2027-01-01"}),
    "who else reads what it is given": replace(JOB, held={"df": ("df",)}, readers={"model": "deploy"}),
    "who changes the one thing that it leaves": replace(
        job(task={"reads": ()}, inputs=()), changed_later={"other": "later"}
    ),
}
APART = {
    "code": code("model = fit(df, alpha + 1)"),
    "what shows": code("model = fit(df, alpha);"),
    "a magic's text": code("%%bash\necho 1"),
    "setup": replace(JOB, setup_cells=("import lib\nfit = lib.fit2",)),
    "a default": replace(JOB, parameter_cells=("alpha = 2",)),
    "a parameter that it reads": replace(JOB, parameters={"alpha": 2}),
    "a parameter that setup reads": replace(JOB, parameters={"lib": 2}),
    "an input": replace(JOB, inputs=(StoredInput(name="df", source="load", digests=("d2",)),)),
    "an element": replace(JOB, element={"fold": "e1"}),
    "a definition": job(
        task={"definitions": (Definition(name="f", source="def f(): 1", place=Place(cell=0, line=1)),)}
    ),
    "what is wanted of it": job(task={"exports": (("df",), ("model",))}),
    "a check": job(options={"check": ("model > 1",)}),
    "a condition": job(options={"when": "alpha"}),
    "what changes": job(options={"change": ("df",)}),
    "the kernel": replace(JOB, kernel_name="other"),
    "the folder": replace(JOB, cwd="/elsewhere"),
    "who else reads what setup makes": replace(JOB, held={"fit": ("fit",)}),
    "who changes one of the things that it has": replace(JOB, changed_later={"model": "later"}),
}


@pytest.mark.parametrize("what", ALIKE)
def test_irrelevant_changes_keep_the_cache_key(what: str) -> None:
    other = ALIKE[what]
    expected = job(task={"reads": ()}, inputs=()) if "the one thing" in what else JOB
    assert key(other) == key(expected)


def test_relevant_changes_change_the_cache_key() -> None:
    keys = {what: key(each) for what, each in APART.items()} | {
        "as it is": key(),
        "a module": key(modules={"lib": "2"}),
        "python": key(python="3.12"),
    }
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        ("x = dag_run.logical_date", True),
        ("x = dag_run.run_id", False),
        ("x = dag_run", True),
        ("x = getattr(dag_run, which)", True),
    ],
)
def test_attributes_of_dag_run_that_a_task_reads_count(text: str, differs: bool) -> None:
    other = {**JOB.context, "logical_date": "2027-01-01"}
    assert (key(code(text)) != key(replace(code(text), context=other))) is differs


def test_an_opaque_task_may_read_every_parameter() -> None:
    hidden = job(task={"opaque": True, "code": "eval(text)"})
    assert key(hidden) != key(replace(hidden, parameters={"beta": 1}))


def test_a_name_that_only_the_map_reads_does_not_count() -> None:
    mapped = job(
        options={"map": (("fold", "folds"),)},
        task={"code": "y = fold", "reads": ("folds",)},
        element={"fold": "e"},
        inputs=(StoredInput(name="folds", source="load", digests=("d1",)),),
    )
    other = replace(mapped, inputs=(StoredInput(name="folds", source="load", digests=("d2",)),))
    assert key(mapped) == key(other)
    assert key(replace(mapped, task=replace(mapped.task, code="y = folds[0]"))) != key(mapped)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (JOB, True),
        (replace(JOB, task=replace(TASK, options=TaskOptions())), False),
        (job(task={"polls": True}), False),
        (replace(JOB, expand=True), False),
    ],
)
def test_only_cacheable_attempts_are_cached(of: Job, expected: bool) -> None:
    assert is_cached(of) is expected


def read(*cells: str) -> Dag:
    made = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": c} for c in cells]
    text = json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
    return read_text(text, name="churn.ipynb")


def test_the_modules_of_a_task_include_those_of_upstream_tasks() -> None:
    dag = read(
        "import setups, importlib\nimportlib.import_module('named.one')\n%load_ext extension",
        "%%task a\nfrom models.tree import Tree\nx = Tree()",
        "%%task b --cache\ndef f():\n    import inner\n    return 1\ny = x.fit(f())",
        "%%task c\nimport apart",
    )
    assert modules_of(dag, "b") == ("extension", "importlib", "inner", "models", "named", "setups")
    assert modules_of(dag, "a") == ("extension", "importlib", "models", "named", "setups")


@pytest.mark.parametrize("line", ["import sys\nsys.path.insert(0, '..')", "%run helpers.py", "from sys import path"])
def test_a_changed_module_path_prevents_caching(line: str) -> None:
    dag = read(line, "%%task a --cache\nx = 1")
    assert modules_of(dag, "a") is None
    assert [(each.code, each.task) for each in dag.problems if each.code == "NB307"] == [("NB307", "a")]


INSTANCE_EXPRESSIONS = [option for option in OPTIONS["task"] if option.kind.expression and option.field != "map"]


@pytest.mark.parametrize("option", INSTANCE_EXPRESSIONS, ids=lambda option: option.flag)
@pytest.mark.parametrize(
    ("expression", "change"),
    [
        ("beta > 1", {"parameters": {"beta": 2}}),
        ("dag_run.logical_date > day", {"context": {**JOB.context, "logical_date": "2027-01-01"}}),
    ],
)
def test_every_expression_option_counts_as_code_that_the_task_runs(option, expression, change):
    with_option = job(options=dict(parse(f'%%task train --{option.flag} "{expression}"').options))
    assert key(replace(with_option, **change)) != key(with_option)
    assert key(replace(JOB, **change)) == key(JOB)
