"""An untagged cell below a task that changes what a task below reads is reported, and only such a cell."""

from __future__ import annotations

import pytest

from nbdag.core.cells.cells import RawCell
from nbdag.core.model.dag import Dag
from nbdag.notebooks import read_cells

SETUP = (
    "import pandas as pd\nimport random, os\nimport numpy as np\ndef grow(xs): xs.append(1)\ndef scale(n): return n * 2"
)
EXTRACT = "%%task extract\ndf = pd.read_csv('d.csv')\nxs = []\ndebug = True"
TRAIN = "%%task train\nprint(df, xs, random.random(), os.environ['A'])"


def notebook(*cells: str | tuple[str, str]) -> Dag:
    """A notebook of sources, or of (tag, source)."""
    raw = [RawCell(cell) if isinstance(cell, str) else RawCell(cell[1], "code", (cell[0],)) for cell in cells]
    return read_cells(raw, name="nb.ipynb")


def told(dag: Dag) -> list[tuple[str, int]]:
    return [(each.code, each.place.cell) for each in dag.problems if each.code in ("NB310", "NB311") and each.place]


ERRORS = {
    "a rebinding": "df = df.dropna()",
    "an inplace method": "df.dropna(inplace=True)",
    "an item": "df['age'] = 1",
    "a change through another name": "ys = xs\nys.append(1)",
    "a change inside a function of setup": "grow(xs)",
    "a magic's body": "%%time\ndf = df.dropna()",
    "a deletion": "del df",
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_certain_change_of_what_a_task_reads_is_an_error(name: str) -> None:
    dag = notebook(SETUP, EXTRACT, ERRORS[name], TRAIN)
    assert told(dag) == [("NB310", 2)]
    (error,) = dag.errors
    assert "cell 3" in error.message and "task train" in error.message
    assert "%%task NAME" in error.hint and "%%skip" in error.hint


WARNINGS = {
    "a conditional rebinding": "if debug: df = df.head()",
    "a method that may change its object": "df.compile()\nprint(1)",
    "a seed": "random.seed(0)",
    "an environment variable": "os.environ['A'] = '1'",
}


@pytest.mark.parametrize("name", WARNINGS)
def test_an_uncertain_change_is_a_warning(name: str) -> None:
    assert told(notebook(SETUP, EXTRACT, WARNINGS[name], TRAIN)) == [("NB311", 2)]


HARMLESS = {
    "a display": "df.head()",
    "a plot": "import matplotlib.pyplot as plt\ndf.plot()\nplt.show()\ndf.age.hist()\nplt.title('ages')",
    "a name that no task reads": "sample = df.sample(3)\nfor row in sample: print(row)",
    "the same import again": "import pandas as pd\nfrom random import random as draw",
    "the same function again": "def scale(n): return n * 2",
    "an empty cell": "",
    "a seed of a generator that no task uses": "np.random.seed(0)",
    "a comment": "# df = df.dropna()",
    "a cell that cannot be parsed": "df = = 1",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_cell_that_no_task_misses_is_not_reported(name: str) -> None:
    dag = notebook(SETUP, EXTRACT, HARMLESS[name], TRAIN, "%%task score\nscale(1)")
    assert not told(dag)
    assert not dag.errors


@pytest.mark.parametrize("cell", ["%%skip\ndf = df.dropna()", ("skip-execution", "df = df.dropna()")])
def test_a_cell_that_its_author_marked_is_not_reported(cell: str | tuple[str, str]) -> None:
    assert not notebook(SETUP, EXTRACT, cell, TRAIN).problems


def test_a_name_that_a_task_sets_again_is_not_missed() -> None:
    assert not told(notebook(SETUP, EXTRACT, "df = None", "%%task train\ndf = 1\nprint(df)"))


def test_a_cell_below_every_task_is_not_reported() -> None:
    assert not told(notebook(SETUP, EXTRACT, TRAIN, "df = None"))


def test_a_setup_cell_below_misses_the_change_too() -> None:
    dag = notebook("n = 1", "%%task a\nprint(n)", "n = 2", "%%setup\nm = n", "%%task b\nprint(m)")
    assert told(dag) == [("NB310", 2)]
    assert "setup in cell 4" in dag.errors[0].message


def test_a_name_that_only_a_scratch_cell_sets_is_reported_once() -> None:
    dag = notebook("%%task a\nx = 1", "y = 2", "%%task b\nprint(y)")
    assert [each.code for each in dag.errors] == ["NB310"]


def test_the_hint_for_a_parameter_that_needs_setup_names_no_cell_to_move() -> None:
    dag = notebook("base = 'data'", ("parameters", "path = base + '/x'"), "%%task a\nprint(path)")
    (error,) = dag.errors
    assert error.code == "NB201"
    assert "parameters run first" in error.message and "move" not in error.hint
