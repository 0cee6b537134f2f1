"""`--fix` repairs what has one safe repair, and leaves everything else of a notebook as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from explained_examples import notebook, write

from nbdag import runs
from nbdag.linting.explanations import all_explanations

CASES = {
    "a misspelt name, in all cells that read it": (
        ["%%task a\norders = [1]", "%%task b\nx = sum(ordrs) + ordrs[0]", "%%task c\nprint(f'{ordrs}')"],
        ["%%task a\norders = [1]", "%%task b\nx = sum(orders) + orders[0]", "%%task c\nprint(f'{orders}')"],
    ),
    "a misspelt magic": (["%%taks a\nx = 1"], ["%%task a\nx = 1"]),
    "a misspelt option": (["%%task a --retires 2\nx = 1"], ["%%task a --retries 2\nx = 1"]),
    "a misspelt operator": (["%%task a --operator bsh\nls"], ["%%task a --operator bash\nls"]),
    "a misspelt upstream task": (
        ["%%task load\nx = 1", "%%task b \\\n  --after laod\n1", "%%task c --after laod\n1"],
        ["%%task load\nx = 1", "%%task b \\\n  --after load\n1", "%%task c --after load\n1"],
    ),
    "a missing --after": (
        ["%dag --no-infer", "%%task a\nx = 1", "%%task c\nz = 1", "%%task b --after c\nprint(x)"],
        ["%dag --no-infer", "%%task a\nx = 1", "%%task c\nz = 1", "%%task b --after a c\nprint(x)"],
    ),
    "files without an order": (
        ["%%task a\nopen('f.txt', 'w').write('1')", "%%task b --retries 1\nprint(open('f.txt').read())"],
        ["%%task a\nopen('f.txt', 'w').write('1')", "%%task b --after a --retries 1\nprint(open('f.txt').read())"],
    ),
    "an import that tasks need": (
        ["%%task a\nx = 1", "import math", "%%task b\nprint(x, math.pi)"],
        ["%%task a\nx = 1", "%%setup\nimport math", "%%task b\nprint(x, math.pi)"],
    ),
    "an import among other lines": (
        [
            "import os",
            "%%task a\nx = 1",
            "import math\nfrom json import dumps\nprint(x)",
            "%%task b\nprint(x, math.pi)",
        ],
        [
            "import os\nimport math",
            "%%task a\nx = 1",
            "from json import dumps\nprint(x)",
            "%%task b\nprint(x, math.pi)",
        ],
    ),
    "an import without a setup cell": (
        ["%%task a\nx = 1", "import math\nprint(x)", "%%task b\nprint(x, math.pi)"],
        ["%%setup\nimport math", "%%task a\nx = 1", "print(x)", "%%task b\nprint(x, math.pi)"],
    ),
    "a scratch cell that a task needs": (
        ["%%task a\nx = 1", "total = x + 1", "%%task b\nprint(total)"],
        ["%%task a\nx = 1", "%%task total\ntotal = x + 1", "%%task b\nprint(total)"],
    ),
    "a branch whose choice does not follow it": (
        ["%%task pick --branch\n'a' if 1 else 'b'", "%%task a\n1", "%%task b --after pick\n1"],
        ["%%task pick --branch\n'a' if 1 else 'b'", "%%task a --after pick\n1", "%%task b --after pick\n1"],
    ),
    "a pull from a misspelt task": (
        ["%%task load\nx = 1", "%%task b\nprint(dag_run.ti.xcom_pull('laod'))"],
        ["%%task load\nx = 1", "%%task b\nprint(dag_run.ti.xcom_pull('load'))"],
    ),
    "a pull from a task that does not run before": (
        ["%dag --no-infer", "%%task load\nx = 1", "%%task b\nprint(dag_run.ti.xcom_pull('load'))"],
        ["%dag --no-infer", "%%task load\nx = 1", "%%task b --after load\nprint(dag_run.ti.xcom_pull('load'))"],
    ),
    "a misspelt name in a function that nobody calls": (
        ["%%task a\nlimit = 1\ndef f():\n    return limt"],
        ["%%task a\nlimit = 1\ndef f():\n    return limit"],
    ),
    "a header below comments": (
        ["# load\n\n%%task a --retries 1 \\\n  --priority 2\nx = 1"],
        ["%%task a --retries 1 \\\n  --priority 2\n# load\n\nx = 1"],
    ),
    "a header below code": (["import os\n%%task a\nx = 1", "%%task b\n1"], None),
    "a task without a name": (["%%task\ntotal = 1"], ["%%task total\ntotal = 1"]),
    "a name that could be two": (["%%task a\nrow1 = row2 = 1", "%%task b\nprint(row3)"], None),
    "a short name": (["%%task a\nxs = 1", "%%task b\nprint(ys)"], None),
    "a scratch cell marked with %%skip": (["%%task a\nx = 1", "%%skip\ny = 1", "%%task b\nprint(y)"], None),
}


def of(cells: list[str]) -> dict[str, Any]:
    return notebook("\n# %%\n".join(cells))


def sources(path: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]


@pytest.mark.parametrize("name", CASES)
def test_a_problem_is_repaired_if_there_is_one_repair(name: str, tmp_path: Path) -> None:
    before, after = CASES[name]
    path = write(tmp_path, "nb.ipynb", of(before))
    text = path.read_bytes()
    checked = runs.check(path, fix=True)
    if after is None:
        assert path.read_bytes() == text and checked.repaired == () and checked.dag.problems
    else:
        assert sources(path) == after
        assert checked.repaired and not [each for each in checked.dag.problems if each.repair]


@pytest.mark.parametrize(
    "explanation", [each for each in all_explanations() if not each.in_run], ids=lambda each: each.code
)
def test_no_repair_of_a_wrong_example_adds_an_error(explanation: Any, tmp_path: Path) -> None:
    if "%%dag" in explanation.wrong:
        return
    path = write(tmp_path, "nb.ipynb", notebook(explanation.wrong))
    before = runs.check(path).dag.errors
    checked = runs.check(path, fix=True)
    assert len(checked.dag.errors) <= len(before)
    assert not checked.repaired or checked.dag.problems == ()


def test_the_rest_of_the_file_stays_as_it_is(tmp_path: Path) -> None:
    content = of(["%%taks a\nx = 'é'", "%%task b\n1"])
    content["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["1\n", "\u2028\n"]}]
    content["metadata"]["mine"] = {"b": 1, "a": 2}
    path = tmp_path / "nb.ipynb"
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o640)
    runs.check(path, fix=True)
    assert path.read_text(encoding="utf-8") == text.replace("%%taks", "%%task")
    assert path.stat().st_mode & 0o777 == 0o640


def test_only_selected_problems_are_repaired(tmp_path: Path) -> None:
    path = write(
        tmp_path, "nb.ipynb", of(["%%task load\nx = 1", "%%task b --after laod --retires 1\n1", "%%taks c\n1"])
    )
    checked = runs.check(path, fix=True, select=["NB104"])
    assert [each.code for each in checked.repaired] == ["NB104"]
    assert "laod" in sources(path)[1]
