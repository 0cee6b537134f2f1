"""The whole way once, with real kernels; everything that can be tested without them is tested elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import nbdag
from nbdag import runs
from nbdag.home import Home


@pytest.mark.slow
def test_a_notebook_goes_through_real_kernels_and_can_be_looked_into(write: Callable[..., Path], home: Home) -> None:
    path = write(
        "%%params\nn = 2",
        "import math",
        "%%task extract\nnumbers = list(range(n))",
        "%%task root --map x=numbers\nr = math.sqrt(x)",
        "%%task total --check 'sum_ > 0' --out sum_\nsum_ = sum(r)\nsum_",
        "%%task broken\nraise ValueError(f'of {n}')",
    )
    run = nbdag.run(path, parameters={"n": 3}, jobs=2, home=home)
    assert {(task.id, task.map_index): task.state.value for task in run} == {
        ("extract", -1): "success",
        ("root", 0): "success",
        ("root", 1): "success",
        ("root", 2): "success",
        ("total", -1): "success",
        ("broken", -1): "failed",
    }
    assert (run.state.value, run["broken"].error) == ("failed", "ValueError: of 3")
    assert "ValueError" in runs.logs(run, "broken").read_text()
    assert round(run.value("sum_"), 3) == 2.414
    assert nbdag.load("churn", task="root", map_index=1, home=home)["r"] == 1.0
    cells = json.loads(run.notebook.read_text())["cells"]
    (total,) = [cell for cell in cells if "%%task total" in "".join(cell["source"])]
    assert "2.414" in "".join(total["outputs"][0]["data"]["text/plain"])
    again = nbdag.run(path, parameters={"n": 3}, only=["total"], home=home)
    assert (again.state.value, round(again.value("sum_"), 3)) == ("success", 2.414)


def test_a_failed_task_shows_its_own_lines_wherever_it_is_looked_at(write: Callable[..., Path], home: Home) -> None:
    path = write(
        "%%task lib\n\ndef inverse(n):\n    return 1 / n\nx = 0",
        "%%task use --retries 0 \\\n  --doc 'divides'\n\ny = (x +\n  inverse(x))",
    )
    run = nbdag.run(path, home=home)
    outputs = [
        output
        for notebook in (run.notebook, run["use"].notebook)
        for cell in json.loads(notebook.read_text())["cells"]
        for output in cell.get("outputs", ())
        if output["output_type"] == "error"
    ]
    told = ["\n".join(output["traceback"]) for output in outputs]
    assert len(told) == 2
    for trace in (*told, run["use"].traceback, runs.logs(run, "use").read_text()):
        shown = re.findall(r"^[-> ]*(\d+ .*)$", re.sub(r"\x1b\[[0-9;]*m", "", trace), re.MULTILINE)
        assert [line for line in shown if line != "3 "] == [  # a blank line, which older IPythons leave out
            "1 %%task use --retries 0 \\", "2 --doc 'divides'", "4 y = (x +", "5   inverse(x))",
            "3 def inverse(n):", "4     return 1 / n",
        ]  # fmt: skip


@pytest.mark.slow
def test_a_traceback_names_the_cell_of_the_file_or_the_task_that_code_has_made(
    write: Callable[..., Path], home: Home
) -> None:
    path = write(
        "%%dag\nPython('one', 'def halve(n):\\n    return 1 / n')\nPython('two', '1')",
        "%%task three\ndef twice(n):\n    return halve(n) * 2",
        "%%task four\ntwice(0)",
    )
    trace = (nbdag.run(path, home=home)["four"].traceback or "").replace(", line ", ":")
    assert "<cell 2>:3" in trace
    assert "<task one>:3" in trace
